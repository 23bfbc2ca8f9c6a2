"""AutoGen by itself: a new team like a parked run's, until it asks its human.

Its models answer at once. That is what a run would take to come back if all that it had done were done again and cost
nothing. A process of its own: TASK is the team's (bench/teams/turns.py), and it prints `asked <n> <ns>` for each
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
async def autogen_alone(task: str) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """A function that runs the team of this task once, and returns its milliseconds."""
    process = await Process("bench.baseline_autogen", {"TASK": task}).start()
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


async def main(task: str) -> None:
    """Run the team of this task once for each SIGUSR1, until this process is killed."""
    turns, signals = int(task.split()[2]), asyncio.Semaphore(0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signals.release)

    def answers(agent: str) -> ChatCompletionClient:
        return ReplayChatCompletionClient([f"what {agent} says in turn {n}" for n in range(turns)])

    print("ready", flush=True)
    number = 0
    while await signals.acquire():
        asked_at = 0

        async def ask(prompt: str, cancellation_token: CancellationToken | None = None) -> str:
            nonlocal asked_at
            asked_at = time.monotonic_ns()
            return "approved"

        begun = time.monotonic_ns()
        await team(task, answers, UserProxyAgent("human", input_func=ask)).run(task="go")
        print(f"asked {number} {asked_at - begun}", flush=True)
        number += 1
        gc.collect()


if __name__ == "__main__":
    for loud in ("autogen_core", "autogen_core.events", "autogen_agentchat", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    asyncio.run(main(os.environ["TASK"]))
