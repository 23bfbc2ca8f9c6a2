"""The lines of the agents of the deploy team without a model."""

import re
from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage

from countersign import DEMO_NOTE, Became, DemoCall, current_run, demo_turns

CARRY_OUT: Final = "carry_out"


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
    answer = " ".join((*asked.chosen, asked.words)) if asked and asked.became in (Became.DONE, Became.ANSWERED) else ""
    match = re.search(r"\b(staging|production)\b", f"{task}\n{answer}", re.IGNORECASE)
    named = re.search(r"\bdeploy\s+(\S+)\s+(\S+)", task, re.IGNORECASE)
    service, version = named.groups() if named else ("shop", "1.0")
    if match is None and asked is not None:
        return f"Nothing was planned, because nobody said which environment.\n\n{DEMO_NOTE}"
    if match is None:
        question = {"question": f"Where should {service} {version} go?", "options": ["staging", "production"]}
        return [DemoCall("ask_human", question)]
    last = outcomes.last(CARRY_OUT)
    if last is not None and last.became is not Became.ANSWERED:
        return f"{f'Nothing was done: {last.why_not}.' if last.why_not else last.result}\n\n{DEMO_NOTE}"
    wishes = [plan.words for plan in outcomes.of(CARRY_OUT) if plan.became is Became.ANSWERED]
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
    """Read a line of a plan as the call that it asks for; None if it is none."""
    if match := re.match(r"\s*\d+\.\s+(run_tests|release|announce)\s+(.+)", line):
        names = {"run_tests": ["service", "version"], "release": ["service", "version", "environment"]}
        given = match[2].split()
        if (parameters := names.get(match[1])) is None:
            return DemoCall("announce", {"words": match[2]})
        return DemoCall(match[1], dict(zip(parameters, given, strict=True))) if len(given) == len(parameters) else None
    return None
