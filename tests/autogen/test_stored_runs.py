"""Runs that were stored under the schema numbers of this version load; others are refused by name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.ids import RequestId, RunId
from countersign.domain.runs import Run, Status
from countersign.frameworks.autogen.team import Teams
from countersign.runs.entries import SCHEMA, Entry
from countersign.store.record_codecs import REQUESTS, RUNS
from tests.autogen.harness import House
from tests.autogen.rebuild_teams import BUILDERS, World, team
from tests.autogen.test_rebuild import People

pytest_plugins = ["tests.redis_server"]

STORED = sorted((Path(__file__).parents[1] / "data" / "runs").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(path.read_text())
    return stored


def run_of(stored: dict[str, Any]) -> Run:
    """The run as it is read."""
    return RUNS.read(stored["run"].encode())[0]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_run_loads(path: Path) -> None:
    stored = load(path)
    run = run_of(stored)
    for name, raw in stored["requests"].items():
        request, _ = REQUESTS.read(raw.encode())
        assert (request.id, request.run) == (name, run.id)
    entries = [Entry.load(raw.encode()) for raw in stored["journal"].values()]
    assert {entry.state for entry in entries} <= {"started", "done"}
    assert {json.loads(raw)["schema"] for raw in stored["journal"].values()} == {int(path.stem[7])}


def test_stored_samples_cover_every_readable_schema() -> None:
    """A schema that is read has a stored run in `tests/data/runs`."""
    assert {int(path.stem[7]) for path in STORED} == {SCHEMA}


@pytest.mark.parametrize("path", STORED[:1], ids=lambda path: path.stem)
def test_stored_run_of_an_unknown_schema_is_refused(path: Path) -> None:
    """R4: by name; a newer one is left for the version that wrote it."""
    stored = load(path)
    with pytest.raises(UnknownSchema, match="A stored Run has schema 99, this program reads"):
        RUNS.read(re.sub(r" \d+\n", " 99\n", stored["run"], count=1).encode())
    for raw in stored["journal"].values():
        with pytest.raises(NewerSchema, match="A newer version of the worker"):
            Entry.load(json.dumps({**json.loads(raw), "schema": 99}).encode())


REBUILT = [path for path in STORED if any(path.stem.endswith(f"-{build.__name__}") for build in BUILDERS)]


@pytest.mark.parametrize("path", REBUILT, ids=lambda path: path.stem)
async def test_stored_run_is_rebuilt_and_continues(house: House, path: Path) -> None:
    """Nothing recorded is asked again, of a model, a tool or a person."""
    stored = load(path)
    run = run_of(stored)
    store, world = house.store, World()
    await store.client.set(store.keys.run(run.id), stored["run"])
    for name, raw in stored["requests"].items():
        await store.client.set(store.keys.request(RequestId(name)), raw)
    await store.client.hset(house.area.keys.journal(run.id), mapping=stored["journal"])
    it = team(next(build for build in BUILDERS if build.__name__ == run.team), world)
    people = People(house, world)
    async with house.worker(found=Teams({it.name: it}, {}), model=world.model) as worker:
        await people.work(run.id, worker.advance(run.id))
    assert (await house.run(RunId(run.id))).status is Status.FINISHED
    assert world.model.asked == stored["models"] - sum(key.startswith("model/") for key in stored["journal"])
    assert {request.id for request in people.decided} <= stored["requests"].keys()
    for raw in stored["journal"].values():
        assert not any(f'"value": "{done}"' in raw for done in world.done)
