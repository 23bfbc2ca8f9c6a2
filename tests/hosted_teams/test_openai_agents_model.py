"""The run's model under agents of the OpenAI Agents SDK, in a worker of the wheel, as the tests of teams have it."""

import subprocess
from pathlib import Path

import pytest

from countersign.domain.runs import Status
from tests.autogen.harness import House
from tests.autogen.model_calls import component, written
from tests.hosted_teams.test_teams import Shop, shop
from tests.openai_server import OpenAIServer, Says
from tests.test_wheel import python, wheel

__all__ = ["python", "shop", "wheel"]
pytest_plugins = ["tests.redis_server"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("team", ["orders_oa"])]
CANNOT = """
import asyncio
from autogen_ext.models.replay import ReplayChatCompletionClient
from agents import ModelSettings, ModelTracing, WebSearchTool
from agents.agent_output import AgentOutputSchema
from countersign.frameworks.openai_agents.model import RunModel

model = RunModel(ReplayChatCompletionClient(["never asked"] * 9), "clerk")
image = [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y", "detail": "auto"}]}]


async def ask(input="go", settings=None, tools=(), form=None, **more):
    settings = settings or ModelSettings()
    await model.get_response(None, input, settings, list(tools), form, [], ModelTracing.DISABLED, **more)


async def streamed():
    model.stream_response(None, "go", ModelSettings(), [], None, [], ModelTracing.DISABLED)


for asked in (
    ask(image),
    ask(settings=ModelSettings(tool_choice="order")),
    ask(settings=ModelSettings(extra_body={"a": 1})),
    ask(tools=[WebSearchTool()]),
    ask(form=AgentOutputSchema(list[int])),
    ask(previous_response_id="resp_1"),
    streamed(),
):
    try:
        asyncio.run(asked)
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("was asked")
"""
TRACED = """
import asyncio
from types import SimpleNamespace
from agents import Agent, RunConfig, set_trace_processors
from agents import Model as AnyModel, ModelResponse, Usage
from agents.testing import assistant_message
from agents.tracing import TracingProcessor
from countersign.frameworks.openai_agents.team import OpenAITeam


class Model(AnyModel):
    async def get_response(self, *_, **__):
        return ModelResponse([assistant_message("Done.")], Usage(), None)

    def stream_response(self, *_, **__):
        raise NotImplementedError


class Sent(TracingProcessor):
    def on_trace_start(self, trace):
        print("a trace")

    def nothing(self, *_):
        pass

    on_trace_end = on_span_start = on_span_end = shutdown = force_flush = nothing


set_trace_processors([Sent()])
for options in ({}, {"max_turns": 3}, {"run_config": RunConfig()}):
    print(*options)
    agent = Agent("clerk", model=Model())
    asyncio.run(OpenAITeam(SimpleNamespace(task="go"), agent, **options)._advance(None, print))
"""
"""What the SDK would send to OpenAI."""


@pytest.fixture
def models(openai: OpenAIServer, tmp_path: Path) -> dict[str, str]:
    """The worker's model is the server's."""
    return {"MODEL_CONFIG": str(written(tmp_path, [component(openai, "first", max_retries=0)]))}


async def test_workers_model_receives_the_agents_whole_request(
    shop: Shop, openai: OpenAIServer, models: dict[str, str]
) -> None:
    """And its tokens are counted; no model sees the key that a tool is given."""
    openai.will("first", Says(tool="order"), Says("Ordered."))
    await shop.start("more pens")
    async with shop.worker(**models):
        run = await shop.over()
    assert run.words == "Ordered."
    first, second = openai.asked
    assert first["temperature"] == 0.5
    assert [(m["role"], m["content"]) for m in first["messages"]] == [("system", "You order."), ("user", "more pens")]
    (offered,) = first["tools"]
    assert (offered["function"]["name"], offered["function"]["parameters"]["properties"]) == ("order", {})
    (call,) = second["messages"][2]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call1", "order")
    assert second["messages"][3] == {"role": "tool", "content": "Ten pens are ordered.", "tool_call_id": "call1"}
    assert run.usage is not None
    assert (run.usage.calls, run.usage.prompt_tokens) == (2, 14)


async def test_agent_hands_over_to_another(shop: Shop, openai: OpenAIServer, models: dict[str, str]) -> None:
    openai.will("first", Says(tool="transfer_to_clerk"), Says("Ordered."))
    await shop.start("hand over")
    async with shop.worker(**models):
        run = await shop.over()
    assert (run.words, [line.agent for line in run.progress]) == ("Ordered.", ["clerk"])
    assert openai.asked[0]["tools"][0]["function"]["name"] == "transfer_to_clerk"
    assert openai.asked[1]["messages"][0] == {"role": "system", "content": "You order."}


async def test_recorded_answer_is_not_requested_again(shop: Shop, openai: OpenAIServer, models: dict[str, str]) -> None:
    """R4: another worker finds the answer in the journal."""
    openai.will("first", Says(tool="order"), Says("Ordered."))
    (shop.house.folder / "after the end").touch()
    await shop.start("more pens")
    async with shop.worker(**models) as first:
        await shop.stands("stops after the end")
        await shop.killed(first)
    async with shop.worker(**models):
        assert (await shop.over()).words == "Ordered."
    assert len(openai.asked) == 2


async def test_model_calls_are_limited_by_the_budget(
    house: House, shop: Shop, openai: OpenAIServer, models: dict[str, str]
) -> None:
    """MODEL_CALLS counts for these teams as for others."""
    openai.will("first", Says(tool="order"), Says(tool="order"))
    await shop.start("more pens")
    async with shop.worker(**models, MODEL_CALLS="1"):
        run = await house.over()
    assert run.status is Status.FAILED
    assert "MODEL_CALLS" in run.result


async def test_team_script_plays_without_a_configured_model(shop: Shop) -> None:
    """The script is the `demo=` of the team."""
    await shop.start("more pens")
    async with shop.worker():
        assert (await shop.over()).words == "By the script."


@pytest.mark.usefixtures("team")
def test_unsupported_model_feature_is_refused(python: Path, tmp_path: Path) -> None:
    """And is not left out."""
    done = subprocess.run([python, "-c", CANNOT], cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE)
    lines = done.stdout.splitlines()
    words = [
        "take “image_url”",
        "take the tool_choice order",
        "take the setting “extra_body”",
        "take all that the",
        "take an output_type that is no",
        "go on from what OpenAI keeps",
        "stream",
    ]
    for line, cannot in zip(lines, words, strict=True):
        assert line.startswith(f"WrongTeam The run's model cannot {cannot}")
        assert line.endswith("Give “clerk” a model of the framework.")


@pytest.mark.usefixtures("team")
def test_tracing_is_off_unless_the_team_enables_it(python: Path, tmp_path: Path) -> None:
    """R15: by itself the SDK sends OpenAI what agents and tools said."""
    done = subprocess.run([python, "-c", TRACED], cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE)
    assert [line for line in done.stdout.splitlines() if "clerk" not in line] == [
        *("", "max_turns", "run_config", "a trace")
    ]
