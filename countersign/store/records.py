"""Reads of records, each with the server's clock.

Lists omit an unreadable record, which is damaged or from a newer program, and the log names it once. The record still
exists, so its absence from a list proves nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import redis.asyncio

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.delegation import Absences
from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.ids import ApiKeyId, ChannelId, PermissionId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.passkeys import Passkeys
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.store.codec import Codec, from_ms, ms
from countersign.store.keys import Keys
from countersign.store.record_codecs import (
    ABSENCES,
    API_KEYS,
    PASSKEYS,
    PERMISSIONS,
    REQUESTS,
    RUNS,
    SETTINGS,
    read_message,
)
from countersign.store.redis.scripts import Script, ScriptPipeline
from countersign.usecases.ports import Message, Put, Seen, SeenRequest

T = TypeVar("T")
K = TypeVar("K", bound=str)
V = TypeVar("V")
N = TypeVar("N", RequestId, RunId)
_log = logging.getLogger(__name__)
_TIME = "return redis.call('TIME')"
"""A script, because it runs on the server that holds its key: on a Cluster each node has its own clock."""
_GET = """
local found, alone = {}, #KEYS - #ARGV
for place = 2, alone do found[#found + 1] = redis.call('GET', KEYS[place]) end
for place, field in ipairs(ARGV) do found[#found + 1] = redis.call('HGET', KEYS[alone + place], field) end
return {found, redis.call('TIME')}
"""
"""Values and the clock at that moment; one command, because redis-py does not repeat pipelines after a restart.

KEYS: a key that routes the script, keys to read, and the hash of each message; ARGV: the field of each message.
"""


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
        if record not in self._named:
            self._named.add(record)
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
        return _time(await self._clock(keys=[self.keys.pending]))

    async def check_writable(self) -> datetime:
        """Check that Redis accepts writes, and return its clock.

        StoreUnavailable, with the reason, if it does not.
        """
        await self.client.set(self.keys.confirmed, "1", px=60_000)
        return await self.now()

    async def request(self, request: RequestId) -> SeenRequest | None:
        name = f"card/{request}"
        (raw, drawn), now = await self.values(self.keys.request(request), messages=[name])
        if raw is None:
            return None
        card = None if drawn is None else Put(*read_message(name, drawn))
        return SeenRequest(*REQUESTS.read(raw), now, card)

    async def intact(self, request: RequestId) -> SeenRequest | None:
        """Read a request; None also if it is damaged, which is logged.

        NewerSchema if a newer version wrote it: it is left for that version.
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
        return Seen(*RUNS.read(raw), now) if raw is not None else None

    async def api_key(self, key: ApiKeyId) -> Seen[ApiKey] | None:
        (raw,), now = await self.values(self.keys.api_key(key))
        return Seen(*API_KEYS.read(raw), now) if raw is not None else None

    async def passkeys(self, user: UserId) -> Seen[Passkeys] | None:
        (raw,), now = await self.values(self.keys.passkeys(user))
        return Seen(*PASSKEYS.read(raw), now) if raw is not None else None

    async def passkey_holders(self) -> list[UserId]:
        """List everybody who has, or had, a passkey or a code to enrol one."""
        return sorted(UserId.among(await self.client.smembers(self.keys.passkey_holders)))

    async def message(self, name: str) -> Seen[Message] | None:
        (raw,), now = await self.values(messages=[name])
        if raw is None:
            return None
        return Seen(*read_message(name, raw), now)

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Read the known ones of these messages, by name."""
        if not names:
            return {}
        stored, _ = await self.values(messages=names)
        return {name: read_message(name, raw)[0] for name, raw in zip(names, stored, strict=True) if raw}

    async def settings(self, channel: ChannelId) -> Seen[ChannelSettings]:
        return await self._record(self.keys.settings(channel), SETTINGS, ChannelSettings())

    async def proof_channels(self) -> frozenset[ChannelId]:
        """Name the channels that ever set a proof themselves."""
        return frozenset(ChannelId.among(await self.client.smembers(self.keys.proof_channels)))

    async def absences(self) -> Seen[Absences]:
        """Read the absences and their stand-ins."""
        return await self._record(self.keys.absences, ABSENCES, Absences())

    async def message_request(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RequestId | None:
        """Find the request whose card or note has this timestamp in this channel (R2)."""
        member = await self.client.hget(self.keys.ts(workspace, channel, ts), ts)
        return RequestId.named(member) if member else None

    async def message_run(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RunId | None:
        """Find the run whose head has this timestamp in this channel."""
        member = await self.client.hget(self.keys.ts(workspace, channel, ts), ts)
        return RunId.named(member) if member else None

    async def permission(self, permission: PermissionId) -> Seen[Permission] | None:
        (raw,), now = await self.values(self.keys.permission(permission))
        return Seen(*PERMISSIONS.read(raw), now) if raw is not None else None

    async def permissions(self) -> list[Seen[Permission]]:
        """Read all permissions that are in force, the first to end first."""
        now = await self.now()
        members = await self.client.zrange(self.keys.permissions, f"({ms(now)}", "+inf", byscore=True)
        names = [PermissionId(name.decode()) for name in members]
        raw = await self.client.mget([self.keys.permission(name) for name in names]) if names else []
        return [Seen(*PERMISSIONS.read(one), now) for one in raw if one]

    async def requests(self, ids: list[RequestId]) -> list[Request | None]:
        """Read many requests at once; None for those that do not exist.

        UnknownSchema if one of them cannot be read.
        """
        stored = await self._stored(ids, self.keys.request)
        return [None if raw is None else REQUESTS.read(raw)[0] for name, raw in stored.items()]

    async def readable(self, ids: Sequence[RequestId]) -> dict[RequestId, Request | None]:
        """Read the readable ones of these requests; None for those that do not exist."""
        stored = await self._stored(ids, self.keys.request)
        reads = {name: partial(_maybe, REQUESTS, raw) for name, raw in stored.items()}
        return self.tolerant.each("Request", reads)

    async def readable_runs(self, ids: Sequence[RunId]) -> dict[RunId, Run | None]:
        """Read the readable ones of these runs; None for those that do not exist."""
        stored = await self._stored(ids, self.keys.run)
        reads = {name: partial(_maybe, RUNS, raw) for name, raw in stored.items()}
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
        places = [self.keys.message(name) for name in messages]
        names = [self.keys.pending, *keys, *(key for key, _ in places)]
        values, time = await self.pipeline.call(self._get, names, [field for _, field in places])
        return values, _time(time)


def _maybe(codec: Codec[V], raw: bytes | None) -> V | None:
    return None if raw is None else codec.read(raw)[0]


def _time(answer: Sequence[int | bytes]) -> datetime:
    return from_ms(int(answer[0]) * 1000 + int(answer[1]) // 1000)


def stream_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Unpack the reply to a read of one stream: a list in RESP2, a mapping in RESP3."""
    if isinstance(answer, dict):
        return [entry for batches in answer.values() for batch in batches for entry in batch]
    return [entry for _, batch in answer or () for entry in batch]
