"""Everything that is known when all is quiet: the store, what Slack shows, what was done, what agents heard."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from countersign.domain import api_keys
from countersign.domain.errors import StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import START, Kept, Verifier
from countersign.domain.ids import RequestId, RunId, digest_of
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.runs.area import Area
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.store.audit_log import Ledger
from countersign.store.codec import from_ms
from countersign.store.programs import ApiKeys
from countersign.store.record_codecs import EVENTS, read_message
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Message
from localslack.workspace import Message as SlackMessage
from tests.chaos.callback_receiver import Post, Receiver
from tests.chaos.cluster import NAMESPACE, Deployment
from tests.chaos.people import Given
from tests.chaos.programs import ACTS, LINES, Programs
from tests.chaos.side_effects import EFFECTS, HEARD, read

_INDEXES: Final = ("pending", "active", "parked", "undelivered")


@dataclass(slots=True)
class Facts:
    """`events`, as the record tells of them, and those that it has not got yet, with when they were stored, by the
    server's clock.

    `shown`: Slack's messages by the name that we gave them; `left`: members of indexes that should be empty.
    `unheard`: requests that their run had gone on without. `flaws`: what `verify` says of the record.
    """

    given: list[Given]
    runs: dict[RunId, Run]
    requests: dict[RequestId, Request]
    events: list[tuple[datetime, Event]]
    messages: dict[str, Message]
    shown: dict[str, list[SlackMessage]]
    left: dict[str, list[str]]
    effects: list[dict[str, Any]]
    heard: list[dict[str, Any]]
    mails: list[str]
    tracebacks: dict[str, list[str]]
    flaws: list[str] = field(default_factory=list)
    unheard: set[RequestId] = field(default_factory=set)
    programs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Each program, and what it heard, once for each life."""
    problems: list[str] = field(default_factory=list)
    """The last words of programs that failed."""
    acts: list[dict[str, Any]] = field(default_factory=list)
    """What programs did behind an approval, and when they had reported it."""
    posts: list[Post] = field(default_factory=list)
    queued: set[str] = field(default_factory=set)
    """Requests whose decision is still to be posted."""
    area_lost: bool = False


class Eye:
    """Looks at the store directly, not over a wire with faults."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._client = store.client

    async def going(self) -> int:
        """Runs that have not ended."""
        keys = self.store.keys
        return int(await self._client.zcard(keys.active)) + int(await self._client.zcard(keys.parked))

    async def going_or(self, unknown: int) -> int:
        """The same, or `unknown` while Redis does not answer."""
        try:
            return await self.going()
        except StoreUnavailable:
            return unknown

    async def drawn(self) -> bool:
        """Whether everything is drawn and recorded, and has left therefore."""
        if await self._client.zcard(self.store.keys.second_look):
            return False
        return not await self._client.xlen(self.store.keys.events)

    async def quiet(self, within: float) -> float | None:
        """Seconds until every run was over and drawn; None if that took too long."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() - begun < within:
            try:
                if not await self.going() and await self.drawn():
                    return loop.time() - begun
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.25)
        return None

    async def called_back(self, within: float) -> None:
        """Wait until every decision was posted to its program; what was refused twice waits for minutes."""
        async with asyncio.timeout(within):
            while await self._client.zcard(self.store.keys.callbacks):  # noqa: ASYNC110
                await asyncio.sleep(0.25)

    async def new_key(self, channels: list[str]) -> tuple[str, str]:
        """Make a key for programs that ask in these channels: its token, and the secret that signs callbacks."""
        issued = api_keys.issue("ci", tuple(channels), await self.store.now(), most_open=1000, per_minute=10_000)
        await ApiKeys(self.store).put(issued.key)
        return issued.token, issued.key.secrets[-1].callback_secret

    async def facts(self, deployment: Deployment, given: list[Given], programs: Programs, receiver: Receiver) -> Facts:
        """All of them."""
        left = {}
        for name in _INDEXES:
            left[name] = [m.decode() for m in await self._client.zrange(self.store.keys.prefix + name, 0, -1)]
        undrawn = await self._client.xrange(self.store.keys.events)
        left["events that were not drawn and recorded"] = [entry.decode() for entry, _ in undrawn]
        ledger = Ledger(self.store)
        verifier, record, recorded = Verifier(START, [(await ledger.position()).head]), [], set()
        async for n, kept in ledger.all():
            verifier.take(kept, n)
            record.append(_told(kept))
            recorded.add(kept.fields()["event"])
        for entry, fields in undrawn:
            if entry.decode() not in recorded:
                record.append((from_ms(int(entry.split(b"-")[0])), EVENTS.load(fields[b"event"])))
        requests = {r.id: r for r in await self._requests()}
        heard_by = {tag: list[dict[str, Any]]() for tag in programs.given}
        for line in read(deployment.folder / LINES):
            heard_by[line["tag"]].append(line)
        return Facts(
            given=given,
            runs=await self._runs(),
            requests=requests,
            events=record,
            messages={m.name: m for m in await self._messages()},
            shown=_shown(deployment),
            left=left,
            effects=read(deployment.folder / EFFECTS),
            heard=read(deployment.folder / HEARD),
            mails=list(deployment.sink.names),
            tracebacks={p.name: _tracebacks(p.log.read_text(errors="replace")) for p in deployment.processes},
            flaws=[str(problem) for problem in verifier.end()],
            programs=heard_by,
            problems=programs.problems,
            acts=read(deployment.folder / ACTS),
            posts=list(receiver.posts),
            queued={one.decode() for one in await self._client.zrange(self.store.keys.callbacks, 0, -1)},
            area_lost=deployment.area_lost,
            unheard={name for name, request in requests.items() if await self._unheard(request)},
        )

    async def _unheard(self, request: Request) -> bool:
        """Whether the journal says that nobody waited for the answer any more."""
        found = await RedisJournal(Area(self._client, self.store.keys.namespace)).entries(request.run)
        entry = found.get(f"human/{request.question.agent}/{digest_of(request.id)[:24]}/0")
        return entry is not None and Entry.load(entry).left

    async def _requests(self) -> list[Request]:
        prefix = f"{self.store.keys.prefix}request:"
        names = [RequestId(k.decode()[len(prefix) :]) async for k in self._client.scan_iter(prefix + "*", count=1000)]
        return [request for request in await self.store.requests(names) if request is not None]

    async def _messages(self) -> list[Message]:
        keys = [key async for key in self._client.scan_iter(f"{self.store.keys.prefix}message:*", count=1000)]
        found = []
        for key in keys:
            for place, raw in (await self._client.hgetall(key)).items():
                kind, _, more = place.decode().partition("/")
                name = "/".join(part for part in (kind, key.decode().rpartition(":")[2], more) if part)
                found.append(read_message(name, raw)[0])
        return found

    async def _runs(self) -> dict[RunId, Run]:
        prefix = f"{self.store.keys.prefix}run:"
        names = [RunId(k.decode()[len(prefix) :]) async for k in self._client.scan_iter(prefix + "*", count=1000)]
        return {name: seen.value for name in names if (seen := await self.store.run(name)) is not None}


@asynccontextmanager
async def eye(deployment: Deployment) -> AsyncIterator[Eye]:
    """An eye on the deployment's store."""
    async with connect(deployment.redis.url) as client:
        yield Eye(Store(client, NAMESPACE))


def _shown(deployment: Deployment) -> dict[str, list[SlackMessage]]:
    shown: dict[str, list[SlackMessage]] = defaultdict(list)
    for channel in deployment.slack.workspace.channels.values():
        for message in channel.posts.values():
            payload = (message.metadata or {}).get("event_payload") or {}
            if name := payload.get("name"):
                shown[str(name)].append(message)
    return dict(shown)


def _tracebacks(log: str) -> list[str]:
    """The last line of each traceback in a log."""
    found = []
    lines = iter(log.splitlines())
    for line in lines:
        if "Traceback (most recent call last)" in line:
            last = next((later for later in lines if later and not later.startswith((" ", "\t"))), "")
            found.append(last[:200])
    return found


def _told(kept: Kept) -> tuple[datetime, Event]:
    entry = kept.fields()
    told = {key: entry.get(key) for key in ("run", "request", "workspace", "user")}
    event = Event(EventType(entry["type"]), datetime.fromisoformat(entry["at"]), **told, data=entry["data"])
    return from_ms(int(entry["event"].split("-")[0])), event
