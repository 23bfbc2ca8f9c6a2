"""The run's model under an agent of Agent Framework: a real client of OpenAI, on a local server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_framework import Agent, Content, Message
from autogen_agentchat.base import TaskResult
from autogen_core.models import ChatCompletionClient

from countersign.domain import runs
from countersign.domain.errors import WrongTeam
from countersign.domain.runs import Status
from countersign.frameworks.agent_framework.model import RunModel
from countersign.frameworks.agent_framework.team import AgentTeam, model, tools
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.team import Teams
from countersign.teams import Conclusion, Run, Team, last_words
from tests.autogen.harness import House
from tests.autogen.model_calls import component, written
from tests.longest_wait import PATIENCE
from tests.openai_server import OpenAIServer, Says

pytest_plugins = ["tests.redis_server"]


async def order(idempotency_key: str) -> str:
    """Order pens."""
    return "Ten pens are ordered."


def build(run: Run) -> AgentTeam:
    clerk = Agent(
        model(run, "clerk"), name="clerk", instructions="You order.", tools=tools(run, "clerk", order, ask=False)
    )
    return AgentTeam(run, clerk, options={"temperature": 0.5})


@pytest.fixture
def config(openai: OpenAIServer, tmp_path: Path) -> Path:
    return written(tmp_path, [component(openai, "first", max_retries=0)])


async def advanced(house: House, config: Path, team: Team) -> runs.Run:
    found, client = Teams({"t": team}, {}), load_model(config)
    async with house.worker(found=found, model=client) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    await client.close()
    return await house.run()


@pytest.mark.slow
async def test_workers_model_receives_the_agents_whole_request(
    house: House, openai: OpenAIServer, config: Path
) -> None:
    """And its tokens are counted."""
    openai.will("first", Says(tool="order"), Says("Ordered."))
    await house.start(team="t", task="more pens")
    run = await advanced(house, config, Team("t", "", build))
    assert (run.status, run.words) == (Status.FINISHED, "Ordered.")
    first, second = openai.asked
    assert first["temperature"] == 0.5
    assert [(m["role"], m["content"]) for m in first["messages"]] == [("system", "You order."), ("user", "more pens")]
    (call,) = second["messages"][2]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call1", "order")
    assert second["messages"][3] == {"role": "tool", "content": "Ten pens are ordered.", "tool_call_id": "call1"}
    assert run.usage is not None
    assert (run.usage.calls, run.usage.prompt_tokens) == (2, 14)


async def test_idempotency_key_is_hidden_from_the_model(house: House, openai: OpenAIServer, config: Path) -> None:
    """The tool's schema has no property for it."""
    openai.will("first", Says("Nothing to do."))
    await house.start(team="t", task="more pens")
    await advanced(house, config, Team("t", "", build))
    (offered,) = openai.asked[0]["tools"]
    assert offered["function"]["name"] == "order"
    assert offered["function"]["parameters"]["properties"] == {}


@pytest.mark.slow  # it waits for what a worker lets a run have to end
async def test_recorded_answer_is_not_requested_again(house: House, openai: OpenAIServer, config: Path) -> None:
    """R4: another worker finds the answer in the journal."""
    openai.will("first", Says(tool="order"), Says("Ordered."))
    await house.start(team="t", task="more pens")
    said = asyncio.Event()

    async def never(run: Run, result: TaskResult) -> Conclusion:
        said.set()
        await asyncio.Event().wait()
        raise AssertionError

    client = load_model(config)
    async with house.worker(found=Teams({"t": Team("t", "", build, never)}, {}), model=client) as worker:
        worker.advance()
        await asyncio.wait_for(said.wait(), PATIENCE)
    await client.close()
    run = await advanced(house, config, Team("t", "", build, last_words))
    assert (run.status, run.words) == (Status.FINISHED, "Ordered.")
    assert len(openai.asked) == 2


async def test_model_calls_are_limited_by_the_budget(house: House, openai: OpenAIServer, config: Path) -> None:
    """MODEL_CALLS counts for these teams as for others."""
    openai.will("first", Says(tool="order"), Says(tool="order"))
    house.model_calls = 1
    await house.start(team="t", task="more pens")
    run = await advanced(house, config, Team("t", "", build))
    assert run.status is Status.FAILED
    assert "MODEL_CALLS" in run.result


@pytest.mark.parametrize(
    ("words", "ask"),
    [
        (
            "take “uri”",
            lambda it: it.get_response([Message("user", [Content.from_uri("http://x/y", media_type="image/png")])]),
        ),
        ("take a JSON schema", lambda it: it.get_response([], options={"response_format": {"type": "object"}})),
        ("take the tool_choice", lambda it: it.get_response([], options={"tool_choice": {"mode": "none"}})),
        ("stream", lambda it: it.get_response([], stream=True).get_final_response()),
    ],
)
async def test_unsupported_model_feature_is_refused(words: str, ask: Callable[[Any], Any], config: Path) -> None:
    """And is not left out."""
    client: ChatCompletionClient = load_model(config)
    with pytest.raises(WrongTeam, match=f"The run's model cannot {words}.* Give “clerk” a chat client"):
        await ask(RunModel(client, "clerk"))
    await client.close()
