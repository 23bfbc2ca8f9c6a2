"""R13: a tool that runs commands; here it only writes them down."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.frameworks.autogen.models.demo import DemoCall, demo_turns
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.e2e.team_parts import conclude, done, name

RM = "rm -rf /"
COMMANDS = {
    "spaces": "echo ok" + " " * 10_000 + RM,
    "middle": "x" * 6_000 + f"\n{RM}\n" + "y" * 6_000,
    "bidi": f"\u202e{RM[::-1]}\u202c\nand \u2066{RM}\u2069",
    "look": f"r\u043em notes; {RM}",
    "binary": f"echo \x00\x1b[2J\x07{RM}",
    "huge": f"{RM}\n" + "z" * 990_000,
}


def build(run: Run) -> AutoGenTeam:
    async def shell(command: str, run_name: str) -> str:
        """Run it."""
        return done(run, "shell", command=command)

    tools = run.tools("clerk", [shell])
    return RoundRobinGroupChat([AssistantAgent("clerk", run.model("clerk"), workbench=tools)], max_turns=1)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    this = name(messages)
    if demo_turns(messages) == 0:
        return [DemoCall("shell", {"command": COMMANDS[this.partition("-")[2]], "run_name": this})]
    return "It is over."


TEAM = Team("shell", "runs commands after consent", build, conclude, demo=play)
