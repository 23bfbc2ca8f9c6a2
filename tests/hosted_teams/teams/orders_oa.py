"""A team of the OpenAI Agents SDK whose agents have the run's model."""

from collections.abc import Sequence

from autogen_core.models import LLMMessage

from agents import Agent, ModelSettings, set_tracing_disabled
from countersign.frameworks.openai_agents.team import OpenAITeam, model, tools
from countersign.teams import Conclusion, DemoCall, Run, Team, demo_turns, last_words

from ._shop import stop

set_tracing_disabled(True)


async def order(idempotency_key: str) -> str:
    """Order pens."""
    return "Ten pens are ordered."


def build(run: Run) -> OpenAITeam:
    clerk = Agent(
        "clerk",
        instructions="You order.",
        model=model(run, "clerk"),
        model_settings=ModelSettings(temperature=0.5),
        tools=tools(run, "clerk", order, ask=False),
    )
    if run.task == "hand over":
        return OpenAITeam(run, Agent("desk", model=model(run, "desk"), handoffs=[clerk]))
    return OpenAITeam(run, clerk)


async def conclude(run: Run, result: object) -> Conclusion:
    stop(run, "after the end")
    return await last_words(run, result)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    return "By the script." if demo_turns(messages) else [DemoCall("order", {})]


TEAM = Team("orders_oa", "orders", build, conclude, demo=play)
