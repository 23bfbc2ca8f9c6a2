"""Writes the stored runs of `tests/data/runs`: `python -m tests.autogen.record_runs`; existing files stay as they are.

Each holds a run record, its requests and its journal, as they stood in Redis when the run's
process was lost.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from autogen_agentchat.base import Team as AutoGenTeam

from countersign.domain.channel_settings import OnTimeout
from countersign.domain.ids import RequestId, RunId
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Teams
from countersign.runs.entries import SCHEMA
from countersign.store.codec import decompress
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import RedisClient
from tests.autogen.harness import RULES, House, housed
from tests.autogen.rebuild_teams import World, graph_parallel, magentic_one, round_robin, team
from tests.autogen.test_rebuild import live

RUNS = Path(__file__).parents[1] / "data" / "runs"
WAITING = (round_robin, magentic_one)
"""Lost while people are asked."""
TOLD = (graph_parallel,)
"""Lost right before the end."""


async def dump(house: House, run: str, requests: list[RequestId]) -> dict[str, object]:
    """Everything that Redis holds of a run, as text."""
    store = house.store
    journal = await house.area.client.hgetall(house.area.keys.journal(RunId(run)))
    return {
        "run": plain(await store.client.get(store.keys.run(RunId(run)))),
        "requests": {name: plain(await store.client.get(store.keys.request(name))) for name in requests},
        "journal": {key.decode(): decompress(value).decode() for key, value in journal.items()},
    }


def plain(record: bytes) -> str:
    """The record with its JSON as it is before it is compressed."""
    head, _, body = record.partition(b"\n")
    return f"{head.decode()}\n{decompress(body).decode()}"


async def write(house: House, build: Callable[[World, Run], AutoGenTeam], waiting: bool) -> None:
    path = RUNS / f"journal{SCHEMA}-{build.__name__}.json"
    if path.exists():
        return
    whole = await live(house, build, "rwhole")
    name = f"rkept-{build.__name__}"
    world = World()
    it = team(build, world)
    if waiting:
        await house.start(name, it.name, "get pens")
        async with house.worker(found=Teams({it.name: it}, {}), model=world.model) as worker:
            worker.advance(name)
            asked = [(await house.asked(name)).id]
    else:
        with suppress(AssertionError):
            await live(house, build, name, whole.records, lives=1)
        asked = [
            RequestId(key.decode().split("request:")[1]) async for key in house.store.client.scan_iter("*request:*")
        ]
        asked = [r.id for r in await house.store.requests(asked) if r is not None and r.run == name]
    stored = {"models": whole.world.model.asked, **await dump(house, name, asked)}
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    print(path.name)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server, RedisClient.from_url(server.url) as client:
            for build in (*WAITING, *TOLD):
                rules = replace(RULES, on_timeout=OnTimeout.WAIT)
                async with housed(client, server.url, build.__name__, Path(folder), rules) as house:
                    await write(house, build, build in WAITING)


if __name__ == "__main__":
    asyncio.run(main())
