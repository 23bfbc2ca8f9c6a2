"""What the teams of this folder share: what an agent has heard, what was done, and what the agents read.

What is done and read goes into files beside the run's name, which is the last word of its task: the test reads them.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage, ToolCallExecutionEvent
from autogen_core.models import FunctionExecutionResultMessage, LLMMessage, UserMessage

from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, last_words


def heard(messages: Sequence[LLMMessage]) -> str:
    """The last thing that a model is given: words, or the results of its calls."""
    last = messages[-1]
    if isinstance(last, FunctionExecutionResultMessage):
        return "\n".join(result.content for result in last.content)
    return str(last.content)


def name(messages: Sequence[LLMMessage]) -> str:
    """The last word of the task."""
    return next(str(m.content) for m in messages if isinstance(m, UserMessage)).split()[-1]


def done(run: Run, did: str, /, **how: Any) -> str:
    """Do something outside, which the file then holds."""
    _append(run, "done", {"did": did, **how})
    return f"{did} is done"


def taken_down(run: Run, result: TaskResult) -> None:
    """What the agents read, in order."""
    for message in result.messages:
        if isinstance(message, BaseChatMessage | ToolCallExecutionEvent):
            _append(run, "read", {"source": message.source, "text": message.to_text(), "metadata": message.metadata})


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """The usual conclusion."""
    taken_down(run, result)
    return await last_words(run, result)


def watched(team: Team) -> Team:
    """The team, of which is taken down what its agents read."""

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        taken_down(run, result)
        return await team.conclude(run, result)

    return replace(team, conclude=conclude)


def _append(run: Run, kind: str, line: dict[str, Any]) -> None:
    path = run.settings.data_dir / f"{run.task.split()[-1]}.{kind}"
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")
