"""Trigger ids (once, 3 s) and response URLs (5 times, 30 minutes)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import SlackError
from .workspace import Message

RESPONSE_URL_USES = 5
RESPONSE_URL_SECONDS = 30 * 60
# Number of tokens remembered, to say "expired" instead of "unknown"; a demo may run for weeks.
REMEMBERED = 10_000


def _forget_oldest(issued: dict[str, Any]) -> None:
    while len(issued) >= REMEMBERED:
        del issued[next(iter(issued))]


@dataclass
class Trigger:
    id: str
    user: str
    view_id: str | None
    expires: float
    spent: bool = False
    opened: str = ""
    """Id of the window that the app opened with it."""


class Triggers:
    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._issued: dict[str, Trigger] = {}

    def issue(self, user: str, view_id: str | None = None) -> str:
        """Return a new id for an action of this user, in the modal `view_id` if any."""
        trigger_id = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**9)}.{secrets.token_hex(16)}"
        _forget_oldest(self._issued)
        self._issued[trigger_id] = Trigger(trigger_id, user, view_id, self._clock() + self._seconds)
        return trigger_id

    def opened(self, trigger_id: str) -> str:
        """Return the id of the window that the app opened with it; "" while there is none."""
        trigger = self._issued.get(trigger_id)
        return trigger.opened if trigger else ""

    def spend(self, trigger_id: str) -> Trigger:
        """Use it up. Raises SlackError invalid_, expired_ or exchanged_trigger_id."""
        trigger = self._issued.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.spent:
            raise SlackError("exchanged_trigger_id")
        if self._clock() >= trigger.expires:
            raise SlackError("expired_trigger_id")
        trigger.spent = True
        return trigger


@dataclass
class ResponseUrl:
    """The destination of a late answer.

    The channel and user of the interaction, and the message it was on.
    """

    channel: str
    user: str
    message_ts: str | None
    ephemeral: bool
    expires: float
    uses: int = RESPONSE_URL_USES
    answers: list[Message] = field(default_factory=list)
    """Messages for this person alone that the app sent to it, or replaced through it."""


class ResponseUrls:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._issued: dict[str, ResponseUrl] = {}

    def issue(
        self,
        channel: str,
        user: str,
        message_ts: str | None = None,
        ephemeral: bool = True,
    ) -> str:
        """The secret end of a new URL."""
        token = secrets.token_urlsafe(24)
        expires = self._clock() + RESPONSE_URL_SECONDS
        _forget_oldest(self._issued)
        self._issued[token] = ResponseUrl(channel, user, message_ts, ephemeral, expires)
        return token

    def knows(self, token: str) -> bool:
        """Return whether the URL is of this workspace."""
        return token in self._issued

    def answers(self, token: str) -> list[Message]:
        """Return the messages for this person alone that came by it."""
        url = self._issued.get(token)
        return url.answers if url else []

    def spend(self, token: str) -> ResponseUrl:
        """Use it once. Raises SlackError invalid_url, used_url or expired_url."""
        url = self._issued.get(token)
        if url is None:
            raise SlackError("invalid_url")
        if self._clock() >= url.expires:
            raise SlackError("expired_url")
        if url.uses <= 0:
            raise SlackError("used_url")
        url.uses -= 1
        return url
