"""One record that nobody can read, from a worker or a newer program, keeps nobody from the others (R4)."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.ids import RequestId, RunId
from countersign.domain.people import Actor
from countersign.domain.permission_scopes import PermissionChoice, Scope, Span
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run, Verb
from countersign.domain.runs import Status as RunStatus
from countersign.domain.standing_permissions import Permission
from countersign.store.codec import Codec
from countersign.store.request_lists import Lists, Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, permission_use
from countersign.usecases.ports import Change, Lease, Put, TeamInfo
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, HERE, attempt, call, question, request
from tests.store.two_users import Sides, start
from tests.store_fixtures import NoQueue

BROKEN = b"9 2\n\x01 no record"
RUN = RunId("rtest")


async def asked(sides: Sides, number: int = 0, **terms: Any) -> Request:
    """A request that a worker wrote."""
    made = request(await sides.agents.now(), asked=question(asked=number), **terms)
    await sides.agents.commit(Change(requests=(Put(made, 0),)))
    return made


async def lists_know(web: Store, *made: Request) -> None:
    """As they are now."""
    found = await web.requests([one.id for one in made])
    await Lists(web).keep([one for one in found if one is not None])


async def break_request(sides: Sides, made: Request) -> None:
    """As a worker may."""
    await sides.agents.client.set(sides.agents.keys.asked(made.id), BROKEN, keepttl=True)


async def break_run(sides: Sides, run: RunId) -> None:
    """Likewise."""
    await sides.agents.client.set(sides.agents.keys.run(run), BROKEN, keepttl=True)


async def of_a_newer_version(sides: Sides, made: Request) -> None:
    """As a worker of one writes it."""
    await sides.agents.client.set(sides.agents.keys.asked(made.id), b"1 99\nwho knows", keepttl=True)


async def at_work(sides: Sides, *contents: str) -> tuple[Lease, list[Request]]:
    """A run in a worker's hands that has asked this, and waits."""
    await start(sides)
    lease = await sides.agents.leases.claim(RUN, "worker", timedelta(minutes=1))
    assert lease is not None
    await usecases.begin(sides.agents, lease)
    return lease, [await usecases.ask(sides.agents, lease, question(text, agent=text)) for text in contents]


async def run_of(sides: Sides) -> Run:
    seen = await sides.web.run(RUN)
    assert seen is not None
    return seen.value


async def status_of(sides: Sides, made: Request) -> Status:
    seen = await sides.web.request(made.id)
    assert seen is not None
    return seen.value.status


async def stop(sides: Sides) -> Run:
    return await usecases.stop(sides.web, RUN, Actor(HERE, ALICE), frozenset())


@pytest.fixture
async def two(sides: Sides) -> list[Request]:
    """Two requests of a run; the agents' record of the first is broken."""
    await start(sides)
    both = [await asked(sides, number) for number in range(2)]
    await lists_know(sides.web, *both)
    await break_request(sides, both[0])
    return both


async def test_what_waits_is_listed_without_it(sides: Sides, two: list[Request]) -> None:
    """For a Home, for `/approvals pending`, and for whoever looks through all that waits."""
    assert await sides.web.indexes.waiting(9) == [two[1]]
    found = await Overview(sides.web).waiting([BOB], BOB, lambda request: True, 9)
    assert (list(found.requests), found.total) == ([two[1]], 1)


async def test_it_stays_in_the_lists_and_is_there_again_once_it_can_be_read(sides: Sides, two: list[Request]) -> None:
    """R5: a program that cannot read it must not conclude that it is gone."""
    overview = Overview(sides.web)
    await overview.waiting([BOB], BOB, lambda request: True, 9)
    raw = Codec(Request).write(two[0], 1)
    await sides.agents.client.set(sides.agents.keys.asked(two[0].id), raw, keepttl=True)
    found = await overview.waiting([BOB], BOB, lambda request: True, 9)
    assert {one.id for one in found.requests} == {one.id for one in two}


async def test_it_is_named_in_the_log_once(sides: Sides, two: list[Request], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        await sides.web.indexes.waiting(9)
    (line,) = [r.getMessage() for r in caplog.records if two[0].id in r.getMessage()]
    assert "left out" in line and "cannot be decompressed" in line


async def test_what_decides_something_takes_it_for_neither_gone_nor_there(sides: Sides, two: list[Request]) -> None:
    """R5: a run of which a question cannot be read does not go on as if nobody had asked."""
    with pytest.raises(UnknownSchema):
        await sides.web.requests([request.id for request in two])
    assert await sides.web.readable([two[0].id, RequestId("qother")]) == {RequestId("qother"): None}


async def test_decisions_are_listed_without_it(sides: Sides) -> None:
    await start(sides)
    both = [await asked(sides, number) for number in range(2)]
    for made in both:
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, name=f"by-{made.id}"))
    await lists_know(sides.web, *both)
    await sides.admin.set(sides.web.keys.request(both[0].id), BROKEN, keepttl=True)  # by a newer web
    found = await Overview(sides.web).decided(BOB, 9)
    assert [one.id for one in found] == [both[1].id]
    undelivered = await sides.agents.indexes.undelivered(9, timedelta(0))
    assert [one.id for one in undelivered] == [both[1].id]


async def test_deadlines_of_the_others_are_kept(sides: Sides, two: list[Request]) -> None:
    await sides.agents.client.zadd(sides.agents.keys.pending, {name: 1 for name in (two[0].id, b"\xff\xfe")})
    over = request(await sides.agents.now() - timedelta(hours=2), asked=question(asked=7))
    await sides.agents.commit(Change(requests=(Put(over, 0),)))
    async with Wakeups(sides.web) as wakeups:
        keeping = asyncio.create_task(deadlines.keep(sides.web, NoQueue(), wakeups))
        assert (await asyncio.wait_for(wakeups.settled(over.id), PATIENCE)).status is Status.EXPIRED
        assert not keeping.done()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.parametrize("score", [1e300, -1e300, 1e17, float("-inf")])
async def test_a_time_that_no_calendar_has_ends_no_keeper(sides: Sides, score: float) -> None:
    """R4: the index of deadlines is one that workers write."""
    await sides.agents.client.zadd(sides.agents.keys.pending, {"qother": score})
    due, following, now = await sides.web.indexes.due(9)
    assert due == (["qother"] if score < 0 else [])
    assert following == (None if score < 0 else now + timedelta(days=1))


async def test_who_waits_for_another_hears_of_it_when_a_hint_was_lost(sides: Sides) -> None:
    await start(sides)
    both = [await asked(sides, number) for number in range(2)]
    async with Wakeups(sides.agents) as wakeups:
        waits = [asyncio.create_task(wakeups.settled(made.id)) for made in both]
        await wakeups.listening()
        await sides.agents.client.zrem(sides.agents.keys.pending, both[0].id)
        await break_request(sides, both[0])
        await usecases.decide(sides.web, NoQueue(), both[1].id, attempt(both[1]))
        assert (await asyncio.wait_for(waits[1], PATIENCE)).status is Status.APPROVED
        assert await wakeups._requests.look([*wakeups._requests.futures]) == 0
        assert not waits[0].done()
        waits[0].cancel()
        await asyncio.gather(waits[0], return_exceptions=True)


async def test_runs_are_listed_without_one_that_cannot_be_read(sides: Sides) -> None:
    await start(sides)
    other = RunId("rother")
    seen = await sides.web.run(RUN)
    assert seen is not None
    await usecases.start(
        sides.web,
        NoQueue(),
        run=other,
        workspace=seen.value.workspace,
        channel=seen.value.channel,
        requester=ALICE,
        team="email",
        task="another",
    )
    await break_run(sides, RUN)
    assert [run.id for run in await sides.web.indexes.active_runs(9)] == [other]
    runs, total = await Overview(sides.web).runs(ALICE, 9)
    assert ([run.id for run in runs], total) == ([other], 2)


async def test_a_permission_for_a_run_that_cannot_be_read_is_shown_as_in_force(sides: Sides) -> None:
    """R24: nobody can say that it has ended; and the other permissions are listed beside it."""
    await start(sides)
    made = request(await sides.agents.now(), asked=call())
    await sides.agents.commit(Change(requests=(Put(made, 0),)))
    await usecases.decide(
        sides.web, NoQueue(), made.id, attempt(made, permission=PermissionChoice(Scope.CALL, Span.RUN))
    )
    given = [seen.value for seen in await sides.web.permissions()]
    assert [one.run for one in given] == [RUN]
    assert await permission_use.in_force(sides.web) == given
    await break_run(sides, RUN)
    assert await permission_use.in_force(sides.web) == given
    await sides.agents.client.delete(sides.agents.keys.run(RUN))
    assert await permission_use.in_force(sides.web) == []


async def test_a_request_that_cannot_be_read_is_left_out_before_people_are_asked(
    sides: Sides, two: list[Request]
) -> None:
    """R6: whoever draws its run settles it first."""
    looked_at: list[RequestId] = []

    async def nobody(request: Request) -> None:
        looked_at.append(request.id)

    async def whose(permission: Permission, rules: Rules) -> Actor:
        raise AssertionError("there is no permission")

    settle = permission_use.before_people(sides.web, NoQueue(), whose, nobody)
    for made in two:
        await settle(made.id)
    assert looked_at == [two[1].id]
    await of_a_newer_version(sides, two[0])
    with pytest.raises(NewerSchema):
        await settle(two[0].id)


async def test_teams_are_known_without_a_worker_that_announces_what_nobody_reads(sides: Sides) -> None:
    await sides.agents.workers.announce("broken", [TeamInfo("other", "line")], timedelta(minutes=1))
    await sides.agents.client.set(sides.agents.keys.team("broken"), b"\x01 no record", px=60_000)
    assert [team.name for team in await sides.web.workers.teams()] == ["email"]


async def test_a_run_is_stopped_though_one_of_its_questions_cannot_be_read(sides: Sides) -> None:
    """R4: whoever tried was told that a record cannot be read, and the run went on for ever."""
    _, (broken, other) = await at_work(sides, "one", "two")
    await break_request(sides, broken)
    assert (await stop(sides)).status is RunStatus.STOPPED
    assert await status_of(sides, other) is Status.WITHDRAWN
    assert await sides.admin.get(sides.web.keys.asked(broken.id)) == BROKEN, "it is left as it is"
    assert await sides.web.indexes.active_runs(9) == []


async def test_a_run_fails_though_one_of_its_questions_cannot_be_read(sides: Sides) -> None:
    """R4: it was built again every few seconds, for ever."""
    lease, (broken, other) = await at_work(sides, "one", "two")
    await break_request(sides, broken)
    await usecases.finish(sides.agents, lease, Verb.FAIL, result="It failed.")
    assert (await run_of(sides)).status is RunStatus.FAILED
    assert await status_of(sides, other) is Status.WITHDRAWN


async def test_a_run_with_a_question_of_a_newer_version_is_left_for_one(sides: Sides) -> None:
    """R4: who cannot read it does not leave it behind with a card that waits."""
    lease, (newer,) = await at_work(sides, "one")
    assert await usecases.park(sides.agents, lease, frozenset({newer.id}))
    parked = await run_of(sides)
    await of_a_newer_version(sides, newer)
    with pytest.raises(NewerSchema):
        await stop(sides)
    with pytest.raises(NewerSchema):
        await usecases.rests(sides.agents, parked)
    assert await run_of(sides) == parked


async def test_a_parked_run_goes_on_to_its_end_if_a_question_of_it_cannot_be_read(sides: Sides) -> None:
    """R5: what was decided beside it was asked for every few seconds, and no worker took the run."""
    lease, both = await at_work(sides, "one", "two")
    assert await usecases.park(sides.agents, lease, frozenset(one.id for one in both))
    parked = await run_of(sides)
    assert await usecases.rests(sides.agents, parked)
    await break_request(sides, both[0])
    assert not await usecases.rests(sides.agents, parked)


async def test_what_another_run_asked_is_not_withdrawn_with_a_run_that_claims_it(sides: Sides) -> None:
    """R9: a worker writes what its runs wait for."""
    await at_work(sides)
    theirs = await asked(sides, run="rother")
    seen = await sides.agents.run(RUN)
    assert seen is not None
    claiming = replace(seen.value, open={theirs.slot: theirs.id})
    await sides.agents.commit(Change(runs=(Put(claiming, seen.version),)))
    assert (await stop(sides)).over
    assert await status_of(sides, theirs) is Status.PENDING


@pytest.mark.parametrize("raw", [b"1 \x1b[2J\n{}", b'1 2\n{"\x1b[2J": 1}', "1 \u202e2\n{}".encode()])
def test_error_about_a_record_shows_stored_text_in_ascii(raw: bytes) -> None:
    """R15: it ends in logs and terminals, where it could move the cursor or turn the line around."""
    with pytest.raises(UnknownSchema) as unread:
        Codec(Run).read(raw)
    assert str(unread.value).isascii() and str(unread.value).isprintable()


async def test_error_about_a_field_shows_its_stored_name_in_ascii(sides: Sides) -> None:
    """R15"""
    await at_work(sides)
    kind = Codec(Run)
    stored = kind.adapter.dump_python(await run_of(sides), mode="json")
    with pytest.raises(UnknownSchema, match="slot") as unread:
        kind.load(json.dumps({**stored, "open": {"slot\u202e\x1b[2J": 1}}).encode())
    assert str(unread.value).isascii() and str(unread.value).isprintable()
