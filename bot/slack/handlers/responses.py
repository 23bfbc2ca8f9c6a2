"""How a person is answered: within Slack's 3 s, always, and after what they did was stored.

Slack gives up on an answer after 3 s, while the store or a look-up may take longer. The work then goes on, Slack gets
its ack, and the person gets the sentence when there is one (R7).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from countersign.domain.errors import CountersignError, InvalidInput, NotReplicated, StoreUnavailable
from countersign.domain.ids import AttemptId, ChannelId, GroupId, UserId, WorkspaceId, short_name
from countersign.domain.refusals import Sentence
from countersign.usecases.ports import Message, Queue, Store

from ..people.directory import Directory
from ..projector.home_publisher import Homes
from ..views.block_kit import Block
from ..views.settings_modal import Problem
from ..views.slack_markup import drawn, mentioned_in, without_marks

ACK_WITHIN: Final = 2.4
"""Seconds; Slack waits 3 s from its own clock."""
STORE_AWAY: Final = (
    "The store cannot be reached just now, so your {what} was not counted. Nothing that was stored before is lost; "
    "please try again in a moment."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the listeners work with. `link` gives the address of one of our messages."""

    store: Store
    queue: Queue
    directory: Directory
    client: AsyncWebClient
    admins: frozenset[UserId]
    link: Callable[[Message], str]
    homes: Homes
    errands: set[asyncio.Task[Any]] = field(default_factory=set)

    def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in a task that nothing else holds; `drain` waits for it."""
        errand = asyncio.create_task(work)
        self.errands.add(errand)
        errand.add_done_callback(self.errands.discard)

    async def drain(self) -> None:
        """Waits until everything in hand is done; call it when no more payloads come."""
        while self.errands:
            await asyncio.gather(*self.errands, return_exceptions=True)


class Who(NamedTuple):
    """Who did something and where; `channel` is None inside a modal."""

    workspace: WorkspaceId
    user: UserId
    channel: ChannelId | None

    @property
    def here(self) -> ChannelId:
        """The channel of a command, which has one."""
        if self.channel is None:
            raise InvalidInput("Slack did not say in which channel this was typed, so nothing was done.")
        return self.channel


class Said(NamedTuple):
    """What the person is told ("" for nothing), whether what they did counted, and the input it is about.

    `text` is mrkdwn; `sentence` is the same as data, where an error says it.
    """

    text: str
    counted: bool = True
    block: str = ""
    blocks: list[Block] | None = None
    sentence: Sentence = ()


def who(body: dict[str, Any]) -> Who:
    """Of a command, a click or a submission. The workspace is the person's own, not the channel's (R9). InvalidInput if
    Slack names nobody."""
    user = body.get("user") or {}
    channel = (body.get("channel") or {}).get("id") or body.get("channel_id")
    person = UserId(user.get("id") or body.get("user_id") or "")
    return Who(workspace_of(body), person, ChannelId(channel) if channel else None)


def workspace_of(body: dict[str, Any]) -> WorkspaceId:
    """The workspace of whoever did it."""
    own = (body.get("user") or {}).get("team_id") or (body.get("team") or {}).get("id")
    return WorkspaceId(own or body.get("team_id") or "")


def delivered(body: dict[str, Any]) -> AttemptId:
    """The same for each delivery of one command or submission (R8)."""
    return AttemptId("s" + short_name(str(body["trigger_id"]), who(body).user, length=20))


async def said(work: Awaitable[Said], what: str) -> Said:
    """The work's answer, or the sentence of its error. `what` names what the person did."""
    try:
        return await work
    except Problem as problem:
        return refused(problem, problem.block)
    except NotReplicated as unsafe:
        _log.error("%s", unsafe)
        return refused(unsafe)
    except StoreUnavailable as away:
        _log.error("%s", away)
        return Said(STORE_AWAY.format(what=what), False)
    except CountersignError as wrong:
        return refused(wrong)


def refused(error: CountersignError, block: str = "") -> Said:
    """Say why nothing was done; `block` is the input that it is about."""
    return Said(drawn(error.sentence), False, block, sentence=error.sentence)


async def in_time(
    work: Coroutine[Any, Any, Said],
    ack: Callable[[Said | None], Awaitable[Any]],
    tell: Callable[[Said], Awaitable[None]],
) -> None:
    """Do the work, ack with what it said; if it takes too long, ack with None first and tell later."""
    early: asyncio.Task[Any] | None = None

    def late() -> None:
        nonlocal early
        early = asyncio.ensure_future(ack(None))

    timer = asyncio.get_running_loop().call_later(ACK_WITHIN, late)
    try:
        result = await work
    finally:
        timer.cancel()
    if early is None:
        await ack(result)
        return
    await early
    await tell(result)


async def answer_command(desk: Desk, ack: AsyncAck, body: dict[str, Any], work: Awaitable[Said]) -> None:
    """A command: the ack itself says it, so that only its person reads it."""

    async def answer(result: Said | None) -> None:
        if result is None or not result.text:
            await ack()
        else:
            await ack(text=result.text, blocks=result.blocks, response_type="ephemeral")

    await in_time(said(work, "command"), answer, lambda result: tell(desk.client, body, result))


async def answer_click(desk: Desk, ack: AsyncAck, body: dict[str, Any], work: Awaitable[Said]) -> None:
    """A button: it is told behind the ack, which can say nothing."""

    async def answer(result: Said | None) -> None:
        await ack()
        if result is not None:
            await tell(desk.client, body, result)

    await in_time(said(work, "click"), answer, lambda result: tell(desk.client, body, result))


async def answer_window(
    desk: Desk, ack: AsyncAck, body: dict[str, Any], work: Awaitable[Said], block: str, channel: ChannelId
) -> None:
    """A window that was sent: it closes, or stays with what did not count under the input `block`.

    What comes too late for the window is told in the channel.
    """

    async def answer(result: Said | None) -> None:
        if result is None or result.counted:
            await ack()
        else:
            await ack(response_action="errors", errors={block: result.text})

    told = in_plain_text(desk.directory, work)
    await in_time(told, answer, lambda result: tell(desk.client, body, result, channel))


async def tell(client: AsyncWebClient, body: dict[str, Any], answer: Said, channel: ChannelId | None = None) -> None:
    """An ephemeral message to who did it; nothing if there is nothing to say. Never raises for what Slack does."""
    if not answer.text:
        return
    try:
        at = who(body)
    except InvalidInput as nobody:
        _log.error("Nobody could be told: %s (%s)", answer.text, nobody)
        return
    try:
        async with asyncio.timeout(10):
            container = body.get("container") or {}
            thread = container.get("thread_ts")
            if thread == container.get("message_ts"):  # of a message with replies: who clicked it is in the channel
                thread = None
            if url := body.get("response_url"):
                hook = AsyncWebhookClient(url, timeout=5)
                told = {"text": answer.text, "response_type": "ephemeral", "replace_original": False}
                told |= {"blocks": answer.blocks} if answer.blocks else {}
                # Slack puts what answers a click in a thread into the channel, unless it is told the thread.
                sent = await hook.send_dict(told | ({"thread_ts": thread} if thread else {}))
                if sent.status_code == 200:
                    return
            await client.chat_postEphemeral(
                channel=channel or at.channel or "",
                user=at.user,
                text=answer.text,
                blocks=answer.blocks,
                thread_ts=thread,
            )
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as lost:
        _log.error("%s could not be told: %s (%s)", at.user, answer.text, lost)


async def in_plain_text(directory: Directory, work: Awaitable[Said]) -> Said:
    """Say a refusal under an input of a modal, where Slack shows plain text only: with names instead of mentions."""
    answer = await work
    if answer.counted or not answer.sentence:
        return answer
    ids = mentioned_in(answer.sentence)
    names = dict(zip(ids, await asyncio.gather(*(_name(directory, name) for name in ids)), strict=True))
    return answer._replace(text=without_marks(answer.sentence, names))


async def _name(directory: Directory, name: str) -> str:
    if (user := UserId.named(name)) is not None:
        return await directory.name(user)
    if (channel := ChannelId.named(name)) is not None:
        return await directory.room_name(channel)
    return await directory.group_name(GroupId(name))
