"""Ack within Slack's 3 s, and reply to people once their action is stored.

Slack gives up on an ack after 3 s, while the store or a look-up may take longer. In that case Slack gets its ack, the
work continues, and the person gets the reply when it is ready (R7).
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
"""Acks to Slack with the reply, or with None if the reply is not ready in time."""
Work = Callable[[Services, dict[str, Any]], Awaitable[Reply]]
"""Performs the action of a payload."""
Listener = Callable[[Services, AsyncAck, dict[str, Any]], Awaitable[None]]
"""Performs the action of a payload, and acks."""


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
    """Answer a click; its ack carries no text, so the reply follows."""

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
    """Answer a submitted window: close it, or show the problem.

    A refusal is shown under the reply's input, or under `block` if the window has it; otherwise it replaces the window.
    A reply that is too late for the window goes to its channel, and so does a success. `action` names the person's
    action.
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
    """Add a payload's sender and channel to its log lines."""
    try:
        at = sender(body)
    except InvalidInput:
        return about(workspace=services.directory.workspace)
    return about(workspace=services.directory.workspace, user=at.user, channel=at.channel)


async def reply_of(work: Awaitable[Reply], action: str) -> Reply:
    """Return the work's reply, or the text of its error.

    `action` names the person's action.
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
    """Turn an error into a reply; `block` is the input that it is about."""
    return Reply(drawn(error.sentence), False, block=block, sentence=error.sentence)


@asynccontextmanager
async def on_record(record: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """Record the reason for a refusal before its person is notified (R25)."""
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
    """Do the work and ack with its reply; ack first if the work takes too long."""
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
    """Send a non-empty reply to the sender alone.

    In a thread an ephemeral message is tried first, because a response URL posts in a thread only visibly for
    everybody. Elsewhere the response URL is tried first, because it works in channels without the app. If both fail,
    the reply is a direct message. Never raises for Slack's failures.
    """
    if not reply.text:
        return
    try:
        at = sender(body)
    except InvalidInput as nobody:
        _log.error("The reply has no recipient: %s (%s)", reply.text, nobody)
        return
    container = body.get("container") or {}
    thread = container.get("thread_ts")
    if thread == container.get("message_ts"):  # a thread's first message is clicked in the channel
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
        except (*SLACK_ERRORS, ValueError) as lost:  # ValueError: an invalid address
            failures.append(repr(lost))
    _log.error("The reply to %s could not be sent: %s (%s)", at.user, reply.text, "; ".join(failures))


async def _in_plain_text(directory: Directory, work: Awaitable[Reply]) -> Reply:
    """Write a refusal with names instead of mentions.

    Slack shows only plain text under an input of a window.
    """
    reply = await work
    if reply.counted or not reply.sentence:
        return reply
    ids = mentioned_in(reply.sentence)
    names = dict(zip(ids, await asyncio.gather(*(directory.mentioned_name(name) for name in ids)), strict=True))
    return reply._replace(text=without_marks(reply.sentence, names))
