"""The record where Redis is a Cluster: its scripts and reads go to the node that holds it."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.audit.auditor import Auditor, Retention
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import Verifier
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Change
from tests.sample_requests import HERE, NOW
from tests.servers import running_cluster

pytestmark = pytest.mark.slow


async def test_audit_log_is_verified_and_trimmed_on_a_cluster(tmp_path: Path) -> None:
    """R25: as on one server."""
    async with running_cluster(tmp_path / "cluster") as nodes:
        url = nodes[0].url.replace("redis://", "redis+cluster://").removesuffix("/0")
        async with connect(url) as client:
            store = Store(client, "acme")
            ledger, auditor = Ledger(store), Auditor(store, "web", keep=Retention(timedelta(0), timedelta(0)))
            assert await ledger.lease.claim("web", timedelta(seconds=5))
            assert not await ledger.lease.claim("other", timedelta(seconds=5))
            for n in range(30):
                event = Event(EventType.CALL_PASSED, await store.now(), workspace=HERE, data={"tool": f"tool {n}"})
                await store.commit(Change(events=(event,)))
            await auditor.catch_up()
            verifier = Verifier(known=[(await ledger.position()).head])
            async for n, kept in ledger.all():
                verifier.take(kept, n)
            assert (verifier.end(), verifier.count) == ([], 30)
            assert await ledger.head_of(NOW.date()) == (await ledger.position()).head
            assert await ledger.trim(5) == 5
            assert [n for n, _ in await ledger.read(0, 3)] == [6, 7, 8]
            await auditor.trim()
            assert [n for n, _ in await ledger.read(0)] == [30]
            assert (await ledger.position()).checkpoint.n == 29
