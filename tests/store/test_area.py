"""The workers' area as `web` and workers meet in it: the address of each `web`, and the key of all workers."""

from datetime import timedelta

from countersign.domain.api_keys import id_of
from countersign.domain.ids import RunId, TeamName
from countersign.runs.area import ADDRESS_KEPT, Area, WebAddress
from countersign.store.codec import ms

PAY = id_of(TeamName("pay"))
"""An area of workers that have a key of their own."""
ONE, TWO = "http://one:1", "http://two:2"


async def end_address(area: Area, url: str) -> None:
    """All of its time passes at once."""
    await area.client.zadd(area.keys.web, {url: ms(await area.now())})


async def test_web_address_is_unknown_until_published(area: Area) -> None:
    assert await area.address() is None
    assert await area.web_key() == ""


async def test_web_address_lists_every_process_and_the_key(area: Area) -> None:
    """Each of several `web` says where it is; saying it again adds nothing."""
    for url in (ONE, TWO, ONE):
        await area.put_address(url, "key")
    found = await area.address()
    assert found is not None
    assert (sorted(found.urls), found.key) == ([ONE, TWO], "key")


async def test_web_address_expires_by_the_redis_clock(area: Area) -> None:
    """R20."""
    before = await area.now()
    await area.put_address(ONE, "key")
    [(_, until)] = await area.client.zrange(area.keys.web, 0, -1, withscores=True)
    assert ms(before + ADDRESS_KEPT) <= until <= ms(await area.now() + ADDRESS_KEPT)


async def test_expired_web_address_is_ignored_and_later_dropped(area: Area) -> None:
    """R4: a `web` that was killed withdraws nothing."""
    await area.put_address(ONE, "key")
    await end_address(area, ONE)
    assert await area.address() is None
    await area.put_address(TWO, "key")
    assert await area.address() == WebAddress((TWO,), "key")
    assert await area.client.zcard(area.keys.web) == 1


async def test_withdrawn_web_address_leaves_the_others(area: Area) -> None:
    for url in (ONE, TWO):
        await area.put_address(url, "key")
    await area.drop_address(ONE)
    assert await area.address() == WebAddress((TWO,), "key")
    await area.drop_address(TWO)
    assert await area.address() is None
    assert await area.web_key() == "key", "the next `web` finds it, and makes no other one"


async def test_rotated_key_is_given_to_every_later_reader(area: Area) -> None:
    """R48: the key was rotated."""
    await area.put_address(ONE, "old")
    await area.put_address(TWO, "new")
    found = await area.address()
    assert found is not None and found.key == "new"


async def test_areas_of_other_namespaces_share_nothing(area: Area) -> None:
    """R27: nor does the area of workers that have a key of their own."""
    await area.put_address(ONE, "key")
    others = [Area(area.client, "other"), Area(area.client, area.keys.namespace.removesuffix("-work"), area=PAY)]
    assert [await other.address() for other in others] == [None, None]
    assert len({area.keys.prefix, *(other.keys.prefix for other in others)}) == 3


async def test_lease_of_one_area_is_unknown_to_another(area: Area) -> None:
    other = Area(area.client, area.keys.namespace.removesuffix("-work"), area=PAY)
    for one in (area, other):
        assert await one.leases.claim(RunId("r1"), "worker", timedelta(seconds=5)) is not None
