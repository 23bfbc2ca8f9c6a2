"""The lines of the agents of the deploy team without a model."""

import re
from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage

from countersign import NOTE, Became, Use, current_run, turns

CARRY_OUT: Final = "carry_out"


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    """Without a model: tests, release, announcement; words of people take a step out or are announced."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    if agent == "operator":
        steps = [use for line in task.splitlines() if (use := _step(line)) is not None]
        return [steps[turns(messages)]] if turns(messages) < len(steps) else f"Every step is done.\n\n{NOTE}"
    outcomes = current_run().outcomes
    asked = next((one for one in outcomes if one.tool == "ask_human"), None)
    said = " ".join((*asked.chosen, asked.words)) if asked and asked.became in (Became.DONE, Became.ANSWERED) else ""
    found = re.search(r"\b(staging|production)\b", f"{task}\n{said}", re.IGNORECASE)
    what = re.search(r"\bdeploy\s+(\S+)\s+(\S+)", task, re.IGNORECASE)
    service, version = what.groups() if what else ("shop", "1.0")
    if found is None and asked is not None:
        return f"Nothing was planned, because nobody said to which environment.\n\n{NOTE}"
    if found is None:
        question = {"question": f"Where shall {service} {version} go?", "options": ["staging", "production"]}
        return [Use("ask_human", question)]
    last = outcomes.last(CARRY_OUT)
    if last is not None and last.became is not Became.ANSWERED:
        return f"{f'Nothing was done: {last.why_not}.' if last.why_not else last.result}\n\n{NOTE}"
    wishes = [plan.words for plan in outcomes.of(CARRY_OUT) if plan.became is Became.ANSWERED]
    plan = [f"run_tests {service} {version}", f"release {service} {version} {found[1].lower()}"]
    plan += [f"announce {service} {version} is on {found[1].lower()}"]
    for wish in wishes:
        less = re.search(r"\b(?:no|without|skip|drop)\b.*?\b(test|announce)", wish, re.IGNORECASE)
        plan = [step for step in plan if less[1].lower() not in step] if less else [*plan, f"announce {wish}"]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(plan, 1))
    return [Use(CARRY_OUT, {"task": f"Deploy {service} {version} to {found[1].lower()}\n{numbered}\n\n{NOTE}"})]


def _step(line: str) -> Use | None:
    if found := re.match(r"\s*\d+\.\s+(run_tests|release|announce)\s+(.+)", line):
        names = {"run_tests": ["service", "version"], "release": ["service", "version", "environment"]}
        given = found[2].split()
        if (wanted := names.get(found[1])) is None:
            return Use("announce", {"words": found[2]})
        return Use(found[1], dict(zip(wanted, given, strict=True))) if len(given) == len(wanted) else None
    return None
