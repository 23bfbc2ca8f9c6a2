"""A model of requests and runs against the real store: whatever is done in whatever order, one decision stands.

Every verb may be met by another one between its read and its write, and may lose the reply to its write.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import LeaseLost, Refused
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId, RunId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Decision, How, Request, Status, Verb
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Run
from countersign.domain.runs import Status as RunStatus
from countersign.domain.runs import Verb as RunVerb
from countersign.store.codec import from_ms
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import RedisClient
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed, Lease
from tests.repetitions import longer, times
from tests.sample_requests import ALICE, APPROVALS, BOB, CAROL, DAVE, GENERAL, HERE, attempt, question, rules
from tests.store_fixtures import NoQueue, announce_worker, card_is_there, start_run, update_lists

SOON = timedelta(milliseconds=25)
ENDS = (RunVerb.FINISH, RunVerb.FAIL)
Deed = Callable[[Store], Awaitable[None]]

which = st.integers(0, 30)
people = st.sampled_from([BOB, CAROL, DAVE, ALICE])
verbs = st.sampled_from([Verb.APPROVE, Verb.APPROVE, Verb.REJECT, Verb.RESPOND])
deeds = st.tuples(st.sampled_from(["decide", "expire", "withdraw", "stop", "park", "answer", "finish", "late"]), which)


class Meddled(Store):
    """A store in which something else happens before the next write, or whose next reply is lost."""

    between: Deed | None = None
    lost = False

    async def commit(self, change: Change) -> Committed:
        if self.between is not None:
            between, self.between = self.between, None
            await between(self)
        answer = await super().commit(change)
        if self.lost:
            self.lost = False
            return await super().commit(change)
        return answer


class Life(RuleBasedStateMachine):
    """Runs that ask, people who decide, a clock, workers that come and go."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.leases: list[Lease] = []
        self.asked: list[RequestId] = []
        self.attempts: list[tuple[RequestId, Any]] = []
        self.stands: dict[RequestId, Decision] = {}
        self.names = 0
        self.fences = 0
        self.do(self.open())

    def do(self, work: Awaitable[Any]) -> Any:
        async def whole() -> Any:
            return await work

        return self.loop.run(whole())

    async def open(self) -> None:
        self.client = RedisClient.from_url(self.url)
        self.store = Meddled(self.client, "m" + secrets.token_hex(6))
        await announce_worker(self.store)

    def teardown(self) -> None:
        async def close() -> None:
            keys = [key async for key in self.client.scan_iter(f"{self.store.keys.prefix}*", count=1000)]
            if keys:
                await self.client.delete(*keys)
            await self.client.aclose()

        self.do(close())
        self.loop.close()

    @precondition(lambda self: len(self.leases) < 3)
    @rule()
    def start(self) -> None:
        async def start() -> None:
            name = f"r{len(self.leases)}"
            await self.store.set_defaults(rules())
            self.leases.append(await self.claim((await start_run(self.store, name)).id, "first"))

        self.do(start())

    @precondition(lambda self: self.leases)
    @rule(run=which, agent=st.sampled_from("ab"), asked=st.integers(0, 2), content=which, quorum=st.integers(1, 2))
    def ask(self, run: int, agent: str, asked: int, content: int, quorum: int) -> None:
        """The same content is the same question, another one in its place withdraws it."""
        timeout = (timedelta(hours=1), SOON)[content % 2]
        how = (OnTimeout.REJECT, OnTimeout.APPROVE, OnTimeout.WAIT)[content % 7 % 3]

        async def ask() -> None:
            await self.store.set_defaults(rules(quorum=quorum, timeout=timeout, on_timeout=how))
            with contextlib.suppress(LeaseLost):
                found = await usecases.ask(
                    self.store, self.leases[run % len(self.leases)], question(f"c{content}", agent=agent, asked=asked)
                )
                if found.id not in self.asked:
                    self.asked.append(found.id)

        self.do(ask())

    @precondition(lambda self: self.asked)
    @rule(request=which, who=people, verb=verbs)
    def decide(self, request: int, who: UserId, verb: Verb) -> None:
        self.do(self.click(self.one(request), who, verb)(self.store))

    @precondition(lambda self: self.asked)
    @rule(request=which, who=people, verb=verbs, deed=deeds, lost=st.booleans())
    def decide_while(self, request: int, who: UserId, verb: Verb, deed: tuple[str, int], lost: bool) -> None:
        """Somebody clicks, and something else happens after the click was judged and before it is stored."""
        self.store.between, self.store.lost = self.deed(deed, request), lost
        self.do(self.click(self.one(request), who, verb)(self.store))
        self.store.between, self.store.lost = None, False

    @precondition(lambda self: self.leases)
    @rule(run=which, verb=verbs, who=people)
    def click_at_the_last_moment(self, run: int, verb: Verb, who: UserId) -> None:
        """R4: judged in time, stored too late."""
        lease = self.leases[run % len(self.leases)]

        async def click() -> None:
            await self.store.set_defaults(rules(timeout=SOON))
            self.names += 1
            with contextlib.suppress(LeaseLost):
                asked = await usecases.ask(self.store, lease, question(f"last {self.names}", agent="last"))
                self.asked.append(asked.id)
                self.store.between = self.deed(("late", 0), 0)
                await self.click(asked.id, who, verb)(self.store)
            self.store.between = None

        self.do(click())

    @precondition(lambda self: self.asked)
    @rule(request=which, deed=deeds)
    def park_while(self, request: int, deed: tuple[str, int]) -> None:
        """R5: somebody decides just when the run leaves memory."""
        self.two_things(("park", 0), deed, request)

    @precondition(lambda self: self.asked)
    @rule(first=deeds, second=deeds, request=which, lost=st.booleans())
    def two_at_once(self, first: tuple[str, int], second: tuple[str, int], request: int, lost: bool) -> None:
        self.two_things(first, second, request, lost)

    def two_things(self, first: tuple[str, int], second: tuple[str, int], request: int, lost: bool = False) -> None:
        self.store.between, self.store.lost = self.deed(second, request), lost
        self.do(self.deed(first, request)(self.store))
        self.store.between, self.store.lost = None, False

    @precondition(lambda self: self.attempts)
    @rule(at=which)
    def deliver_again(self, at: int) -> None:
        """R8: a click that comes again changes nothing, and what counted is not refused."""

        async def again() -> None:
            request, tried = self.attempts[at % len(self.attempts)]
            before, told = await self.store.request(request), len(await self.events())
            with contextlib.suppress(Refused):
                await usecases.decide(self.store, NoQueue(), request, tried)
            after = await self.store.request(request)
            assert before is not None
            assert after is not None
            if before.value.decision is not None:
                assert (after.version, len(await self.events())) == (before.version, told)
            assert sum(v.attempt == tried.id for v in after.value.votes) <= 1

        self.do(again())

    @rule()
    def sweep(self) -> None:
        async def sweep() -> None:
            due, _, now = await self.store.indexes.due(100)
            for name in due:
                settled = await usecases.catch_up(self.store, NoQueue(), name, card_is_there)
                assert settled is not None
                assert settled.deadline is not None
                assert settled.deadline <= now
                assert settled.status is not Status.PENDING

        self.do(sweep())

    @precondition(lambda self: self.leases)
    @rule(run=which)
    def take_over(self, run: int) -> None:
        """R20: who lost the run writes nothing any more."""

        async def take_over() -> None:
            at = run % len(self.leases)
            lost = self.leases[at]
            self.leases[at] = await self.claim(lost.run, secrets.token_hex(3))
            before = await self.version(lost.run)
            for write in (
                usecases.note_progress(self.store, lost, "agent", "words"),
                usecases.ask(self.store, lost, question("never", agent="frozen")),
                usecases.finish(self.store, lost, Finish(RunVerb.FINISH, "never")),
                usecases.park(self.store, lost, frozenset(self.asked)),
            ):
                with contextlib.suppress(LeaseLost):  # not raised for a repeat of its own end
                    await write
            assert await self.version(lost.run) == before

        self.do(take_over())

    @invariant()
    def everything_fits(self) -> None:
        self.do(self.check())

    async def check_lists(self, requests: dict[RequestId, Request], going_on: set[RunId]) -> None:
        """What waits for whom, who decided what, and whose runs go on, found without looking at every record."""
        await update_lists(self.store)
        keys, pending = self.store.keys, {r.id for r in requests.values() if r.status is Status.PENDING}
        settled = {r.id: r.decision for r in requests.values() if r.decision is not None}
        assert await self.index(keys.runs(ALICE)) == going_on
        for place in (GENERAL, APPROVALS):
            assert await self.index(keys.waits(place)) == pending
            assert await self.index(keys.decided(place)) == set(settled)
        for user in (BOB, CAROL):
            voted = {r.id for r in requests.values() if user in {v.user for v in r.votes}}
            assert await self.index(keys.waits(user)) == pending - voted
            by = {name for name, decision in settled.items() if user in decision.by}
            assert await self.index(keys.decided(user)) == by | (voted & set(settled))
        assert await self.index(keys.decided(ALICE)) == set(settled)

    async def check(self) -> None:
        found = await self.store.requests(self.asked)
        requests = {r.id: r for r in found if r is not None}
        assert len(requests) == len(self.asked)
        runs = {
            r.id: r
            for r in (await self.store.readable_runs([lease.run for lease in self.leases])).values()
            if r is not None
        }
        events = await self.events()
        for request in requests.values():
            self.check_request(request, runs[request.run], events)
        pending = {r.id for r in requests.values() if r.status is Status.PENDING}
        assert await self.index(self.store.keys.pending) == pending
        await self.check_lists(requests, {name for name, run in runs.items() if not run.over})
        opened = {name for run in runs.values() for name in run.open.values()}
        assert pending <= opened
        assert await self.index(self.store.keys.undelivered) == opened - pending
        parked = {run.id for run in runs.values() if run.status is RunStatus.PARKED}
        assert await self.index(self.store.keys.parked) == parked
        assert await self.index(self.store.keys.active) == {r.id for r in runs.values() if not r.over} - parked
        ends = [
            e.run for _, e in events if e.type in (EventType.RUN_FINISHED, EventType.RUN_FAILED, EventType.RUN_STOPPED)
        ]
        assert sorted(map(str, ends)) == sorted(run.id for run in runs.values() if run.over)

    def check_request(self, request: Request, run: Run, events: list[tuple[datetime, Event]]) -> None:
        """R3: one decision, told once, and it never changes."""
        told = [(at, e) for at, e in events if e.type is EventType.REQUEST_DECIDED and e.request == request.id]
        decision = request.decision
        assert (decision is None) == (request.status is Status.PENDING)
        assert len(told) == (decision is not None)
        assert len({v.user for v in request.votes}) == len(request.votes)
        if decision is None:
            assert not run.over
            return
        assert self.stands.setdefault(request.id, decision) == decision
        stored_at, event = told[0]
        assert event.data["outcome"] == request.status == decision.outcome
        if decision.how is How.REVIEWERS:
            assert set(decision.by) <= {BOB, CAROL}
            assert request.deadline is None or decision.at <= stored_at < request.deadline
            assert decision.outcome is not Status.APPROVED or len(set(decision.by)) >= request.rules.quorum
        if decision.how is How.TIMEOUT:
            assert request.deadline is not None
            assert decision.at >= request.deadline

    async def claim(self, run: RunId, owner: str) -> Lease:
        self.fences += 1
        lease = Lease(run, self.fences, owner)
        with contextlib.suppress(LeaseLost):
            await usecases.begin(self.store, lease)
        return lease

    async def version(self, run: RunId) -> int:
        seen = await self.store.run(run)
        assert seen is not None
        return seen.version

    def one(self, at: int) -> RequestId:
        """One of the newest: the older ones are settled, most of them."""
        return self.asked[-1 - at % min(4, len(self.asked))]

    def click(self, request: RequestId, who: UserId, verb: Verb) -> Deed:
        self.names += 1
        name = f"a{self.names}"

        async def click(store: Store) -> None:
            seen = await store.request(request)
            assert seen is not None
            tried = attempt(seen.value, who, verb, name=name, words="words")
            self.attempts.append((request, tried))
            try:
                after = await usecases.decide(store, NoQueue(), request, tried)
            except Refused as refused:
                assert refused.refusal is not Refusal.UNKNOWN
                return
            counted = after.decision is not None and after.decision.attempt == tried.id
            assert counted or any(v.attempt == tried.id for v in after.votes)

        return click

    def deed(self, drawn: tuple[str, int], request: int) -> Deed:
        """Something that somebody does about this request or its run."""
        kind, number = drawn
        name = self.one(request)
        if kind == "decide":
            return self.click(name, (BOB, CAROL)[number % 2], (Verb.APPROVE, Verb.REJECT)[number % 3 % 2])

        async def deed(store: Store) -> None:
            seen = await store.request(name)
            assert seen is not None
            lease = next(lease for lease in self.leases if lease.run == seen.value.run)
            match kind:
                case "late" if seen.value.deadline is not None and seen.value.rules.timeout == SOON:
                    while await store.now() < seen.value.deadline:
                        pass
                case "expire":
                    await usecases.catch_up(store, NoQueue(), name, card_is_there)
                case "withdraw":
                    with contextlib.suppress(LeaseLost):
                        await usecases.take_back(store, lease, name, "not wanted")
                case "stop" if number % 4 == 0:
                    await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
                case "park":
                    with contextlib.suppress(LeaseLost):
                        waits = await store.run(lease.run)
                        assert waits is not None
                        if await usecases.park(store, lease, frozenset(waits.value.open.values())):
                            await self.all_wait(lease.run)
                            self.leases[self.leases.index(lease)] = await self.claim(lease.run, f"w{number}")
                case "answer" if seen.value.status is not Status.PENDING:
                    with contextlib.suppress(LeaseLost):
                        await usecases.note_delivery(store, lease, seen.value.id)
                case "finish" if number % 4 == 0:
                    with contextlib.suppress(LeaseLost):
                        await usecases.finish(store, lease, Finish(ENDS[number % 2], "ended"))

        return deed

    async def all_wait(self, run: RunId) -> None:
        """R5: a run that is parked at this moment has heard every decision."""
        seen = await self.store.run(run)
        assert seen is not None
        asked = await self.store.requests(list(seen.value.open.values()))
        assert all(r is not None and r.status is Status.PENDING for r in asked)

    async def index(self, key: str) -> set[str]:
        return {member.decode() for member in await self.store.client.zrange(key, 0, -1)}

    async def events(self) -> list[tuple[datetime, Event]]:
        """With the server's clock when each was stored, which is in its id."""
        entries = await self.store.client.xrange(self.store.keys.events)
        return [(from_ms(int(entry.split(b"-")[0])), EVENTS.load(fields[b"event"])) for entry, fields in entries]


@longer
def test_one_decision_stands_whatever_people_and_workers_do(redis_url: str) -> None:
    """R3, R4, R5, R7, R8, R20."""

    class There(Life):
        url = redis_url

    how = settings(
        max_examples=times(4, 200),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    for tries_left in (2, 1, 0):
        try:
            return run_state_machine_as_test(There, settings=how)
        except FlakyStrategyDefinition:  # who wins a race decides which steps are possible after it
            if not tries_left:
                raise
