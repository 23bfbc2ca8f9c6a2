"""What AutoGen breaks it still breaks, only the worker mends it, and the library changes nothing by itself."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import FunctionalTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.frameworks.autogen import compat
from tests.autogen.harness import CHANNEL, House

pytest_plugins = ["tests.redis_server"]
HERE = Path(__file__).resolve().parents[2]


class Says(BaseChatAgent):
    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        return Response(chat_message=TextMessage(content="hello", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


class Leaves(Says):
    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        sys.exit(42)


def selects(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
    sys.exit(42)


def ends(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> bool:
    sys.exit(42)


def with_agent() -> AutoGenTeam:
    return RoundRobinGroupChat([Leaves("leaves", "")], max_turns=1)


def with_selector() -> AutoGenTeam:
    model = ReplayChatCompletionClient([])
    return SelectorGroupChat([Says("a", ""), Says("b", "")], model, selector_func=selects, max_turns=1)


def with_condition() -> AutoGenTeam:
    return RoundRobinGroupChat([Says("a", "")], termination_condition=FunctionalTermination(ends))


TEAMS = (with_agent, with_selector, with_condition)


@pytest.mark.parametrize("team", TEAMS)
async def test_sys_exit_in_a_team_ends_only_the_team(team: Callable[[], AutoGenTeam]) -> None:
    """The error names SystemExit and its code."""
    with compat.mended(), pytest.raises(RuntimeError, match="its code ended with SystemExit: 42"):
        await team().run(task="go")


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.slow
def test_plain_autogen_still_ends_the_process(team: Callable[[], AutoGenTeam]) -> None:
    """Once this fails, AutoGen does what `compat` is for, and `compat` can go."""
    name = team.__name__
    program = f"import asyncio\nfrom tests.autogen.test_compat import {name}\nasyncio.run({name}().run(task='go'))"
    assert subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True).returncode == 42


async def test_plain_autogen_still_waits_for_cancelled_tool_calls() -> None:
    """microsoft/autogen#7956. Once this fails, the driver need not cancel agents (`Driver._cut_off`)."""
    called = asyncio.Event()

    async def look() -> str:
        """Look."""
        called.set()
        await asyncio.Event().wait()
        return "never"

    call = CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id="1", name="look", arguments="{}")],
        usage=RequestUsage(prompt_tokens=1, completion_tokens=1),
        cached=False,
    )
    model = ReplayChatCompletionClient([call])
    model.model_info["function_calling"] = True
    token = CancellationToken()
    agent = AssistantAgent("boss", model, tools=[look])
    running: asyncio.Task[TaskResult] = asyncio.create_task(agent.run(task="go", cancellation_token=token))
    await called.wait()
    token.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


UNTOUCHED = """
import asyncio, importlib, logging, pkgutil, sys
from pathlib import Path
import autogen_agentchat.agents, autogen_agentchat.teams, autogen_agentchat.tools, autogen_agentchat.conditions
import autogen_core, autogen_core.tools, autogen_core.models, autogen_core.code_executor
import autogen_ext.code_executors.local, autogen_ext.models.replay
import docket, redis.asyncio.cluster, redis.asyncio.sentinel
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

OF = [module for name, module in sorted(sys.modules.items())
      if name.split(".")[0].startswith(("autogen_", "redis", "docket"))]

def state():
    attributes = {}
    for module in OF:
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__:
                names = [each for each in vars(value) if not each.startswith("_abc_") and each[:2] != "__"]
                attributes |= {(module.__name__, name, each): id(vars(value)[each]) for each in names}
            elif callable(value):
                attributes[module.__name__, name] = id(value)
    loggers = [logging.root, *map(logging.getLogger, ("autogen_core", "autogen_core.events", "autogen_agentchat",
               "autogen_agentchat.events", "redis", "docket", "asyncio"))]
    return attributes, [(logger.level, logger.disabled, list(logger.handlers)) for logger in loggers], sys.excepthook

def build(run):
    seen.append((state(), loop_state()))
    return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

def loop_state():
    loop = asyncio.get_running_loop()
    return loop.get_task_factory(), loop.get_exception_handler(), loop.get_debug(), asyncio.get_event_loop_policy()

async def main():
    loop_before = loop_state()
    run = await countersign.teams.run_here(build, "go", channel=CHANNEL, requester="U0ALICE",
                                     model=ReplayChatCompletionClient(["Done."]))
    seen.append((state(), loop_state()))
    assert str(run.status) == "finished", run
    assert [each[1] for each in seen] == [loop_before] * 2, "the event loop was changed"

CHANNEL, seen, before = sys.argv[1], [], state()
import countersign.teams
for module in pkgutil.walk_packages(countersign.__path__, "countersign."):
    # Where `agents` is our own folder, the adapter of the OpenAI Agents SDK cannot be imported.
    if not module.name.endswith(("__main__", ".openai_agents", ".openai_agents_model")):
        try:
            importlib.import_module(module.name)
        except ImportError as missing:  # a framework in an environment of its own
            assert "isn't installed" in str(missing), missing
assert state() == before, "importing the library changed something"
asyncio.run(main())
assert [each[0] for each in seen] == [before] * 2, "running a team changed something"
"""


@pytest.mark.slow
async def test_library_changes_nothing_in_the_users_process(house: House) -> None:
    """Neither its import nor a run of a team."""
    env = {**await house.program(), "DATA_DIR": str(house.folder), "PYTHONPATH": str(HERE)}
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UNTOUCHED, CHANNEL),
        cwd=house.folder,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    words = (await running.communicate())[0].decode()
    assert running.returncode == 0, words
