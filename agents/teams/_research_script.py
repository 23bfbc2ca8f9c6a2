"""The lines of the agents of the research team without a model."""

import re
from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage

from countersign import DEMO_NOTE, Became, DemoCall, Kind, current_run, demo_turns

ENOUGH: Final = "ENOUGH"
FINE: Final = "FINE"


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Report what was found; the critic wants sources; people's words become a line."""
    texts = [(message.source, str(message.content)) for message in messages if isinstance(message, UserMessage)]
    task = texts[0][1]
    if agent == "researcher":
        return _research(task, messages)
    if agent == "critic":
        report = next(words for source, words in reversed(texts) if source == "writer")
        wants_sources = "[" not in report.replace(DEMO_NOTE, "") and "- " in report
        words = (
            "Say which file each fact is from." if wants_sources else "Each fact names its file, and nothing was added."
        )
        return words if wants_sources else f"{words}\n\n{FINE}"  # people read it above the report, which has the note
    findings = "\n".join(words for source, words in texts if source == "researcher")
    facts = list(dict.fromkeys(re.findall(r"^- (\S+): (.+)$", findings, re.MULTILINE)))
    sources = any(source == "critic" for source, _ in texts)
    outcomes = current_run().outcomes
    wishes = [one.words for one in outcomes if one.kind is Kind.MESSAGE and one.became is Became.ANSWERED]
    if any(re.search(r"\bshort", wish, re.IGNORECASE) for wish in wishes):
        facts = facts[:1]
    lines = [f"- {fact} [{file}]" if sources else f"- {fact}" for file, fact in facts] or ["Nothing was found."]
    lines += [f"Requested: {wish}" for wish in wishes if not re.search(r"\bshort", wish, re.IGNORECASE)]
    return "\n".join([f"Report: {task}", "", *lines, "", DEMO_NOTE])


def _research(task: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    searched = next(iter(current_run().outcomes.of("search_notes")), None)
    if searched is None:
        return [DemoCall("search_notes", {"words": task})]
    if demo_turns(messages) == 1 and not searched.why_not:
        return f"Found:\n{searched.result}\n\n{DEMO_NOTE}"
    return f"There is nothing else in the notes.\n\n{DEMO_NOTE}\n\n{ENOUGH}"
