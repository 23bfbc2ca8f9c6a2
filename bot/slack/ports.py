"""The ports of drawing to Slack: events in, calls out in their turn."""

import itertools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Any, Final, Protocol

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import CountersignError
from countersign.domain.events import Event

from ..slack_errors import OF_THE_TOKEN, TRANSIENT
from ..slack_errors import code as code

PAUSE: Final = 0.5
"""Seconds after a failure, before anybody looks or tries again."""
_places: Final = itertools.count()


class Importance(IntEnum):
    """The order of service: card, settled card, outcome in the thread, the rest."""

    CARD = 0
    SETTLED = 1
    OUTCOME = 2
    REST = 3


class CannotPost(CountersignError):
    """A refusal for good: no other try will do; the text is Slack's code."""


class Outdated(CountersignError):
    """A drawing that may be older than what stands in Slack or is stored: read again."""


class RowsAdded(Outdated):
    """A request has joined the card that waited for its turn."""


@dataclass(slots=True)
class DrawingTask:
    """A task that draws from what it has read.

    `held_until`: when another process may draw, by the loop's clock. `has_news`: whether something happened since this
    task read. `overtaken`: it has drawn over something newer, and nobody else knows. `place`: its place in every line.
    """

    held_until: Callable[[], float]
    has_news: Callable[[], bool] = lambda: False
    reread: bool = False
    overtaken: bool = False
    place: int = field(default_factory=_places.__next__)


drawing_task: Final[ContextVar[DrawingTask | None]] = ContextVar("drawing_task", default=None)
"""Set in tasks that draw from what they have read; others send whatever they have."""


class DrawingRight(Protocol):
    """The right to draw, which one process holds at a time."""

    async def claim(self, owner: str, term: timedelta) -> bool:
        """Take it if nobody holds it."""

    async def renew(self, owner: str, term: timedelta) -> bool:
        """Hold it on; False if another process may hold it."""

    async def release(self, owner: str) -> None:
        """Let another process take it at once."""


class Outbox(Protocol):
    """Events of the store, each handed out until Slack shows it."""

    @property
    def lease(self) -> DrawingRight:
        """The right to read and draw."""

    async def open(self) -> None:
        """Begin with the events that were not finished."""

    async def read(self, limit: int) -> list[tuple[str, Event]]:
        """Read the next events with their ids, oldest first; empty after a while."""

    async def overlooked(self, idle: timedelta, limit: int) -> list[tuple[str, Event]]:
        """Read events that were handed out so long ago and not finished, oldest first."""

    async def done(self, entry: str) -> None:
        """Tick the event off: Slack shows it."""


class Calls(Protocol):
    """Calls of Slack's Web API that wait for their turn."""

    @property
    def client(self) -> AsyncWebClient:
        """The client, for what is no single call."""

    async def call(
        self,
        method: str,
        content: dict[str, Any],
        importance: Importance = Importance.REST,
        *,
        before_call: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any] | None:
        """Return Slack's answer; None if a failure leaves open whether it happened.

        CannotPost if it never will happen.
        `before_call` is done once, when the call has its turn. Outdated, if what would be sent is older than what is
        stored.
        """

    async def until_answered(self) -> None:
        """Wait until Slack answers and accepts the token."""

    def is_open(self, method: str, channel: str, importance: Importance) -> bool:
        """Tell whether such a call would go at once."""


def pause_after(refused: SlackApiError) -> float | None:
    """Seconds to wait before another try; None if no try will ever do."""
    if refused.response.status_code == 429:
        return float(refused.response.headers.get("Retry-After", 1))
    again = code(refused) in TRANSIENT | OF_THE_TOKEN
    return 1.0 if refused.response.status_code >= 500 or again else None
