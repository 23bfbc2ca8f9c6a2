"""AutoGen by itself: a new team like a parked run's, whose models answer at once, until it asks its human.

That is what a run would take to come back if all that it had done were done again and cost nothing. A process of its
own: TASK is the team's (bench/teams/turns.py), and it prints `asked <ns>` for each of ROUNDS, after three to warm up.
"""

import asyncio
import gc
import logging
import os
import time

from autogen_agentchat.agents import UserProxyAgent
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient
from autogen_ext.models.replay import ReplayChatCompletionClient

from bench.teams.turns import team
from tests.processes import Process

_WARM = 3


async def rounds_of(task: str, rounds: int) -> list[float]:
    """Milliseconds of each round of the team of this task."""
    process = await Process("bench.baseline_autogen", {"TASK": task, "ROUNDS": str(rounds)}).start()
    if await process.wait():
        raise RuntimeError("AutoGen by itself did not end as it should:\n" + "\n".join(process.lines))
    return [int(line.split()[1]) / 1e6 for line in process.lines if line.startswith("asked ")]


async def main(task: str, rounds: int) -> None:
    """Run the team of this task so many times."""
    turns = int(task.split()[2])

    def answers(agent: str) -> ChatCompletionClient:
        return ReplayChatCompletionClient([f"what {agent} says in turn {n}" for n in range(turns)])

    for number in range(_WARM + rounds):
        gc.collect()
        asked = 0

        async def ask(prompt: str, cancellation_token: CancellationToken | None = None) -> str:
            nonlocal asked
            asked = time.monotonic_ns()
            return "approved"

        begun = time.monotonic_ns()
        await team(task, answers, UserProxyAgent("human", input_func=ask)).run(task="go")
        if number >= _WARM:
            print(f"asked {asked - begun}", flush=True)


if __name__ == "__main__":
    for loud in ("autogen_core", "autogen_core.events", "autogen_agentchat", "autogen_agentchat.events"):
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    asyncio.run(main(os.environ["TASK"], int(os.environ["ROUNDS"])))
