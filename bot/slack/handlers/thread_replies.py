"""Handle thread replies to a team that talks with its requester.

A reply only answers a question of a conversation. It never approves anything, whatever its text or author (R12). All
other messages are dropped, most of them by `app.App`, before any part of them is stored or logged.
"""

import logging
import re
from typing import Any, Final, NamedTuple

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.decision_attempts import Attempt
from countersign.domain.eligibility import waits_for_words
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import AttemptId, ChannelId, UserId, short_name
from countersign.domain.requests import Verb
from countersign.usecases.ports import SeenRequest

from ..people.actors import actor_of
from ..views import confirmation_text
from .ack_deadline import reply_of
from .context import SLACK_ERRORS, Reply, Services
from .mention_parsing import typed

_TS: Final = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")
_log = logging.getLogger(__name__)


class _Message(NamedTuple):
    """Message in a thread; `ts` is Slack's time, and `words` the text as sent."""

    user: UserId
    channel: ChannelId
    thread: str
    ts: str
    words: str


async def on_message(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Answer a conversation with its requester's reply, once for each message (R8)."""
    message = _message_in(services, body["event"])
    if message is not None:
        reply = await reply_of(_answer(services, message), "reply")
        if reply.text:
            await _tell(services, message, reply.text)
    await ack()


def _message_in(services: Services, event: dict[str, Any]) -> _Message | None:
    """Read a person's reply in a thread; None if its fields are not Slack's.

    `app.App` lets only replies through.
    """
    user, channel = UserId.named(event.get("user") or ""), ChannelId.named(event.get("channel") or "")
    thread, ts = str(event.get("thread_ts")), str(event.get("ts"))
    if user is None or channel is None or not _TS.fullmatch(thread) or not _TS.fullmatch(ts):
        return None
    if user == services.bot_user:
        return None
    return _Message(user, channel, thread, ts, str(event.get("text") or ""))


async def _answer(services: Services, message: _Message) -> Reply:
    waiting = await _waiting(services, message)
    if not waiting:
        return Reply("")
    if len(waiting) > 1:
        raise InvalidInput(confirmation_text.SEVERAL_QUESTIONS)
    (seen,) = waiting
    actor = await actor_of(services.store, services.directory, message.user, seen.value.rules.reviewers)
    name = AttemptId("m" + short_name(message.channel, message.ts, message.user, length=20))
    words = await typed(services.directory, message.words)
    attempt = Attempt(name, actor, Verb.RESPOND, seen.value.digest, words)
    await usecases.decide(services.store, services.queue, seen.value.id, attempt, seen)
    return Reply("")


async def _waiting(services: Services, message: _Message) -> list[SeenRequest]:
    """Find the questions to this person that were in the thread before the reply."""
    name = await services.store.message_run(services.directory.workspace, message.channel, message.thread)
    run = await services.store.run(name) if name is not None else None
    if run is None or run.value.requester != message.user:
        return []
    requests = [await services.store.request(request) for request in run.value.open.values()]
    return [
        seen
        for seen in requests
        if seen is not None and waits_for_words(seen.value, message.user) and _stood_before(seen, message)
    ]


def _stood_before(seen: SeenRequest, message: _Message) -> bool:
    """Tell whether the question was posted before this reply."""
    posted = seen.card.value.ts if seen.card is not None else ""
    return bool(posted) and float(posted) < float(message.ts)


async def _tell(services: Services, message: _Message, text: str) -> None:
    try:
        await services.client.chat_postEphemeral(
            channel=message.channel, user=message.user, text=text, thread_ts=message.thread
        )
    except SLACK_ERRORS as lost:
        _log.warning("The notice to %s that their reply was not counted could not be sent: %r", message.user, lost)
