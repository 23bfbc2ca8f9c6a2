"""Services that handlers work with, and the replies and words that they share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.attempt_refusals import Sentence
from countersign.domain.errors import CountersignError
from countersign.domain.ids import RequestId, UserId
from countersign.usecases.overview import Overview
from countersign.usecases.ports import Message, Put, Queue, SeenRequest, Store

from ..people.users_and_groups import Directory
from ..views.block_kit import Block, Drawing
from ..views.spoken_text import spoken

_REPLY: Final = 1000
"""Characters of the text of a reply with blocks: both go into one frame of Socket Mode."""
SLACK_ERRORS: Final = (SlackApiError, aiohttp.ClientError, TimeoutError, OSError)
"""Slack refuses a call, or does not answer it."""


class Homes(Protocol):
    """Homes of the workspace, as far as a handler needs them."""

    @property
    def overview(self) -> Overview:
        """Return the reader of waiting and decided requests."""

    async def waiting_for(self, user: UserId) -> list[Block]:
        """Draw what waits for somebody, without buttons."""

    async def opened(self, user: UserId) -> None:
        """Draw the Home of somebody who looks at it, and keep it up to date."""


class Cards(Protocol):
    """The cards that people clicked, which are replaced where they clicked."""

    def clicked(self, request: RequestId, body: dict[str, Any]) -> None:
        """Remember the payload of a click on this request's card."""

    def carrying(self, view: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Have a window carry the message that it was opened from."""

    async def held(self, seen: SeenRequest, counts: bool) -> tuple[Put[Message], ...]:
        """Return the clicked message as it is stored with an attempt.

        The attempt `counts`, or is refused.
        """

    def replacing(self, request: RequestId) -> Coroutine[Any, Any, None] | None:
        """Return what replaces the card after an attempt; None if nobody clicked it here."""


@dataclass(frozen=True, slots=True)
class Services:
    """Services of all handlers.

    `link` gives the address of one of our messages; `bot_user` is the app. `pages` is the address of the pages on which
    people prove who they are, "" without pages.
    """

    store: Store
    queue: Queue
    directory: Directory
    client: AsyncWebClient
    admins: frozenset[UserId]
    link: Callable[[Message], str]
    homes: Homes
    cards: Cards
    bot_user: UserId
    pages: str = ""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in a task that `drain` waits for."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self) -> None:
        """Wait until all work in hand is done; call it when no more payloads come."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)


class Reply(NamedTuple):
    """A reply: did the act count, and the sentence for its person.

    `text` is mrkdwn, "" for nothing; `sentence` is the same as data, where an error says it. In a window, `block` is
    the input that the sentence belongs under, `errors` are the sentences of several inputs, and `view` is what the
    window turns into; the sentence is then told only if the window is gone by that time.
    """

    text: str
    counted: bool = True
    blocks: list[Block] | None = None
    block: str = ""
    errors: dict[str, str] | None = None
    view: Block | None = None
    sentence: Sentence = ()

    @classmethod
    def of(cls, drawing: Drawing) -> "Reply":
        """Reply with a list, or with the sentence that there is none."""
        return cls(spoken(drawing, _REPLY), blocks=drawing.blocks or None)


class AlreadyTold(CountersignError):
    """An error whose sentence its person reads already.

    Whoever records refusals still records it (R25).
    """


class Subcommand(NamedTuple):
    """A word after a command, and what the help says of it, after an example.

    `run` gets what was typed behind the word; `empty`, if there must be something, says so, and the value now. A word
    that stands `alone` is refused with anything behind it. `on_record`: a refusal is put on record before its person is
    told (R25).
    """

    run: Callable[[Services, dict[str, Any], str], Awaitable[Reply]]
    help: str
    empty: Callable[[Services, dict[str, Any]], Awaitable[tuple[str, str]]] | None = None
    on_record: bool = True
    alone: bool = False
    example: str = ""
