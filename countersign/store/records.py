"""Reads of records, each with the server's clock.

Records that two sides wrote come as one. Lists bear a record that nobody can read: it is named in the log once and left
out, and the others are there. A worker may store anything under its own keys, and a newer program formats unknown to
this one. That must not keep deadlines, a Home or the record from all others. A record that is left out still exists, so
nothing is concluded from its absence.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import redis.asyncio
import redis.exceptions

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.delegation import Absences
from countersign.domain.errors import NewerSchema, StoreFull, StoreUnavailable, UnknownSchema
from countersign.domain.ids import ApiKeyId, ChannelId, PermissionId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.passkeys import Passkeys
from countersign.domain.program_states import ProgramState
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.store.codec import LARGEST, Codec, from_ms, ms
from countersign.store.keys import Keys
from countersign.store.record_codecs import (
    ABSENCES,
    SETTINGS,
    read_api_key,
    read_message,
    read_passkeys,
    read_permission,
    read_request,
    read_run,
    read_state,
)
from countersign.store.redis.scripts import Script, ScriptPipeline
from countersign.usecases.ports import Message, Put, Seen, SeenRequest

T = TypeVar("T")
K = TypeVar("K", bound=str)
V = TypeVar("V")
N = TypeVar("N", RequestId, RunId)
REMEMBERED: Final = 1000
"""Names that are in the log; of more, the log says only that there are others."""
_LONGEST_NAME: Final = 80
_log = logging.getLogger(__name__)
_TIME = "return redis.call('TIME')"
"""A script, because it goes to the server that holds its key: on a Cluster each node has a clock of its own."""
_GET = f"""
local found, alone = {{}}, tonumber(ARGV[1])
local function get(name)
  local text = redis.pcall('GETRANGE', name, 0, {LARGEST + 64})
  if type(text) == 'table' then return '' end  -- no text, whatever else somebody put there
  return text ~= '' and text or false
end
for place = 1, alone do found[place] = get(ARGV[place + 1]) end
for place = alone + 2, #ARGV, 2 do found[#found + 1] = redis.call('HGET', ARGV[place], ARGV[place + 1]) end
return {{found, redis.call('TIME')}}
"""
"""Values and the clock at that moment; one command, because redis-py does not repeat pipelines after a restart.

ARGV: how many keys, these, and for each message its hash and its field, each a word of its own. Of what is larger than
a record may be, only so much is read as shows that. Messages are web's own.

What a script only reads is no key of it but an argument: for a key the server wants the right to write. The key that
it has says only where it goes, which all keys of a namespace share.
"""


class reaching:
    """Turn redis-py's errors into StoreUnavailable, and let no cancellation get lost.

    redis-py 8.1 on Python 3.11 swallows a cancellation that arrives together with a reply; the task would go on for
    ever while somebody waits for its end.
    """

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelled = self._task.cancelling() if self._task else 0

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: object) -> None:
        if isinstance(wrong, redis.exceptions.RedisError | redis.exceptions.RedisClusterException | OSError):
            if full := _out_of(wrong):
                raise StoreFull(f"The store (Redis) takes nothing more: {full} Nothing was changed.") from wrong
            if why := refusal(wrong):
                away = StoreUnavailable(f"The store (Redis) refuses this process: {why} Nothing was changed.")
                away.reason = why
            else:
                away = StoreUnavailable(f"The store (Redis) does not answer: {wrong}. Nothing was changed.")
                away.reason = _without_address(wrong)
            raise away from wrong
        if wrong is None and self._task is not None and self._task.cancelling() > self._cancelled:
            raise asyncio.CancelledError


def refusal(wrong: BaseException) -> str:
    """Return why Redis refuses the credentials, and what to do.

    "" if it doesn't. redis-py wraps the reason where it asks several nodes.
    """
    cause: BaseException | None = wrong
    while cause is not None:
        words = str(cause)
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return "the user in REDIS_URL may not do this. `countersign acl` prints the users that it needs."
        if isinstance(cause, redis.exceptions.AuthenticationError):
            if "without any password" in words:
                return "REDIS_URL has a password, and Redis has none. Set one there, or leave it out."
            if "required" in words or "already authenticated" in words:  # the answers to a command, and to HELLO
                return "it wants a password, and REDIS_URL has none. Write it as redis://:password@host:6379/0."
            return (
                "the password or the user in REDIS_URL is wrong. In a password write / as %2F, # as %23, ? as %3F, "
                "@ as %40 and % as %25."
            )
        cause = cause.__cause__ or cause.__context__
    return ""


def _without_address(wrong: BaseException) -> str:
    """Return why a connection failed, as the system says it; "" if it does not."""
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return f"{os.strerror(cause.errno)}."
        cause = cause.__cause__ or cause.__context__
    return ""


def _out_of(wrong: Exception) -> str:
    """Describe what a Redis that answers lacks, and what to do; "" if nothing."""
    if isinstance(wrong, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in str(wrong):
        return "it has reached its `maxmemory`. Give it more memory."
    return "it cannot write to its disk. Free some space there." if str(wrong).startswith("MISCONF") else ""


class Tolerant:
    """Reader of lists that may hold unreadable records."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def each(self, kind: str, reads: Mapping[K, Callable[[], V]]) -> dict[K, V]:
        """Collect the results of reads by name, without those that raise UnknownSchema.

        `kind` is for the log.
        """
        results = {}
        for name, read in reads.items():
            try:
                results[name] = read()
            except UnknownSchema as wrong:
                self.name(f"{kind} {name}", wrong)
        return results

    def name(self, record: str, wrong: UnknownSchema) -> None:
        """Log once that the record cannot be read."""
        record = ascii(record)[1:-1][:_LONGEST_NAME]
        if record in self._named or len(self._named) > REMEMBERED:
            return
        self._named.add(record)
        if len(self._named) > REMEMBERED:
            _log.error("More than %d records cannot be read; the others are left out without being named.", REMEMBERED)
        else:
            _log.error("%s is left out wherever it would be listed: %s", record, wrong)


class Records:
    """Records of one namespace. The parts of a store share one."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self.client: Any = client  # redis-py's types do not know that replies are bytes here
        self.keys = keys
        self.pipeline = ScriptPipeline(client)
        self.tolerant = Tolerant()
        self._get = Script(client, _GET)
        self._clock = Script(client, _TIME)

    async def now(self) -> datetime:
        async with reaching():
            return _time(await self._clock(keys=[self.keys.pending]))

    async def check_writable(self) -> datetime:
        """Check that Redis takes writes, and return its clock.

        StoreUnavailable says why it does not.
        """
        async with reaching():
            await self.client.set(self.keys.confirmed, "1", px=60_000)
        return await self.now()

    async def request(self, request: RequestId) -> SeenRequest | None:
        name = f"card/{request}"
        (raw, drawn), now = await self.values(self.keys.request(request), messages=[name])
        if raw is None:
            return None
        card = None if drawn is None else Put(*read_message(name, drawn))
        return SeenRequest(*read_request(request, raw), now, card)

    async def intact(self, request: RequestId) -> SeenRequest | None:
        """Read a request; None also if it is damaged, which is logged.

        NewerSchema if a newer version wrote it: it is left for that one.
        """
        try:
            return await self.request(request)
        except NewerSchema:
            raise
        except UnknownSchema as damaged:
            self.tolerant.name(f"Request {request}", damaged)
            return None

    async def run(self, run: RunId) -> Seen[Run] | None:
        (raw,), now = await self.values(self.keys.run(run))
        return Seen(*read_run(run, raw), now) if raw is not None else None

    async def program_state(self, request: RequestId) -> Seen[ProgramState] | None:
        (raw,), now = await self.values(self.keys.program_state(request))
        return Seen(*read_state(request, raw), now) if raw is not None else None

    async def api_key(self, key: ApiKeyId) -> Seen[ApiKey] | None:
        (raw,), now = await self.values(self.keys.api_key(key))
        return Seen(*read_api_key(key, raw), now) if raw is not None else None

    async def passkeys(self, user: UserId) -> Seen[Passkeys] | None:
        (raw,), now = await self.values(self.keys.passkeys(user))
        return Seen(*read_passkeys(user, raw), now) if raw is not None else None

    async def passkey_holders(self) -> list[UserId]:
        """List everybody who has, or had, a passkey or a code to enrol one."""
        async with reaching():
            return sorted(UserId.among(await self.client.smembers(self.keys.passkey_holders)))

    async def message(self, name: str) -> Seen[Message] | None:
        (raw,), now = await self.values(messages=[name])
        if raw is None:
            return None
        return Seen(*read_message(name, raw), now)

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Read those of the messages that are known, by name."""
        if not names:
            return {}
        stored, _ = await self.values(messages=names)
        return {name: read_message(name, raw)[0] for name, raw in zip(names, stored, strict=True) if raw}

    async def settings(self, channel: ChannelId) -> Seen[ChannelSettings]:
        return await self._record(self.keys.settings(channel), SETTINGS, ChannelSettings())

    async def absences(self) -> Seen[Absences]:
        """Read who is away, and who stands in for them."""
        return await self._record(self.keys.absences, ABSENCES, Absences())

    async def message_request(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RequestId | None:
        """Find the request whose card or note has this timestamp in this channel (R2)."""
        async with reaching():
            member = await self.client.hget(self.keys.ts(workspace, channel, ts), ts)
        return RequestId.named(member) if member else None

    async def message_run(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RunId | None:
        """Find the run whose head has this timestamp in this channel."""
        async with reaching():
            member = await self.client.hget(self.keys.ts(workspace, channel, ts), ts)
        return RunId.named(member) if member else None

    async def permission(self, permission: PermissionId) -> Seen[Permission] | None:
        (raw,), now = await self.values(self.keys.permission(permission))
        return Seen(*read_permission(permission, raw), now) if raw is not None else None

    async def permissions(self) -> list[Seen[Permission]]:
        """Read all permissions that are in force, the first to end first."""
        now = await self.now()
        async with reaching():
            members = await self.client.zrange(self.keys.permissions, f"({ms(now)}", "+inf", byscore=True)
            names = [PermissionId(name.decode()) for name in members]
            raw = await self.client.mget([self.keys.permission(name) for name in names]) if names else []
        return [Seen(*read_permission(*pair), now) for pair in zip(names, raw, strict=True) if pair[1]]

    async def requests(self, ids: list[RequestId]) -> list[Request | None]:
        """Read many requests at once; None for those that do not exist.

        UnknownSchema if one of them cannot be read.
        """
        stored = await self._stored(ids, self.keys.request)
        return [None if raw is None else read_request(name, raw)[0] for name, raw in stored.items()]

    async def readable(self, ids: Sequence[RequestId]) -> dict[RequestId, Request | None]:
        """Read the readable ones of these requests; None for those that do not exist."""
        stored = await self._stored(ids, self.keys.request)
        reads = {name: partial(_maybe, read_request, name, raw) for name, raw in stored.items()}
        return self.tolerant.each("Request", reads)

    async def readable_runs(self, ids: Sequence[RunId]) -> dict[RunId, Run | None]:
        """Read the readable ones of these runs; None for those that do not exist."""
        stored = await self._stored(ids, self.keys.run)
        reads = {name: partial(_maybe, read_run, name, raw) for name, raw in stored.items()}
        return self.tolerant.each("Run", reads)

    async def _stored(self, names: Sequence[N], key: Callable[[N], str]) -> dict[N, bytes | None]:
        if not names:
            return {}
        values, _ = await self.values(*(key(name) for name in names))
        return dict(zip(names, values, strict=True))

    async def _record(self, key: str, codec: Codec[T], default: T) -> Seen[T]:
        (raw,), now = await self.values(key)
        return Seen(*(codec.read(raw) if raw is not None else (default, 0)), now)

    async def values(self, *keys: str, messages: Sequence[str] = ()) -> tuple[list[bytes | None], datetime]:
        """Read raw values of these keys, then of these messages, and the clock."""
        places = [part for name in messages for part in self.keys.message(name)]
        async with reaching():
            values, time = await self.pipeline.call(self._get, [self.keys.pending], [len(keys), *keys, *places])
        return values, _time(time)


def _maybe(read: Callable[[N, bytes], tuple[V, int]], name: N, raw: bytes | None) -> V | None:
    return None if raw is None else read(name, raw)[0]


def _time(answer: Sequence[int | bytes]) -> datetime:
    return from_ms(int(answer[0]) * 1000 + int(answer[1]) // 1000)


def stream_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Unpack the reply to a read of one stream: a list in RESP2, a mapping in RESP3."""
    if isinstance(answer, dict):
        return [entry for batches in answer.values() for batch in batches for entry in batch]
    return [entry for _, batch in answer or () for entry in batch]
