"""Requests of programs of which no outcome will come end, whatever stands beside them in their index (R4, R5)."""

from typing import Any

import pytest

from countersign import usecases
from countersign.domain import api_keys, requests
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.store import Store
from countersign.usecases import run_requests, unreported_outcomes
from tests.metric_counts import repaired
from tests.sample_requests import ALICE, GENERAL, HERE, attempt, question
from tests.store.test_unreadable import BROKEN, asked
from tests.store_fixtures import NoQueue, start_run


async def asked_by_a_program(store: Store, idempotency: str = "one") -> Request:
    key = api_keys.issue("ci", ("C0GENERAL",), await store.now()).key
    found, _ = await run_requests.submit(
        store, key, idempotency, question(), workspace=HERE, channel=GENERAL, requester=ALICE, task=""
    )
    return found.request


async def rejected(store: Store, idempotency: str = "one") -> Request:
    """Of which no outcome will come."""
    request = await asked_by_a_program(store, idempotency)
    return await usecases.decide(
        store, NoQueue(), request.id, attempt(request, verb=requests.Verb.REJECT, name=idempotency)
    )


async def run_of(store: Store, request: Request) -> Run:
    seen = await store.run(request.run)
    assert seen is not None
    return seen.value


async def unreported(store: Store) -> list[bytes]:
    found: Any = await store.client.zrange(store.keys.unreported, 0, -1)
    return list(found)


async def test_unreadable_record_does_not_stop_unreported_requests_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: it ended `web`, and again at each start. More of them than are read at once hide nothing; they stay."""
    monkeypatch.setattr(unreported_outcomes, "PAGE", 2)
    over = await rejected(store)
    unreadable = [f"qbroken{number}" for number in range(5)]
    for name in unreadable:
        await store.client.set(store.keys.request(RequestId(name)), BROKEN)
    await store.client.zadd(store.keys.unreported, dict.fromkeys(unreadable, 0))
    await unreported_outcomes.end_all(store)
    assert (await run_of(store, over)).over
    assert await unreported(store) == [name.encode() for name in unreadable], "a newer version may read them"


async def test_ended_and_foreign_requests_leave_the_unreported_index(store: Store) -> None:
    """R29: of none of them an outcome is awaited."""
    await start_run(store)
    teams, ended = await asked(store), await rejected(store)
    gone = await rejected(store, "two")
    await unreported_outcomes.end_all(store)
    await store.client.delete(store.keys.run(gone.run))
    names = [request.id for request in (teams, ended, gone)]
    await store.client.zadd(store.keys.unreported, dict.fromkeys(names, 0))
    with repaired(Repair.STRAY, times=3):
        await unreported_outcomes.end_all(store)
    assert await unreported(store) == []
    assert not (await run_of(store, teams)).over


async def test_pending_request_does_not_end_as_unreported(store: Store) -> None:
    """R5: its run was over, as if nothing had been approved, while its card stood."""
    waiting, over = await asked_by_a_program(store), await rejected(store, "two")
    await store.client.zadd(store.keys.unreported, {waiting.id: 0})
    await unreported_outcomes.end_all(store)
    assert not (await run_of(store, waiting)).over and (await run_of(store, over)).over
    await usecases.decide(store, NoQueue(), waiting.id, attempt(waiting))
    assert await unreported(store) == [waiting.id.encode()], "its outcome is awaited"
    assert not (await run_of(store, waiting)).over
