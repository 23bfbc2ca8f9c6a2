"""A team of the OpenAI Agents SDK whose model plays a script."""

from typing import Any

from agents.testing import assistant_message, function_call

from agents import Agent, Model, ModelResponse, Usage, set_tracing_disabled
from countersign.frameworks.openai_agents.team import OpenAITeam, tools
from countersign.teams import Run, Team

from ._shop import answer, refund

set_tracing_disabled(True)


class Script(Model):
    """The model of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        items = [] if isinstance(input, str) else input
        said = answer(self._run, {i["call_id"]: i["output"] for i in items if i.get("type") == "function_call_output"})
        if isinstance(said, str):
            return ModelResponse([assistant_message(said)], Usage(), None)
        return ModelResponse([function_call(name, given, call_id=call) for call, name, given in said], Usage(), None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def build(run: Run) -> OpenAITeam:
    offered = tools(run, "clerk", refund, run.ask_human("clerk"))
    return OpenAITeam(run, Agent("clerk", model=Script(run), tools=offered))


TEAM = Team("refunds_oa", "pays back", build)
