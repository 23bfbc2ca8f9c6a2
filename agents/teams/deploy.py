"""Plans a deployment, lets people judge the plan, and has another team carry out exactly the plan they approved.

A step is a program of its name in the folder `deploy/steps` of the data folder; where there is none, the step writes a
line into `deploy/log` instead, and says so.
"""

import re
import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination, StopMessageTermination
from autogen_agentchat.messages import BaseChatMessage, StopMessage, TextMessage, ToolCallSummaryMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.tools import TeamTool
from autogen_core import CancellationToken

from agents.context import RunContext
from agents.outcomes import results, why_not
from agents.policies import Policy, Proposal, Tier, Verdict
from agents.steps import ONLY, STEPS, Steps
from agents.teams import Conclusion, Team, last_words
from agents.teams._deploy_script import CARRY_OUT, play
from bot.core.options import Option

CHANGES: Final = 20
"""How often people are shown a plan, at most."""

_PLANNER: Final = f"""\
You plan a deployment. A plan is a title and, below it, numbered steps, each on a line of its own, and each one of:
{"; ".join(STEPS.values())}
If the task does not say to which environment, ask people with ask_human, with options. Then call {CARRY_OUT} with the
whole plan: people judge it, and another team carries out what they approved. If they answer in words, work the words in
and call it again with the whole new plan. When it is over, say in a sentence what was done and what was not."""
_OPERATOR: Final = """\
You carry out the plan that you are given, and nothing besides it: one step in each message, by the tool of its name, in
the order of the plan. When every step is done, say so without calling a tool."""


class Foreman(BaseChatAgent):
    """Code, no model: counts what was done, and ends the work at the first step that was not."""

    def __init__(self) -> None:
        super().__init__("foreman", "Stops the work at the first step that is not done")
        self._done: list[str] = []
        self._only: list[str] = []

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage, StopMessage)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        last = messages[-1]
        over = "The plan was carried out."
        if isinstance(last, ToolCallSummaryMessage):
            self._done += [result.name for result in last.results if not result.is_error]
            self._only += [result.name for result in last.results if result.content.startswith(ONLY)]
            failed = next((result for result in last.results if result.is_error), None)
            if failed is None:
                words = "Go on with the next step; if there is none, say so."
                return Response(chat_message=TextMessage(content=words, source=self.name))
            over = f"Stopped at {failed.name}: {why_not(failed.content) or 'it failed'}; nothing after it was done."
        done = f"Steps done: {', '.join(self._done) or 'none'}."
        if self._only:
            done += f" {ONLY}, because they have no program in deploy/steps: {', '.join(self._only)}."
        return Response(chat_message=StopMessage(content=f"{over} {done}", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        self._done, self._only = [], []


def build(run: RunContext) -> AutoGenTeam:
    """A planner, whose tool is another team that gets the approved plan as its task."""
    steps = Steps(run.settings.data_dir / "deploy")
    tools = run.tools(
        "operator",
        [steps.run_tests, steps.release, steps.announce],
        ask=policy(steps, each=run.options["ask"] == "each"),
        show={name: partial(step_drawn, line) for name, line in STEPS.items()},
    )
    operator = AssistantAgent("operator", run.model("operator"), workbench=tools, system_message=_OPERATOR)
    operators = RoundRobinGroupChat(
        [operator, Foreman()], termination_condition=StopMessageTermination() | MaxMessageTermination(100)
    )
    carry_out = TeamTool(operators, CARRY_OUT, "Another team carries out the plan.", return_value_as_last_message=True)
    planning = run.tools("planner", [carry_out, run.ask_human("planner")], show={CARRY_OUT: drawn})
    planner = AssistantAgent(
        "planner", run.model("planner"), workbench=planning, system_message=_PLANNER, max_tool_iterations=CHANGES
    )
    return RoundRobinGroupChat([planner], max_turns=1)


def policy(steps: Steps, *, each: bool) -> Policy:
    """Releases ask, or each step; the card says where nothing but the log would be written."""

    def judge(proposal: Proposal) -> Verdict:
        if not each and proposal.tool != "release":
            return Verdict(Tier.PASS, "It is safe, and people have seen the plan.")
        real = steps.program(proposal.tool) is not None
        return Verdict(Tier.ASK, "" if real else f"{ONLY}: there is no program deploy/steps/{proposal.tool}.")

    return judge


def step_drawn(line: str, arguments: dict[str, Any]) -> str:
    """`release <service> <version>` with the arguments in their places, quoted where one could pass for two."""
    return re.sub(r"<(\w+)>", lambda found: shlex.quote(str(arguments[found[1]])), line)


def drawn(arguments: dict[str, Any]) -> str:
    """The plan, and what the buttons mean for it."""
    return f"{arguments['task']}\n\nApprove: PROCEED, exactly this is carried out. Reject: CANCEL, nothing is done."


async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
    """What the other team did; nothing, if it never got a plan."""
    words = (await last_words(run, result)).words
    last = next((r for r in reversed([*results(result.messages)]) if r.name == CARRY_OUT), None)
    if last is None:
        return Conclusion("There was no plan; nothing was done.", words)
    if why := why_not(last.content):
        return Conclusion(f"Cancelled: {why}. Nothing was done.", words)
    return Conclusion(f"Broken off: {last.content[:300]}" if last.is_error else last.content, words)


TEAM: Final = Team(
    "deploy",
    "plans a deployment, and another team carries it out",
    build,
    conclude,
    options=(
        Option("ask", "Which steps ask once more", ("risky", "each"), "risky", "The plan asks; risky: releases too."),
    ),
    demo=play,
)
