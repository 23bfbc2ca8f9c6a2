"""The few Block Kit pieces of all views: text of models and people acts in none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .safe_text import one_line, size_of

Block = dict[str, Any]
TITLE: Final = 120
"""Characters of a title in a first line; a longer one is in the content too."""
TOOL: Final = 60
"""Characters of a tool's name in a first line; a longer one is in the content too."""
_ROOM: Final = 12_000
"""Bytes of one message's blocks (slackapi/bolt-js #2509), with room for the lines around a list."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One message. `text` is what notifications and screen readers say."""

    text: str
    blocks: list[Block]
    metadata: dict[str, Any] | None = None


def words(text: str) -> Block:
    """Our own sentence in mrkdwn. What people or models wrote goes into `data` or `plain`."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def heading(bold: str, rest: str) -> Block:
    """A first line, literal: nothing in it is markup, a link or a mention."""
    parts = [{"type": "text", "text": bold or "–", "style": {"bold": True}}, {"type": "text", "text": rest or "–"}]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def data(parts: Iterable[str]) -> Block:
    """Texts of models or people, literal and monospaced, one box each."""
    boxes = [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": part or " "}]} for part in parts]
    return {"type": "rich_text", "elements": boxes}


def plain(text: str, most: int = 75) -> dict[str, Any]:
    """One line of plain text, `:names:` of emoji left as they are."""
    return {"type": "plain_text", "text": one_line(text, most) or "–", "emoji": False}


def mrkdwn(text: str) -> dict[str, Any]:
    """Our own words with mentions, dates and links that we made."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def context(*elements: dict[str, Any]) -> Block:
    """Small print."""
    return {"type": "context", "elements": list(elements)}


def button(text: str, action: str, value: str, style: str | None = None) -> dict[str, Any]:
    """`value` has at most 2,000 characters."""
    made = {"type": "button", "text": plain(text), "action_id": action, "value": value}
    return {**made, "style": style} if style else made


def fitting(head: str, entries: Sequence[Sequence[Block]]) -> tuple[list[Block], int]:
    """A list below its first line, our own words: as many of the entries as one message holds, and how many."""
    blocks = [words(f"*{head}*")]
    for shown, entry in enumerate(entries):
        if size_of([*blocks, *entry]) > _ROOM:
            return blocks, shown
        blocks += entry
    return blocks, len(entries)
