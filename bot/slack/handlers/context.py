"""Services that handlers work with, and the replies and words that they share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.ids import UserId, WorkspaceId
from countersign.domain.refusals import Sentence
from countersign.usecases.ports import Message, Overview, Queue, Store

from ..people.directory import Directory
from ..views.block_kit import Block
from ..views.modal_parts import View


class Homes(Protocol):
    """The Homes of the workspace, as far as a handler needs them."""

    @property
    def overview(self) -> Overview:
        """Reads what waits and what was decided."""

    async def opened(self, user: UserId, workspace: WorkspaceId) -> None:
        """Draw the Home of somebody who looks at it, and keep it up to date."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The services. `link` gives the address of one of our messages."""

    store: Store
    queue: Queue
    directory: Directory
    client: AsyncWebClient
    admins: frozenset[UserId]
    link: Callable[[Message], str]
    homes: Homes
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in a task that nothing else holds; `drain` waits for it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self) -> None:
        """Wait until everything in hand is done; call it when no more payloads come."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)


class Reply(NamedTuple):
    """A reply: whether the act counted, and the sentence for its person.

    `text` is mrkdwn, "" for nothing; `sentence` is the same as data, where an error says it. In a window, `block` is
    the input that the sentence belongs under, `errors` are the sentences of several inputs, and `view` is what the
    window turns into; the sentence is then told only if the window is gone by that time.
    """

    text: str
    counted: bool = True
    blocks: list[Block] | None = None
    block: str = ""
    errors: dict[str, str] | None = None
    view: View | None = None
    sentence: Sentence = ()


class Word(NamedTuple):
    """A word after a command, and its line of help.

    `run` gets what was typed behind the word; `takes_text` if there must be something. `on_record`: a refusal is put on
    record before its person is told (R25).
    """

    run: Callable[[Desk, dict[str, Any], str], Awaitable[Reply]]
    help: str
    takes_text: bool = False
    on_record: bool = True
