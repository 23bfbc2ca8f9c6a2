"""What was approved is begun by one execution: the first, until people say that it did nothing."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from countersign.domain import api_keys, request_endings
from countersign.domain.ids import RequestId
from countersign.domain.people import Actor
from countersign.domain.requests import Decision, How, Status
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from countersign.usecases.run_end import stop
from tests.adapters.stage import Bob
from tests.api.test_requests import ask
from tests.sample_requests import BOB, HERE


async def approved(bob: Bob, program: httpx.AsyncClient) -> str:
    name: str = (await ask(program)).json()["id"]
    await bob.presses("Refund 45", "Approve")
    return name


async def begin(program: httpx.AsyncClient, name: str, execution: str, replaces: str = "") -> httpx.Response:
    body = {"execution": execution, "replaces": replaces}
    return await program.post(f"/v1/requests/{name}/begin", json=body)


async def test_first_execution_begins_and_its_repeat_agrees(bob: Bob, program: httpx.AsyncClient) -> None:
    """R3, R8: ten at once agree on one; the one whose answer was lost asks again and is no other."""
    name = await approved(bob, program)
    answers = await asyncio.gather(*(begin(program, name, f"execution {number}") for number in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    (first,) = {answer.json()["begun_by"] for answer in answers}
    assert (await begin(program, name, first)).json()["begun_by"] == first
    assert (await program.get(f"/v1/requests/{name}")).json()["begun_by"] == first


async def test_idle_execution_is_replaced_by_exactly_one_other(bob: Bob, program: httpx.AsyncClient) -> None:
    """R10: of all that hear from people that it was not done, one does it."""
    name = await approved(bob, program)
    await begin(program, name, "killed")
    answers = await asyncio.gather(*(begin(program, name, f"execution {number}", "killed") for number in range(5)))
    (second,) = {answer.json()["begun_by"] for answer in answers}
    assert second.startswith("execution ")
    assert (await begin(program, name, "late", "killed")).json()["begun_by"] == second
    assert (await begin(program, name, "", second)).json()["begun_by"] is None, "it did nothing, as its program says"
    assert (await begin(program, name, "next")).json()["begun_by"] == "next"


async def test_reported_request_does_not_begin(bob: Bob, program: httpx.AsyncClient) -> None:
    name = await approved(bob, program)
    await bob.reports(succeeded=True, words="Paid.")
    answer = (await begin(program, name, "late")).json()
    assert (answer["begun_by"], answer["outcome"]) == (None, {"succeeded": True, "words": "Paid."})


async def test_approved_request_can_begin_after_a_day(bob: Bob, program: httpx.AsyncClient) -> None:
    """R8: a program that comes back after a weekend does what was approved, and reports it."""
    name = await approved(bob, program)
    await bob.lets_a_day_pass()
    assert (await begin(program, name, "monday")).json()["begun_by"] == "monday"
    report = {"succeeded": True, "words": "Paid."}
    assert (await program.post(f"/v1/requests/{name}/outcome", json=report)).json()["outcome"] == report


@pytest.mark.parametrize("ended", ["pending", "rejected", "answered", "expired", "withdrawn"])
async def test_only_an_approved_request_begins(store: Store, program: httpx.AsyncClient, ended: str) -> None:
    """R12: words in the place of an approval are none."""
    name = (await ask(program)).json()["id"]
    seen = await store.request(RequestId(name))
    assert seen is not None
    if ended != "pending":
        step = request_endings.settle(seen.value, Decision(Status(ended), How.REVIEWERS, seen.now, by=(BOB,)))
        await store.commit(Change(requests=(Put(step.request, seen.version),), events=step.events))
    answer = await begin(program, name, "early")
    assert answer.status_code == (400 if ended == "pending" else 409), answer.text
    assert (await program.get(f"/v1/requests/{name}")).json()["begun_by"] is None


async def test_stopped_request_does_not_begin(store: Store, bob: Bob, program: httpx.AsyncClient) -> None:
    name = await approved(bob, program)
    seen = await store.request(RequestId(name))
    assert seen is not None
    await stop(store, seen.value.run, Actor(HERE, BOB), frozenset({BOB}))
    answer = await begin(program, name, "late")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:countersign:conflict")
    assert "stopped" in answer.json()["detail"]


async def test_another_key_cannot_begin_a_request(store: Store, bob: Bob, program: httpx.AsyncClient) -> None:
    """R9."""
    name = await approved(bob, program)
    other = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(other.key)
    mine = dict(program.headers)
    program.headers["authorization"] = f"Bearer {other.token}"
    assert (await begin(program, name, "theirs")).status_code == 404
    program.headers["authorization"] = mine["authorization"]
    assert (await begin(program, name, "mine")).json()["begun_by"] == "mine"


@pytest.mark.parametrize(
    "body", [{}, {"execution": ""}, {"execution": "x" * 101}, {"execution": "a", "replaces": "x" * 101}]
)
async def test_begin_needs_an_execution_name(bob: Bob, program: httpx.AsyncClient, body: dict[str, str]) -> None:
    name = await approved(bob, program)
    assert (await program.post(f"/v1/requests/{name}/begin", json=body)).status_code == 400


async def test_replaced_executions_count_against_the_rate(
    store: Store, bob: Bob, program: httpx.AsyncClient, token: str
) -> None:
    """R26: what was approved begins at any rate, and is not begun anew without end."""
    name = await approved(bob, program)
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    await ApiKeys(store).put(replace(key, per_minute=1))
    assert (await begin(program, name, "first")).status_code == 200
    answer = await begin(program, name, "second", "first")
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:countersign:rate")
    assert (await begin(program, name, "first")).json()["begun_by"] == "first"
