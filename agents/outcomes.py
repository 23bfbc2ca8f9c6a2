"""What became of what a team's agents wanted to do, for the sentence with which a run ends.

The gate tells a model in fixed words (`agents.wording`); the first line of them says which outcome it was.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, ToolCallExecutionEvent
from autogen_core.models import FunctionExecutionResult

from agents import wording
from agents.answers import CHANGED
from bot.core.requests import Kind, Status

_WHY: Final = {
    Status.REJECTED: "it was rejected",
    Status.ANSWERED: "people answered instead of approving it",
    Status.EXPIRED: "nobody answered in time",
    Status.WITHDRAWN: "the question was taken back",
}
_BY_TITLE: Final = {
    wording.of(kind, status).title: why
    for kind in (Kind.TOOL, Kind.CODE, Kind.CHOICE)
    for status, why in _WHY.items()
    if status in wording.TEXTS[kind]
} | {wording.REFUSED.title: "the rules of this team do not allow it"}


def why_not(text: str) -> str:
    """Why something was not done, from what the model read about it; empty if that tells of no refusal."""
    first = text.partition("\n")[0]
    if not first.startswith("DECISION: "):
        return ""
    return _BY_TITLE.get(first.removeprefix("DECISION: ").partition(" (request ")[0], "")


def was_answered(text: str) -> bool:
    """Whether people answered in words what they were asked to approve."""
    return why_not(text) == _WHY[Status.ANSWERED]


def what_was_changed(text: str) -> list[str]:
    """What a reviewer changed in a call before it was made, a line for each place, from what the model read (R18)."""
    _, told, after = text.partition(f"\n{CHANGED}\n")
    lines = itertools.takewhile(lambda line: line.startswith("- "), after.splitlines()) if told else ()
    return [line.removeprefix("- ") for line in lines] if text.startswith("DECISION: ") else []


def results(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> Iterator[FunctionExecutionResult]:
    """What the tools returned, in order; a call that was not made is an error (`why_not` of its content)."""
    for message in messages:
        if isinstance(message, ToolCallExecutionEvent):
            yield from message.content
