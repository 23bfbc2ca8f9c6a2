"""A model client without a model, for demo and tests: offline, always the same.

It plays a team's script, or repeats what it is asked, and says in every message what it is, so nobody mistakes its
words for a model's.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final, NamedTuple

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    LLMMessage,
    ModelFamily,
    ModelInfo,
    RequestUsage,
    UserMessage,
)
from autogen_core.tools import Tool, ToolSchema

from countersign.autogen.models.wrapper import ModelClient, ModelRequest, Pieces
from countersign.domain.errors import WrongTeam

CONTEXT = 128_000
"""Words that a conversation may have; only there so that `remaining_tokens` has something to count down from."""
DEMO_NOTE = "[Written by the offline demo model]"
"""Last line of every answer of the demo model."""
NO_MODEL: Final = (
    "No model is configured, and the team has no script that plays one, so the run has ended. Set MODEL_CONFIG for the "
    "worker (docs/models.md), or give the team a `demo=` script (docs/write-a-team.md); then start the task again."
)


class DemoCall(NamedTuple):
    """The demo model calls a tool. `arguments` can be written as JSON."""

    tool: str
    arguments: dict[str, Any]


Script = Callable[[str, Sequence[LLMMessage]], str | Sequence[DemoCall]]
"""What the model of an agent says next, given its name and what it is asked: words, or calls of tools.

The same messages give the same answer. Words that people read say what wrote them: they end with `DEMO_NOTE`.
"""


def demo_turns(messages: Sequence[LLMMessage]) -> int:
    """Count the model's answers so far."""
    return sum(isinstance(message, AssistantMessage) for message in messages)


class DemoModel(ModelClient):
    """Deterministic: the same messages give the same answer. A token is a word."""

    def __init__(self) -> None:
        self._play: tuple[str, Script] | None = None
        self._last = RequestUsage(prompt_tokens=0, completion_tokens=0)
        self._total = RequestUsage(prompt_tokens=0, completion_tokens=0)

    def playing(self, agent: str, script: Script) -> "DemoModel":
        """Return a demo model that plays the script for this agent; it may call tools."""
        player = copy(self)
        player._play = agent, script
        return player

    async def answer(self, request: ModelRequest) -> Pieces:
        """Answer at once, word by word.

        WrongTeam for calls of tools, or JSON, without a script.
        """
        messages, tools = request.messages, request.tools
        if self._play is None and (request.json_output or (tools and request.tool_choice != "none")):
            raise WrongTeam(NO_MODEL)
        if request.token is not None and request.token.is_cancelled():
            raise asyncio.CancelledError
        answer = _answer(messages) if self._play is None else self._play[1](self._play[0], messages)
        words = answer if isinstance(answer, str) else json.dumps(answer)
        self._last = RequestUsage(self.count_tokens(messages, tools=tools), len(words.split()))
        self._total = RequestUsage(
            self._total.prompt_tokens + self._last.prompt_tokens,
            self._total.completion_tokens + self._last.completion_tokens,
        )
        if isinstance(answer, str):
            for piece in re.findall(r"\s*\S+\s*?(?=\s|$)|\s+", answer) if request.streamed else ():
                yield piece
            yield CreateResult(finish_reason="stop", content=answer, usage=self._last, cached=False)
            return
        calls = [
            FunctionCall(f"demo-{demo_turns(messages)}-{number}", json.dumps(use.arguments), use.tool)
            for number, use in enumerate(answer)
        ]
        yield CreateResult(finish_reason="function_calls", content=calls, usage=self._last, cached=False)

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    def actual_usage(self) -> RequestUsage:
        return self._last

    def total_usage(self) -> RequestUsage:
        return self._total

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        schemas = [tool.schema if isinstance(tool, Tool) else tool for tool in tools]
        texts = [_text(message) for message in messages] + [json.dumps(schema) for schema in schemas]
        return sum(len(text.split()) for text in texts)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return max(0, CONTEXT - self.count_tokens(messages, tools=tools))

    @property
    def model_info(self) -> ModelInfo:
        """Claim every ability, so that the model is asked and can say what is missing."""
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            family=ModelFamily.UNKNOWN,
            structured_output=False,
            multiple_system_messages=True,
        )


def _answer(messages: Sequence[LLMMessage]) -> str:
    texts = [_text(message) for message in messages if isinstance(message, UserMessage)]
    last = texts[-1] if texts else "nothing"
    return f"Answer {demo_turns(messages) + 1} to: {' '.join(last.split())[:500]}\n\n{DEMO_NOTE}"


def _text(message: LLMMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part if isinstance(part, str) else str(part) for part in message.content)
