"""Who holds a run: one owner at a time, by the server's clock, each claim with a higher fence."""

from datetime import timedelta

import pytest

from countersign.domain.errors import LeaseLost
from countersign.domain.ids import RunId
from countersign.runs.area import Area
from countersign.runs.journal_storage import RedisJournal
from countersign.store.codec import ms
from countersign.store.leases import KEPT_LEASE, ProcessLease
from countersign.store.store import Store

RUN = RunId("r1")
LONG, OVER = timedelta(minutes=1), timedelta(0)


async def test_lease_has_one_owner_until_released(area: Area) -> None:
    """R4: nobody else gets it meanwhile, and who comes next has a higher fence."""
    first = await area.leases.claim(RUN, "one", LONG)
    assert first is not None
    assert await area.leases.claim(RUN, "two", LONG) is None
    assert await area.leases.renew(first, LONG)
    await area.leases.release(first)
    second = await area.leases.claim(RUN, "two", LONG)
    assert second is not None
    assert second.fence > first.fence


async def test_expired_lease_can_be_claimed_and_its_holder_fenced(area: Area) -> None:
    """R4: neither its heartbeat nor its letting go touches the new one."""
    first = await area.leases.claim(RUN, "one", OVER)
    assert first is not None
    second = await area.leases.claim(RUN, "two", LONG)
    assert second is not None
    assert not await area.leases.renew(first, LONG)
    await area.leases.release(first)
    assert await area.leases.claim(RUN, "three", LONG) is None


async def test_repeated_claim_fences_the_owners_earlier_one(area: Area) -> None:
    """R4, R8: the job came twice; what the first of them still writes is refused."""
    first = await area.leases.claim(RUN, "one", LONG)
    again = await area.leases.claim(RUN, "one", LONG)
    assert first is not None and again is not None
    assert again.fence > first.fence
    assert not await area.leases.renew(first, LONG)
    assert await area.leases.renew(again, LONG)


@pytest.mark.parametrize("end", ["released", "over"])
async def test_released_lease_leaves_redis_but_fences_still_grow(area: Area, end: str) -> None:
    """R4: a run that waits for weeks keeps no lease, and who slept meanwhile is refused as ever."""
    slept = await area.leases.claim(RUN, "one", LONG)
    assert slept is not None
    key, journal = area.keys.lease(RUN), RedisJournal(area)
    if end == "released":
        await area.leases.release(slept)
    else:
        assert await area.leases.renew(slept, OVER)
    left = timedelta(milliseconds=await area.client.pttl(key))
    assert KEPT_LEASE - timedelta(minutes=1) < left <= KEPT_LEASE + timedelta(seconds=1)
    await area.client.delete(key)
    with pytest.raises(LeaseLost):
        await journal.record(slept, "model", b"said")
    while ms(await journal.now()) <= slept.fence:  # the key is gone within the millisecond here, not after an hour
        pass
    again = await area.leases.claim(RUN, "two", LONG)
    assert again is not None and again.fence > slept.fence
    with pytest.raises(LeaseLost):
        await journal.record(slept, "model", b"said")


async def test_lease_key_lives_as_long_as_the_lease(area: Area) -> None:
    first = await area.leases.claim(RUN, "one", timedelta(days=2))
    assert first is not None
    assert await area.client.pttl(area.keys.lease(RUN)) > ms(timedelta(days=2))
    await area.leases.release(first)
    again = await area.leases.claim(RUN, "one", timedelta(days=3))
    assert again is not None
    assert await area.client.pttl(area.keys.lease(RUN)) > ms(timedelta(days=3))


async def test_only_one_process_draws_slack(store: Store) -> None:
    """R6: and one that was put down cannot stay."""
    lease = ProcessLease(store.client, store.keys.projector)
    assert await lease.claim("one", LONG)
    assert not await lease.claim("two", LONG)
    assert not await lease.renew("two", LONG)
    await lease.release("two")
    assert not await lease.claim("two", LONG)
    await lease.release("one")
    assert await lease.claim("two", LONG)
    assert not await lease.renew("one", LONG)
