"""`python -m tests.chaos --minutes 5 --seed 1`: hundreds of runs while everything breaks.

Exit status 1 if anything gave way.

The seed gives the same faults, tasks and people's manners again; which of them meet depends on the machine.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.chaos.callback_receiver import Receiver
from tests.chaos.cluster import MINUTES, deployment
from tests.chaos.faults import FaultInjector
from tests.chaos.invariants import Verdict
from tests.chaos.observations import Eye, eye
from tests.chaos.people import Crowd
from tests.chaos.plan import CHANNELS, blows, tasks
from tests.chaos.programs import Programs
from tests.chaos.report import table

QUIET_WITHIN: Final = 120 + MINUTES
"""Seconds that everything may take to end when nothing breaks any more: the longest deadline, and minutes for a busy
machine."""

_CALLED_BACK_WITHIN: Final = 90
"""Seconds that callbacks may take then: the third try is a minute after the decision."""


async def chaos(folder: Path, *, minutes: float, seed: int, at_once: int, pause: float) -> bool:
    """Whether everything held; prints the table. `at_once`: runs going on; `pause`: seconds between two tasks."""
    seconds = minutes * 60
    patience = min(20.0, seconds / 20)
    async with Receiver() as receiver, deployment(folder, http=seed % 2 == 0) as it, eye(it) as watching:
        crowd, injector = Crowd(it, seed, patience), FaultInjector(it, seed)
        await crowd.settle_in()
        urls = [web.env["API_URL"] for web in it.of("web")]
        key, receiver.secret = await watching.new_key([it.slack.channel(name).id for name in CHANNELS])
        programs = Programs(urls, key, folder, list(CHANNELS), seed, patience, receiver.url)
        watch = asyncio.create_task(crowd.watch())
        giving = asyncio.create_task(_give(crowd, watching, seed, patience, at_once, pause))
        starting = asyncio.create_task(programs.start_some())
        telling = asyncio.create_task(_tell(crowd, injector, watching, seconds))
        try:
            await injector.deal(blows(seed, seconds))
            giving.cancel()
            starting.cancel()
            await injector.rest()
            crowd.hurry()
            await programs.finish(QUIET_WITHIN)
            took = await watching.quiet(QUIET_WITHIN)
            with suppress(TimeoutError):
                await watching.called_back(_CALLED_BACK_WITHIN)
            if took is None:
                await it.stop()  # what is read at different moments would contradict itself
            verdict = Verdict(await watching.facts(it, crowd.given, programs, receiver))
        finally:
            for task in (watch, giving, starting, telling):
                task.cancel()
            ended = await asyncio.gather(watch, giving, starting, telling, return_exceptions=True)
            await programs.finish(0)
            await crowd.go_home()
            await injector.stop()
    for wrong in ended:
        if isinstance(wrong, Exception):
            raise wrong
    print(table(verdict, crowd, injector, seed=seed, minutes=minutes, quiet=took))
    return took is not None and not any(verdict.figures.values())


async def _give(crowd: Crowd, eye: Eye, seed: int, patience: float, at_once: int, pause: float) -> None:
    for task in tasks(seed, patience):
        crowd.give(task)
        await asyncio.sleep(pause)
        while await eye.going_or(at_once) >= at_once:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _tell(crowd: Crowd, injector: FaultInjector, eye: Eye, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while True:
        await asyncio.sleep(min(15.0, seconds / 2))
        print(
            f"{loop.time() - begun:4.0f} s: {len(crowd.given)} tasks given, {await eye.going_or(0)} runs going on, "
            f"{injector.done.total()} faults",
            file=sys.stderr,
        )


def main() -> int:
    """The exit status: 0 if everything held."""
    given = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Break everything, and count what gives way."
    )
    given.add_argument("--minutes", type=float, default=5)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--at-once", type=int, default=200, help="runs that go on at the same time")
    given.add_argument("--pause", type=float, default=0.25, help="seconds between two tasks")
    given.add_argument("--keep", action="store_true", help="keep logs and data also when everything held")
    args = given.parse_args()
    logging.basicConfig(level="ERROR", format="%(asctime)s %(name)s: %(message)s")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    held = asyncio.run(chaos(folder, minutes=args.minutes, seed=args.seed, at_once=args.at_once, pause=args.pause))
    if held and not args.keep:
        shutil.rmtree(folder)
    else:
        print(f"Logs and data: {folder}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
