"""The store: reads records with the server's clock, and commits a change in one step or not at all."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import redis.asyncio
import redis.exceptions

from countersign import metrics
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.errors import StoreFull, StoreUnavailable, StoreUnsafe, UnknownSchema
from countersign.domain.grants import Permission
from countersign.domain.ids import ChannelId, Id, PermissionId, RequestId, RunId, WorkerId, WorkspaceId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.policy.evaluation import Rulebook
from countersign.store.bounds import LARGEST
from countersign.store.clock import from_ms, ms
from countersign.store.codec import Codec
from countersign.store.commit import Plan
from countersign.store.keys import KEPT, KEPT_CHANNELS, KEPT_LEASE, Keys
from countersign.store.ownership import (
    ORIGINS,
    Origin,
    Side,
    claim_of,
    read_message,
    read_permission,
    read_request,
    read_run,
)
from countersign.store.records import ABSENCES, RULEBOOK, RULES, SETTINGS, TEAMS, rulebook_in
from countersign.store.redis import durability
from countersign.store.redis.connection import ClusterClient
from countersign.store.redis.pipelining import Together
from countersign.store.redis.replication import NONE, Replicas, WritingScript
from countersign.store.redis.scripts import Script
from countersign.store.tolerant_reads import Bearing
from countersign.usecases.ports import Change, Claimed, Committed, Lease, Message, Put, Seen, TeamInfo
from countersign.usecases.worker_claims import KEPT_POLICIES

T = TypeVar("T")
N = TypeVar("N", RequestId, RunId)
A = TypeVar("A", bound=Id)
_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_COMMIT = (_HERE / "commit.lua").read_text()
_LEASE = (_HERE / "lease.lua").read_text()
_UNHELD = (_HERE / "unheld.lua").read_text()
_log = logging.getLogger(__name__)
_AT_ONCE: Final = 1000
_SWEEPS: Final = 20
"""How often a list is read again after names that belong to nothing were removed from it."""
_WORKERS: Final = 1000
_FAR: Final = timedelta(days=1)
"""What is due later than this is no moment that anything waits for; a score may say more than a calendar has."""
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


_GONE = """
local gone = {}
for place = 1, #ARGV, 2 do
  if redis.call('EXISTS', ARGV[place], ARGV[place + 1]) == 0 then gone[#gone + 1] = (place + 1) / 2 end
end
return gone
"""
"""Which of the pairs in ARGV have nothing in Redis, counted from 1; its key is that of `_GET`."""


@asynccontextmanager
async def reaching() -> AsyncIterator[None]:
    """Turns what redis-py raises into StoreUnavailable, and lets no cancellation get lost.

    redis-py 8.1 on Python 3.11 swallows a cancellation that arrives together with a reply; the task would go on for
    ever while somebody waits for its end.
    """
    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    try:
        yield
    except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError) as wrong:
        if full := _out_of(wrong):
            raise StoreFull(f"The store (Redis) takes nothing more: {full} Nothing was changed.") from wrong
        raise StoreUnavailable(f"The store (Redis) does not answer: {wrong}. Nothing was changed.") from wrong
    if task is not None and task.cancelling() > cancelled:
        raise asyncio.CancelledError


def _out_of(wrong: Exception) -> str:
    """What a Redis that answers is out of, and what to do; "" if that is not it."""
    if isinstance(wrong, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in str(wrong):
        return "it has reached its `maxmemory`. Give it more memory."
    return "it cannot write to its disk. Free some space there." if str(wrong).startswith("MISCONF") else ""


class Store:
    """Implements `countersign.usecases.ports.Store` over one Redis client."""

    def __init__(
        self, client: redis.asyncio.Redis, namespace: str, replicas: Replicas = NONE, side: Side = Side.BOTH
    ) -> None:
        self.client: Any = client  # redis-py's types do not know that replies are bytes here
        self.keys = Keys(namespace)
        self.side = side
        self._replicas = replicas
        self._together = Together(client, in_order=side is not Side.WEB)
        self._bearing = Bearing()
        self._commit = self.writing(_COMMIT)
        self._lease = Script(client, _LEASE)
        self._unheld = Script(client, _UNHELD)
        self._get = Script(client, _GET)
        self._clock = Script(client, _TIME)
        self._gone = Script(client, _GONE)

    def writing(self, text: str) -> WritingScript:
        """A script that changes something, and answers when the replicas have it."""
        return WritingScript(self.client, text, self._replicas, self.keys.confirmed, self._together)

    @property
    def decides(self) -> bool:
        """Whether this process may write what people, or the channel's settings, decided."""
        return self.side is not Side.AGENTS

    async def check(self) -> None:
        """StoreUnavailable if Redis cannot be reached; StoreUnsafe if it may drop keys when memory is short. Logs what
        else of what it answers may be lost."""
        async with reaching():
            policies = [memory.get("maxmemory_policy") for memory in await self._memories()]
        for policy in {*policies} - {"noeviction"}:
            raise StoreUnsafe(
                f"Redis has maxmemory-policy {policy}, so it may forget decisions when memory is short. "
                "Nothing was started. Set `maxmemory-policy noeviction`."
            )
        async with reaching():
            if flaw := await durability.flaw(self.client, self.keys.confirmed):
                _log.warning("%s", flaw)

    async def now(self) -> datetime:
        async with reaching():
            return _time(await self._clock(keys=[self.keys.pending]))

    async def takes(self) -> datetime:
        """The server's clock, if Redis takes what is written too. StoreUnavailable says why it does not."""
        async with reaching():
            await self.client.set(self.keys.confirmed, "1", px=60_000)
        return await self.now()

    async def request(self, request: RequestId) -> Claimed | None:
        names = [self.keys.request(request), self.keys.asked(request)]
        card = [f"card/{request}"] if self.decides else []
        (ours, asked, *drawn), now = await self._values(*names, messages=card)
        found = read_request(request, ours, asked)
        return Claimed(*found, now, claim_of(ours, asked, *drawn) if drawn else "") if found else None

    async def run(self, run: RunId) -> Seen[Run] | None:
        values, now = await self._values(*self._of_run(run))
        found = read_run(run, *values)
        return Seen(*found, now) if found else None

    async def message(self, name: str) -> Seen[Message] | None:
        (raw,), now = await self._values(messages=[name])
        if raw is None:
            return None
        return Seen(*read_message(name, raw), now)

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Those of them that are known, by name."""
        if not names:
            return {}
        found, _ = await self._values(messages=names)
        return {name: read_message(name, raw)[0] for name, raw in zip(names, found, strict=True) if raw}

    async def settings(self, channel: ChannelId) -> Seen[ChannelSettings]:
        seen = await self._read(self.keys.settings(channel), SETTINGS)
        return seen or Seen(ChannelSettings(), 0, await self.now())

    async def absences(self) -> Seen[Absences]:
        """Who is away, and who stands in for them."""
        seen = await self._read(self.keys.absences, ABSENCES)
        return seen or Seen(Absences(), 0, await self.now())

    async def message_request(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RequestId | None:
        """The request whose card or note has this timestamp in this channel: the index of R2."""
        async with reaching():
            found = await self.client.hget(self.keys.ts(workspace, channel, ts), ts)
        return RequestId.named(found) if found else None

    async def permission(self, permission: PermissionId) -> Seen[Permission] | None:
        (raw,), now = await self._values(self.keys.permission(permission))
        return Seen(*read_permission(permission, raw), now) if raw is not None else None

    async def permissions(self) -> list[Seen[Permission]]:
        """All that are in force, the first to end first."""
        now = await self.now()
        async with reaching():
            found = await self.client.zrange(self.keys.permissions, f"({ms(now)}", "+inf", byscore=True)
            names = [PermissionId(name.decode()) for name in found]
            raw = await self.client.mget([self.keys.permission(name) for name in names]) if names else []
        return [Seen(*read_permission(*pair), now) for pair in zip(names, raw, strict=True) if pair[1]]

    async def defaults(self) -> Rules | None:
        async with reaching():
            raw = await self.client.get(self.keys.defaults)
        return RULES.read(raw)[0] if raw else None

    async def set_defaults(self, rules: Rules) -> None:
        async with reaching():
            await self.client.set(self.keys.defaults, RULES.write(rules, 1))

    async def workspace(self) -> WorkspaceId | None:
        """The Slack workspace of the approval service; None if it was never started here."""
        async with reaching():
            found = await self.client.get(self.keys.workspace)
        return WorkspaceId(found.decode()) if found else None

    async def set_workspace(self, workspace: WorkspaceId) -> None:
        async with reaching():
            await self.client.set(self.keys.workspace, workspace)

    async def channels(self) -> frozenset[ChannelId] | None:
        """The channels that the app is in; None if `web` has not said so lately."""
        async with reaching():
            found = await self.client.get(self.keys.channels)
        return None if found is None else frozenset(ChannelId.among(found.split()))

    async def set_channels(self, channels: frozenset[ChannelId]) -> None:
        async with reaching():
            await self.client.set(self.keys.channels, " ".join(sorted(channels)), px=KEPT_CHANNELS)

    async def rulebook(self) -> Rulebook:
        """The workspace's policy; one without rules if none was set."""
        async with reaching():
            raw = await self.client.get(self.keys.rulebook)
        return rulebook_in(raw) if raw else Rulebook()

    async def set_rulebook(self, book: Rulebook) -> None:
        """From now on this policy is in force; by a new number, unless it is in force already."""
        with contextlib.suppress(UnknownSchema):
            if (before := await self.rulebook()).version and before == book:
                return
        now = await self.now()
        async with reaching():
            number = int(await self.client.incr(self.keys.audit_policy))
            raw = RULEBOOK.write(replace(book, version=number), number)
            await self.client.zadd(self.keys.audit_policies, {raw: ms(now)})
            await self.client.zremrangebyrank(self.keys.audit_policies, 0, -KEPT_POLICIES - 1)
            await self.client.set(self.keys.rulebook, raw)

    async def policies(self) -> list[tuple[datetime, Rulebook]]:
        """The last ones, the one in force last, and since when each was."""
        async with reaching():
            found = await self.client.zrange(self.keys.audit_policies, 0, -1, withscores=True)
        read: list[tuple[datetime, Rulebook]] = []
        for raw, since in found:
            with contextlib.suppress(UnknownSchema):  # of a newer version: whoever named it is not judged by it
                read.append((from_ms(since), rulebook_in(raw)))
        return read or [(from_ms(0), await self.rulebook())]

    async def requests(self, ids: list[RequestId]) -> list[Request | None]:
        """Many requests at once, in the order asked; None for those that do not exist. UnknownSchema if one of them
        cannot be read."""
        found = [read_request(name, *raw) for name, raw in await self._asked(ids)]
        return [pair[0] if pair else None for pair in found]

    async def runs(self, ids: list[RunId]) -> list[Run | None]:
        """Many runs at once, likewise."""
        found = [read_run(name, *raw) for name, raw in await self._started(ids)]
        return [pair[0] if pair else None for pair in found]

    async def readable(self, ids: Sequence[RequestId]) -> dict[RequestId, Request | None]:
        """For lists: those of these requests that can be read, and None for those that do not exist."""
        reads = {name: partial(read_request, name, *raw) for name, raw in await self._asked(ids)}
        return {name: pair[0] if pair else None for name, pair in self._bearing.each("Request", reads).items()}

    async def readable_runs(self, ids: Sequence[RunId]) -> dict[RunId, Run | None]:
        """Many runs at once, likewise."""
        reads = {name: partial(read_run, name, *raw) for name, raw in await self._started(ids)}
        return {name: pair[0] if pair else None for name, pair in self._bearing.each("Run", reads).items()}

    async def origins(self, ids: Sequence[RunId]) -> dict[RunId, Origin]:
        """What web wrote down itself of those of these runs that it started, whatever workers made of their records."""
        found, _ = await self._values(*(self.keys.origin(run) for run in ids)) if ids else ([], None)
        reads = {run: partial(ORIGINS.read, raw) for run, raw in zip(ids, found, strict=True) if raw is not None}
        return {run: origin for run, (origin, _) in self._bearing.each("Origin", reads).items()}

    async def active_runs(self, limit: int) -> list[Run]:
        """The newest runs that have not ended."""
        return await self._newest([self.keys.active, self.keys.parked], limit)

    async def unheld(self, limit: int, since: timedelta) -> list[RunId]:
        """Runs that are not parked and that no worker has held for so long, the oldest first; the runs are not read."""
        async with reaching():
            await self._swept(self.keys.active, RunId, self._of_run)
            oldest = await self.client.zrange(self.keys.active, 0, limit - 1)
            runs = RunId.among(oldest)
            found: list[RunId] = []
            for start in range(0, len(runs), _AT_ONCE):
                some = runs[start : start + _AT_ONCE]
                leases = [self.keys.lease(run) for run in some]
                places = await self._unheld(keys=[self.keys.active, *leases], args=[ms(since), *some])
                found += [some[place - 1] for place in places]
        return found

    async def standing(self) -> dict[str, int]:
        """How many requests wait for people, how many runs are in memory or on their way there, and how many parked."""
        indexes = {"requests": self.keys.pending, "runs": self.keys.active, "parked_runs": self.keys.parked}
        async with reaching():
            return {what: int(await self.client.zcard(index)) for what, index in indexes.items()}

    async def undelivered(self, limit: int, older: timedelta) -> list[Request]:
        """Requests that were settled at least that long ago and whose run has not heard of it, the oldest first."""
        until = ms(await self.now() - older)
        await self._swept(self.keys.undelivered, RequestId, self._of_request)
        async with reaching():
            found = await self.client.zrange(self.keys.undelivered, "-inf", until, byscore=True, offset=0, num=limit)
        requests = await self.readable(RequestId.among(found))
        return [request for request in requests.values() if request is not None]

    async def gone(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Those of these requests that Redis has nothing of, as after it lost what it had answered."""
        found: list[RequestId] = []
        for start in range(0, len(requests), _AT_ONCE):
            some = requests[start : start + _AT_ONCE]
            names = [key for name in some for key in (self.keys.request(name), self.keys.asked(name))]
            async with reaching():
                found += [some[place - 1] for place in await self._gone(keys=[self.keys.pending], args=names)]
        return found

    async def forgotten(self) -> list[RunId]:
        """Parked runs that wait for a question that is gone: no decision will ever call them."""
        async with reaching():
            parked = RunId.among(await self.client.zrange(self.keys.parked, 0, -1))
        found: list[RunId] = []
        for start in range(0, len(parked), _AT_ONCE):
            runs = (await self.readable_runs(parked[start : start + _AT_ONCE])).values()
            asked = {request: run.id for run in runs if run is not None for request in run.open.values()}
            found += [asked[request] for request in await self.gone(list(asked))]
        return list(dict.fromkeys(found))

    async def waiting(self, limit: int) -> list[Request]:
        """Undecided requests, first those to which something is due next."""
        async with reaching():
            found = await self.client.zrange(self.keys.pending, 0, limit - 1)
        requests = await self.readable(RequestId.among(found))
        return [request for request in requests.values() if request is not None]

    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]:
        """Requests to which something is due without the first `start`, when the next thing is after those (or in a
        day, if that is later), and the server's clock."""
        now = await self.now()
        first: list[tuple[bytes, float]] = [(b"", 0.0)]
        ids: set[RequestId] = set()
        while first and not ids:  # what is no id has left the index
            async with reaching():
                first = await self.client.zrange(self.keys.pending, start, start + limit, withscores=True)
                ids = set(await self._ids(RequestId, self.keys.pending, [member for member, _ in first]))
        due, following = [], None
        for member, score in first:
            if (name := RequestId.named(member)) is None:
                continue
            if score == float("inf"):
                break
            if score > ms(now):
                following = from_ms(min(score, ms(now + _FAR)))
                break
            due.append(name)
        return due[:limit], following, now

    async def tidy(
        self, due: Mapping[RequestId, datetime | None], settled: Sequence[RequestId], unknown: Sequence[RequestId]
    ) -> None:
        """Put right what stands in the index of deadlines: when something is due to those (None: never), and without
        these, which are settled or which nobody knows."""
        async with reaching():
            if due:
                scores: dict[str, int | str] = {name: "+inf" if at is None else ms(at) for name, at in due.items()}
                await self.client.zadd(self.keys.pending, scores, xx=True)
            if settled:
                await self.client.zrem(self.keys.pending, *settled)
        await self._forget(self.keys.pending, [name.encode() for name in unknown], RequestId, self._of_request)

    async def commit(self, change: Change) -> Committed:
        """Store all of the change, or nothing and say why. A repeat after a lost reply answers stale or repeated."""
        plan = Plan(self.keys, self.side)
        plan.fill(change)
        for run in change.runs:
            if run.value.over:
                async with reaching():
                    plan.keep(await self._settled(run.value.id))
        if any(put.version == 0 for put in change.permissions):
            async with reaching():
                ended = await self.client.zrange(
                    self.keys.permissions, "-inf", ms(change.permissions[0].value.at), byscore=True
                )
            plan.drop_permissions([PermissionId(permission.decode()) for permission in ended])
        async with reaching():
            answer = await self._commit([*plan.keys], plan.args())
        return Committed(answer.decode())

    async def confirm(self, seen: Seen[Request]) -> bool:
        """Whether the request still is as it was seen; NotReplicated unless the replicas have it so.

        For a repeat that finds its work done: the one before may have failed at just that.
        """
        if not self._replicas.wanted:
            return True
        return await self.commit(Change(unchanged=(Put(seen.value, seen.version),))) is Committed.DONE

    async def put_away(self, limit: int) -> int:
        """Give what this side wrote about runs that the other side ended its end; how many runs there were."""
        if self.side is Side.BOTH:
            return 0
        index = self.keys.ended(Side.WEB if self.side is Side.AGENTS else Side.AGENTS)
        async with reaching():
            runs = await self._ids(RunId, index, await self.client.zrange(index, 0, limit - 1))
            for run in runs:
                kept = [self.keys.journal(run)]
                if self.side is Side.WEB:
                    kept = [self.keys.request(request) for request in await self._settled(run)]
                    kept.append(self.keys.origin(run))
                for key in kept:
                    await self.client.pexpire(key, ms(KEPT))
                await self.client.zrem(index, run)
        return len(runs)

    async def announce(self, worker: str, teams: list[TeamInfo], ttl: timedelta) -> None:
        """Tell everybody that this worker runs these teams; it must say so again before `ttl` has passed."""
        now = await self.now()
        async with reaching():
            await self.client.set(self.keys.team(worker), TEAMS.dump(teams), px=ttl)
            if await self.client.type(self.keys.workers) not in (b"zset", b"none"):  # begun anew, as commit.lua does
                await self.client.delete(self.keys.workers)
            await self.client.zremrangebyscore(self.keys.workers, "-inf", ms(now))
            await self.client.zadd(self.keys.workers, {worker: ms(now + ttl)})
        await self._swept(self.keys.workers, WorkerId, lambda name: (self.keys.team(name),))

    async def retire(self, worker: str) -> None:
        """Tell everybody that this worker is gone."""
        async with reaching():
            await self.client.delete(self.keys.team(worker))
            await self.client.zrem(self.keys.workers, worker)

    async def teams(self) -> list[TeamInfo]:
        """The teams that some worker runs now, by name; a usable one wins over a broken one of the same name."""
        async with reaching():
            workers = WorkerId.among(await self.client.zrange(self.keys.workers, 0, _WORKERS - 1))
        found, _ = await self._values(*(self.keys.team(worker) for worker in workers))
        told = {worker: partial(TEAMS.load, raw) for worker, raw in zip(workers, found, strict=True) if raw}
        teams: dict[str, TeamInfo] = {}
        for announced in self._bearing.each("Worker", told).values():
            for team in announced:
                if team.name not in teams or teams[team.name].problem:
                    teams[team.name] = team
        return [teams[name] for name in sorted(teams)]

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None:
        """The lease of the run, with a new fence; None while another owner holds it."""
        fence = await self._with_lease(self.keys.lease(run), "claim", owner, 0, ttl)
        return Lease(run, fence, owner) if fence else None

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Hold the lease for another `ttl`; False if it is no longer ours."""
        return bool(await self._with_lease(self.keys.lease(lease.run), "renew", lease.owner, lease.fence, ttl))

    async def release(self, lease: Lease) -> None:
        """Let the lease go at once, if it is still ours."""
        await self._with_lease(self.keys.lease(lease.run), "release", lease.owner, lease.fence, timedelta(0))

    async def claim_scribe(self, owner: str, ttl: timedelta) -> int:
        """The right to draw Slack, by one process at a time; the fence, or 0 while another holds it."""
        return await self._with_lease(self.keys.scribe, "claim", owner, 0, ttl)

    async def renew_scribe(self, owner: str, ttl: timedelta) -> bool:
        """Keep that right for another `ttl`; False if it is no longer this owner's."""
        return bool(await self._with_lease(self.keys.scribe, "renew", owner, -1, ttl))

    async def release_scribe(self, owner: str) -> None:
        """Let that right go at once, if it is still this owner's."""
        await self._with_lease(self.keys.scribe, "release", owner, -1, timedelta(0))

    async def look_again(self, name: str, after: timedelta) -> None:
        """The message of this name may get a second copy: it is to be looked at after so long."""
        at = ms(await self.now() + after)
        async with reaching():
            await self.client.zadd(self.keys.second_look, {name: at})

    async def to_look_at(self) -> list[str]:
        """The names of the messages whose time for that has come."""
        now = ms(await self.now())
        async with reaching():
            found = await self.client.zrange(self.keys.second_look, "-inf", now, byscore=True)
        return [name.decode() for name in found]

    async def looked_at(self, name: str) -> None:
        """That was done."""
        async with reaching():
            await self.client.zrem(self.keys.second_look, name)

    async def _settled(self, run: RunId) -> list[RequestId]:
        """The settled requests of a run; none if somebody put something else there."""
        try:
            return RequestId.among(await self.client.smembers(self.keys.settled(run)))
        except redis.exceptions.ResponseError as wrong:
            _log.error("What was settled of run %s cannot be read: %s", run, wrong)
            return []

    async def _ids(self, kind: type[A], index: str, members: Sequence[bytes]) -> list[A]:
        """The ids among these members of an index. What is none names nothing, and leaves it."""
        await self._forget(index, [member for member in members if kind.named(member) is None], kind, lambda _: ())
        return kind.among(members)

    async def _memories(self) -> list[dict[str, Any]]:
        """INFO memory, of every primary of a Cluster. Hosted Redis refuses CONFIG."""
        if not isinstance(self.client, ClusterClient):
            return [await self.client.info("memory")]
        await self.client.initialize()
        return [await self.client.info("memory", target_nodes=[node]) for node in self.client.get_primaries()]

    async def _newest(self, indexes: list[str], limit: int) -> list[Run]:
        found: list[tuple[bytes, float]] = []
        for index in indexes:
            found += await self.newest_runs(index, limit)
        found.sort(key=lambda entry: -entry[1])
        runs = await self.readable_runs(RunId.among([name for name, _ in found[:limit]]))
        return [run for run in runs.values() if run is not None]

    async def newest_runs(self, index: str, limit: int) -> list[tuple[bytes, float]]:
        """The newest members of an index of runs, with their scores."""
        await self._swept(index, RunId, self._of_run, newest=True)
        async with reaching():
            found: list[tuple[bytes, float]] = await self.client.zrevrange(index, 0, limit - 1, withscores=True)
        return found

    async def _swept(
        self, index: str, kind: type[A], keys: Callable[[A], tuple[str, ...]], *, newest: bool = False
    ) -> None:
        """See to it that the first or last members of an index belong to something."""
        for _ in range(_SWEEPS):
            async with reaching():
                some = await self.client.zrange(index, 0, _AT_ONCE - 1, desc=newest)
            if not await self._forget(index, some, kind, keys):
                break

    async def _forget(
        self, index: str, names: Sequence[bytes], kind: type[A], keys: Callable[[A], tuple[str, ...]]
    ) -> int:
        """Remove from an index what belongs to nothing, or is no id: workers write some of them, and may put anything
        there. How many names that were."""
        known = [(name, found) for name in names if (found := kind.named(name)) is not None]
        strays = [name for name in names if kind.named(name) is None]
        async with reaching():
            if known:
                async with self.client.pipeline(transaction=False) as looks:
                    for _, found in known:
                        looks.exists(*keys(found))
                    strays += [
                        name for (name, _), stands in zip(known, await looks.execute(), strict=True) if not stands
                    ]
            if not strays:
                return 0
            removed = int(await self.client.zrem(index, *strays))
        if removed:
            shown = ascii(strays[0])[:80]
            _log.warning("%d names in %s belong to nothing (%s …); removed.", removed, index, shown)
            metrics.repaired(Repair.STRAY, removed)
        return len(strays)

    async def _with_lease(self, key: str, verb: str, owner: str, fence: int, ttl: timedelta) -> int:
        async with reaching():
            return int(await self._lease(keys=[key], args=[verb, owner, fence, ms(ttl), ms(KEPT_LEASE)]))

    async def _asked(self, ids: Sequence[RequestId]) -> list[tuple[RequestId, tuple[bytes | None, bytes | None]]]:
        """Of each request web's record and the agents'."""
        return await self._pairs(ids, self._of_request)

    async def _started(self, ids: Sequence[RunId]) -> list[tuple[RunId, tuple[bytes | None, bytes | None]]]:
        """Of each run its record and where it comes from."""
        return await self._pairs(ids, self._of_run)

    async def _pairs(
        self, names: Sequence[N], keys: Callable[[N], tuple[str, str]]
    ) -> list[tuple[N, tuple[bytes | None, bytes | None]]]:
        if not names:
            return []
        raw, _ = await self._values(*(key for name in names for key in keys(name)))
        return list(zip(names, zip(raw[::2], raw[1::2], strict=True), strict=True))

    def _of_request(self, request: RequestId) -> tuple[str, str]:
        return self.keys.request(request), self.keys.asked(request)

    def _of_run(self, run: RunId) -> tuple[str, str]:
        return self.keys.run(run), self.keys.origin(run)

    async def _read(self, key: str, codec: Codec[T]) -> Seen[T] | None:
        (raw,), now = await self._values(key)
        return Seen(*codec.read(raw), now) if raw is not None else None

    async def _values(self, *keys: str, messages: Sequence[str] = ()) -> tuple[list[bytes | None], datetime]:
        """What stands under these keys, then those messages, and the clock at that moment."""
        places = [part for name in messages for part in self.keys.message(name)]
        async with reaching():
            values, time = await self._together.call(self._get, [self.keys.pending], [len(keys), *keys, *places])
        return values, _time(time)


def _time(answer: Sequence[int | bytes]) -> datetime:
    return from_ms(int(answer[0]) * 1000 + int(answer[1]) // 1000)
