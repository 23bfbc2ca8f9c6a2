"""The record's copy in a database holds exactly the entries of the chain, whatever fails in between."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.audit.auditor import Auditor, Retention
from bot.audit.sql_copy import TABLE, OtherChain, SqlSink
from countersign.domain.errors import StoreUnavailable, WrongSettings
from countersign.domain.events import Event, EventType
from countersign.store.audit_log import Ledger
from countersign.store.store import Store
from countersign.usecases.ports import Change
from tests.sample_requests import BOB, HERE

sqlalchemy: Any = pytest.importorskip("sqlalchemy", reason="the extra `sql` is not installed: pip install '.[sql]'")
pytest.importorskip("aiosqlite", reason="aiosqlite is not installed")
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: E402

from tests.audit.postgres import Postgres, a_server  # noqa: E402
from tests.forking import Forked, forked  # noqa: E402
from tests.longest_wait import PATIENCE  # noqa: E402


async def tell(store: Store, count: int, name: str = "tool") -> None:
    now = await store.now()
    for n in range(count):
        event = Event(EventType.CALL_PASSED, now, workspace=HERE, user=BOB, data={"tool": f"{name} {n}"})
        await store.commit(Change(events=(event,)))


async def record(store: Store) -> list[tuple[int, str, str]]:
    return [(n, kept.entry, kept.hash) async for n, kept in Ledger(store).all()]


async def rows(url: str) -> list[tuple[int, str, str]]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(sqlalchemy.text(f"SELECT n, entry, hash FROM {TABLE} ORDER BY n"))
            return [tuple(row) for row in found]
    finally:
        await engine.dispose()


async def copied(sink: SqlSink) -> None:
    while await sink.copy():
        pass


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with a_server() as server:
        yield server


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'audit.db'}"


async def test_database_copy_holds_the_chain_in_queryable_columns(store: Store, sqlite: str) -> None:
    """R25: more than a batch of them."""
    await tell(store, 600)
    await Auditor(store, "web").catch_up()
    sink = SqlSink(Ledger(store), sqlite)
    assert await sink.position() == 0
    await copied(sink)
    assert await rows(sqlite) == await record(store)
    assert await sink.position() == 600
    engine = create_async_engine(sqlite)
    async with engine.connect() as connection:
        asked = sqlalchemy.text(f"SELECT count(*) FROM {TABLE} WHERE user_id = :user AND outcome = 'passed'")
        assert (await connection.execute(asked, {"user": BOB})).scalar() == 600
    await engine.dispose()
    await sink.close()


async def test_database_copy_continues_in_another_process(store: Store, sqlite: str) -> None:
    """R4: what it remembers itself counts for nothing."""
    sinks = [SqlSink(Ledger(store), sqlite) for _ in range(2)]
    for turn in range(6):
        await tell(store, 3)
        await Auditor(store, "web").catch_up()
        await copied(sinks[turn % 2])
        assert await rows(sqlite) == await record(store)
    for sink in sinks:
        await sink.close()


async def test_two_simultaneous_copies_lose_and_repeat_nothing(store: Store, postgres: Postgres) -> None:
    """R3: the lease of the auditor may have changed hands; the slower one tries again."""
    postgres.start()
    await postgres.up()
    sinks = [SqlSink(Ledger(store), postgres.url) for _ in range(2)]
    for _ in range(20):
        await tell(store, 5)
        await Auditor(store, "web").catch_up()
        answers = await asyncio.gather(*(sink.copy() for sink in sinks), return_exceptions=True)
        assert all(isinstance(answer, int | StoreUnavailable) for answer in answers), answers
    await copied(sinks[0])
    assert await rows(postgres.url) == await record(store)
    for sink in sinks:
        await sink.close()


async def rows_or_none(url: str) -> list[tuple[int, str, str]]:
    try:
        return await rows(url)
    except sqlalchemy.exc.SQLAlchemyError:
        return []


async def test_database_table_of_another_audit_log_is_left_alone(
    store: Store, sqlite: str, redis_url: str, namespace: str
) -> None:
    """R25: Redis lost its data, or the URL is that of another installation."""
    await tell(store, 3)
    await Auditor(store, "web").catch_up()
    sink = SqlSink(Ledger(store), sqlite)
    await copied(sink)
    held = await rows(sqlite)
    await store.client.delete(store.keys.audit, store.keys.audit_head, store.keys.events)
    for count in (1, 5):
        await tell(store, count, "other")
        await Auditor(store, "web").catch_up()
        with pytest.raises(OtherChain, match="does not hold the record of this Redis"):
            await sink.copy()
    assert await rows(sqlite) == held
    await sink.close()


async def test_audit_log_is_not_trimmed_before_it_is_copied(store: Store, sqlite: str) -> None:
    await tell(store, 5)
    sink = SqlSink(Ledger(store), sqlite)
    auditor = Auditor(store, "web", keep=Retention(entries=timedelta(0)), sink=sink)
    await auditor.catch_up()
    await auditor.trim()
    assert len(await record(store)) == 5, "nobody knows yet what is in the database"
    await copied(sink)
    await tell(store, 5)
    await auditor.catch_up()
    await auditor.trim()
    assert [n for n, _, _ in await record(store)] == [6, 7, 8, 9, 10]
    await copied(sink)
    await auditor.trim()
    assert [n for n, _, _ in await record(store)] == [10]
    assert [n for n, _, _ in await rows(sqlite)] == list(range(1, 11))
    await sink.close()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///x.db", "oracle+nothing://x"])
def test_invalid_database_url_is_reported(store: Store, url: str) -> None:
    with pytest.raises(WrongSettings, match="AUDIT_SQL_URL"):
        SqlSink(Ledger(store), url)


@contextlib.asynccontextmanager
async def web(redis_url: str, namespace: str, url: str) -> AsyncIterator[Forked]:
    """The part of `web` that keeps the record, as a process; killed with -9 at the end."""
    env = {"REDIS_URL": redis_url, "NAMESPACE": namespace, "AUDIT_SQL_URL": url}
    process = await forked("tests.audit.auditor_process", env=env, listen=True)
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        process.kill()
        await process.wait()


async def test_database_copy_survives_kills_of_either_side(
    store: Store, postgres: Postgres, redis_url: str, namespace: str
) -> None:
    """R4, R25, S13: kill -9 of who copies, and of PostgreSQL, five times each, while entries come."""
    chance = random.Random(11)
    written = 0
    postgres.start()
    await postgres.up()

    async def some(count: int) -> None:
        nonlocal written
        await tell(store, count, f"after {written}")
        written += count

    for _ in range(5):
        async with web(redis_url, namespace, postgres.url):
            await some(chance.randrange(1, 80))
            await arrived(postgres, written - chance.randrange(0, 40))
            postgres.kill()
            await some(chance.randrange(1, 40))
            postgres.start()
            await postgres.up()
            await some(chance.randrange(1, 80))
            await arrived(postgres, written - chance.randrange(0, 80))
        await some(5)
    async with web(redis_url, namespace, postgres.url):
        await arrived(postgres, written)
    chain = await record(store)
    assert len(chain) == written
    assert await rows(postgres.url) == chain


async def arrived(postgres: Postgres, count: int) -> None:
    """Returns when so many are in the table."""
    async with asyncio.timeout(PATIENCE):
        while len(await rows_or_none(postgres.url)) < count:  # noqa: ASYNC110  # only the table can tell
            await asyncio.sleep(0.02)


async def test_database_away_for_an_hour_receives_everything_later(store: Store, postgres: Postgres) -> None:
    """R25: who copies tries again at least twice a minute; the test moves the clock."""
    waited: list[float] = []
    away = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) >= 3600:
            away.set()
            await asyncio.Event().wait()
        elif sum(waited) % 600 < seconds:
            await tell(store, 20, f"at {sum(waited):.0f}")
            await Auditor(store, "web").catch_up()

    await tell(store, 5)
    await Auditor(store, "web").catch_up()
    sink = SqlSink(Ledger(store), postgres.url, sleep=sleep)
    waiting = asyncio.create_task(sink.run())
    async with asyncio.timeout(PATIENCE):
        await away.wait()
    assert max(waited) == 30.0
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    postgres.start()
    await postgres.up()
    await copied(sink)
    assert await rows(postgres.url) == await record(store)
    assert len(await record(store)) > 50
    await sink.close()
