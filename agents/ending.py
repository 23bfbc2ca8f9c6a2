"""How a team ends that is told to, and what people read of one that failed."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from agents.context import RunContext
from agents.team import Conclusion
from agents.telling import LINE


async def end_team(context: RunContext, driving: asyncio.Task[Conclusion], grace: timedelta) -> None:
    """Cancel the team by its token, which is how AutoGen ends; by force if it does not listen. An effect under way is
    waited for: cut off, nobody would know whether it happened."""
    context.token.cancel()
    while context.acting:
        await asyncio.wait(set(context.acting))
    await asyncio.wait({driving}, timeout=grace.total_seconds())
    for _ in range(3):
        if driving.done():
            return
        # The first one only reaches the team's stream, which then waits for its own agents.
        driving.cancel()
        await asyncio.wait({driving}, timeout=grace.total_seconds() / 5)


def failure(error: BaseException, words: str) -> str:
    """Say in one line how the team failed; tracebacks, which AutoGen puts into its messages, belong into the log."""
    lines: Sequence[str] = words.split("\nTraceback", 1)[0].strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return f"The team failed, and the run has ended: {first[:LINE]}. Nothing more will be done; see the worker's log."
