"""Use Slack's features for agents: thread sessions and streams.

Not every workspace has them. After Slack refuses a method, the method is not called for an hour, and people see the
ordinary messages instead. Nothing of this is stored: a process that takes over sets the status again, and ends another
process's stream before it updates that message.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from countersign.domain.ids import ChannelId, RunId
from countersign.domain.runs import Run, Status
from countersign.usecases.ports import Change, Committed, Message, Put, Store

from ...slack_errors import LATER
from ..ports import Calls, CannotPost, Importance

SESSION: Final = "agents.sessions.setStatus"
START: Final = "chat.startStream"
APPEND: Final = "chat.appendStream"
STOP: Final = "chat.stopStream"
REFUSED_FOR: Final = 3600.0
STREAMED_FOR: Final = 240.0
"""Seconds; Slack ends a stream after about five minutes, and shows it as failed."""
SESSION_FOR: Final = 3000.0
"""Seconds; Slack ends the status `processing` after an hour."""
STREAM_BYTES: Final = 9000
"""Total size of a stream's chunks. From about 10,600 bytes Slack answers `msg_too_long`, even to the call that stops
it."""
_OF_ONE_THREAD: Final = LATER | frozenset(
    {"channel_not_found", "is_archived", "message_not_found", "not_authorized", "not_in_channel", "thread_not_found"}
    | {"msg_blocks_too_long", "msg_too_long", "user_not_found", "message_not_in_streaming_state", "stopped_by_user"}
)
"""Refusals that concern one thread only."""
_STATUSES: Final = {Status.QUEUED: "processing", Status.RUNNING: "processing"} | dict.fromkeys(
    (Status.WAITING, Status.PARKED), "suspended"
)
_log = logging.getLogger(__name__)
Chunk = dict[str, str]
"""Part of a stream in Slack's format; tasks have an id."""


@dataclass(slots=True)
class _Stream:
    channel: str
    ts: str
    since: float
    sent: dict[str, Chunk]
    size: int


class AgentFeatures:
    """Sessions and streams of one workspace, and the methods that it refused."""

    def __init__(self, calls: Calls, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._store = store
        self._refused: dict[str, float] = {}
        self._statuses: dict[RunId, tuple[str, float]] = {}
        self._streams: dict[RunId, _Stream] = {}

    async def session(self, run: Run, root: Message, title: str) -> None:
        """Show in the thread that agents work, wait for people, or are done."""
        status = _STATUSES.get(run.status, "closed")
        shown, since = self._statuses.get(run.id, ("", 0.0))
        if shown == status and not self._has_reverted(shown, since):
            return
        where = {"channel_id": root.channel, "thread_ts": root.ts, "status": status}
        if await self._tried(SESSION, {**where, "title": title}) is None:
            self._statuses.pop(run.id, None)  # otherwise `overdue` would keep returning it
            return
        self._statuses[run.id] = status, self._clock()
        if run.over:
            del self._statuses[run.id]

    async def stream(self, run: Run, chunks: Sequence[Chunk], name: str, root: Message) -> bool:
        """Stream the steps of a running run; False if they need an ordinary message."""
        stream, working = self._streams.get(run.id), run.status is Status.RUNNING
        if stream is None:
            known = await self._store.message(name)
            return working and known is None and await self._begun(run, chunks, name, root)
        if working and self._clock() - stream.since < STREAMED_FOR:
            if not (new := _new_chunks(chunks, stream.sent)):
                return True
            stream.size += _size(new)
            content = {"channel": stream.channel, "ts": stream.ts, "chunks": new}
            if stream.size <= STREAM_BYTES and await self._tried(APPEND, content) is not None:
                return True
        del self._streams[run.id]
        await self.end(stream.channel, stream.ts, _STATUSES.get(run.status, "closed"))
        return False

    def streams(self, run: RunId) -> bool:
        """Tell whether the steps of this run are being streamed."""
        return run in self._streams

    async def end(self, channel: str, ts: str, status: str = "active") -> None:
        """End a stream, so that its message can be updated."""
        await self._tried(STOP, {"channel": channel, "ts": ts, "session_status": status})

    def overdue(self) -> list[RunId]:
        """Return the runs whose streams or sessions Slack would end soon."""
        streams = [run for run, one in self._streams.items() if self._clock() - one.since >= STREAMED_FOR]
        return streams + [run for run, one in self._statuses.items() if self._has_reverted(*one)]

    async def _begun(self, run: Run, chunks: Sequence[Chunk], name: str, root: Message) -> bool:
        sent: dict[str, Chunk] = {}
        who = {"recipient_user_id": run.requester, "recipient_team_id": run.workspace}
        content = {"channel": root.channel, "thread_ts": root.ts, "task_display_mode": "plan", **who}
        new = _new_chunks(chunks, sent)
        if (size := _size(new)) > STREAM_BYTES:
            return False
        answer = await self._tried(START, {**content, "chunks": new})
        if answer is None:
            return False
        message = Message(run.workspace, ChannelId(answer["channel"]), name, answer["ts"], root.ts)
        if await self._store.commit(Change(messages=(Put(message, 0),))) is not Committed.DONE:
            await self.end(answer["channel"], answer["ts"])
            return False
        self._streams[run.id] = _Stream(answer["channel"], answer["ts"], self._clock(), sent, size)
        return True

    async def _tried(self, method: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Call the method; None if Slack refuses it or the call would have to wait."""
        channel = str(content.get("channel"))
        if self._clock() < self._refused.get(method, 0.0):
            return None
        if method != STOP and not self._calls.is_open(method, channel, Importance.REST):
            return None
        try:
            return await self._calls.call(method, content, Importance.REST)
        except CannotPost as refused:
            if str(refused) not in _OF_ONE_THREAD:
                self._refused[method] = self._clock() + REFUSED_FOR
                _log.info("Slack has no %s here (%s); ordinary messages are shown instead.", method, refused)
            return None

    def _has_reverted(self, status: str, since: float) -> bool:
        """Tell whether Slack is about to end a status set at `since`."""
        return status == "processing" and self._clock() - since >= SESSION_FOR


def _size(chunks: Sequence[Chunk]) -> int:
    return len(json.dumps(chunks, ensure_ascii=False).encode())


def _new_chunks(chunks: Sequence[Chunk], sent: dict[str, Chunk]) -> list[Chunk]:
    """Return the chunks that Slack does not show yet, and add them to `sent`."""
    new = [chunk for chunk in chunks if sent.get(chunk.get("id", "")) != chunk]
    sent.update({chunk.get("id", ""): chunk for chunk in new})
    return new
