"""A team that plans a deployment, and another that carries out the approved plan.

A step is a program of its name in the folder `deploy/steps` of the data folder; where there is none, the step writes a
line into `deploy/log` instead, and says so.
"""

import re
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination, StopMessageTermination
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    HandoffMessage,
    StopMessage,
    ToolCallSummaryMessage,
)
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.tools import TeamTool
from autogen_core import CancellationToken
from autogen_core.models import LLMMessage, UserMessage

from countersign.teams import (
    DEMO_NOTE,
    Action,
    Conclusion,
    DemoCall,
    Option,
    Outcome,
    OutcomeKind,
    Outcomes,
    Proposal,
    Run,
    Team,
    Verdict,
    current_run,
    demo_turns,
    last_words,
)

from ..services.deploy_steps import ONLY, STEPS, DeploySteps

_RELEASE: Final = re.compile(r"^\s*\d+\.\s+release ([\w.+-]+) ([\w.+-]+) ([\w.+-]+)\s*$", re.MULTILINE)
_STEP: Final = re.compile(rf"^\s*\d+\.\s+(?:{'|'.join(STEPS)})\b", re.MULTILINE)
_TITLES: Final = {
    "run_tests": "Run the tests of {service} {version}",
    "release": "Release {service} {version} to {environment}",
    "announce": "Announce the release",
}
CARRY_OUT: Final = "carry_out"
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
    """Code, no model: ends the work at the first step that was not done."""

    def __init__(self, outcomes: Outcomes) -> None:
        super().__init__("foreman", "Stops the work at the first step that is not done")
        self._outcomes = outcomes

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (HandoffMessage, StopMessage)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        steps = _steps(self._outcomes)
        if isinstance(messages[-1], ToolCallSummaryMessage) and not _missed(steps):
            words = "Go on with the next step; if there is none, say so."
            return Response(chat_message=HandoffMessage(content=words, source=self.name, target="operator"))
        return Response(chat_message=StopMessage(content=_report(steps), source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


class CarryOut(TeamTool):
    """Another team as a tool: the steps of the approved plan are shown as to come."""

    def __init__(self, team: RoundRobinGroupChat, show: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        super().__init__(team, CARRY_OUT, "Another team carries out the plan.", return_value_as_last_message=True)
        self._show = show

    async def run_stream(
        self, args: Any, cancellation_token: CancellationToken
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | TaskResult, None]:
        await self._show(coming(args.task))
        async for item in super().run_stream(args, cancellation_token):
            yield item


def coming(plan: str) -> list[str]:
    """Return the titles of the plan's steps, as the calls will have them."""
    calls = (step_of(line) for line in plan.splitlines())
    return [_TITLES[call.tool].format(**call.arguments) for call in calls if call is not None]


def _steps(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the steps since the last plan was carried out, in order."""
    since = takewhile(lambda outcome: outcome.tool != CARRY_OUT, reversed([*outcomes]))
    return [outcome for outcome in since if outcome.tool in STEPS][::-1]


def _missed(steps: Sequence[Outcome]) -> Outcome | None:
    return next((step for step in steps if step.became is not OutcomeKind.DONE), None)


def _report(steps: Sequence[Outcome]) -> str:
    """Report what was done of a plan, and where it stopped."""
    done = [step for step in steps if step.became is OutcomeKind.DONE]
    only = [step.action for step in done if step.result.startswith(ONLY)]
    over = "The plan was carried out."
    if missed := _missed(steps):
        why = missed.why_not or f"it failed: {missed.result.splitlines()[0][:200]}"
        over = f"Stopped at “{missed.action}”: {why}; nothing after it was done."
    report = f"{over} Steps done: {', '.join(step.action for step in done) or 'none'}."
    changed = [f"{step.action}: {change}" for step in steps for change in step.changes]
    if changed:
        report += f" Changed by a reviewer: {'; '.join(changed)}."
    return report + (f" {ONLY}, because no program is set up for them: {', '.join(only)}." if only else "")


def build(run: Run) -> AutoGenTeam:
    """Build a planner whose tool is another team, with the approved plan as its task."""
    steps = DeploySteps(run.settings.data_dir / "deploy")
    tools = run.tools(
        "operator",
        [steps.run_tests, steps.release, steps.announce],
        ask=policy(steps, each=run.options["ask"] == "each"),
        title=_TITLES,
        show={name: partial(step_drawn, line) for name, line in STEPS.items()},
        done={"run_tests": "tested", "release": "released", "announce": "announced"},
    )
    operator = AssistantAgent("operator", run.model("operator"), workbench=tools, system_message=_OPERATOR)
    operators = RoundRobinGroupChat(
        [operator, Foreman(run.outcomes)], termination_condition=StopMessageTermination() | MaxMessageTermination(100)
    )
    planning = run.tools(
        "planner",
        [CarryOut(operators, run.plan), run.ask_human("planner")],
        title={CARRY_OUT: plan_title},
        show={CARRY_OUT: drawn},
        done={CARRY_OUT: "carried out"},
    )
    planner = AssistantAgent(
        "planner", run.model("planner"), workbench=planning, system_message=_PLANNER, max_tool_iterations=CHANGES
    )
    return RoundRobinGroupChat([planner], max_turns=1)


def policy(steps: DeploySteps, *, each: bool) -> Callable[[Proposal], Verdict]:
    """Make the policy: releases ask, or each step.

    The card says where nothing but the log would be written.
    """

    def judge(proposal: Proposal) -> Verdict:
        if not each and proposal.tool != "release":
            return Verdict(Action.ALLOW, "It is safe, and people have seen the plan.")
        real = steps.program(proposal.tool) is not None
        return Verdict(Action.ASK, "" if real else f"{ONLY}: no program is set up for this step.")

    return judge


def step_drawn(line: str, arguments: dict[str, Any]) -> str:
    """Draw `release <service> <version>` with the arguments filled in.

    They are quoted where one could pass for two.
    """
    return re.sub(r"<(\w+)>", lambda match: shlex.quote(str(arguments[match[1]])), line.replace("_", " "))


def plan_title(arguments: dict[str, Any]) -> str:
    """Ask about a plan by what it releases, if that is one thing."""
    releases = _RELEASE.findall(arguments["task"])
    if len(releases) != 1:
        return "Carry out this plan"
    service, version, environment = releases[0]
    return f"Carry out this plan for {service} {version} on {environment}"


def drawn(arguments: dict[str, Any]) -> str:
    """Draw the plan, and what the buttons mean for it."""
    plan = _STEP.sub(lambda step: step[0].replace("_", " "), arguments["task"])
    return f"{plan}\n\nApprove to carry out exactly this; if it is rejected, nothing is done."


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Say what the other team did: nothing, if it never got a plan."""
    words = (await last_words(run, result)).words
    plans = [outcome for outcome in run.outcomes if outcome.tool == CARRY_OUT]
    if not plans:
        return Conclusion("There was no plan; nothing was done.", words)
    plan = plans[-1]
    if plan.why_not:
        return Conclusion(f"Cancelled: {plan.why_not}. Nothing was done.", words, plan.became)
    before = "A reviewer changed the plan before it was approved. " if plan.changes else ""
    if plan.became is OutcomeKind.FAILED:
        return Conclusion(f"{before}Stopped: {plan.result[:300]}", words, OutcomeKind.FAILED)
    steps = _steps(takewhile(lambda outcome: outcome is not plan, run.outcomes))
    return Conclusion(f"{before}{_report(steps)}", words, _state(steps))


def _state(steps: Sequence[Outcome]) -> str:
    """Return the outcome: a release that was only written to the log does not count."""
    if missed := _missed(steps):
        return missed.became
    released = [step for step in steps if step.tool == "release"]
    return "Deployed" if released and not any(step.result.startswith(ONLY) for step in released) else "Carried out"


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Plan tests, release, announcement; people's words drop a step or are announced."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    if agent == "operator":
        steps = [use for line in task.splitlines() if (use := step_of(line)) is not None]
        return (
            [steps[demo_turns(messages)]]
            if demo_turns(messages) < len(steps)
            else f"Every step is done.\n\n{DEMO_NOTE}"
        )
    outcomes = current_run().outcomes
    asked = next((one for one in outcomes if one.tool == "ask_human"), None)
    answer = (
        " ".join((*asked.chosen, asked.words))
        if asked and asked.became in (OutcomeKind.DONE, OutcomeKind.ANSWERED)
        else ""
    )
    match = re.search(r"\b(staging|production)\b", f"{task}\n{answer}", re.IGNORECASE)
    named = re.search(r"\bdeploy\s+(\S+)\s+(\S+)", task, re.IGNORECASE)
    service, version = named.groups() if named else ("shop", "1.0")
    if match is None and asked is not None:
        return f"Nothing was planned, because nobody said which environment.\n\n{DEMO_NOTE}"
    if match is None:
        question = {"question": f"Where should {service} {version} go?", "options": ["staging", "production"]}
        return [DemoCall("ask_human", question)]
    last = outcomes.last(CARRY_OUT)
    if last is not None and last.became is not OutcomeKind.ANSWERED:
        return f"{f'Nothing was done: {last.why_not}.' if last.why_not else last.result}\n\n{DEMO_NOTE}"
    wishes = [plan.words for plan in outcomes.of(CARRY_OUT) if plan.became is OutcomeKind.ANSWERED]
    plan = [f"run_tests {service} {version}", f"release {service} {version} {match[1].lower()}"]
    plan += [f"announce {service} {version} is on {match[1].lower()}"]
    for wish in wishes:
        less = re.search(r"\b(?:no|without|skip|drop)\b.*?\b(test|announce)", wish, re.IGNORECASE)
        plan = [step for step in plan if less[1].lower() not in step] if less else [*plan, f"announce {wish}"]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(plan, 1))
    return [
        DemoCall(CARRY_OUT, {"task": f"Deploy {service} {version} to {match[1].lower()}\n{numbered}\n\n{DEMO_NOTE}"})
    ]


def step_of(line: str) -> DemoCall | None:
    """Read a line of a plan as the call that it asks for; None for other lines."""
    if match := re.match(r"\s*\d+\.\s+(run_tests|release|announce)\s+(.+)", line):
        names = {"run_tests": ["service", "version"], "release": ["service", "version", "environment"]}
        given = match[2].split()
        if (parameters := names.get(match[1])) is None:
            return DemoCall("announce", {"words": match[2]})
        return DemoCall(match[1], dict(zip(parameters, given, strict=True))) if len(given) == len(parameters) else None
    return None


TEAM: Final = Team(
    "deploy",
    "plans a deployment, and another team carries it out",
    build,
    conclude,
    options=(
        Option(
            "ask",
            "Which steps ask for approval again",
            ("risky", "each"),
            "risky",
            "The plan always asks. risky: releases too; each: every step.",
        ),
    ),
    demo=play,
)
