"""An action that does not end: it waits, keeps a thread, or blocks the worker's event loop."""

import asyncio
import time
from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.frameworks.autogen.models.demo import DemoCall
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.e2e.team_parts import conclude, done, name

LONG = 100_000.0


def build(run: Run) -> AutoGenTeam:
    async def wait() -> str:
        """Wait."""
        done(run, "wait")
        await asyncio.sleep(LONG)
        return ""

    def thread() -> str:
        """Keep a thread."""
        done(run, "thread")
        time.sleep(LONG)
        return ""

    async def block() -> str:
        """Block the event loop."""
        done(run, "block")
        time.sleep(LONG)  # noqa: ASYNC251 -- a team's bug
        return ""

    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=run.tools("clerk", [wait, thread, block], ask=False))
    return RoundRobinGroupChat([clerk], max_turns=1)


def play(agent: str, messages: Sequence[LLMMessage]) -> Sequence[DemoCall]:
    return [DemoCall(name(messages), {})]


TEAM = Team("hang", "acts for ever", build, conclude, demo=play)
