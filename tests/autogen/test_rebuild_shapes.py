"""A run is lost at each entry, whatever its branches wait for, near Redis and two milliseconds away from it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from countersign.domain.events import EventType
from countersign.domain.requests import Kind, Request, Status
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import connect
from tests.autogen.harness import House, housed
from tests.autogen.rebuild_shapes import SHAPES
from tests.autogen.test_rebuild import live
from tests.far_redis import far_away

pytestmark = pytest.mark.slow
pytest_plugins = ["tests.redis_server"]


@asynccontextmanager
async def seen_from(away: str, house: House) -> AsyncIterator[House]:
    """The same house, or with two milliseconds on the way to Redis and back."""
    if away == "near":
        yield house
        return
    port = urlsplit(house.url).port
    assert port is not None
    async with far_away(port) as here:
        url = house.url.replace(f":{port}", f":{here}")
        async with connect(url) as client, housed(client, url, house.namespace, house.folder) as there:
            yield there


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("shape", "away"),
    [
        *((shape, "near") for shape in SHAPES),
        *((shape, "far") for shape in ("refusals", "impatient")),
    ],
)
async def test_run_of_any_shape_survives_loss_at_any_entry(
    house: House, shape: str, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the same transcript, each action once, and nobody is asked how to go on; nothing here is a matter of time."""
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(minutes=5))
    async with seen_from(away, house) as there:
        await lost_at_each_entry(there, shape)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", ["impatient", "hurried"])
async def test_deadline_at_the_gate_survives_stops_at_any_entry(
    house: House, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: a worker told to stop lets go of the run, and the next one continues it."""
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(seconds=2))
    await lost_at_each_entry(house, shape, stops=True)


async def lost_at_each_entry(house: House, shape: str, *, stops: bool = False) -> None:
    build = SHAPES[shape]
    whole = await live(house, build, "r0")
    print(shape, whole.records, whole.questions, *whole.transcript, sep="\n   ")
    usual = whole.questions - len(left(await requests_of(house, "r0")))
    for dies_at in range(1, whole.records + 1):
        again = await live(house, build, f"r{dies_at}", dies_at, stops=stops)
        asked = await requests_of(house, f"r{dies_at}")
        assert [r.question.content for r in asked if r.question.kind is Kind.DIVERGED] == [], dies_at
        assert sorted(again.transcript) == sorted(whole.transcript), dies_at
        assert sorted(again.world.done) == sorted(whole.world.done), dies_at
        if shape != "retrying":  # its model fails as often as it failed before
            assert again.world.model.asked == whole.world.model.asked + again.unrecorded, dies_at
        gold = left(asked)
        # Approved when nobody waited any more, or not asked in time: it was not done.
        assert gold in ([], [Status.WITHDRAWN], [Status.APPROVED]), dies_at
        assert again.questions - len(gold) == usual + again.doubts, dies_at


def left(asked: list[Request]) -> list[Status]:
    """What became of the questions that the team itself leaves."""
    return [r.status for r in asked if r.question.call is not None and "gold" in r.question.call.arguments]


async def requests_of(house: House, run: str) -> list[Request]:
    """All that the run asked people."""
    raw = await house.store.client.xrange(house.store.keys.events)
    events = [EVENTS.load(fields[b"event"]) for _, fields in raw]
    names = [e.request for e in events if e.run == run and e.type == EventType.REQUEST_ASKED and e.request]
    return [request for request in await house.store.requests(names) if request is not None]
