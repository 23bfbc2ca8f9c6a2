"""What the coder of the code team says without a model: its first program has a mistake, and is corrected."""

import re
from collections.abc import Sequence
from typing import Final

from autogen_core.models import LLMMessage, UserMessage

from agents.demo_model import reviewers_words
from agents.demo_writer import NOTE
from agents.outcomes import was_answered, why_not

FENCE: Final = "```"
RAN: Final = "Ran to its end."


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Adds up the numbers of the task, or counts its words; words of people are printed, too."""
    task, *told = [str(message.content) for message in messages if isinstance(message, UserMessage)]
    last = told[-1] if told else ""
    if last.startswith(RAN):
        return f"The program has done its work. It printed:\n{last.partition(chr(10))[2]}\n\n{NOTE}"
    if (why := why_not(last)) and not was_answered(last):
        return f"The program did not run: {why}. Nothing else was tried.\n\n{NOTE}"
    corrected = any("NameError" in text for text in told)
    numbers = [int(number) for number in re.findall(r"-?\d+", task)]
    what = f"{numbers}" if numbers else f"{task.split()!r}"
    lines = [
        f"things = {what}",
        f"print({'sum' if numbers else 'len'}({'things' if corrected else 'thing'}))",
        *(f"print({reviewers_words(text)!r})" for text in told if was_answered(text)),
    ]
    how = "Corrected: the name was wrong." if corrected else "The first program of this demo always has a mistake."
    return f"{how}\n\n{FENCE}python\n# {NOTE}\n" + "\n".join(lines) + f"\n{FENCE}"
