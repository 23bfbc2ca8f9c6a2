"""A team that writes code, runs it once people approve it, and corrects it."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import FunctionalTermination, MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage, UserMessage

from countersign.teams import (
    DEMO_NOTE,
    CodeAgent,
    Conclusion,
    Kind,
    Option,
    OutcomeKind,
    Run,
    Team,
    code_executor,
    current_run,
    last_words,
)

FENCE: Final = "```"
MESSAGES: Final = 40
"""Of the coder and of what the code said, together; then it ends."""
_CODER: Final = f"""\
You solve the task with one program in Python or shell, in a code block that says its language; people read it before it
runs, so keep it short and plain. It prints what is to be known. You then read what it printed. After an error, write
the whole corrected program. If people answered in words, work them in and write the whole program again. If it was not
allowed to run, or has done what was wanted, say so in a few sentences without any {FENCE}."""


def build(run: Run) -> AutoGenTeam:
    """Coder, runner, coder …, until the coder writes no more code."""
    coder = AssistantAgent("coder", run.model("coder"), model_client_stream=True, system_message=_CODER)
    within = timedelta(seconds=int(run.options["seconds"]))
    executor = code_executor(run.settings.data_dir / "code" / run.run.id, within=within)
    runner = CodeAgent("runner", run.executor("coder", executor))
    return RoundRobinGroupChat(
        [coder, runner], termination_condition=FunctionalTermination(_summed_up) | MaxMessageTermination(MESSAGES)
    )


def _summed_up(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> bool:
    return any(m.source == "coder" and isinstance(m, BaseChatMessage) and FENCE not in m.to_text() for m in messages)


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Report the outcome of the last program, with the coder's summary."""
    answer = await last_words(run, result)
    words = answer.words
    programs = [outcome for outcome in run.outcomes if outcome.kind is Kind.CODE]
    if not programs:
        return Conclusion("No code was written, so none ran.", words)
    last = programs[-1]
    if last.why_not:
        before = " What ran before it is in the thread." if any(not one.why_not for one in programs) else ""
        return Conclusion(f"The code did not run: {last.why_not}.{before}", words, last.became)
    failed = last.became is OutcomeKind.FAILED
    ran = "The code was approved, but failed." if failed else "The code was approved and ran."
    if not _summed_up(result.messages):
        return Conclusion(f"{ran} Ended after {MESSAGES} messages.", words, "not finished")
    return Conclusion(ran, words, OutcomeKind.FAILED) if failed else Conclusion(answer.result, words, "Ran")


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Add up the numbers of the task, or count its words; print people's words too."""
    task = next(str(message.content) for message in messages if isinstance(message, UserMessage))
    outcomes = [*current_run().outcomes]
    last = outcomes[-1] if outcomes else None
    if last is not None and last.became is OutcomeKind.DONE:
        return f"{last.result.strip()}\n\n{DEMO_NOTE}"
    if last is not None and last.why_not and last.became is not OutcomeKind.ANSWERED:
        return f"The program did not run: {last.why_not}. Nothing else was tried.\n\n{DEMO_NOTE}"
    corrected = any(one.became is OutcomeKind.FAILED and "NameError" in one.result for one in outcomes)
    numbers = [int(number) for number in re.findall(r"-?\d+", task)]
    data = f"{numbers}" if numbers else f"{task.split()!r}"
    lines = [
        f"things = {data}",
        f"print({'sum' if numbers else 'len'}({'things' if corrected else 'thing'}))",
        *(f"print({one.words!r})" for one in outcomes if one.became is OutcomeKind.ANSWERED),
    ]
    how = "Corrected: the name was wrong." if corrected else "The first program of this demo always has a mistake."
    return f"{how}\n\n{FENCE}python\n# {DEMO_NOTE}\n" + "\n".join(lines) + f"\n{FENCE}"


TEAM: Final = Team(
    "code",
    "writes code and runs it once it is approved",
    build,
    conclude,
    options=(
        Option(
            "seconds",
            "Time limit for a block of code, in seconds",
            ("10", "60", "600"),
            "60",
            "After that, it is stopped.",
        ),
    ),
    demo=play,
)
