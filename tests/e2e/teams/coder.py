"""S18: code that an agent writes, shown whole, run after consent, its output read by the team."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.context import RunContext
from agents.demo_model import turns
from agents.executors import approved_by_the_executor, code_executor
from agents.teams import Team
from tests.e2e.playing import conclude, heard, name


def build(run: RunContext) -> AutoGenTeam:
    coder = AssistantAgent("coder", run.model("coder"))
    executor = run.executor("runner", code_executor(run.settings.data_dir / "code"))
    runner = CodeExecutorAgent("runner", executor, approval_func=approved_by_the_executor)
    return RoundRobinGroupChat([coder, runner], termination_condition=MaxMessageTermination(4))


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    this = name(messages)
    if turns(messages) == 0:
        count = f"with open('{this}.log', 'a') as log:\n    log.write('ran\\n')\nprint(6 * 7)"
        return f"Count first.\n\n```python\n{count}\n```\n\nThen look.\n\n```sh\nwc -l < {this}.log\n```\n"
    return f"The output was: {' '.join(heard(messages).split())}"


TEAM = Team("coder", "writes code, and runs it after consent", build, conclude, demo=play)
