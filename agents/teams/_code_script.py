"""The lines of the coder of the code team without a model: a mistake, corrected."""

import re
from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage

from countersign import DEMO_NOTE, Became, current_run

FENCE: Final = "```"


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Add up the numbers of the task, or count its words; print people's words too."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    outcomes = [*current_run().outcomes]
    last = outcomes[-1] if outcomes else None
    if last is not None and last.became is Became.DONE:
        return f"The program has done its work. It printed:\n{last.result}\n\n{DEMO_NOTE}"
    if last is not None and last.why_not and last.became is not Became.ANSWERED:
        return f"The program did not run: {last.why_not}. Nothing else was tried.\n\n{DEMO_NOTE}"
    corrected = any(one.became is Became.FAILED and "NameError" in one.result for one in outcomes)
    numbers = [int(number) for number in re.findall(r"-?\d+", task)]
    data = f"{numbers}" if numbers else f"{task.split()!r}"
    lines = [
        f"things = {data}",
        f"print({'sum' if numbers else 'len'}({'things' if corrected else 'thing'}))",
        *(f"print({one.words!r})" for one in outcomes if one.became is Became.ANSWERED),
    ]
    how = "Corrected: the name was wrong." if corrected else "The first program of this demo always has a mistake."
    return f"{how}\n\n{FENCE}python\n# {DEMO_NOTE}\n" + "\n".join(lines) + f"\n{FENCE}"
