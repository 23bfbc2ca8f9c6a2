"""A record of which two pages can be sealed, and ways to look at it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.exceptions

from bot.audit.auditor import Auditor
from bot.core.chain import Problem, Verifier
from bot.core.events import Event, EventType
from bot.core.ports import Change
from bot.store import pages
from bot.store.ledger import Ledger
from bot.store.page import Numbered
from bot.store.store import Store
from tests.making import HERE

PAGE = 32
"""Entries of a page here; pages are as large as ever where it says so."""
THREE = 3 * PAGE + 5
"""So many entries give two pages."""


async def tell(store: Store, count: int) -> None:
    """So many events."""
    now = await store.now()
    events = tuple(
        Event(EventType.CALL_PASSED, now, workspace=HERE, data={"tool": f"tool {n % 7}", "why": "rule “reads”"})
        for n in range(count)
    )
    await store.commit(Change(events=events))


async def happen(store: Store, count: int) -> None:
    """So many events, all recorded."""
    await tell(store, count)
    await Auditor(store, "web").catch_up()


async def everything(store: Store) -> list[Numbered]:
    return [entry async for entry in Ledger(store).all()]


async def problems(store: Store) -> list[Problem]:
    position = await Ledger(store).position()
    verifier = Verifier(position.checkpoint, [position.head])
    for n, kept in await everything(store):
        verifier.take(kept, n)
    return verifier.end()


async def sealed(store: Store) -> list[int]:
    """The numbers with which the pages end."""
    return [round(last) for _, last in await store.client.zrange(store.keys.audit_pages, 0, -1, withscores=True)]


async def seal_all(store: Store) -> None:
    ledger = Ledger(store)
    while await ledger.seal():
        pass


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", PAGE)


@pytest.fixture
async def recorded(store: Store, small_pages: None) -> list[Numbered]:
    """A record of which two pages can be sealed."""
    await happen(store, THREE)
    return await everything(store)


def losing(script: Callable[..., Awaitable[Any]], *, after: bool) -> Callable[..., Awaitable[Any]]:
    """Its connection goes before the script came to Redis, or after it ran."""

    async def call(**words: Any) -> Any:
        if after:
            await script(**words)
        raise redis.exceptions.ConnectionError("Connection lost")

    return call
