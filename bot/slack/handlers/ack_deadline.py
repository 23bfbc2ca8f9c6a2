"""Acks within Slack's 3 s, and replies to people after their act was stored.

Slack gives up on an ack after 3 s, while the store or a look-up may take longer. The work then goes on, Slack gets
its ack, and the person gets the sentence when there is one (R7).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final

from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from countersign import metrics, usecases
from countersign.domain.errors import CountersignError, InvalidInput, NotReplicated, StoreUnavailable
from countersign.domain.ids import ChannelId
from countersign.logs import about

from ...slack_proxy import proxy_for
from ..people.users_and_groups import Directory
from ..views import confirmation_text
from ..views.modal_parts import READ, InputProblem, View, channel_of, has_block, has_read, not_counted
from ..views.slack_markup import drawn, mentioned_in, without_marks
from .context import SLACK_ERRORS, AlreadyTold, Reply, Services
from .payloads import delivery, sender

ACK_WITHIN: Final = 2.4
"""Seconds; Slack waits 3 s from its own clock."""
_log = logging.getLogger(__name__)
Acknowledge = Callable[[Reply | None], Awaitable[Any]]
"""Acks to Slack with the reply; with None where there is none in time."""
Work = Callable[[Services, dict[str, Any]], Awaitable[Reply]]
"""Does what a payload asks for."""
Listener = Callable[[Services, AsyncAck, dict[str, Any]], Awaitable[None]]
"""Does so and acks."""


def command(work: Work) -> Listener:
    """Answer a command; its sender alone reads the reply, in the ack."""

    async def listener(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        async def acknowledge(reply: Reply | None) -> None:
            if reply is None or not reply.text:
                await ack()
            else:
                await ack(text=reply.text, blocks=reply.blocks, response_type="ephemeral")

        with _about_sender(services, body):
            reply = reply_of(work(services, body), "command")
            await _in_time(reply, acknowledge, lambda reply: tell(services.client, body, reply))

    return listener


def click(work: Work) -> Listener:
    """Answer a click; its ack can say nothing, so the reply follows."""

    async def listener(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        async def acknowledge(reply: Reply | None) -> None:
            await ack()
            if reply is not None:
                await tell(services.client, body, reply)

        with _about_sender(services, body):
            reply = reply_of(work(services, body), "click")
            await _in_time(reply, acknowledge, lambda reply: tell(services.client, body, reply))

    return listener


def window(
    work: Work, action: str, block: str | Callable[[View], str] = "", *, tells_what_counted: bool = True
) -> Listener:
    """Answer a window that was sent: close it, or show what is wrong.

    A refusal stands under the input of the reply, or under `block` where the window has it; else it takes the window's
    place. What comes too late for the window is told in its channel, and so is what counted. `action` names what the
    person did.
    """

    async def listener(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        view = body["view"]
        channel = channel_of(view)
        if not has_read(view):
            await ack(response_action="errors", errors={READ: confirmation_text.READ_FIRST})
            return
        below = block(view) if callable(block) else block if has_block(view, block) else ""

        async def acknowledge(reply: Reply | None) -> None:
            if reply is not None and reply.view is not None:
                await ack(response_action="update", view=reply.view)
            elif reply is not None and not reply.counted and below:
                await ack(response_action="errors", errors=reply.errors or {reply.block or below: reply.text})
            elif reply is not None and not reply.counted:
                await ack(response_action="update", view=not_counted(reply.text))
            else:
                await ack()
                if reply is not None and tells_what_counted:
                    await tell(services.client, body, reply, channel)

        with _about_sender(services, body):
            reply = reply_of(work(services, body), action)
            await _in_time(
                _in_plain_text(services.directory, reply) if below else reply,
                acknowledge,
                lambda reply: tell(services.client, body, reply, channel),
            )

    return listener


def _about_sender(services: Services, body: dict[str, Any]) -> AbstractContextManager[None]:
    """Let all that is logged of a payload name its sender and place."""
    try:
        at = sender(body)
    except InvalidInput:
        return about(workspace=services.directory.workspace)
    return about(workspace=services.directory.workspace, user=at.user, channel=at.channel)


async def reply_of(work: Awaitable[Reply], action: str) -> Reply:
    """Return the work's reply, or the sentence of its error.

    `action` names what the person did.
    """
    try:
        return await work
    except AlreadyTold:
        return Reply("", False)
    except InputProblem as problem:
        return refused(problem, problem.block)
    except NotReplicated as unsafe:
        _log.error("%s", unsafe)
        return refused(unsafe)
    except StoreUnavailable as away:
        _log.error("%s", away)
        return Reply(confirmation_text.store_away(action), False)
    except CountersignError as wrong:
        return refused(wrong)


def refused(error: CountersignError, block: str = "") -> Reply:
    """Make the reply of an error; `block` is the input that it is about."""
    return Reply(drawn(error.sentence), False, block=block, sentence=error.sentence)


@asynccontextmanager
async def on_record(record: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """Record why something was refused before its person is told (R25)."""
    try:
        yield
    except StoreUnavailable:
        raise
    except CountersignError as error:
        await record(str(error))
        raise


@asynccontextmanager
async def change_on_record(
    services: Services, body: dict[str, Any], channel: ChannelId, words: str = ""
) -> AsyncIterator[None]:
    """Record why a change of the channel's settings was refused.

    It stays one event if the use case has recorded it under the same delivery.
    """
    at = sender(body)

    async def record(why: str) -> None:
        await usecases.settings_refused(
            services.store,
            delivery(body),
            workspace=services.directory.workspace,
            channel=channel,
            user=at.user,
            words=words,
            why=why,
        )

    async with on_record(record):
        yield


async def _in_time(
    work: Coroutine[Any, Any, Reply], acknowledge: Acknowledge, tell_later: Callable[[Reply], Awaitable[None]]
) -> None:
    """Do the work and ack with its reply. If it takes too long, the ack goes first and the reply is told later."""
    early: asyncio.Task[Any] | None = None
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def acknowledge_early() -> None:
        nonlocal early
        metrics.click_acked(loop.time() - begun)
        early = asyncio.ensure_future(acknowledge(None))

    timer = loop.call_later(ACK_WITHIN, acknowledge_early)
    try:
        reply = await work
    finally:
        timer.cancel()
    if early is None:
        metrics.click_acked(loop.time() - begun)
        await acknowledge(reply)
        return
    await early
    await tell_later(reply)


async def tell(client: AsyncWebClient, body: dict[str, Any], reply: Reply, channel: ChannelId | None = None) -> None:
    """Send the reply, if it says anything, to the sender alone.

    In a thread first as an ephemeral message, because a response URL keeps to a thread only for all to see; elsewhere
    first by the response URL, which works where the app is not in the channel. Where neither reaches them it comes as a
    direct message. Never raises for what Slack does.
    """
    if not reply.text:
        return
    try:
        at = sender(body)
    except InvalidInput as nobody:
        _log.error("Nobody could be told: %s (%s)", reply.text, nobody)
        return
    container = body.get("container") or {}
    thread = container.get("thread_ts")
    if thread == container.get("message_ts"):  # of a message with replies: who clicked it is in the channel
        thread = None
    where = channel or at.channel

    async def by_url() -> bool:
        if not (url := body.get("response_url")):
            return False
        message = {"text": reply.text, "response_type": "ephemeral", "replace_original": False}
        message |= {"blocks": reply.blocks} if reply.blocks else {}
        async with asyncio.timeout(3):
            hook = AsyncWebhookClient(url, session=client.session)
            hook.proxy = proxy_for(url)
            return (await hook.send_dict(message)).status_code == 200

    async def ephemeral() -> bool:
        if where is None:
            return False
        await client.chat_postEphemeral(
            channel=where, user=at.user, text=reply.text, blocks=reply.blocks, thread_ts=thread
        )
        return True

    async def directly() -> bool:
        await client.chat_postMessage(
            channel=at.user, text=reply.text, blocks=reply.blocks, unfurl_links=False, unfurl_media=False
        )
        return True

    failures = []
    for way in (ephemeral, by_url, directly) if thread else (by_url, ephemeral, directly):
        try:
            async with asyncio.timeout(5):
                if await way():
                    return
        except (*SLACK_ERRORS, ValueError) as lost:  # the ValueError: an address that is none
            failures.append(repr(lost))
    _log.error("%s could not be told: %s (%s)", at.user, reply.text, "; ".join(failures))


async def _in_plain_text(directory: Directory, work: Awaitable[Reply]) -> Reply:
    """Write a refusal with names instead of mentions.

    It stands under an input of a window, where Slack shows plain text only.
    """
    reply = await work
    if reply.counted or not reply.sentence:
        return reply
    ids = mentioned_in(reply.sentence)
    names = dict(zip(ids, await asyncio.gather(*(directory.mentioned_name(name) for name in ids)), strict=True))
    return reply._replace(text=without_marks(reply.sentence, names))
