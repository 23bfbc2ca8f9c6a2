"""Ports for drawing to Slack: events in, rate-limited calls out."""

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
"""Seconds to wait after a failure before a look-up or another try."""
_places: Final = itertools.count()


class Importance(IntEnum):
    """Order in which calls are served."""

    CARD = 0
    SETTLED = 1
    OUTCOME = 2
    REST = 3


class CannotPost(CountersignError):
    """Error: Slack refuses for good, so a retry is useless; the text is Slack's code."""


class Outdated(CountersignError):
    """Error: the drawing may be older than Slack's or the stored state; read again."""


class RowsAdded(Outdated):
    """Error: a request joined the card while the card waited for its turn."""


@dataclass(slots=True)
class DrawingTask:
    """A task that draws from what it has read.

    `held_until`: the time, by the loop's clock, from which another process may draw. `has_news`: whether something
    happened since this task read. `overtaken`: the task has drawn over something newer, and no other process knows.
    `place`: its place in every line.
    """

    held_until: Callable[[], float]
    has_news: Callable[[], bool] = lambda: False
    reread: bool = False
    overtaken: bool = False
    place: int = field(default_factory=_places.__next__)


drawing_task: Final[ContextVar[DrawingTask | None]] = ContextVar("drawing_task", default=None)
"""Set in tasks that draw from the store's state, and must read again if it is outdated."""


class DrawingRight(Protocol):
    """The right to draw, which one process holds at a time."""

    async def claim(self, owner: str, term: timedelta) -> bool:
        """Take the right if no process holds it."""

    async def renew(self, owner: str, term: timedelta) -> bool:
        """Extend the right; False if another process may hold it."""

    async def release(self, owner: str) -> None:
        """Give the right up, so that another process can take it at once."""


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
        """Read unfinished events handed out at least this long ago, oldest first."""

    async def done(self, entry: str) -> None:
        """Tick the event off: Slack shows it."""


class Calls(Protocol):
    """Calls of Slack's Web API that wait for their turn."""

    @property
    def client(self) -> AsyncWebClient:
        """Return the client, for operations of several calls."""

    async def call(
        self,
        method: str,
        content: dict[str, Any],
        importance: Importance = Importance.REST,
        *,
        before_call: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any] | None:
        """Return Slack's answer; None if it is unclear whether the call took effect.

        CannotPost if Slack refuses for good, Outdated if the content is older than the stored state. `before_call` runs
        once, when the call gets its turn.
        """

    async def until_answered(self) -> None:
        """Wait until Slack answers and accepts the token."""

    def is_open(self, method: str, channel: str, importance: Importance) -> bool:
        """Tell whether such a call would go at once."""


def pause_after(refused: SlackApiError) -> float | None:
    """Return the seconds to wait before another try; None if retrying is useless."""
    if refused.response.status_code == 429:
        return float(refused.response.headers.get("Retry-After", 1))
    again = code(refused) in TRANSIENT | OF_THE_TOKEN
    return 1.0 if refused.response.status_code >= 500 or again else None
