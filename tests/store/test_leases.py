"""Who holds a run: one owner at a time, by the server's clock, each claim with a higher fence."""

from datetime import timedelta

from bot.core.ids import RunId
from bot.store.store import Store

RUN = RunId("r1")
LONG, OVER = timedelta(minutes=1), timedelta(0)


async def test_a_lease_is_one_owners_until_it_lets_go(store: Store) -> None:
    """R4: nobody else gets it meanwhile, and who comes next has a higher fence."""
    first = await store.claim(RUN, "one", LONG)
    assert first is not None
    assert await store.claim(RUN, "two", LONG) is None
    assert await store.renew(first, LONG)
    await store.release(first)
    second = await store.claim(RUN, "two", LONG)
    assert second is not None
    assert second.fence > first.fence


async def test_a_lease_whose_time_is_over_is_anybodys_and_its_old_holder_has_no_say(store: Store) -> None:
    """R4: neither its heartbeat nor its letting go touches the new one."""
    first = await store.claim(RUN, "one", OVER)
    assert first is not None
    second = await store.claim(RUN, "two", LONG)
    assert second is not None
    assert not await store.renew(first, LONG)
    await store.release(first)
    assert await store.claim(RUN, "three", LONG) is None


async def test_an_owner_that_claims_again_fences_its_own_past(store: Store) -> None:
    """R4, R8: the job came twice; what the first of them still writes is refused."""
    first = await store.claim(RUN, "one", LONG)
    again = await store.claim(RUN, "one", LONG)
    assert first is not None and again is not None
    assert again.fence > first.fence
    assert not await store.renew(first, LONG)
    assert await store.renew(again, LONG)


async def test_one_process_draws_slack_until_it_lets_go(store: Store) -> None:
    """R6: and one that was put down cannot stay."""
    assert await store.claim_scribe("one", LONG)
    assert not await store.claim_scribe("two", LONG)
    assert not await store.renew_scribe("two", LONG)
    await store.release_scribe("two")
    assert not await store.claim_scribe("two", LONG)
    await store.release_scribe("one")
    assert await store.claim_scribe("two", LONG)
    assert not await store.renew_scribe("one", LONG)
