"""One record that nobody can read, damaged or of a newer program, keeps nobody from the others (R4)."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.ids import RequestId, RunId, WorkerId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Scope, Status
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Run, Verb
from countersign.domain.runs import Status as RunStatus
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.store.codec import Codec
from countersign.store.request_lists import Lists, Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, permission_use
from countersign.usecases.ports import Announcement, Change, Lease, Put, TeamInfo
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, HERE, attempt, call, question, request
from tests.store_fixtures import NoQueue, new_run, start_run

BROKEN = b"9 2\n\x01 no record"
RUN = RunId("rtest")


async def asked(store: Store, number: int = 0, **terms: Any) -> Request:
    """A request that is stored, whose run does not know of it."""
    made = request(await store.now(), asked=question(asked=number), **terms)
    await store.commit(Change(requests=(Put(made, 0),)))
    return made


async def lists_know(store: Store, *made: Request) -> None:
    """As they are now."""
    found = await store.requests([one.id for one in made])
    await Lists(store).keep([one for one in found if one is not None])


async def break_request(store: Store, made: Request) -> None:
    """As damage does."""
    await store.client.set(store.keys.request(made.id), BROKEN, keepttl=True)


async def break_run(store: Store, run: RunId) -> None:
    """As damage does."""
    await store.client.set(store.keys.run(run), BROKEN, keepttl=True)


async def of_a_newer_version(store: Store, made: Request) -> None:
    """As `web` of one writes it."""
    await store.client.set(store.keys.request(made.id), b"1 99\nwho knows", keepttl=True)


async def at_work(store: Store, *contents: str) -> tuple[Lease, list[Request]]:
    """A run in a worker's hands that has asked this, and waits."""
    lease = await new_run(store)
    return lease, [await usecases.ask(store, lease, question(text, agent=text)) for text in contents]


async def run_of(store: Store) -> Run:
    seen = await store.run(RUN)
    assert seen is not None
    return seen.value


async def status_of(store: Store, made: Request) -> Status:
    seen = await store.request(made.id)
    assert seen is not None
    return seen.value.status


async def stop(store: Store) -> Run:
    return await usecases.stop(store, RUN, Actor(HERE, ALICE), frozenset())


@pytest.fixture
async def two(store: Store) -> list[Request]:
    """Two requests of a run; the record of the first is broken."""
    await start_run(store)
    both = [await asked(store, number) for number in range(2)]
    await lists_know(store, *both)
    await break_request(store, both[0])
    return both


async def test_waiting_requests_are_listed_without_the_unreadable_one(store: Store, two: list[Request]) -> None:
    """For a Home, for `/approvals pending`, and for whoever looks through all that waits."""
    assert await store.indexes.waiting(9) == [two[1]]
    found = await Overview(store).waiting([BOB], BOB, lambda request: True, 9)
    assert (list(found.requests), found.total) == ([two[1]], 1)


async def test_unreadable_request_stays_in_the_lists_until_readable(store: Store, two: list[Request]) -> None:
    """R5: a program that cannot read it must not conclude that it is gone."""
    overview = Overview(store)
    await overview.waiting([BOB], BOB, lambda request: True, 9)
    raw = Codec(Request).write(two[0], 1)
    await store.client.set(store.keys.request(two[0].id), raw, keepttl=True)
    found = await overview.waiting([BOB], BOB, lambda request: True, 9)
    assert {one.id for one in found.requests} == {one.id for one in two}


async def test_unreadable_request_is_logged_once(
    store: Store, two: list[Request], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await store.indexes.waiting(9)
    (line,) = [r.getMessage() for r in caplog.records if two[0].id in r.getMessage()]
    assert "left out" in line and "cannot be decompressed" in line


async def test_unreadable_request_counts_as_neither_gone_nor_present(store: Store, two: list[Request]) -> None:
    """R5: a run of which a question cannot be read does not go on as if nobody had asked."""
    with pytest.raises(UnknownSchema):
        await store.requests([request.id for request in two])
    assert await store.readable([two[0].id, RequestId("qother")]) == {RequestId("qother"): None}


async def test_decisions_are_listed_without_the_unreadable_one(store: Store) -> None:
    await start_run(store)
    both = [await asked(store, number) for number in range(2)]
    for made in both:
        await usecases.decide(store, NoQueue(), made.id, attempt(made, name=f"by-{made.id}"))
    await lists_know(store, *both)
    await store.client.set(store.keys.request(both[0].id), BROKEN, keepttl=True)  # by a newer web
    found = await Overview(store).decided(BOB, 9)
    assert [one.id for one in found] == [both[1].id]
    undelivered = await store.indexes.undelivered(9, timedelta(0))
    assert [one.id for one in undelivered] == [both[1].id]


async def test_deadlines_are_kept_beside_an_unreadable_request(store: Store, two: list[Request]) -> None:
    await store.client.zadd(store.keys.pending, {name: 1 for name in (two[0].id, b"\xff\xfe")})
    over = request(await store.now() - timedelta(hours=2), asked=question(asked=7))
    await store.commit(Change(requests=(Put(over, 0),)))
    async with Wakeups(store) as wakeups:
        keeping = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
        assert (await asyncio.wait_for(wakeups.settled(over.id), PATIENCE)).status is Status.EXPIRED
        assert not keeping.done()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_lost_hint_beside_an_unreadable_request_is_repaired(store: Store) -> None:
    """R5: the wait for the readable request ends."""
    await start_run(store)
    both = [await asked(store, number) for number in range(2)]
    async with Wakeups(store) as wakeups:
        waits = [asyncio.create_task(wakeups.settled(made.id)) for made in both]
        await wakeups.listening()
        await store.client.zrem(store.keys.pending, both[0].id)
        await break_request(store, both[0])
        await usecases.decide(store, NoQueue(), both[1].id, attempt(both[1]))
        assert (await asyncio.wait_for(waits[1], PATIENCE)).status is Status.APPROVED
        assert await wakeups._requests.look([*wakeups._requests.futures]) == 0
        assert not waits[0].done()
        waits[0].cancel()
        await asyncio.gather(waits[0], return_exceptions=True)


async def test_runs_are_listed_without_the_unreadable_one(store: Store) -> None:
    await start_run(store)
    other = RunId("rother")
    seen = await store.run(RUN)
    assert seen is not None
    await usecases.start(
        store,
        NoQueue(),
        run=other,
        workspace=seen.value.workspace,
        channel=seen.value.channel,
        requester=ALICE,
        team="email",
        task="another",
    )
    await break_run(store, RUN)
    assert [run.id for run in await store.indexes.active_runs(9)] == [other]
    runs, total = await Overview(store).runs(ALICE, 9)
    assert ([run.id for run in runs], total) == ([other], 2)


async def test_permission_for_an_unreadable_run_counts_as_in_force(store: Store) -> None:
    """R24: nobody can say that it has ended; and the other permissions are listed beside it."""
    await start_run(store)
    made = request(await store.now(), asked=call())
    await store.commit(Change(requests=(Put(made, 0),)))
    await usecases.decide(store, NoQueue(), made.id, attempt(made, permission=PermissionChoice(Scope.CALL, Span.RUN)))
    given = [seen.value for seen in await store.permissions()]
    assert [one.run for one in given] == [RUN]
    assert await permission_use.in_force(store) == given
    await break_run(store, RUN)
    assert await permission_use.in_force(store) == given
    await store.client.delete(store.keys.run(RUN))
    assert await permission_use.in_force(store) == []


async def test_unreadable_request_is_skipped_before_people_are_asked(store: Store, two: list[Request]) -> None:
    """R6: whoever draws its run settles it first."""
    looked_at: list[RequestId] = []

    async def nobody(request: Request) -> None:
        looked_at.append(request.id)

    async def whose(permission: Permission, rules: Rules) -> Actor:
        raise AssertionError("there is no permission")

    settle = permission_use.before_people(store, NoQueue(), whose, nobody)
    for made in two:
        await settle(made.id)
    assert looked_at == [two[1].id]
    await of_a_newer_version(store, two[0])
    with pytest.raises(NewerSchema):
        await settle(two[0].id)


async def test_teams_are_listed_despite_an_unreadable_worker(store: Store) -> None:
    """R4: an announcement that cannot be read hides no other worker's teams."""
    broken = WorkerId("broken")
    await store.workers.announce(broken, Announcement((TeamInfo("other", "line"),)), timedelta(minutes=1))
    await store.client.set(store.keys.worker(broken), b"\x01 no record", px=60_000)
    assert [team.name for team in await store.workers.teams()] == ["email"]


async def test_run_with_an_unreadable_question_can_be_stopped(store: Store) -> None:
    """R4: whoever tried was told that a record cannot be read, and the run went on for ever."""
    _, (broken, other) = await at_work(store, "one", "two")
    await break_request(store, broken)
    assert (await stop(store)).status is RunStatus.STOPPED
    assert await status_of(store, other) is Status.WITHDRAWN
    assert await store.client.get(store.keys.request(broken.id)) == BROKEN, "it is left as it is"
    assert await store.indexes.active_runs(9) == []


async def test_run_with_an_unreadable_question_can_fail(store: Store) -> None:
    """R4: it was built again every few seconds, for ever."""
    lease, (broken, other) = await at_work(store, "one", "two")
    await break_request(store, broken)
    await usecases.finish(store, lease, Finish(Verb.FAIL, "It failed."))
    assert (await run_of(store)).status is RunStatus.FAILED
    assert await status_of(store, other) is Status.WITHDRAWN


async def test_run_with_a_newer_question_waits_for_newer_code(store: Store) -> None:
    """R4: who cannot read it does not leave it behind with a card that waits."""
    lease, (newer,) = await at_work(store, "one")
    assert await usecases.park(store, lease, frozenset({newer.id}))
    parked = await run_of(store)
    await of_a_newer_version(store, newer)
    with pytest.raises(NewerSchema):
        await stop(store)
    with pytest.raises(NewerSchema):
        await usecases.rests(store, parked)
    assert await run_of(store) == parked


async def test_parked_run_with_an_unreadable_question_can_continue(store: Store) -> None:
    """R5: what was decided beside it was asked for every few seconds, and no worker took the run."""
    lease, both = await at_work(store, "one", "two")
    assert await usecases.park(store, lease, frozenset(one.id for one in both))
    parked = await run_of(store)
    assert await usecases.rests(store, parked)
    await break_request(store, both[0])
    assert not await usecases.rests(store, parked)


@pytest.mark.parametrize("head", [b"", b"x 2", b"-1 2"])
def test_record_without_a_positive_version_is_refused(head: bytes) -> None:
    """R3: of two clicks at once the later would not find that somebody was faster."""
    with pytest.raises(UnknownSchema, match="no version that counts"):
        Codec(Request).read(head + b"\n{}")


@pytest.mark.parametrize("raw", [b"1 \x1b[2J\n{}", b'1 2\n{"\x1b[2J": 1}', "1 \u202e2\n{}".encode()])
def test_record_error_shows_stored_text_in_ascii(raw: bytes) -> None:
    """R15: it ends in logs and terminals, where it could move the cursor or turn the line around."""
    with pytest.raises(UnknownSchema) as unread:
        Codec(Run).read(raw)
    assert str(unread.value).isascii() and str(unread.value).isprintable()


async def test_field_error_shows_its_stored_name_in_ascii(store: Store) -> None:
    """R15"""
    await at_work(store)
    kind = Codec(Run)
    stored = kind.adapter.dump_python(await run_of(store), mode="json")
    with pytest.raises(UnknownSchema, match="slot") as unread:
        kind.load(json.dumps({**stored, "open": {"slot\u202e\x1b[2J": 1}}).encode())
    assert str(unread.value).isascii() and str(unread.value).isprintable()
