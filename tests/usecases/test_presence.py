"""What happens while nobody decides, on a real store, with the keeper of deadlines at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from countersign import usecases
from countersign.domain.channel_settings import Escalation, OnTimeout
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, ChannelId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Status
from countersign.domain.schedule import Snooze
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, delegation, presence
from countersign.usecases.ports import Change, Lease, Put
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, CAROL, DAVE, HERE, attempt, question
from tests.slack.socket_bot import events
from tests.store_fixtures import NoQueue, configure

SOON = timedelta(seconds=0.2)
NEXT = Escalation(SOON, Reviewers(frozenset({DAVE})), ChannelId("C0LEADS"))
BOB_HERE, CAROL_HERE, DAVE_HERE = Actor(HERE, BOB), Actor(HERE, CAROL), Actor(HERE, DAVE)


async def of_type(store: Store, kind: EventType) -> list[Event]:
    return [event for event in await events(store) if event.type is kind]


async def as_it_is(store: Store, asked: Request) -> Request:
    seen = await store.request(asked.id)
    assert seen is not None
    return seen.value


async def asked_before(store: Store, asked: Request, span: timedelta) -> Request:
    """As if it had been asked so long ago, and nobody had been there since."""
    seen = await store.request(asked.id)
    assert seen is not None
    deadline = seen.value.deadline and seen.value.deadline - span
    reminded = seen.value.reminded_at and seen.value.reminded_at - span
    older = replace(seen.value, created_at=seen.value.created_at - span, deadline=deadline, reminded_at=reminded)
    await store.commit(Change(requests=(Put(older, seen.version),)))
    return older


@asynccontextmanager
async def keeping(store: Store, wakeups: Wakeups) -> AsyncIterator[None]:
    keeper = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def happened(store: Store, kind: EventType, times: int) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        while len(found := await of_type(store, kind)) < times:
            await store.client.xread({store.keys.events: "$"}, block=50)
    return found


async def test_deadlines_remind_escalate_and_settle_in_time(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R20: the index holds what comes next, whatever it is."""
    minutes = timedelta(minutes=1)
    step = replace(NEXT, after=20 * minutes)
    await configure(store, timeout=60 * minutes, remind_after=10 * minutes, escalation=(step,))
    async with keeping(store, wakeups):
        asked = await usecases.ask(store, lease, question())
        await asked_before(store, asked, 11 * minutes)
        (reminder,) = await happened(store, EventType.REQUEST_REMINDED, 1)
        assert await of_type(store, EventType.REQUEST_ESCALATED) == []
        await asked_before(store, asked, 10 * minutes)
        (raised,) = await happened(store, EventType.REQUEST_ESCALATED, 1)
        assert (await as_it_is(store, asked)).status is Status.PENDING
        await asked_before(store, asked, 60 * minutes)
        settled = await wakeups.settled(asked.id)
    assert settled.status is Status.EXPIRED
    assert await of_type(store, EventType.REQUEST_REMINDED) == [reminder] and reminder.data["number"] == "1"
    assert (raised.data["reviewers"], raised.data["channel"]) == (DAVE, "C0LEADS")
    assert await store.client.zcard(store.keys.pending) == 0


async def test_overdue_steps_make_one_reminder_and_one_escalation(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R20, R26"""
    steps = (replace(NEXT, after=timedelta(minutes=30)), Escalation(timedelta(hours=1), Reviewers(frozenset({CAROL}))))
    await configure(store, timeout=timedelta(days=1), remind_after=timedelta(minutes=1), escalation=steps)
    asked = await asked_before(store, await usecases.ask(store, lease, question()), timedelta(hours=5))
    async with keeping(store, wakeups):
        await happened(store, EventType.REQUEST_REMINDED, 1)
    await usecases.catch_up(store, NoQueue(), asked.id)
    assert len(await of_type(store, EventType.REQUEST_REMINDED)) == 1
    (raised,) = await of_type(store, EventType.REQUEST_ESCALATED)
    assert raised.data["step"] == "2"
    due, following, now = await store.indexes.due(10)
    assert due == [] and following is not None and following > now


async def test_request_past_its_deadline_is_settled_and_not_escalated(store: Store, lease: Lease) -> None:
    """R20, R6"""
    await configure(store, timeout=timedelta(hours=1), remind_after=SOON, escalation=(NEXT,))
    asked = await asked_before(store, await usecases.ask(store, lease, question()), timedelta(hours=2))
    settled = await usecases.catch_up(store, NoQueue(), asked.id)
    assert settled is not None and settled.status is Status.EXPIRED
    assert await of_type(store, EventType.REQUEST_ESCALATED) == []


async def test_escalation_reviewer_may_decide_only_after_it(store: Store, lease: Lease) -> None:
    """R9, R3: the click is judged by what the store holds; the first reviewers may decide as before."""
    await configure(store, timeout=timedelta(days=1), escalation=(replace(NEXT, after=timedelta(hours=1)),))
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(Refused, match="not a reviewer"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE, name="early"))
    await asked_before(store, asked, timedelta(hours=2))
    await asyncio.gather(*(usecases.catch_up(store, NoQueue(), asked.id) for _ in range(5)))
    assert len(await of_type(store, EventType.REQUEST_ESCALATED)) == 1
    done = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE, name="later"))
    assert done.status is Status.APPROVED


async def test_request_without_a_deadline_is_reminded_and_never_settled(store: Store, lease: Lease) -> None:
    """R20"""
    await configure(store, on_timeout=OnTimeout.WAIT, remind_after=timedelta(hours=1))
    asked = await asked_before(store, await usecases.ask(store, lease, question()), timedelta(days=100))
    pending = await usecases.catch_up(store, NoQueue(), asked.id)
    assert pending is not None and (pending.status, pending.reminded) == (Status.PENDING, 1)


async def test_snooze_delivered_repeatedly_counts_once(store: Store, lease: Lease) -> None:
    """R8"""
    await configure(store, timeout=timedelta(days=2), remind_after=timedelta(minutes=10))
    asked = await usecases.ask(store, lease, question())
    _, before, _ = await store.indexes.due(10)
    for _ in range(3):
        await presence.snooze(store, asked.id, BOB_HERE, Snooze.HOUR, AttemptId("c1"))
    _, after, _ = await store.indexes.due(10)
    assert before is not None and after is not None
    assert after - before > timedelta(minutes=49)
    assert len(await of_type(store, EventType.REQUEST_SNOOZED)) == 1
    assert (await as_it_is(store, asked)).snoozed_by == BOB


async def test_simultaneous_viewers_are_both_noted(store: Store, lease: Lease) -> None:
    """R3, R25: the refused one is in the record."""
    asked = await usecases.ask(store, lease, question())
    await asyncio.gather(
        presence.look(store, asked.id, BOB_HERE, AttemptId("c1")),
        presence.look(store, asked.id, CAROL_HERE, AttemptId("c2")),
    )
    assert {one.user for one in (await as_it_is(store, asked)).looking} == {BOB, CAROL}
    with pytest.raises(Refused, match="not a reviewer"):
        await presence.look(store, asked.id, DAVE_HERE, AttemptId("c3"))
    assert [e.data["verb"] for e in await of_type(store, EventType.ATTEMPT_REFUSED)] == ["look"]
    assert (await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))).status is Status.APPROVED
    with pytest.raises(Refused, match="lready decided"):
        await presence.look(store, asked.id, CAROL_HERE, AttemptId("c4"))


async def test_simultaneous_absences_are_kept_and_end_on_return(store: Store) -> None:
    """R25: each with an event."""
    until = await store.now() + timedelta(days=3)
    people = [BOB_HERE, CAROL_HERE]
    await asyncio.gather(*(delegation.leave(store, person, DAVE_HERE, until) for person in people))
    seen = await store.absences()
    assert set(seen.value.behind(HERE, DAVE, seen.now)) == {BOB, CAROL}
    assert await delegation.come_back(store, BOB_HERE)
    assert not await delegation.come_back(store, BOB_HERE)
    assert (await store.absences()).value.behind(HERE, DAVE, seen.now) == (CAROL,)
    with pytest.raises(InvalidInput, match="be your own stand-in"):
        await delegation.leave(store, BOB_HERE, BOB_HERE, until)
    assert len([e for e in await of_type(store, EventType.STAND_IN_NAMED) if e.request is None]) == 2
    assert len(await of_type(store, EventType.STAND_IN_ENDED)) == 1
