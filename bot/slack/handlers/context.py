"""Services that handlers use, and the replies and subcommands that they share."""

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
"""Characters of a reply's text beside blocks: both go into one frame of Socket Mode."""
SLACK_ERRORS: Final = (SlackApiError, aiohttp.ClientError, TimeoutError, OSError)
"""Raised when Slack refuses a call or does not answer it."""


class Homes(Protocol):
    """The part of the workspace's Homes that handlers need."""

    @property
    def overview(self) -> Overview:
        """Return the reader of waiting and decided requests."""

    async def waiting_for(self, user: UserId) -> list[Block]:
        """Draw the requests that wait for a person, without buttons."""

    async def opened(self, user: UserId) -> None:
        """Draw the Home that a person opened, and keep it up to date."""


class Cards(Protocol):
    """Clicked cards, which are replaced through their clicks."""

    def clicked(self, request: RequestId, body: dict[str, Any]) -> None:
        """Remember the payload of a click on this request's card."""

    def carrying(self, view: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Add the message from which a window was opened to the window's metadata."""

    async def held(self, seen: SeenRequest, counts: bool) -> tuple[Put[Message], ...]:
        """Return the clicked message to be stored with an attempt.

        `counts` is False for a refused attempt.
        """

    def replacing(self, request: RequestId) -> Coroutine[Any, Any, None] | None:
        """Return the coroutine that replaces the card; None if it was not clicked here."""


@dataclass(frozen=True, slots=True)
class Services:
    """Services of all handlers.

    `link` returns the address of one of our messages; `bot_user` is the app. `pages` is the address of the pages on
    which people prove who they are, "" without pages.
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
        """Wait until all running work is done; call it after the last payload."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)


class Reply(NamedTuple):
    """Reply to a person: whether the action counted, and the text.

    `text` is mrkdwn, "" for no text; `sentence` is an error's text as data. In a window, `block` is the input under
    which the text is shown, `errors` are the texts for several inputs, and `view` replaces the window; the text is then
    sent only if the window was closed in the meantime.
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
        """Reply with a list, or with the text for an empty list."""
        return cls(spoken(drawing, _REPLY), blocks=drawing.blocks or None)


class AlreadyTold(CountersignError):
    """Error that its person has already been shown.

    It is still recorded as a refusal (R25).
    """


class Subcommand(NamedTuple):
    """Subcommand of a command, with an example and its line in the help.

    `run` gets the arguments. `empty`, for a subcommand that needs arguments, explains them and shows the current value.
    A subcommand that stands `alone` is refused with arguments. `on_record`: a refusal is recorded before its person is
    notified (R25).
    """

    run: Callable[[Services, dict[str, Any], str], Awaitable[Reply]]
    help: str
    empty: Callable[[Services, dict[str, Any]], Awaitable[tuple[str, str]]] | None = None
    on_record: bool = True
    alone: bool = False
    example: str = ""
