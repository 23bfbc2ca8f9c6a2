"""Kills and stops of the shapes at each entry: `python -m tests.autogen.kill_counts [shape…]` counts the bad ones."""

import argparse
import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from autogen_agentchat.base import Team as AutoGenTeam

from countersign.domain.channel_settings import OnTimeout
from countersign.domain.events import EventType
from countersign.domain.requests import Kind, Request
from countersign.frameworks.autogen.run_context import Run
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import RedisClient
from tests.autogen.harness import RULES, House, housed
from tests.autogen.kill_shapes import KILL_SHAPES
from tests.autogen.rebuild_teams import World
from tests.autogen.test_rebuild import Told, live
from tests.longest_wait import PATIENCE

Build = Callable[[World, Run], AutoGenTeam]


async def bad_kills(
    house: House,
    build: Build,
    *,
    stops: bool = False,
    again: int = 0,
    every: int = 1,
    patience: float = PATIENCE,
) -> tuple[list[str], int]:
    """Kill the shape at each entry, or at every so manieth; return what went wrong, and the number of kills.

    `stops`: its process is told to stop instead. `again`: the next process is killed too, at its own entry of this
    number. A run that has not ended after `patience` seconds is bad.
    """
    kind = f"{'stop' if stops else 'kill'}{again or ''}x"
    with patch("countersign.frameworks.autogen.team_execution.GRACE", timedelta(seconds=2)):
        whole = await live(house, build, f"r{kind}0")
        bad: list[str] = []
        numbers = range(1, whole.records + 1, every)
        for number in numbers:
            run = f"r{kind}{number}"
            try:
                async with asyncio.timeout(patience):
                    rebuilt = await live(house, build, run, number, dies_again=again, stops=stops)
                problem = difference(whole, rebuilt, await requests_of(house, run))
            except TimeoutError:
                asked = [(r.question.kind, r.question.title) for r in await requests_of(house, run)]
                problem = f"has not ended; asked {asked[-3:]}"
            except AssertionError as failed:
                problem = f"failed: {str(failed).splitlines()[0][:200]}"
            if problem:
                bad.append(f"{build.__name__} {kind}{number} of {whole.records}: {problem}")
    return bad, len(numbers)


def difference(whole: Told, again: Told, asked: list[Request]) -> str:
    """Tell how the run differs from one that was never lost; empty if it does not."""
    diverged = [request.question.content for request in asked if request.question.kind is Kind.DIVERGED]
    if diverged:
        return f"people were asked about changed code: {diverged[0][:200]}"
    if sorted(again.transcript) != sorted(whole.transcript):
        return f"another transcript: {_more(again.transcript, whole.transcript)}"
    # What the team itself left is done at most once.
    ours, theirs = ([done for done in told.world.done if "left" not in done] for told in (again, whole))
    if sorted(ours) != sorted(theirs) or max(Counter(again.world.done).values(), default=0) > max(
        Counter(whole.world.done).values(), default=0
    ):
        return f"done: {_more(again.world.done, whole.world.done)}"
    if again.world.model.asked != whole.world.model.asked + again.unrecorded:
        return f"models were asked {again.world.model.asked - whole.world.model.asked - again.unrecorded} times more"
    doubts = sum(request.question.kind is Kind.IN_DOUBT for request in asked)
    if again.questions - doubts != whole.questions:
        return f"{again.questions - doubts} questions in place of {whole.questions}"
    return ""


def _more(ours: list[str], theirs: list[str]) -> str:
    more, less = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
    return f"+{sorted(more.elements())} -{sorted(less.elements())}"[:400]


async def requests_of(house: House, run: str) -> list[Request]:
    """All that the run asked people."""
    raw = await house.store.client.xrange(house.store.keys.events)
    events = [EVENTS.load(fields[b"event"]) for _, fields in raw]
    names = [e.request for e in events if e.run == run and e.type == EventType.REQUEST_ASKED and e.request]
    return [request for request in await house.store.requests(names) if request is not None]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=[*KILL_SHAPES])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--patience", type=float, default=20)
    parser.add_argument("--show", type=int, default=3, help="how many of the bad ones to describe")
    parser.add_argument("--only", choices=("kills", "stops"))
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server, RedisClient.from_url(server.url) as client:
            for name in given.shapes:
                rules = replace(RULES, on_timeout=OnTimeout.WAIT)
                async with housed(client, server.url, name, Path(folder), rules) as house:
                    for stops in (False, True):
                        if given.only == ("kills", "stops")[not stops]:
                            continue
                        try:
                            bad, number = await bad_kills(
                                house,
                                KILL_SHAPES[name],
                                stops=stops,
                                every=given.every * (9 if name == "forty_branches" else 1),
                                patience=given.patience,
                            )
                        except AssertionError as failed:
                            print(f"{name}: not even whole: {failed}", flush=True)
                            continue
                        print(f"{name:22} {'stops' if stops else 'kills'} {len(bad):3} bad of {number}", flush=True)
                        for problem in bad[: given.show]:
                            print(f"    {problem}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
