"""The top-level text of a message, for screen readers and notifications (R41).

Screen readers do not get the blocks: https://docs.slack.dev/reference/methods/chat.postMessage. The text is made from
the blocks, so it is as complete as they are. The question comes first, then warnings and content, then the small print.
Text of models and people keeps to one line, so it cannot begin a line that looks like one of ours (R15).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from .block_kit import Block, Drawing
from .slack_markup import escape, joined, written

LONGEST: Final = 4000
"""Characters; Slack refuses to change a message to more."""
_OPTION: Final = re.compile(r"_[0-9]+$")
"""Ends the action of an option's button: its own words are content."""
_STYLE: Final = re.compile(r"[*_]")
_LINK: Final = re.compile(r"<https?:[^<>|]*\|([^<>]*)>")
_ENTITY: Final = re.compile(r"&[a-z]*$")


class _Line(NamedTuple):
    text: str
    small: bool = False
    cuttable: bool = False


def spoken(drawing: Drawing, longest: int = LONGEST) -> str:
    """Write the top-level text: the drawing's own, and what its blocks show besides.

    Addresses, and parts that may be out of date, are left out.
    """
    said = _bare(drawing.text)
    lines = list[_Line]()
    for line in _in_order(drawing.blocks):
        text = line.text
        for fragment in filter(None, drawing.incidental):
            text = text.replace(fragment, "")
        text = _LINK.sub(r"\1", text).strip(" ·")
        if text and _bare(text) not in said:
            lines.append(line._replace(text=text))
    return "\n".join([drawing.text[:longest], *_cut(lines, longest - len(drawing.text) - 1)])


def _in_order(blocks: Sequence[Block]) -> Iterator[_Line]:
    """Put the small print of each part of a message after the rest of the part."""
    for _, part in groupby(blocks, lambda block: block["type"] == "divider"):
        lines = [line for block in part for line in _lines(block)]
        yield from (line for line in lines if not line.small)
        yield from (line for line in lines if line.small)


def _lines(block: Block) -> Iterator[_Line]:
    kind = block["type"]
    if kind == "rich_text":
        for part in block["elements"]:
            yield _Line(written(part), cuttable=part["type"] == "rich_text_preformatted")
    elif kind == "context":
        yield _Line(" · ".join(_text(element) for element in block["elements"] if "text" in element), small=True)
    elif kind == "actions":
        options = [_text(one["text"]) for one in block["elements"] if _OPTION.search(one["action_id"])]
        yield _Line(f"Buttons: {', '.join(options)}" * bool(options))
    elif kind in ("plan", "task_card"):
        yield _Line(escape(joined(block["title"])))
        for task in block.get("tasks", ()):
            yield from _lines({"type": "task_card", **task})
        yield from (line for name in ("details", "output") if name in block for line in _lines(block[name]))
    else:
        for part in (block.get("title"), block.get("text"), *block.get("fields", ())):
            yield _Line(_text(part) if isinstance(part, dict) else escape(joined(part or "")))
        for child in block.get("child_blocks", ()):
            yield from _lines(child)


def _text(part: dict[str, Any]) -> str:
    """Write a text object; mrkdwn is our own, and has its marks already."""
    return joined(part["text"]) if part["type"] == "mrkdwn" else escape(joined(part["text"]))


def _bare(text: str) -> str:
    """Remove marks that only affect the look of a line."""
    return " ".join(_STYLE.sub("", text).split())


def _cut(lines: Sequence[_Line], room: int) -> list[str]:
    """Cut the lines to the room, content first; a cut line says how much is missing."""
    made = [line.text for line in lines]
    for cuttable in (True, False):
        for at in reversed(range(len(lines))):
            over = sum(map(len, made)) + len(made) - 1 - room
            if over > 0 and lines[at].cuttable == cuttable:
                made[at] = _shortened(made[at], over)
    return [line for line in made if line]


def _shortened(text: str, over: int) -> str:
    """Cut this many characters off the end of a text, and say so."""
    note = "… (cut here; {:,} more characters are in the message)"
    keep = max(0, len(text) - over - len(note) - 2)
    beginning = _ENTITY.sub("", text[:keep])
    return beginning + note.format(len(text) - len(beginning)) if len(text) > len(note) + 6 else ""
