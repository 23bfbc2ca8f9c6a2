"""A team of Agent Framework that lets people use a system for some hours.

It needs the extra `agent-framework`; its model is that of all the other teams.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from agent_framework import Agent
from autogen_core import FunctionCall
from autogen_core.models import AssistantMessage, FunctionExecutionResultMessage, LLMMessage, UserMessage

from countersign.frameworks.agent_framework.team import AgentTeam, model, tools
from countersign.teams import DEMO_NOTE, Action, DemoCall, OutcomeKind, Run, Team, current_run

from ..services.systems import Systems

_CLERK: Final = """\
You grant access. Call list_systems, then grant for what the task wants: the system that fits, read unless the task
needs write, and as few hours as will do. If the task leaves open who needs what, ask people with ask_human. When a call
is not approved, do what its answer says, and never grant it in another way. Then say what was granted."""


def build(run: Run) -> AgentTeam:
    """Build one agent, whose grants people judge."""
    systems = Systems(run.settings.data_dir / "access")
    offered = tools(
        run,
        "clerk",
        systems.list_systems,
        systems.grant,
        run.ask_human("clerk"),
        ask={"list_systems": Action.ALLOW},
        idempotent=["list_systems", "grant"],
        title={"grant": "Give {person} {level} access to {system}"},
        show={"grant": grant_drawn},
        done={"grant": "granted"},
    )
    return AgentTeam(run, Agent(model(run, "clerk"), name="clerk", instructions=_CLERK, tools=offered))


def grant_drawn(arguments: dict[str, Any]) -> str:
    return f"Who: {arguments['person']}\nTo: {arguments['system']}, {arguments['level']}\nFor: {arguments['hours']} h"


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Look what there is, ask what the task leaves open, and grant the rest."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    results = [one for m in messages if isinstance(m, FunctionExecutionResultMessage) for one in m.content]
    if not results:
        return [DemoCall("list_systems", {})]
    systems = re.findall(r"^(\S+): ", results[0].content, re.MULTILINE)
    last = current_run().outcomes.last(results[-1].name)
    if last is not None and last.tool == "grant":
        if last.became is not OutcomeKind.ANSWERED:
            return f"{last.sentence}\n\n{DEMO_NOTE}"
        return [DemoCall("grant", {**_last_call(messages), **_wanted(last.words, systems)})]
    grant = {"level": "read", "hours": 1, **_wanted(task, systems)}
    if last is not None and last.chosen:
        grant["system"] = last.chosen[0]
    if "person" not in grant:
        return f"Who is it for? Start the task again, like “read billing for carol, 2 hours”.\n\n{DEMO_NOTE}"
    if "system" not in grant and last is not None and last.tool == "ask_human":
        return f"Nothing was granted: nobody said which system.\n\n{DEMO_NOTE}"
    if "system" not in grant:
        return [DemoCall("ask_human", {"question": f"Which system does {grant['person']} need?", "options": systems})]
    return [DemoCall("grant", grant)]


def _wanted(words: str, systems: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that the words name."""
    details: dict[str, Any] = {}
    if match := re.search(r"\bfor ([^\W\d][\w.@-]*)", words):
        details["person"] = match[1].rstrip(".")
    if match := re.search(r"\b(\d+)\s*(h|d)", words):
        details["hours"] = int(match[1]) * (24 if match[2] == "d" else 1)
    if match := re.search(r"\b(read|write)\b", words):
        details["level"] = match[1]
    if system := next((name for name in systems if re.search(rf"\b{re.escape(name)}\b", words)), None):
        details["system"] = system
    return details


def _last_call(messages: Sequence[LLMMessage]) -> dict[str, Any]:
    calls: list[FunctionCall] = [
        call for m in messages if isinstance(m, AssistantMessage) and isinstance(m.content, list) for call in m.content
    ]
    arguments: dict[str, Any] = json.loads(calls[-1].arguments)
    return arguments


TEAM: Final = Team("access", "gives somebody access to a system for some hours", build, demo=play)
