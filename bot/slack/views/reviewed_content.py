"""The content that is judged: on the card, in the full view, in a file (R13, R14).

A card that does not show all of it has no button that approves: its button opens the full view, which does.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from countersign.domain.calls import as_declared, in_words, labelled
from countersign.domain.diffs import changed_lines
from countersign.domain.events import escape_marks
from countersign.domain.redaction import MARK, guessed_in, hide, hide_in
from countersign.domain.requests import Kind, Question, Request
from countersign.text.homoglyphs import odd_signs, odd_words
from countersign.text.safe_text import Room, fits, one_line, pieces, quoted, shorten, size_of, typed, visible

from .block_kit import TITLE, TOOL, Block, context, data, heading, mrkdwn, plain, words
from .slack_markup import escape, exactly

_CARD: Final = Room(2500, 5000, 60)
_ENDS: Final = Room(2500, 5000, 15)
"""Ten lines and five, where more is behind Details before anybody can approve."""
_ROW: Final = Room(230, 270, 6)
"""Of a card with several requests."""
_LINE: Final = 120
"""Characters of a row's content that stands on one line."""
_REPLY: Final = Room(300, 600, 4)
"""For the reviewer's reply to the last version; the run's thread has the whole text."""
_NOTE: Final = Room(200, 350, 1)
_NOTES: Final = 3
_SINCE: Final = Room(900, 1200, 20)
_FULL: Final = Room(110_000, 150_000, 20_000)
_FULL_BESIDE_ARGUMENTS: Final = Room(66_000, 100_000, 12_000)
_FULL_ARGUMENTS: Final = Room(40_000, 65_000, 8_000)
_FULL_NOTES: Final = Room(6_000, 9_000, 300)
_FULL_SINCE: Final = Room(12_000, 18_000, 1_000)
"""A view may hold 250,000 bytes and 100 blocks; `pieces` of 3,000 hold 1,500 characters at least."""
_ANY: Final = Room(sys.maxsize, sys.maxsize, sys.maxsize)
_PART: Final = 200_000
_PART_BLOCKS: Final = 80
"""Bytes and blocks of one of several views."""
_NAMED: Final = 3
_CLAIM: Final = "The agent says:"
_OUR_SIGNS: Final = re.compile("([\u26a0\U0001f6a8\U0001f512])\ufe0f?")
"""⚠ and others that begin our own warnings, as text or as an emoji."""
UNFILED: Final = ":warning: the file with the full request couldn't be uploaded"


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """A question as people see it: nothing in it hides, acts, or is secret.

    `options` is the end of the text, which lists them. `since`: the changes since the refused version, or None.
    `secrets` counts what is hidden, and `guessed` those of them that no team named. `odd` are the words that mix
    alphabets, `signs` those with a sign that looks like another one.
    """

    text: str
    options: str
    notes: tuple[str, ...]
    since: str | None
    reply: str
    secrets: int
    guessed: int
    odd: tuple[str, ...]
    signs: tuple[str, ...]


@lru_cache(maxsize=16)
def shown_question(question: Question) -> ShownQuestion:
    """Make a question safe to show.

    Cached, because one click draws the same question more than once.
    """
    # In calls and in unknown outcomes the agents hid the secrets already; all else is as models wrote it.
    readable = partial(typed, hidden=question.call is not None or question.kind in (Kind.IN_DOUBT, Kind.DIVERGED))
    question = replace(
        question,
        title=typed(question.title),
        content=readable(question.content),
        options=tuple(map(typed, question.options)),
        notes=tuple(map(readable, question.notes)),
        before=readable(question.before),
        reply=typed(question.reply),
    )
    options = "".join(f"\n{number}. {' '.join(visible(o).split())}" for number, o in enumerate(question.options, 1))
    ask = "choose one or more" if question.several else "choose one"
    content = visible(question.content)
    listed = f"\n\nOptions ({ask}):{options}" if options else ""
    text = content + listed
    if one_line(question.title, TITLE) != visible(question.title).strip():
        text = f"{visible(question.title)}\n\n{text}"
    tool = typed(question.call.tool) if question.call is not None and question.kind is not Kind.CODE else ""
    if one_line(tool, TOOL) != tool:
        text = f"Tool: {visible(tool)}\n\n{text}"
    notes = tuple(_claim(note) if question.claimed else visible(note).strip() for note in question.notes)
    everything = "\n".join([question.title, question.content, *question.options, *question.notes])
    open_text = "" if everything.isascii() else hide(everything)[0]
    since = "\n".join(changed_lines(visible(question.before), content)) if question.before else None
    secrets = len(MARK.findall("\n".join([text, *notes])))
    return ShownQuestion(
        text,
        listed,
        notes,
        since,
        visible(question.reply).strip(),
        secrets,
        _guessed(question, everything, secrets),
        tuple(odd_words(open_text)),
        tuple(odd_signs(open_text)),
    )


def _claim(note: str) -> str:
    """Write a note of an agent or program so that nothing in it looks like a warning of ours (R42).

    It has no line of its own, and our signs are spelled out.
    """
    return _OUR_SIGNS.sub(lambda sign: f"⟦U+{ord(sign[1]):04X}⟧", one_line(note, sys.maxsize))


def _guessed(question: Question, everything: str, secrets: int) -> int:
    """Count the secrets that we guessed.

    All that is hidden in words is our guess; marks that come with a call may stand for what its team named.
    """
    if question.call is None:
        return secrets
    by_name = guessed_in(json.loads(question.call.arguments), question.call.hidden)
    return max(by_name, hide(everything)[1])


def complete(question: Question) -> bool:
    """Tell whether the card shows all that the team does not hide itself.

    Only then can it be approved there.
    """
    shown = shown_question(question)
    return _has_room(shown) and not shown.guessed


def has_room(question: Question) -> bool:
    """Tell whether the card has room for all that is judged."""
    return _has_room(shown_question(question))


def _has_room(shown: ShownQuestion) -> bool:
    return fits(shown.text, _CARD) and len(shown.notes) <= _NOTES and all(fits(note, _NOTE) for note in shown.notes)


def needs_file(request: Request) -> bool:
    """Tell whether the whole content needs a file in the card's thread.

    It does if it does not fit in the card or the full view, or if the changes do not fit in that view.
    """
    since = shown_question(request.question).since or ""
    return not (has_room(request.question) and _whole_in_full(request.question) and fits(since, _FULL_SINCE))


def file_of(request: Request, row: int = 0) -> tuple[str, bytes, str]:
    """Make the name, bytes and title of the file; `row` is its number in a batch."""
    shown = shown_question(request.question)
    parts = [*((f"{_CLAIM} {note}" for note in shown.notes) if request.question.claimed else shown.notes), shown.text]
    if request.question.call is not None:
        parts += [f"Tool: {visible(typed(request.question.call.tool))}", "Details:", _arguments(request.question)]
    parts += ["Changed since the last version:", shown.since] if shown.since else []
    asked = f"Full request of row {row}" if row else "Full request"
    return f"{request.id}.txt", "\n\n".join(parts).encode(), asked


def on_card(
    question: Question, view_full: Block, *, filed: bool = True, decides: bool = False, buttons: bool = False
) -> list[Block]:
    """Draw a question's content, or its first and last lines, for a card.

    Above it: the reviewer's earlier words, the changes since then, notes, and warnings. `decides`: one click on this
    card decides, so all of it is drawn. `buttons`: each option has one.
    """
    shown, room = shown_question(question), _CARD if decides else _ENDS
    blocks = [*_reply(shown), *_since(shown, view_full), *_notes(shown, view_full, claimed=question.claimed)]
    blocks += _warnings(shown)
    text = shown.text.removesuffix(shown.options) if buttons else shown.text
    beginning, hidden, end = shorten(text, room)
    if not _is_title(question, text):
        blocks.append(data([beginning or "(empty)"]))
    if hidden:
        gap = f":warning: *{hidden:,} characters in between are not shown here.* Open *Details* before you decide"
        if not has_room(question):
            has = "the file in this card's thread has the full request too"
            gap += f"; {has if filed else UNFILED.removeprefix(':warning: ')}"
        blocks += [{**words(f"{gap}."), "accessory": view_full}, data([end])]
    elif not filed:
        blocks.append(context(mrkdwn(f"{UNFILED}.")))
    return blocks


def _is_title(question: Question, text: str) -> bool:
    """Tell whether the title above says all of the text."""
    return one_line(typed(question.title), TITLE).rstrip(" ?") == text.strip().rstrip(" ?")


def in_row(question: Question) -> tuple[list[Block], bool]:
    """Draw a row's content or its ends, and tell whether that is all of it.

    Content that needs a warning is never all: it is reviewed in the full view.
    """
    shown = shown_question(question)
    beginning, hidden, end = shorten(
        "\n".join([*(f"{_CLAIM if question.claimed else '⚠️'} {note}" for note in shown.notes), shown.text]), _ROW
    )
    if not hidden:
        return [data([beginning or "(empty)"])], not (shown.odd or shown.signs or shown.guessed)
    return [data([f"{beginning}\n⟦{hidden:,} characters in between are not shown here⟧\n{end}"])], False


def in_line(question: Question) -> str:
    """Write all of a row's content on one line.

    "" if it does not fit there, or needs more than text.
    """
    shown = shown_question(question)
    lines = shown.text.splitlines()
    if shown.notes or shown.odd or shown.signs or shown.guessed or len(shown.text) > _LINE:
        return ""
    if any("·" in line or not line or line != line.strip() for line in lines):  # fields could not be told apart
        return ""
    return " · ".join(lines)


def in_full(question: Question, *, changed: bool = False) -> tuple[list[Block], bool]:
    """Draw a modal with as much as it has room for, and tell whether that is all.

    `changed`: other arguments were approved than those that it shows.
    """
    drawn = _drawn(question, _full_room(question), _FULL_ARGUMENTS, _FULL_NOTES, changed)
    return drawn, _whole_in_full(question)


def everything(question: Question) -> list[Block]:
    """Draw all that is judged, however long it is, for a page."""
    return [block for part in parts(question) for block in part]


@lru_cache(maxsize=4)
def parts(question: Question) -> list[list[Block]]:
    """Draw as many modals as it takes to show all that is judged."""
    made, size = list[list[Block]]([[]]), 0
    for block in _drawn(question, _ANY, _ANY, _ANY):
        size += size_of(block)
        if made[-1] and (size > _PART or len(made[-1]) == _PART_BLOCKS):
            made.append([])
            size = size_of(block)
        made[-1].append(block)
    return made


def _drawn(question: Question, text: Room, arguments: Room, notes: Room, changed: bool = False) -> list[Block]:
    shown, blocks = shown_question(question), []
    if shown.since:
        blocks += [words("*Changed since the last version*"), *_boxes(shown.since, _FULL_SINCE)]
    if shown.notes:
        blocks += [
            words(f"*{_CLAIM.rstrip(':')}*" if question.claimed else "*Before you decide*"),
            *_boxes("\n".join(shown.notes), notes),
        ]
    blocks += [*_warnings(shown), *_boxes(shown.text or "(empty)", text)]
    if question.call is not None:
        exact = f"`{escape(exactly(question.call.tool))}`"
        spoken = in_words(question.call.tool)
        tool = exact if spoken == question.call.tool else f"{escape(quoted(spoken, 100))} ({exact})"
        blocks += [
            words(f"*Tool:* {tool} · *Details{' before the change' if changed else ''}*"),
            *_boxes(_arguments(question), arguments),
        ]
    return blocks


@lru_cache(maxsize=64)
def _arguments(question: Question) -> str:
    """Write the arguments of a call as labelled fields.

    `shown_question` does without them: a click on Approve needs none, and must not wait for a megabyte.
    """
    if question.call is None:
        return ""
    shown, _ = hide_in(escape_marks(json.loads(question.call.arguments)), question.call.hidden)
    return visible(typed(labelled(as_declared(shown, question.call.schema)), hidden=True))


def _full_room(question: Question) -> Room:
    return _FULL if question.call is None else _FULL_BESIDE_ARGUMENTS


def _whole_in_full(question: Question) -> bool:
    shown = shown_question(question)
    return (
        fits(shown.text, _full_room(question))
        and fits(_arguments(question), _FULL_ARGUMENTS)
        and fits("\n".join(shown.notes), _FULL_NOTES)
    )


def _notes(shown: ShownQuestion, view_full: Block, *, claimed: bool) -> list[Block]:
    """Draw the notes.

    Notes of an agent or a program are attributed and carry no warning of ours (R42).
    """
    cut = (shorten(note, _NOTE)[0] + "…" * (not fits(note, _NOTE)) for note in shown.notes[:_NOTES])
    blocks = [heading(f"{_CLAIM} ", one_line(note, 300)) if claimed else _note(note) for note in cut]
    if len(shown.notes) > _NOTES or not all(fits(note, _NOTE) for note in shown.notes):
        gap = words("_Not all notes fit here._ Open *Details* before you decide.")
        blocks.append({**gap, "accessory": view_full})
    return blocks


def _note(text: str) -> Block:
    return {"type": "section", "text": plain(f"⚠️ {text}", 300)}


def _warnings(shown: ShownQuestion) -> list[Block]:
    blocks = []
    if shown.odd:
        mix, look = (f"{len(shown.odd)} words mix", "they look") if len(shown.odd) > 1 else ("1 word mixes", "it looks")
        blocks.append(words(f":warning: *{mix} alphabets* and may not be what {look} like: {_named(shown.odd)}"))
    if shown.signs:
        have = f"{len(shown.signs)} words have" if len(shown.signs) > 1 else "1 word has"
        blocks.append(words(f":warning: *{have} a sign that looks like another one*: {_named(shown.signs)}"))
    if shown.guessed > 1:
        hidden = f"{shown.guessed:,} values are hidden because they look like secrets"
        blocks.append(words(f":lock: *{hidden}*; the team didn't mark them as secret. The real values are used."))
    elif shown.guessed:
        hidden = "1 value is hidden because it looks like a secret"
        blocks.append(words(f":lock: *{hidden}*; the team didn't mark it as secret. The real value is used."))
    elif shown.secrets > 1:
        blocks.append(context(mrkdwn(f":lock: {shown.secrets:,} secrets are hidden here; the real values are used.")))
    elif shown.secrets:
        blocks.append(context(mrkdwn(":lock: 1 secret is hidden here; the real value is used.")))
    return blocks


def _named(odd: Sequence[str]) -> str:
    return escape(", ".join(one_line(word, 30) for word in odd[:_NAMED]) + ", …" * (len(odd) > _NAMED))


def _reply(shown: ShownQuestion) -> list[Block]:
    """Draw the reviewer's reply to the last version."""
    if not shown.reply:
        return []
    beginning, hidden, _ = shorten(shown.reply, _REPLY)
    return [words("*Requested changes*"), data([beginning + "…" * bool(hidden)])]


def _since(shown: ShownQuestion, view_full: Block) -> list[Block]:
    if shown.since is None:
        return []
    if not shown.since:
        return [words("*Asked again.* The text is the same.")]
    if fits(shown.since, _SINCE):
        return [words("*Changed since the last version*"), data([shown.since])]
    gap = words("*Asked again.* *Details* shows what changed.")
    return [{**gap, "accessory": view_full}]


def _boxes(text: str, room: Room) -> list[Block]:
    beginning, hidden, end = shorten(text, room)
    blocks = [data([part]) for part in pieces(beginning, 3000)]
    if hidden:
        gap = f":warning: *{hidden:,} characters in between are not shown here.*"
        blocks += [
            words(f"{gap} The file in the card's thread has everything."),
            *(data([part]) for part in pieces(end, 3000)),
        ]
    return blocks
