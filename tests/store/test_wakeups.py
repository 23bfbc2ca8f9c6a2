"""Wake-ups: who is woken by which hint."""

import asyncio

from countersign import usecases
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Lease
from tests.longest_wait import PATIENCE
from tests.sample_requests import attempt, question
from tests.store_fixtures import NoQueue


async def test_decision_does_not_wake_the_deadline_keeper(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R20: only a new deadline is one that may be nearer than all others."""
    wakeups.due.clear()
    asked = await usecases.ask(store, lease, question())
    async with asyncio.timeout(PATIENCE):
        await wakeups.due.wait()
    wakeups.due.clear()
    waiting = asyncio.create_task(wakeups.settled(asked.id))
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    await waiting
    assert not wakeups.due.is_set()
    await usecases.ask(store, lease, question(asked=1))
    async with asyncio.timeout(PATIENCE):
        await wakeups.due.wait()
