"""Requests of programs are web's alone: nothing that a worker writes of one counts (R24, R27)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain import api_keys, request_endings, requests
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.record_codecs import REQUESTS
from countersign.usecases import program_requests, unreported_outcomes
from countersign.usecases.ports import Change, Put
from tests.metric_counts import repaired
from tests.sample_requests import ALICE, GENERAL, HERE, attempt, question
from tests.store.test_strays import JUNK, fill
from tests.store.test_unreadable import BROKEN, asked
from tests.store.two_users import Sides, denied, start
from tests.store_fixtures import NoQueue

pytest_plugins = ["tests.store.two_users"]


async def asked_by_a_program(sides: Sides, idempotency: str = "one") -> Request:
    key = api_keys.issue("ci", ("C0GENERAL",), await sides.web.now()).key
    found, _ = await program_requests.submit(
        sides.web, key, idempotency, question(), workspace=HERE, channel=GENERAL, requester=ALICE, task=""
    )
    return found.request


async def rejected(sides: Sides, idempotency: str = "one") -> Request:
    """Of which no outcome will come."""
    request = await asked_by_a_program(sides, idempotency)
    return await usecases.decide(
        sides.web, NoQueue(), request.id, attempt(request, verb=requests.Verb.REJECT, name=idempotency)
    )


async def run_of(sides: Sides, request: Request) -> Run:
    seen = await sides.web.run(request.run)
    assert seen is not None
    return seen.value


async def unreported(sides: Sides) -> list[bytes]:
    found: Any = await sides.admin.zrange(sides.web.keys.unreported, 0, -1)
    return list(found)


async def test_a_worker_neither_ends_nor_reports_what_a_program_asks(sides: Sides) -> None:
    request = await asked_by_a_program(sides)
    await denied(sides.agents, "SET", sides.agents.keys.run(request.run), "9 a forged outcome")
    back = request_endings.withdraw(request, await sides.web.now(), "nobody wants it").request
    await sides.agents.client.set(sides.agents.keys.asked(request.id), REQUESTS.write(back, 9))
    seen = await sides.web.request(request.id)
    assert seen is not None
    assert (seen.value.status, seen.version) == (Status.PENDING, 9)


async def test_a_worker_asks_nothing_in_a_programs_name(sides: Sides) -> None:
    request = await asked_by_a_program(sides)
    other = replace(question("Something else."), asked=1)
    run = await sides.web.run(request.run)
    assert run is not None
    forged = requests.ask(
        other, run=request.run, workspace=HERE, channel=GENERAL, requester=ALICE, rules=request.rules, now=run.now
    ).request
    await sides.agents.client.set(sides.agents.keys.asked(forged.id), REQUESTS.write(forged, 1))
    assert await sides.web.request(forged.id) is None


async def test_a_worker_leaves_the_deadline_of_a_programs_request_to_web(sides: Sides) -> None:
    request = await asked_by_a_program(sides)
    seen = await sides.web.request(request.id)
    assert seen is not None
    over = replace(seen.value, deadline=seen.now - timedelta(seconds=1))
    await sides.web.commit(Change(requests=(Put(over, seen.version),)))
    left = await usecases.catch_up(sides.agents, NoQueue(), request.id)
    assert left is not None
    assert left.status is Status.PENDING
    ended = await usecases.catch_up(sides.web, NoQueue(), request.id)
    assert ended is not None
    assert ended.status is Status.EXPIRED


async def test_a_record_that_nobody_reads_among_those_without_an_outcome_keeps_no_other_from_its_end(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: it ended `web`, and again at each start. More of them than are read at once hide nothing; they stay."""
    monkeypatch.setattr(unreported_outcomes, "PAGE", 2)
    over = await rejected(sides)
    unreadable = [f"qbroken{number}" for number in range(5)]
    for name in unreadable:
        await sides.agents.client.set(sides.agents.keys.prefix + "asked:" + name, BROKEN)
    await sides.agents.client.zadd(sides.agents.keys.unreported, dict.fromkeys(unreadable, 0))
    await unreported_outcomes.end_all(sides.web)
    assert (await run_of(sides, over)).over
    assert await unreported(sides) == [name.encode() for name in unreadable], "a newer version may read them"


async def test_names_of_nothing_hide_no_request_of_a_program_and_leave(sides: Sides) -> None:
    """R29: as many as are looked at at once, before all others, kept every request from its end."""
    over = await rejected(sides)
    await fill(sides.agents, sides.agents.keys.unreported, 0)
    with repaired(Repair.STRAY, times=JUNK):
        await unreported_outcomes.end_all(sides.web)
    assert (await run_of(sides, over)).over
    assert await unreported(sides) == []


async def test_requests_that_are_no_programs_or_ended_leave_those_without_an_outcome(sides: Sides) -> None:
    """R29: of none of them an outcome is awaited."""
    await start(sides)
    teams, ended = await asked(sides), await rejected(sides)
    gone = await rejected(sides, "two")
    await unreported_outcomes.end_all(sides.web)
    await sides.admin.delete(sides.web.keys.run(gone.run))
    names = [request.id for request in (teams, ended, gone)]
    await sides.agents.client.zadd(sides.agents.keys.unreported, dict.fromkeys(names, 0))
    with repaired(Repair.STRAY, times=3):
        await unreported_outcomes.end_all(sides.web)
    assert await unreported(sides) == []
    assert not (await run_of(sides, teams)).over


async def test_a_worker_ends_no_request_of_a_program_that_people_are_asked_about(sides: Sides) -> None:
    """R5: its run was over, as if nothing had been approved, while its card stood."""
    waiting, over = await asked_by_a_program(sides), await rejected(sides, "two")
    await sides.agents.client.zadd(sides.agents.keys.unreported, {waiting.id: 0})
    await unreported_outcomes.end_all(sides.web)
    assert not (await run_of(sides, waiting)).over and (await run_of(sides, over)).over
    await usecases.decide(sides.web, NoQueue(), waiting.id, attempt(waiting))
    assert await unreported(sides) == [waiting.id.encode()], "its outcome is awaited"
    assert not (await run_of(sides, waiting)).over
