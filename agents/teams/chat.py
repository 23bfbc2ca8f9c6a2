"""An assistant that works step by step, and people asked as the chosen mode says."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import AssistantMessage, LLMMessage, UserMessage

from countersign.teams import DEMO_NOTE, Conclusion, Option, Run, Team, last_words
from countersign.teams.conversation import (
    ConversationOver,
    EndReason,
    HumanInputMode,
    any_of,
    every,
    last_line,
    turn_in,
    when_said,
)

DONE: Final = "TERMINATE"
GO_ON: Final = "Please go on."
"""What the assistant reads where nobody is asked."""
ADAPTIVE: Final = any_of(when_said("delete", "drop table", "send email", "production"), every(3))
"""Asks when risky words are said, and after every third step."""
AskWhen = Callable[[Sequence[BaseChatMessage]], bool | Awaitable[bool]]
MODES: Final[dict[str, HumanInputMode | AskWhen]] = {
    **{mode.value: mode for mode in HumanInputMode},
    "adaptive": ADAPTIVE,
}

_ASSISTANT: Final = f"""\
You work through the task you are given, one small step in each message: say what the step is and what comes of it, in
plain words. When you read a person's words, take them into account in the next step. When everything is done, say so
in a sentence, and write {DONE} on a last line of its own; never write it before."""


def build(run: Run) -> AutoGenTeam:
    """Assistant, people, assistant, people …, until one of them ends it."""
    assistant = AssistantAgent("assistant", model_client=run.model("assistant"), system_message=_ASSISTANT)
    people = run.reviewer(
        "people",
        mode=MODES[run.options["mode"]],
        is_termination_msg=last_line(DONE),
        max_consecutive_auto_reply=int(run.options["replies"]),
        default_auto_reply=GO_ON,
    )
    return RoundRobinGroupChat([assistant, people], termination_condition=ConversationOver(sources=["people"]))


_STATES: Final = {
    EndReason.STOPPED: "stopped",
    EndReason.LIMIT: "not finished",
    EndReason.UNANSWERED: "expired",
    EndReason.UNJUDGED: "not finished",
}
_RESULTS: Final = {
    EndReason.STOPPED: "Stopped before the assistant was finished.{why}",
    EndReason.LIMIT: "Ended after {limit} in a row without a person; the assistant was not finished.",
    EndReason.UNANSWERED: "Nobody answered in time, so the conversation has ended; the assistant may not be finished.",
    EndReason.UNJUDGED: "Ended because nobody could tell whether the assistant was finished.",
}


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Say how the conversation ended; a finished assistant answers itself."""
    answer = await last_words(run, result)
    words = answer.words
    turn = turn_in(result.messages[-1]) if isinstance(result.messages[-1], BaseChatMessage) else None
    if turn is None or turn.over is None:
        return Conclusion("The conversation has ended.", words)
    if turn.over is EndReason.FINISHED:
        return answer
    why = f" Reason: “{turn.words}”" if turn.words else ""
    limit = "1 reply" if run.options["replies"] == "1" else f"{run.options['replies']} replies"
    return Conclusion(_RESULTS[turn.over].format(limit=limit, why=why), words, _STATES.get(turn.over, ""))


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    """Take the task's parts as steps, and a person's words as one more, then finish."""
    done, waiting = 0, list[str]()
    for message in messages:
        if isinstance(message, AssistantMessage) and waiting:
            done, waiting = done + 1, waiting[1:]
        elif isinstance(message, UserMessage) and not (text := str(message.content)).endswith(GO_ON):
            waiting = [*_parts(text), *waiting]
    if not waiting:
        return f"All {done} steps are done.\n\n{DEMO_NOTE}\n\n{DONE}"
    return f"Step {done + 1} of {done + len(waiting)}: {waiting[0]}. (Nothing is done outside.)\n\n{DEMO_NOTE}"


def _parts(text: str) -> list[str]:
    """Split a task: “plan a picnic; invite Ann, then buy bread” is three."""
    parts = [part.strip(" \t.,") for part in re.split(r"[;\n]+|,?\s+then\s+|(?<=[.!?])\s+", text)]
    return [part for part in parts if part] or [text.strip() or "nothing"]


TEAM: Final = Team(
    "chat",
    "works through a task with you, step by step",
    build,
    conclude,
    options=(
        Option(
            "mode",
            "When people are asked",
            tuple(MODES),
            HumanInputMode.ALWAYS.value,
            "always: after each step; terminate: at the end; never; adaptive: at risky words and every 3 steps",
        ),
        Option(
            "replies",
            "Replies in a row without a person",
            ("1", "3", "10", "30"),
            "10",
            "After this many, people are asked. In mode never, it ends; in mode always, there is no limit.",
        ),
    ),
    demo=play,
)
