"""Requests of programs are web's alone: nothing that a worker writes of one counts (R24, R27)."""

from dataclasses import replace
from datetime import timedelta

from countersign import usecases
from countersign.domain import api_keys, request_endings, requests
from countersign.domain.requests import Request, Status
from countersign.store.ownership import REQUESTS
from countersign.usecases import program_requests
from countersign.usecases.ports import Change, Put
from tests.sample_requests import ALICE, GENERAL, HERE, question
from tests.store.two_users import Sides, denied
from tests.store_fixtures import NoQueue

pytest_plugins = ["tests.store.two_users"]


async def asked_by_a_program(sides: Sides) -> Request:
    key = api_keys.issue("ci", ("#general",), await sides.web.now()).key
    found, _ = await program_requests.submit(
        sides.web, key, "one", question(), workspace=HERE, channel=GENERAL, requester=ALICE, task=""
    )
    return found.request


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
