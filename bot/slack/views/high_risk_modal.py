"""How what is of high risk is approved: the window that shows all of it, in parts if it is long, and asks for a word.

Ids, build and parse stand together. A window carries whom it was opened for, and each part comes only in answer to the
one before: who sends the last had all of them open. What counts is judged where everything is (`core.high_risk`).
"""

import json
from typing import Final, NamedTuple

from countersign.domain import high_risk
from countersign.domain.ids import ChannelId, UserId, digest_of
from countersign.domain.requests import Request, Verb

from . import button_labels, modals
from .block_kit import Block, heading, plain
from .card_content import parts
from .cards import Handle
from .modals import View
from .safe_text import quoted, size_of

REVIEW: Final = "review_high_risk"
WORD: Final = "word"
_LONGEST: Final = 100
"""Characters that may be typed; the word is shorter."""


class Opened(NamedTuple):
    """What a window carries besides its request: for whom it was opened, its part, and what it leads to.

    `layout` is the same as long as the content is cut into parts in the same way.
    """

    user: UserId
    part: int
    verb: Verb
    layout: str


def window(request: Request, channel: ChannelId, user: UserId, verb: Verb = Verb.APPROVE, part: int = 0) -> View:
    """One part of all that is judged. The last of APPROVE asks for the word and approves; that of EDIT leads to the
    form."""
    made = parts(request.question)
    last = part + 1 == len(made)
    blocks = [heading("About: ", quoted(request.question.title, 150)), *made[part]]
    if not last:
        submit = f"Next: part {part + 2} of {len(made)}"
    elif verb is Verb.EDIT:
        submit = "Edit…"
    else:
        submit = next(b.label for b in button_labels.of(request.question.kind).buttons if b.verb is verb)
        blocks += _word(request)
    opened = Opened(user, part, verb, layout(request))
    return {
        "type": "modal",
        "callback_id": REVIEW,
        "title": plain("Review" if len(made) == 1 else f"Review, part {part + 1} of {len(made)}", 24),
        "submit": plain(submit, 24),
        "close": plain("Cancel"),
        "blocks": blocks,
        "private_metadata": json.dumps(
            {**Handle(request.id, request.digest)._asdict(), "channel": channel, **opened._asdict()}
        ),
    }


def form(view: View, request: Request, user: UserId) -> View:
    """The form of Edit, `view`, for who has all of it behind them: it asks for the word too."""
    carried = {**json.loads(view["private_metadata"]), "user": user}
    blocks = [block for block in view["blocks"] if block.get("block_id") != modals.READ]
    return {**view, "blocks": [*blocks, *_word(request)], "private_metadata": json.dumps(carried)}


def opened(view: View) -> Opened:
    """What a window of `window` carries."""
    carried = json.loads(view["private_metadata"])
    return Opened(UserId(carried["user"]), carried["part"], Verb(carried["verb"]), carried["layout"])


def opened_for(view: View) -> UserId | None:
    """Whom the form of Edit was opened for, after they had all of it open; None if they had not."""
    user = json.loads(view["private_metadata"]).get("user")
    return None if user is None else UserId(user)


def typed(view: View) -> str:
    """The word as it was typed; "" where none was asked."""
    return modals.value(view, WORD)


def asks_for_word(view: View) -> bool:
    """Whether there is an input that a sentence can stand under."""
    return any(block.get("block_id") == WORD for block in view["blocks"])


def _word(request: Request) -> list[Block]:
    word = high_risk.word(request)
    if not word:
        return []
    asked: Block = {
        "type": "input",
        "block_id": WORD,
        "label": plain(f"Type “{word}” to approve"),
        "element": {"type": "plain_text_input", "action_id": WORD, "max_length": _LONGEST},
        "hint": plain("Only its letters and numbers count, in capitals or not.", 150),
        "optional": False,
    }
    return [asked]


def layout(request: Request) -> str:
    """How the content is cut into parts."""
    return digest_of(*(f"{len(part)} {size_of(part)}" for part in parts(request.question)))[:16]
