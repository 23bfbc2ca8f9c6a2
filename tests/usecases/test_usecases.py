"""The verbs on a real store: whatever happens at once, a request is decided once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from countersign import metrics, usecases
from countersign.domain import decision_attempts, runs, schedule
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import InvalidInput, LeaseLost, NotFound, Refused
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId, RunId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Status, Verb
from countersign.metrics import Repair
from countersign.store.commit_plan import _COMMIT
from countersign.store.keys import KEPT
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import RedisClient
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Change, Committed, Lease, Put
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, question
from tests.store_fixtures import NoQueue, change_settings, configure, start_run


async def events(store: Store) -> list[Event]:
    return [EVENTS.load(fields[b"event"]) for _, fields in await store.client.xrange(store.keys.events)]


async def kinds(store: Store) -> list[EventType]:
    return [event.type for event in await events(store)]


async def test_fifty_simultaneous_clicks_on_two_processes_decide_once(
    store: Store, lease: Lease, redis_url: str
) -> None:
    """R3: one wins, 49 are told who did; all of them were judged when nobody had decided yet."""
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    other = RedisClient.from_url(redis_url)
    stores = [store, Store(other, store.keys.prefix[1:-2])]
    verbs = [Verb.APPROVE, Verb.REJECT]
    answers = await asyncio.gather(
        *(
            usecases.decide(
                stores[n % 2],
                NoQueue(),
                asked.id,
                attempt(asked, (BOB, CAROL)[n % 3 % 2], verbs[n % 2], name=f"c{n}"),
                seen,
            )
            for n in range(50)
        ),
        return_exceptions=True,
    )
    await other.aclose()
    lost = [a for a in answers if isinstance(a, Refused)]
    assert len(lost) == 49
    assert all("lready decided by U0" in str(refused) for refused in lost)
    found = await kinds(store)
    assert found.count(EventType.REQUEST_DECIDED) == 1
    assert found.count(EventType.ATTEMPT_REFUSED) == 49


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_redelivered_click_is_one_vote_and_one_event(store: Store, lease: Lease, verb: Verb) -> None:
    """R8, R25: counted once when it counts, recorded once when it does not."""
    asked = await usecases.ask(store, lease, question())
    for _ in range(5):
        with pytest.raises(Refused):
            await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE, name="refused"))
    for _ in range(5):
        done = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, verb, name="counted", words="why"))
        assert done.status is (Status.APPROVED if verb is Verb.APPROVE else Status.REJECTED)
    found = await kinds(store)
    assert found.count(EventType.ATTEMPT_REFUSED) == 1
    assert found.count(EventType.REQUEST_DECIDED) == 1


async def test_refused_click_is_logged_with_user_and_reason(store: Store, lease: Lease) -> None:
    """R25."""
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE, Verb.REJECT, words="never"))
    assert refused.value.refusal is Refusal.NOT_A_REVIEWER
    last = (await events(store))[-1]
    assert (last.user, last.request, last.data["refusal"]) == (DAVE, asked.id, "not_a_reviewer")
    assert last.data["words"] == "never"


async def test_window_opening_is_refused_and_logged_for_non_reviewers(store: Store, lease: Lease) -> None:
    """R13, R25: what is still to be entered in it keeps no window closed."""
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None
    wordless = attempt(asked, BOB, Verb.RESPOND, words="")
    assert await usecases.why_no_window(store, NoQueue(), seen, wordless) is None
    assert EventType.ATTEMPT_REFUSED not in await kinds(store)
    refused = await usecases.why_no_window(store, NoQueue(), seen, attempt(asked, DAVE, Verb.RESPOND))
    assert refused is not None and refused.refusal is Refusal.NOT_A_REVIEWER
    last = (await events(store))[-1]
    assert (last.type, last.user, last.data["refusal"]) == (EventType.ATTEMPT_REFUSED, DAVE, "not_a_reviewer")


async def test_unknown_request_is_reported_as_gone(store: Store, lease: Lease) -> None:
    """R7."""
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(NotFound, match="no longer exists"):
        await usecases.decide(store, NoQueue(), RequestId("qnothing"), attempt(asked))


async def test_repeated_question_returns_its_stored_request(store: Store, lease: Lease) -> None:
    """R2: own id first; a rebuilt run that asks the same gets the same request, also when it was decided meanwhile."""
    asked = await usecases.ask(store, lease, question())
    assert await usecases.ask(store, lease, question()) == asked
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    assert (await usecases.ask(store, lease, question())).status is Status.APPROVED
    assert (await kinds(store)).count(EventType.REQUEST_ASKED) == 1


async def test_changed_question_withdraws_the_earlier_one(store: Store, lease: Lease) -> None:
    """R1: an old card can no longer approve what the run asks now."""
    old = await usecases.ask(store, lease, question("delete a file"))
    new = await usecases.ask(store, lease, question("delete all files"))
    assert new.id != old.id
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), old.id, attempt(old))
    assert refused.value.refusal is Refusal.WITHDRAWN
    assert (await usecases.decide(store, NoQueue(), new.id, attempt(new))).status is Status.APPROVED


async def test_run_waits_until_all_its_questions_are_answered(store: Store, lease: Lease) -> None:
    """The last delivered answer sets it running again."""
    first = await usecases.ask(store, lease, question())
    second = await usecases.ask(store, lease, question(agent="other"))
    for asked, expected in ((second, runs.Status.WAITING), (first, runs.Status.RUNNING)):
        done = await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
        assert (await usecases.note_delivery(store, lease, done.id)).status is expected


async def test_decision_and_delivery_are_two_events(store: Store, lease: Lease) -> None:
    """R5."""
    asked = await usecases.ask(store, lease, question())
    done = await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    assert EventType.DECISION_DELIVERED not in await kinds(store)
    for _ in range(2):
        await usecases.note_delivery(store, lease, done.id)
    assert (await kinds(store)).count(EventType.DECISION_DELIVERED) == 1


async def test_request_expires_at_its_deadline(
    store: Store, lease: Lease, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R17, R20: expired, not rejected, at its time, whenever the keeper looks again by itself; a later click changes
    nothing and is told.
    """
    monkeypatch.setattr(deadlines, "_LONGEST_SLEEP", timedelta(hours=1))
    await configure(store, timeout=timedelta(seconds=0.3))
    keeper = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
    asked = await usecases.ask(store, lease, question())
    settled = await wakeups.settled(asked.id)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert settled.status is Status.EXPIRED
    assert settled.decision is not None
    assert asked.deadline is not None
    assert settled.decision.at >= asked.deadline
    with pytest.raises(Refused, match="Time ran out"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    assert await store.client.zcard(store.keys.pending) == 0


async def test_late_click_settles_an_overdue_request(store: Store, lease: Lease) -> None:
    """R20: the server's clock refuses it, whether or not anybody swept."""
    await configure(store, timeout=timedelta(0))
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(Refused, match="Time ran out"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    seen = await store.request(asked.id)
    assert seen is not None
    assert seen.value.status is Status.EXPIRED


async def test_commit_script_refuses_a_decision_after_the_deadline(store: Store, lease: Lease) -> None:
    """R20: between reading the clock and writing, the deadline may pass."""
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None
    step = decision_attempts.decide(seen.value, attempt(asked), seen.now)
    late = Change(requests=(Put(step.request, seen.version),), events=step.events, before=seen.now)
    assert await store.commit(late) is Committed.LATE
    still = await store.request(asked.id)
    assert still is not None
    assert still.value.status is Status.PENDING


async def test_click_judged_in_time_but_stored_late_is_refused(store: Store, lease: Lease) -> None:
    """R20: the verb asks the script to look at the clock once more."""
    await configure(store, timeout=timedelta(0))
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None and asked.deadline is not None
    in_time = replace(seen, now=asked.deadline - timedelta(seconds=1))
    with pytest.raises(Refused, match="Time ran out"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked), in_time)
    still = await store.request(asked.id)
    assert still is not None
    assert still.value.status is Status.EXPIRED


async def test_lost_lease_writes_nothing(store: Store, lease: Lease) -> None:
    old = replace(lease, fence=lease.fence - 1)
    with pytest.raises(LeaseLost):
        await usecases.ask(store, old, question())
    with pytest.raises(LeaseLost):
        await usecases.note_progress(store, old, "drafter", "still here")
    assert EventType.REQUEST_ASKED not in await kinds(store)


async def test_settled_keys_expire_and_pending_keys_do_not(store: Store, lease: Lease) -> None:
    """R4: a request outlasts any weekend; a month after its end nothing is left of it, nor of its run."""
    asked = await usecases.ask(store, lease, question())
    keys = [store.keys.request(asked.id), store.keys.run(lease.run)]
    assert [await store.client.ttl(key) for key in keys] == [-1, -1]
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    month = KEPT.total_seconds()
    assert await store.client.ttl(keys[0]) == -1
    await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    assert all([month - 60 < await store.client.ttl(key) <= month for key in keys])


async def test_stopped_run_withdraws_its_questions_in_one_step(store: Store, lease: Lease) -> None:
    """R6: every path settles the card."""
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(InvalidInput, match="It is still running"):
        await usecases.stop(store, lease.run, Actor(HERE, DAVE), frozenset())
    stopped = await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    assert stopped.status is runs.Status.STOPPED
    seen = await store.request(asked.id)
    assert seen is not None
    assert seen.value.status is Status.WITHDRAWN
    with pytest.raises(LeaseLost):
        await usecases.note_delivery(store, lease, asked.id)
    assert (await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())) == stopped


async def test_start_delivered_twice_makes_one_run(store: Store, lease: Lease) -> None:
    """R8."""
    await new_run_again(store, lease)
    assert (await kinds(store)).count(EventType.RUN_QUEUED) == 1


async def new_run_again(store: Store, lease: Lease) -> None:
    await start_run(store, lease.run, task="x")


@pytest.mark.parametrize(
    ("team", "task", "said"),
    [
        ("email", "  ", "Add a task"),
        ("email", "x" * 50_000, "50,000 characters"),
        ("nope", "x", "no team “nope”"),
    ],
)
async def test_invalid_start_is_refused_and_starts_nothing(store: Store, team: str, task: str, said: str) -> None:
    """An unknown team, an empty task and the like."""
    with pytest.raises(InvalidInput, match=said):
        await start_run(store, "r1", team=team, task=task)
    assert await store.run(RunId("r1")) is None


async def none_wrong(_: object) -> list[Sentence]:
    return []


async def test_only_permitted_people_change_settings(store: Store) -> None:
    """R9, R10, R25: refused attempts are in the record."""
    who = Actor(HERE, BOB)
    _, after, *_ = await change_settings(
        store, who, lambda s: replace(s, on_timeout=OnTimeout.APPROVE), admins=frozenset({BOB})
    )
    assert after.on_timeout is OnTimeout.APPROVE
    with pytest.raises(InvalidInput, match="Only workspace admins"):
        await usecases.configure(
            store, GENERAL, Actor(HERE, UserId("U0EVE")), frozenset(), lambda s: replace(s, quorum=1), none_wrong
        )
    with pytest.raises(InvalidInput, match="Nobody would be allowed"):
        await usecases.configure(
            store, GENERAL, who, frozenset(), lambda s: replace(s, reviewers=Reviewers()), none_wrong
        )
    assert await usecases.rules_of(store, GENERAL) == after
    assert (await kinds(store))[-3:] == [
        EventType.SETTINGS_CHANGED,
        EventType.SETTINGS_REFUSED,
        EventType.SETTINGS_REFUSED,
    ]


async def test_request_keeps_the_rules_it_was_asked_under(store: Store, lease: Lease) -> None:
    asked = await usecases.ask(store, lease, question())
    admin = Actor(HERE, BOB, is_admin=True)
    await change_settings(store, admin, lambda s: replace(s, reviewers=Reviewers(frozenset({DAVE}))))
    with pytest.raises(Refused):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE))
    assert (await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))).status is Status.APPROVED


async def test_settled_request_wakes_its_waiter(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R5: subscribe, then read."""
    asked = await usecases.ask(store, lease, question())
    waiting = asyncio.create_task(wakeups.settled(asked.id))
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, name="one"))
    assert (await waiting).status is Status.APPROVED
    assert (await wakeups.settled(asked.id)).status is Status.APPROVED


class Cutting(Store):
    """In one step with what it stores the subscriptions are cut, so that no hint of it reaches anybody."""

    def __init__(self, of: Store) -> None:
        super().__init__(of.client, of.keys.prefix[1:-2])
        stored = of.client.register_script(_COMMIT)

        async def cut(keys: list[str], args: list[bytes]) -> bytes:
            async with self.client.pipeline(transaction=True) as step:
                step.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await stored(keys=keys, args=args, client=step)
                answer: bytes = (await step.execute())[-1]
                return answer

        self._commit = cut  # type: ignore[assignment]


async def test_decision_during_a_cut_subscription_is_read_back(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R5: a hint may be lost, the state may not."""
    with repaired(Repair.HINT_LOST, 3):
        for n in range(3):
            asked = await usecases.ask(store, lease, question(asked=n))
            waiting = asyncio.create_task(wakeups.settled(asked.id))
            for _ in range(3):  # by then whoever waits has looked for the first time
                await asyncio.sleep(0)
                await store.request(asked.id)
            await usecases.decide(Cutting(store), NoQueue(), asked.id, attempt(asked, name=f"c{n}"))
            async with asyncio.timeout(PATIENCE):
                assert (await waiting).status is Status.APPROVED


async def test_missed_deadline_is_settled_at_the_start_and_logged(
    store: Store, lease: Lease, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R5, R20: by whichever process is back first."""
    monkeypatch.setattr(schedule, "LATE", timedelta(0))
    await configure(store, timeout=timedelta(seconds=0.1))
    asked = await usecases.ask(store, lease, question())
    assert asked.deadline is not None
    while await store.now() <= asked.deadline:  # noqa: ASYNC110 -- the server's clock wakes nobody
        await asyncio.sleep(0.01)
    keeper = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
    async with asyncio.timeout(PATIENCE):
        assert (await wakeups.settled(asked.id)).status is Status.EXPIRED
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert "while no process ran" in caplog.text
    raw = (await store.client.xrange(store.keys.events))[-1][1][b"event"]
    with repaired(Repair.DEADLINE_MISSED, 1):
        metrics.happened(EVENTS.load(raw))


async def test_cancellation_arriving_with_a_redis_reply_is_kept(store: Store, lease: Lease) -> None:
    """Redis-py 8.1 swallows some; a process that cancels its tasks at the end would hang."""

    async def reading() -> None:
        while True:
            await store.run(lease.run)

    for delay in range(60):
        task = asyncio.create_task(reading())
        await asyncio.sleep(delay / 50_000)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        assert done, f"the task ignored its cancellation after {delay / 50} ms"
        assert task.cancelled()
