"""A team of Microsoft Agent Framework whose model plays a script."""

import json
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
)

from countersign.frameworks.agent_framework.team import AgentTeam, tools
from countersign.teams import Run, Team

from ._shop import answer, refund


class Script(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """The model of one run."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    async def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **_: Any) -> ChatResponse[Any]:
        contents = [content for message in messages for content in message.contents]
        said = answer(self._run, {c.call_id: str(c.result) for c in contents if c.type == "function_result"})
        if isinstance(said, str):
            return ChatResponse(messages=[Message("assistant", [said])])
        calls = [Content.from_function_call(call, name, arguments=json.dumps(given)) for call, name, given in said]
        return ChatResponse(messages=[Message("assistant", calls)])


def clerk(run: Run) -> Agent[Any]:
    return Agent(Script(run), name="clerk", tools=tools(run, "clerk", refund, run.ask_human("clerk")))


def build(run: Run) -> AgentTeam:
    return AgentTeam(run, clerk(run))


TEAM = Team("refunds_af", "pays back", build)
