"""Counts of what a reviewer reads and does, from the notification to the decision.

They come from the messages and windows that Slack got, while a scene plays.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localslack import LocalSlack, text_of
from localslack.errors import Json
from localslack.modals import View
from localslack.workspace import Message

PHONE_HEIGHT = 844
_NOTIFIED_LINES = 2
_NOTIFIED = 110
"""Characters of a line of a notification that are shown here."""
_MARKS = re.compile(r"<[!@#][^<>|]*\|?|[*_`~>]|:[a-z_0-9]+:|\[[^\[\]]*\]")


def words_in(text: str) -> int:
    """Count the words that somebody reads: without buttons, and without Slack's marks."""
    return len(re.findall(r"[^\W_][\w'’.,@:/-]*", _MARKS.sub(" x ", text).replace(" x ", " ")))


@dataclass
class Reading:
    """One request, from the notification to the decision."""

    kind: str
    notification: str
    words: int
    controls: int
    height: float = 0.0
    """Of the card, in screens of a phone."""
    window: int = 0
    """Words of the windows on the way."""
    taps: int = 1
    """The first opens the notification."""
    typed: int = 0
    """Characters."""

    @property
    def row(self) -> list[str]:
        """The row of the table."""
        read = f"{self.words} + {self.window}" if self.window else str(self.words)
        return [
            self.kind,
            self.notification,
            read,
            f"{self.height:.1f}",
            str(self.controls),
            str(self.taps),
            str(self.typed or "–"),
        ]


COLUMNS = ("request", "the notification says", "words", "screens", "controls", "taps", "typed")


def notification_of(text: str, slack: LocalSlack) -> str:
    """Write the first two lines of a message's text as a phone shows them, as one cell of a table."""
    named = re.sub(r"<@(\w+)>", lambda found: f"@{slack.workspace.users[found[1]].real_name}", text)
    named = re.sub(r"<#(\w+)>", lambda found: f"#{slack.channel(found[1]).name}", named)
    lines = re.sub(r"<[^<>|]*\|?|>|\*", "", named).splitlines()[:_NOTIFIED_LINES]
    return " / ".join(line if len(line) <= _NOTIFIED else f"{line[:_NOTIFIED]}…" for line in lines)


class Reviewer:
    """Somebody who decides, and is counted."""

    def __init__(self, slack: LocalSlack, name: str, kind: str, card: Message) -> None:
        self._slack = slack
        self.person = slack.user(name)
        self.card = card
        controls = [e for e in card.elements if e["type"] in ("button", "overflow") and e["action_id"] != "view_full"]
        self.reading = Reading(kind, notification_of(card.text, slack), words_in(text_of(card)), len(controls))

    async def tap(self, name: str) -> None:
        """Tap a button of the card, or an item of its menu."""
        button = next((e for e in self._elements() if name in _names(e)), None)
        self.reading.taps += 1 if button and button["type"] == "button" else 2
        self.reading.taps += bool(button and "confirm" in button)
        ack = await self.person.click(self.card, name)
        assert ack.ok, (name, ack)

    def offers(self, item: str) -> bool:
        """Tell whether the card's menu has the item."""
        options = [option for element in self._elements() for option in element.get("options", ())]
        return any(option["text"]["text"].removesuffix("…") == item for option in options)

    async def window(self, match: str = "") -> View:
        """Read the window that opened."""
        view = await self.person.wait_modal(match)
        self.reading.window += words_in(text_of(view.json))
        return view

    async def submit(self, values: dict[str, Any] | None = None) -> None:
        """Fill the window in and submit it."""
        self.reading.taps += 1 + len(values or {})
        self.reading.typed += sum(len(str(value)) for value in (values or {}).values())
        errors = await self.person.submit(values)
        assert errors == {}, errors

    def _elements(self) -> Sequence[Json]:
        posts = self._slack.channel(self.card.channel).posts
        return (posts.get(self.card.ts) or self.card).elements


def _names(element: Json) -> tuple[str, ...]:
    return (element["action_id"], element["text"]["text"]) if element["type"] == "button" else ()
