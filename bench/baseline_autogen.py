"""AutoGen by itself: new teams like those of runs that come back.

Their models answer at once, and all stay in memory until the last has asked its human, as runs do.

That is what runs would take to come back if all that they had done were done again and cost nothing. A process of its
own: TASK is the teams' (bench/teams/turns.py), COUNT how many are built at once. It prints `asked <n> <ns>` for each
SIGUSR1.
"""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from autogen_agentchat.agents import UserProxyAgent
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient
from autogen_ext.models.replay import ReplayChatCompletionClient

from bench.teams.turns import team
from tests.processes import Process


@asynccontextmanager
async def autogen_alone(task: str, count: int = 1) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """A function that runs this many teams at once, and returns their milliseconds."""
    process = await Process("bench.baseline_autogen", {"TASK": task, "COUNT": str(count)}).start()
    rounds = 0

    async def run() -> float:
        nonlocal rounds
        os.kill(process.pid, signal.SIGUSR1)
        line = await process.said(rf"asked {rounds} (\d+)")
        rounds += 1
        return int(line[1]) / 1e6

    try:
        await process.said("ready")
        yield run
    finally:
        await process.kill()


async def main(task: str, count: int) -> None:
    """Run teams of this task at each signal, until this process is killed."""
    turns, signals, asked, last = int(task.split()[2]), asyncio.Semaphore(0), asyncio.Barrier(count), 0
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signals.release)

    def answers(agent: str) -> ChatCompletionClient:
        return ReplayChatCompletionClient([f"what {agent} says in turn {n}" for n in range(turns)])

    async def ask(prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        nonlocal last
        last = time.monotonic_ns()
        await asked.wait()
        return "approved"

    print("ready", flush=True)
    number = 0
    while await signals.acquire():
        begun = time.monotonic_ns()
        humans = [UserProxyAgent("human", input_func=ask) for _ in range(count)]
        await asyncio.gather(*(team(task, answers, human).run(task="go") for human in humans))
        print(f"asked {number} {last - begun}", flush=True)
        number += 1
        gc.collect()


if __name__ == "__main__":
    for loud in ("autogen_core", "autogen_core.events", "autogen_agentchat", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    asyncio.run(main(os.environ["TASK"], int(os.environ["COUNT"])))
