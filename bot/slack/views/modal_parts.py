"""Frame and inputs of modals, and the reading of what was entered."""

import json
from datetime import datetime
from typing import Any, Final

from countersign.domain.decision_attempts import LONGEST_WORDS
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Question
from countersign.text.safe_text import quoted

from .block_kit import Block, heading, plain, words

FULL: Final = "full_request"
READ: Final = "read"
View = dict[str, Any]
_READ_FILE: Final = "I've read the file in the card's thread, which has the full request"


class InputProblem(InvalidInput):
    """Error: an input that cannot be used; the sentence belongs under `block`."""

    def __init__(self, block: str, *sentence: str | datetime) -> None:
        self.block = block
        super().__init__(*sentence)


def modal(callback: str, title: str, blocks: list[Block], submit: str | None, carried: str) -> View:
    """Draw a modal; without `submit` it is only read.

    Slack gives `carried` back with what is entered.
    """
    view: View = {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title, 24),
        "close": plain("Close" if submit is None else "Cancel"),
        "blocks": blocks,
        "private_metadata": carried,
    }
    return {**view, "submit": plain(submit, 24)} if submit else view


def input_of(block: str, label: str, element: Block, *, hint: str = "", optional: bool = False) -> Block:
    """Draw an input with its label."""
    made: Block = {"type": "input", "block_id": block, "label": plain(label), "element": element, "optional": optional}
    return {**made, "hint": plain(hint, 150)} if hint else made


def words_input(block: str, label: str, hint: str, *, optional: bool) -> Block:
    """Draw an input for a reason, a remark or an answer."""
    element: Block = {"type": "plain_text_input", "action_id": block, "multiline": True, "max_length": LONGEST_WORDS}
    return input_of(block, label, element, hint=hint, optional=optional)


def about(question: Question) -> Block:
    """Draw the first line of a modal about a request: its title."""
    return heading("About: ", quoted(question.title, 150))


def read_box(label: str, box_label: str = _READ_FILE) -> Block:
    """Draw a box for people to check who cannot see all of it in this modal."""
    box = {"type": "checkboxes", "action_id": READ, "options": [{"text": plain(box_label), "value": "yes"}]}
    return input_of(READ, label, box)


def has_read(view: View) -> bool:
    """Tell whether the box is checked where there is one."""
    return not has_block(view, READ) or bool(input_state(view, READ).get("selected_options"))


def has_block(view: View, name: str) -> bool:
    """Tell whether the modal has a block of this id."""
    return any(block.get("block_id") == name for block in view["blocks"])


def value(view: View, block: str) -> str:
    """Read a text or number input or a select; "" if nothing was entered."""
    entered = input_state(view, block)
    return str(entered.get("value") or (entered.get("selected_option") or {}).get("value") or "")


def input_state(view: View, block: str) -> dict[str, Any]:
    """Return the state of the input in this block; empty if there is none."""
    actions: dict[str, dict[str, Any]] = view["state"]["values"].get(block, {})
    return next(iter(actions.values()), {})


def channel_of(view: View) -> ChannelId:
    """Return the channel that the modal was opened in."""
    return ChannelId(json.loads(view["private_metadata"])["channel"])


def loading() -> View:
    """Draw the placeholder of a modal until its content comes."""
    note = ":hourglass_flowing_sand: One moment… If nothing appears here, close this and open it again."
    return modal(FULL, "One moment", [words(note)], None, "")


def not_counted(sentence: str) -> View:
    """Draw the modal that says why nothing was done; `sentence` is mrkdwn."""
    return modal(FULL, "Not done", [words(sentence)], None, "")
