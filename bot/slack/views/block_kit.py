"""Block Kit pieces of all views; no text of models or people acts in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from countersign.text.safe_text import Room, one_line, shorten, size_of

Block = dict[str, Any]
TITLE: Final = 120
"""Characters of a title in a first line; a longer one is in the content too."""
TOOL: Final = 60
"""Characters of a tool's name in a first line; a longer one is in the content too."""
LABEL: Final = Room(75, 46, 1)
"""Room for a button's accessibility label; five rows of the largest size fill the rest of a message."""
WORDS: Final = Room(3000, 3500, 60)
"""Room for a reason or an answer."""
_ROOM: Final = 12_000
"""Bytes of one message's blocks (slackapi/bolt-js #2509), with room for the lines around a list."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A message as text and blocks.

    `text` names the team and the question, for phones; screen readers get `spoken_text`, which begins with it.
    `incidental`: parts that may be out of date. A message is not updated if only these differ.
    """

    text: str
    blocks: list[Block]
    incidental: tuple[str, ...] = ()


def words(text: str) -> Block:
    """Draw our own sentence in mrkdwn.

    Texts of people or models go into `data` or `plain`.
    """
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def heading(bold: str, rest: str) -> Block:
    """Draw a first line without markup, links or mentions."""
    parts = [{"type": "text", "text": bold or "–", "style": {"bold": True}}, {"type": "text", "text": rest or "–"}]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def headline(team: str, question: str, rest: str = "") -> Block:
    """Draw the first line of a card: the team, in bold what is asked, and the rest."""
    made = heading(question, f" – {rest}")
    parts = made["elements"][0]["elements"]
    made["elements"][0]["elements"] = [{"type": "text", "text": f"{team or '–'} · "}, *parts[: 2 if rest else 1]]
    return made


def data(parts: Iterable[str]) -> Block:
    """Draw texts of models or people literally and monospaced, one box each."""
    boxes = [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": part or " "}]} for part in parts]
    return {"type": "rich_text", "elements": boxes}


def plain(text: str, most: int = 75) -> dict[str, Any]:
    """Make one line of plain text; `:names:` of emoji stay as they are."""
    return {"type": "plain_text", "text": one_line(text, most) or "–", "emoji": False}


def mrkdwn(text: str) -> dict[str, Any]:
    """Make mrkdwn of our own text, mentions, dates and links."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def context(*elements: dict[str, Any]) -> Block:
    """Draw small print."""
    return {"type": "context", "elements": list(elements)}


def button(text: str, action: str, value: str, style: str | None = None) -> dict[str, Any]:
    """Draw a button; `value` has at most 2,000 characters."""
    made = {"type": "button", "text": plain(text), "action_id": action, "value": value}
    return {**made, "style": style} if style else made


def link_button(text: str, action: str, url: str, style: str | None = None) -> dict[str, Any]:
    """Draw a button that opens a page; Slack tells the app of the click too."""
    made = {"type": "button", "text": plain(text), "action_id": action, "url": url}
    return {**made, "style": style} if style else made


def about(block: Block, subject: str) -> Block:
    """Have each button of a block tell screen readers its subject.

    Several rows of a card have such a button.
    """
    parts = {name: block[name] for name in ("elements", "accessory") if name in block}
    if "accessory" in parts:
        return {**block, "accessory": _labelled(parts["accessory"], subject)}
    return {**block, "elements": [_labelled(one, subject) for one in parts["elements"]]} if parts else block


def _labelled(element: Block, subject: str) -> Block:
    if element["type"] != "button":
        return element
    label, hidden, _ = shorten(one_line(f"{element['text']['text']}: {subject}", LABEL.characters), LABEL)
    return {**element, "accessibility_label": label + "…" * bool(hidden)}


def fitting(head: str, entries: Sequence[Sequence[Block]]) -> tuple[list[Block], int]:
    """Draw a list below our own text `head`, as far as it fits in one message.

    Returns the blocks and the number of entries in them.
    """
    blocks = [words(f"*{head}*")]
    for shown, entry in enumerate(entries):
        if size_of([*blocks, *entry]) > _ROOM:
            return blocks, shown
        blocks += entry
    return blocks, len(entries)


def more_entries(number: int, whole: bool = True) -> Block:
    """Count the entries of a list that are not shown."""
    return context(mrkdwn(f"and {count(number, whole)} more"))


def count(number: int, whole: bool = True) -> str:
    """Write a number, "" for zero; `whole` is False if it was not counted to its end."""
    return "" if number == 0 else f"{number:,}" if whole else f"more than {number:,}"
