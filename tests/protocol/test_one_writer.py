"""The protocol between worker and `web` keeps its promises, whatever is lost, repeated, reordered, frozen or killed.

The machine plays one run of a small team. Between any two steps it may lose or repeat a call, delay it past later ones,
kill or freeze a worker, take its lease away, cut the power of the workers' store, or let people decide and stop. After
each step the invariants of docs/decisions/0008-one-writer.md hold, and in quiet times every run reaches its end.

A `web` that is down is one whose calls do not arrive. `web` answers once its store has the change on disk, so a store
that is restored to its last fsync has lost a call that was never answered: a lost call.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from countersign.domain.executions import ExecutionOutcome
from tests.protocol import web_rules
from tests.protocol.web_rules import LONGEST, OVER, Ask, Begin, Call, Phase, Refusal, Report, Status, WebRun
from tests.protocol.worker import IDEMPOTENT, Act, Area, LeaseLost, Pause, Reply, Step, Working, work
from tests.repetitions import times

MOST_WORKERS: Final = 2
RESTING_ROUNDS: Final = 60
"""Steps in which a run comes to rest once nothing goes wrong and nobody decides."""
QUIET_ROUNDS: Final = 400
"""Steps in which a run must end once nothing goes wrong any more."""


@dataclass(eq=False, slots=True)
class Worker:
    """One worker process: what it does, the call it waits for, and whether the process is alive."""

    number: int
    job: int
    steps: Working
    waits_for: Call | None = None
    reply: Reply | None = None
    step: Step | None = None
    begun: bool = False


STRANGER: Final = Worker(0, 0, work(Area(), 0, parks=False))
"""Sends calls that no worker of ours sends."""


@dataclass(eq=False, slots=True)
class Message:
    """A call on its way to `web`."""

    sender: Worker
    call: Call


@dataclass(eq=False)
class World:
    """Everything there is: `web`, the workers' store, the network, people, and what happened outside."""

    run: WebRun = field(default_factory=WebRun)
    area: Area = field(default_factory=Area)
    now: int = 0
    network: list[Message] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    born: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    granted: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The fences under which each execution was granted."""
    decided_parked: int = -1
    """The greatest fence under which the run was parked when a request of it was decided."""
    journal_lost: bool = False

    def start(self, *, parks: bool) -> None:
        """Let a new process take a job."""
        self.born += 1
        job = min(self.area.jobs)
        self.workers.append(Worker(self.born, job, work(self.area, self.born, parks=parks)))

    def advance(self, worker: Worker) -> None:
        """Let a worker do its next local step; one that waits for `web` does nothing."""
        if worker.waits_for is not None and worker.reply is None:
            return
        try:
            if isinstance(worker.step, Act):
                self.acts[worker.step.execution] += 1
            reply, worker.waits_for, worker.reply = worker.reply, None, None
            worker.step = worker.steps.send(reply) if worker.begun else next(worker.steps)
            worker.begun = True
        except (StopIteration, LeaseLost):
            self.workers.remove(worker)
            if self.area.holder == worker.number:
                self.area.holder = None
            self.area.jobs.discard(worker.job)
            return
        if not isinstance(worker.step, Act | Pause):
            worker.waits_for = worker.step
            self.network.append(Message(worker, worker.step))

    def arrive(self, message: Message, *, reply_lost: bool) -> None:
        """Let `web` answer a call; the invariants about single calls are checked here."""
        before, call = self.run, message.call
        self.run, refusal = web_rules.answer(before, call, self.now)
        accepted = refusal is None and self.run is not before
        if accepted and not isinstance(call, Report):
            assert call.fence >= before.fence, "an accepted fence is lower than one before"
        if accepted and isinstance(call, Begin):
            assert not before.over and call.fence == before.fence > before.closed, (
                "granted after a stop, or under an old fence"
            )
        if accepted and self.run.phase is Phase.PARKED and before.phase is not Phase.PARKED:
            assert not isinstance(call, Ask)
            awaited = getattr(call, "awaited", ())
            assert all(before.requests[name].status is Status.PENDING for name in awaited), "parked beside a decision"
        if refusal is None and isinstance(call, Begin):
            self.granted[call.execution].add(call.fence)
        if refusal is not None:  # a beginning delivers its decision whatever the answer is
            assert replace(self.run, requests=before.requests) == before, "a refusal changed something"
        if message.sender.waits_for == call and not reply_lost:
            message.sender.reply = Reply(self.run, refusal)

    def decide(self, request: str, status: Status) -> None:
        """Let people or the clock decide."""
        before = self.run.requests[request]
        self.run = web_rules.decide(self.run, request, status, self.now)
        after = self.run.requests[request]
        assert before.status is Status.PENDING or after == before, "decided twice"
        if after != before and self.run.phase is Phase.PARKED:
            self.decided_parked = self.run.fence
        if after.status in (Status.APPROVED, Status.REJECTED) and after != before:
            assert self.now < after.deadline, "a decision at or after the deadline"

    def send_jobs(self) -> None:
        """Let `web` empty its outbox into the job queue."""
        self.area.jobs |= self.run.outbox
        self.run = replace(self.run, outbox=frozenset())

    def reconcile(self) -> None:
        """Add a job for a run that has none, no lease, and something to do."""
        decided = any(
            asked.status is not Status.PENDING and not asked.delivered for asked in self.run.requests.values()
        )
        idle = not self.area.jobs and self.area.holder is None and not self.run.outbox
        if idle and not self.run.over and (self.run.phase is Phase.ACTIVE or decided):
            self.area.jobs.add(self.run.generation)

    def quiet_round(self, *, parks: bool, approves: bool) -> None:
        """Let everything do one step, and nothing go wrong."""
        self.send_jobs()
        self.reconcile()
        for name in self.pending() if approves else []:
            due = self.now >= self.run.requests[name].deadline
            self.decide(name, Status.EXPIRED if due else Status.APPROVED)
        if self.area.jobs and self.area.holder is None and len(self.workers) < MOST_WORKERS:
            self.start(parks=parks)
        for worker in list(self.workers):
            self.advance(worker)
        messages, self.network = self.network, []
        for message in messages:
            self.arrive(message, reply_lost=False)

    def pending(self) -> list[str]:
        """List the requests that wait for people."""
        return [name for name, asked in self.run.requests.items() if asked.status is Status.PENDING]

    def check_rest(self) -> None:
        """Check what holds once nothing goes wrong and nobody decides: the run is at work, or people are asked."""
        # Not every decision is delivered: a doubt is over when its execution's result comes after all.
        assert self.run.over or self.run.fence > self.decided_parked, "parked, decided, and never claimed"
        at_work = self.area.jobs or self.area.holder is not None or self.run.outbox
        assert self.run.over or at_work or self.pending(), "no job, no lease and no open question"

    def check(self) -> None:
        """Check the invariants of the state."""
        for execution, count in self.acts.items():
            assert count <= len(self.granted[execution]), f"{execution} ran {count} times"
        by_request = Counter(str(grant.request) for grant in self.run.grants.values())
        for execution, grant in self.run.grants.items():
            idempotent = grant.request in IDEMPOTENT
            assert idempotent or len(self.granted[execution]) == 1, f"{execution} was granted again"
            if grant.outcome is ExecutionOutcome.IN_DOUBT:
                is_asked = f"doubt/{execution}" in self.run.requests
                assert is_asked or execution in self.run.told, f"nobody was told of {execution}"
            number = int(execution.rpartition("#")[2])
            doubt = f"doubt/{grant.request}#{number - 1}"
            if number > 1:
                assert self.run.requests[doubt].status is Status.APPROVED, "acts again and nobody said so"
            assert number <= by_request[grant.request]
        for name, asked in self.run.requests.items():
            if asked.delivered and not self.journal_lost:
                assert f"place/{name}" in self.area.journal, "delivered without a place in the journal"
        asked_last = [name for name in self.run.requests if name.startswith("c:")]
        assert self.journal_lost or len(asked_last) <= 1, "a rebuilt run asked the same at another address"
        if self.run.over:
            assert not self.pending() and not self.run.untold and not self.run.outbox


class Protocol(RuleBasedStateMachine):
    """Faults in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule()
    def jobs_are_sent(self) -> None:
        self.world.send_jobs()

    @rule()
    def reconciler_looks(self) -> None:
        self.world.reconcile()

    @precondition(lambda self: self.world.area.jobs and len(self.world.workers) < MOST_WORKERS)
    @rule(parks=st.booleans())
    def worker_starts(self, parks: bool) -> None:
        self.world.start(parks=parks)

    @precondition(lambda self: self.world.workers)
    @rule(data=st.data(), steps=st.integers(1, 4))
    def worker_steps(self, data: st.DataObject, steps: int) -> None:
        worker = data.draw(st.sampled_from(self.world.workers))
        for _ in range(steps):
            if worker in self.world.workers:
                self.world.advance(worker)

    @precondition(lambda self: self.world.network)
    @rule(data=st.data(), repeated=st.booleans(), reply_lost=st.sampled_from([False, False, True]))
    def call_arrives(self, data: st.DataObject, repeated: bool, reply_lost: bool) -> None:
        message = data.draw(st.sampled_from(self.world.network))
        if not repeated:
            self.world.network.remove(message)
        self.world.arrive(message, reply_lost=reply_lost)

    @precondition(lambda self: self.world.network)
    @rule()
    def call_is_lost(self) -> None:
        self.world.network.pop(0)

    @precondition(lambda self: self.world.workers)
    @rule(data=st.data())
    def worker_calls_again(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.world.workers))
        if worker.waits_for is not None and worker.reply is None:
            self.world.network.append(Message(worker, worker.waits_for))

    @precondition(lambda self: self.world.run.grants)
    @rule(data=st.data(), behind=st.sampled_from([0, 0, 1]))
    def another_execution_is_wanted(self, data: st.DataObject, behind: int) -> None:
        """A worker with a bug wants to act again, perhaps under an old fence, with any question as its reason."""
        world = self.world
        request = str(data.draw(st.sampled_from([*world.run.grants.values()])).request)
        number = 1 + sum(grant.request == request for grant in world.run.grants.values())
        doubt = data.draw(st.sampled_from(["", *world.run.requests]))
        begin = Begin(world.run.fence - behind, request, f"{request}#{number}", f"digest of {request}", doubt)
        world.arrive(Message(STRANGER, begin), reply_lost=True)

    @precondition(lambda self: self.world.workers)
    @rule(data=st.data())
    def worker_is_killed(self, data: st.DataObject) -> None:
        self.world.workers.remove(data.draw(st.sampled_from(self.world.workers)))

    @rule(rounds=st.integers(1, 12), parks=st.booleans(), approves=st.booleans())
    def things_go_well(self, rounds: int, parks: bool, approves: bool) -> None:
        """Without it, faults come so often that no run gets as far as an act."""
        for _ in range(rounds):
            self.world.quiet_round(parks=parks, approves=approves)

    @rule()
    def lease_runs_out(self) -> None:
        self.world.area.holder = None

    @rule()
    def power_of_the_workers_store_is_cut(self) -> None:
        area = self.world.area
        for key in area.unsynced:
            del area.journal[key]
        area.unsynced.clear()

    @precondition(lambda self: self.world.area.journal)
    @rule(chance=st.integers(0, 9))
    def workers_store_is_lost(self, chance: int) -> None:
        if chance == 0:
            area = self.world.area
            # A new store begins its fences at the clock, so they are greater than those of the lost one.
            area.journal.clear()
            area.unsynced.clear()
            area.jobs.clear()
            area.holder = None
            self.world.journal_lost = True

    @precondition(lambda self: self.world.pending())
    @rule(data=st.data(), status=st.sampled_from([Status.APPROVED, Status.APPROVED, Status.REJECTED]))
    def reviewer_decides(self, data: st.DataObject, status: Status) -> None:
        self.world.decide(data.draw(st.sampled_from(self.world.pending())), status)

    @rule(ticks=st.integers(1, LONGEST))
    def time_passes(self, ticks: int) -> None:
        self.world.now += ticks
        for name in self.world.pending():
            self.world.decide(name, Status.EXPIRED)

    @rule(chance=st.integers(0, 9))
    def run_is_stopped(self, chance: int) -> None:
        if chance == 0:
            self.world.run = web_rules.stop(self.world.run)

    @invariant()
    def promises_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Once nothing goes wrong any more, the run reaches its end."""
        world = self.world
        world.network.clear()
        world.area.holder = None
        frozen, world.workers = world.workers, []
        for _ in range(RESTING_ROUNDS):
            world.quiet_round(parks=True, approves=False)
            world.check()
        world.check_rest()
        for _ in range(QUIET_ROUNDS):
            if world.run.phase in OVER and not world.workers:
                break
            world.quiet_round(parks=True, approves=True)
            world.check()
        assert world.run.phase in OVER, f"the run never ends: {world.run}"
        for worker in frozen:  # they wake up at last
            world.workers.append(worker)
            for _ in range(5):
                if worker in world.workers:
                    world.advance(worker)
            for message in world.network:
                world.arrive(message, reply_lost=False)
            world.network.clear()
        world.check()


Protocol.TestCase.settings = settings(max_examples=times(200, 2000), stateful_step_count=60)
TestProtocol = Protocol.TestCase


class TestRules:
    """Single steps, as the decision's table lists them."""

    def test_repeated_park_gets_the_same_answer(self) -> None:
        run, _ = web_rules.answer(WebRun(), web_rules.Claim(1), 0)
        run, _ = web_rules.answer(run, Ask(1, "a", "d"), 0)
        parked, _ = web_rules.answer(run, web_rules.Park(1, frozenset("a")), 0)
        assert web_rules.answer(parked, web_rules.Park(1, frozenset("a")), 0) == (parked, None)

    def test_decision_on_a_parked_run_adds_a_job(self) -> None:
        run, _ = web_rules.answer(WebRun(outbox=frozenset()), web_rules.Claim(1), 0)
        run, _ = web_rules.answer(run, Ask(1, "a", "d"), 0)
        run, _ = web_rules.answer(run, web_rules.Park(1, frozenset("a")), 0)
        assert web_rules.decide(run, "a", Status.APPROVED, 1).outbox == {2}

    @pytest.mark.parametrize("call", [web_rules.Finish(1), Begin(1, "a", "a#1", "d"), Ask(1, "b", "d")])
    def test_call_under_a_lower_fence_is_stale(self, call: Call) -> None:
        run, _ = web_rules.answer(WebRun(), web_rules.Claim(1), 0)
        run, _ = web_rules.answer(run, Ask(1, "a", "d"), 0)
        run, _ = web_rules.answer(run, web_rules.Claim(2), 0)
        assert web_rules.answer(run, call, 0) == (run, Refusal.STALE)

    def test_nothing_is_granted_after_a_stop(self) -> None:
        run = WebRun()
        for call in (web_rules.Claim(1), Ask(1, "a", "d")):
            run, _ = web_rules.answer(run, call, 0)
        run = web_rules.stop(web_rules.decide(run, "a", Status.APPROVED, 1))
        assert web_rules.answer(run, Begin(1, "a", "a#1", "d"), 2) == (run, Refusal.OVER)

    def test_second_execution_needs_an_approved_doubt(self) -> None:
        run = WebRun()
        for call in (web_rules.Claim(1), Ask(1, "a", "d")):
            run, _ = web_rules.answer(run, call, 0)
        run = web_rules.decide(run, "a", Status.APPROVED, 1)
        run, _ = web_rules.answer(run, Begin(1, "a", "a#1", "d"), 2)
        run, _ = web_rules.answer(run, Ask(1, "doubt", "d", about="a#1"), 2)
        again = Begin(1, "a", "a#2", "d", doubt="doubt")
        assert web_rules.answer(run, again, 3)[1] is Refusal.TAKEN
        run = web_rules.decide(run, "doubt", Status.APPROVED, 3)
        assert web_rules.answer(run, again, 4)[1] is None

    def test_begin_compares_the_digest(self) -> None:
        """R37: what was approved is what may begin."""
        run = WebRun()
        for call in (web_rules.Claim(1), Ask(1, "a", "shown")):
            run, _ = web_rules.answer(run, call, 0)
        run = web_rules.decide(run, "a", Status.APPROVED, 1)
        assert web_rules.answer(run, Begin(1, "a", "a#1", "another"), 2) == (run, Refusal.CHANGED)
