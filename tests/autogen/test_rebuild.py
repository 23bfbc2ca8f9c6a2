"""A run of any kind of team is lost at each of its journal's entries in turn, and nobody can tell afterwards."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from autogen_agentchat.base import Team as AutoGenTeam

from countersign.domain.errors import LeaseLost, Refused
from countersign.domain.ids import RunId
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.run_calls import R, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.runner import Runner
from countersign.frameworks.autogen.team import Teams
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.store.record_codecs import EVENTS
from countersign.usecases.ports import Lease
from tests.autogen.harness import House, Silent, Through
from tests.autogen.rebuild_teams import (
    BUILDERS,
    World,
    gated,
    graph_cycle,
    graph_humans,
    graph_parallel,
    round_robin,
    team,
)
from tests.repetitions import longer, times
from tests.store_fixtures import let_expire

pytest_plugins = ["tests.redis_server"]


class Mortal(RedisJournal):
    """The process is gone with the record of this number, or right before it (`early`).

    The run is then another's, and nothing is written any more. With a `stop` the process lives, and is told to stop.
    """

    def __init__(self, house: House, dies_at: int, *, early: bool = False, stop: asyncio.Event | None = None) -> None:
        super().__init__(house.area)
        self._house = house
        self._dies_at = dies_at
        self._early = early
        self._stop = stop
        self.records = 0
        self._dying, self._dead = asyncio.Lock(), False
        self.gone = False
        """Whether the process is gone, or about to be."""

    async def record(self, lease: Lease, key: str, value: bytes, **how: bool) -> bytes:
        last = self.records + 1 == self._dies_at
        if last and self._early:
            await self._die(lease)
        stands = await super().record(lease, key, value, **how)
        self.records += 1
        if last and self._stop is not None:
            self._stop.set()
        elif last:
            await self._die(lease)
            await super().record(lease, key, value, **how)
        return stands

    async def _die(self, lease: Lease) -> None:
        self.gone = True
        async with self._dying:
            if not self._dead:
                with suppress(LeaseLost):  # the run has ended
                    await self._house.rob(lease, timedelta(0))
                self._dead = True


class Mute(Through):
    """`web` for a process that reports nothing any more once it is gone."""

    def __init__(self, house: House, journal: Mortal) -> None:
        super().__init__(house.service)
        self._journal = journal

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        if self._journal.gone:
            raise LeaseLost("This process is gone.")
        return await super().call(lease, call)


@dataclass
class People:
    """They decide what is open, in a fixed order, and know what they saw happen."""

    house: House
    world: World
    decided: list[Request] = field(default_factory=list)
    delivered: set[str] = field(default_factory=set)

    async def work(self, run: str, job: asyncio.Task[None]) -> None:
        try:
            await self._decide_until(run, job)
        finally:
            job.cancel()
        await job

    async def _decide_until(self, run: str, job: asyncio.Task[None]) -> None:
        while not job.done():
            open_ = (await self.house.run(run)).open
            self.delivered = {request.slot for request in self.decided} - set(open_)
            for request in await self.house.store.requests(sorted(open_.values())):
                if request is not None and request.status is RequestStatus.PENDING:
                    await self._decide(request)
            await asyncio.wait({job}, timeout=0.003)

    async def _decide(self, request: Request) -> None:
        question = request.question
        if question.kind is Kind.IN_DOUBT:
            ran = await self._ran(request)
            await self._say(request, Verb.RESPOND if ran else Verb.APPROVE, ran)
        elif "silver" in question.content:
            await self._let_expire(request)
        elif (call := question.call) is not None:
            item = json.loads(call.arguments).get("item")
            if item == "gold" and not await self._left(request):
                return
            verb = {"ink": Verb.EDIT, "paper": Verb.REJECT}.get(item, Verb.APPROVE)
            edited = '{"item":"blue ink"}' if verb is Verb.EDIT else ""
            with suppress(Refused):  # it may be taken back at this moment
                self.decided.append(await self.house.decide(request, verb, arguments=edited))
        elif question.options:
            self.decided.append(await self.house.decide(request, Verb.CHOOSE, chosen=("blue",)))
        elif question.title == "Why?":
            await self._say(request, Verb.RESPOND, "Because.")
        elif "to first" in question.agent and "writer to second#0" not in self.delivered:
            return
        else:
            changes = self.world.wants_changes and question.asked == 0
            await self._say(request, Verb.RESPOND if changes else Verb.APPROVE, "10 will do" if changes else "")

    async def _let_expire(self, request: Request) -> None:
        """Nobody answers until the deadline of the channel."""
        await let_expire(self.house.store, request)
        expired = await self.house.store.request(request.id)
        assert expired is not None and expired.value.status is RequestStatus.EXPIRED
        self.decided.append(expired.value)

    async def _left(self, request: Request) -> bool:
        """Whether the run has gone on without an answer."""
        entries = await RedisJournal(self.house.area).entries(request.run)
        return any(Entry.load(raw).left for raw in entries.values())

    async def _ran(self, request: Request) -> str:
        """What happened oftener than it is recorded, as they find by looking."""
        entries = await RedisJournal(self.house.area).entries(request.run)
        done = [raw.decode() for raw in entries.values() if Entry.load(raw).state == "done"]
        for what in self.world.done:
            recorded = sum(what in raw for raw in done)
            about = rf"(?<!blue ){re.escape(what.partition(' ')[2])}"  # “ink” stands in “blue ink” too
            if re.search(about, request.question.content) and self.world.done.count(what) > recorded:
                return what
        return ""

    async def _say(self, request: Request, verb: Verb, words: str = "") -> None:
        self.decided.append(await self.house.decide(request, verb, words))


@dataclass
class Told:
    """What came of a run."""

    transcript: list[str]
    world: World
    records: int
    unrecorded: int
    doubts: int
    questions: int


async def live(
    house: House,
    build: Callable[[World, Run], AutoGenTeam],
    run: str,
    dies_at: int = 0,
    lives: int = 3,
    *,
    dies_again: int = 0,
    changes: bool = False,
    early: bool = False,
    stops: bool = False,
) -> Told:
    """A run in one life, or more if it dies, once or again; `stops`: a process is told to stop, and not killed."""
    world = World(wants_changes=changes or build is graph_cycle)
    it = team(build, world)
    people = People(house, world)
    log = house.store.keys.events
    before_it = await house.store.client.xrevrange(log, count=1)
    await house.start(run, it.name, "get pens")
    records = unrecorded = 0

    for life, end in enumerate((dies_at, dies_again, 0)[:lives]):
        stop = asyncio.Event()
        journal = Mortal(house, end, early=early, stop=stop if stops else None)
        runner = Runner(
            owner=f"w{life}",
            leases=house.area.leases,
            service=Mute(house, journal),
            queue=Silent(),
            journal=journal,
            teams=Teams({it.name: it}, {}),
            model=world.model,
            settings=house.settings(),
            stop=stop,
        )
        await people.work(run, asyncio.create_task(runner.advance(RunId(run))))
        records += journal.records
        if not end:
            break
        # Whoever records may be cancelled when the record is stored already, so nobody counts but the store.
        entries = await RedisJournal(house.area).entries(RunId(run))
        unrecorded = world.model.asked - sum(key.startswith("model/") for key in entries)
    seen = await house.run(run)
    assert seen.status is Status.FINISHED, seen.result
    raw = await house.store.client.xrange(log, min=b"(" + before_it[0][0] if before_it else "-")
    events = [EVENTS.load(fields[b"event"]) for _, fields in raw]
    asked = [event for event in events if event.run == run and event.type == "request_asked"]
    doubts = sum(request.question.kind is Kind.IN_DOUBT for request in people.decided)
    return Told([plain(t) for t in world.transcript[:-2]], world, records, unrecorded, doubts, len(asked))


def plain(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"request q\w+|\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d", "…", text)


@longer  # some sixty lives each
@pytest.mark.parametrize(
    ("build", "early"),
    [(build, False) for build in BUILDERS] + [(build, True) for build in (round_robin, graph_humans, gated)],
    ids=lambda what: what.__name__ if callable(what) else ("right before it" if what else "with the entry"),
)
async def test_run_lost_at_any_entry_ends_the_same(
    house: House, build: Callable[[World, Run], AutoGenTeam], early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the same transcript, and no model, tool or person asked twice."""
    monkeypatch.setattr(
        "countersign.frameworks.autogen.team_execution.GRACE", timedelta(hours=1)
    )  # every team ends by its token, at once
    whole = await live(house, build, "r0")
    print(build.__name__, whole.records, whole.world.model.asked, whole.questions, *whole.transcript, sep="\n   ")
    # Right before it is the same loss as with the one before, but for what was under way.
    for dies_at in range(times(3, 1), whole.records + 1, times(13, 1)):
        again = await live(house, build, f"r{dies_at}", dies_at, early=early)
        if build is graph_parallel:  # branches that were cut off may overtake each other, each keeps its own order
            assert sorted(again.transcript) == sorted(whole.transcript), dies_at
        else:
            assert again.transcript == whole.transcript, dies_at
        assert again.world.model.asked == whole.world.model.asked + again.unrecorded, dies_at
        assert sorted(again.world.done) == sorted(whole.world.done), dies_at
        assert len(set(again.world.looks)) == len(set(whole.world.looks)), dies_at
        assert again.questions == whole.questions + again.doubts, dies_at
