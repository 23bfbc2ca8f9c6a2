"""Several models in order of preference, over real HTTP: who is asked when one does not answer, and what is said."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, ModelInfo

from countersign.domain.errors import NoAnswer
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.models.fallback import Choice, FallbackModel
from countersign.frameworks.autogen.models.wrapper import DELAYED
from tests.autogen.model_calls import ABLE, KEY, MESSAGES, TOOL, answer_of, component, written
from tests.longest_wait import PATIENCE
from tests.openai_server import Cuts, Fails, Garbage, Hangs, OpenAIServer, Says, What

FAILURES: dict[str, tuple[What, str]] = {
    "error": (Fails(500), "first failed (HTTP 500)"),
    "rate limit": (Fails(429), "first is rate-limited (HTTP 429)"),
    "no money": (Fails(429, "insufficient_quota"), "rate-limited (HTTP 429, insufficient_quota)"),
    "too long": (Fails(400, "context_length_exceeded"), "refused the request (HTTP 400, context_length_exceeded)"),
    "wrong key": (Fails(401, "invalid_api_key"), "first refused our key (HTTP 401, invalid_api_key)"),
    "unknown": (Fails(404), "first is not known at its address (HTTP 404)"),
    "cut": (Cuts(), "first "),
    "empty": (Says(""), "first answered nothing"),
}


@asynccontextmanager
async def loaded(path: Path) -> AsyncIterator[ChatCompletionClient]:
    client = load_model(path, {})
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def of_two(
    openai: OpenAIServer, patience: float = 30, clock: Callable[[], float] = lambda: 0.0, second: ModelInfo = ABLE
) -> AsyncIterator[FallbackModel]:
    """Two models, the first with a time-out shorter than a file may name, and a clock that the test moves."""
    from autogen_ext.models.openai import OpenAIChatCompletionClient  # takes long, and most collect it for nothing

    clients = [
        OpenAIChatCompletionClient(model=name, base_url=openai.url, api_key=KEY, max_retries=0, model_info=able)
        for name, able in (("first", ABLE), ("second", second))
    ]
    choices = [
        Choice("first", clients[0], timedelta(seconds=patience), {"include_usage": True}),
        Choice("second", clients[1], timedelta(seconds=30), {"include_usage": True}),
    ]
    model = FallbackModel(choices, clock=clock)
    try:
        yield model
    finally:
        await model.close()


@pytest.mark.filterwarnings("ignore:No text content")
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize(("what", "sentence"), FAILURES.values(), ids=list(FAILURES))
async def test_next_model_answers_for_a_failing_one(
    what: What, sentence: str, streaming: bool, openai: OpenAIServer, tmp_path: Path
) -> None:
    path = written(tmp_path, [component(openai, "first"), component(openai, "second")])
    openai.will("first", what)
    async with loaded(path) as client:
        _, answer = await answer_of(client, streaming=streaming)
    assert (answer.content, answer.by) == ("Dear vendor", "second")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 2)
    assert len(answer.instead_of) == 1
    assert sentence in answer.instead_of[0]
    assert openai.models() == ["first", "second"], "what another model can answer is not put to the same one again"


async def test_unusable_answer_is_replaced_by_the_next_model(openai: OpenAIServer, tmp_path: Path) -> None:
    """The answer says whose place it took and why."""
    path = written(tmp_path, [component(openai, "first"), component(openai, "second")])
    openai.will("first", Garbage())
    async with loaded(path) as client:
        _, answer = await answer_of(client, streaming=False)
    assert answer.by == "second"
    assert "first gave an answer that cannot be used" in answer.instead_of[0]


async def test_unreachable_model_is_skipped(openai: OpenAIServer, tmp_path: Path) -> None:
    nowhere = component(openai, "first", base_url="http://127.0.0.1:9/v1")
    async with loaded(written(tmp_path, [nowhere, component(openai, "second")])) as client:
        _, answer = await answer_of(client, streaming=False)
    assert answer.instead_of == ["first could not be reached"]


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
async def test_hanging_model_is_skipped_after_its_timeout(streaming: bool, openai: OpenAIServer) -> None:
    openai.will("first", Hangs())
    async with of_two(openai, patience=0.3) as model:
        _, answer = await answer_of(model, streaming=streaming)
    assert answer.by == "second"
    assert "first did not answer within" in answer.instead_of[0]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(Cuts(), id="cut"),
        pytest.param(Cuts(properly=True), id="ends"),
        pytest.param(Hangs("Dear ven"), id="hangs", marks=pytest.mark.slow),
    ],
)
async def test_broken_stream_is_started_over_by_the_next_model(what: What, openai: OpenAIServer) -> None:
    """The text says so between the two."""
    openai.will("first", what)
    async with of_two(openai, patience=5 if isinstance(what, Hangs) else PATIENCE) as model:
        shown, answer = await answer_of(model, streaming=True)
    assert shown == "Dear ven\n— first broke off; second starts over —\nDear vendor"
    assert (answer.content, answer.by) == ("Dear vendor", "second")


async def test_failure_of_all_models_names_each_reason_without_keys(
    openai: OpenAIServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """R15: keys are in neither the error nor the log."""
    path = written(tmp_path, [component(openai, "first"), component(openai, "second", max_retries=0)])
    openai.will("first", Fails(401))
    openai.will("second", Fails(503))
    with caplog.at_level(logging.WARNING, "agents"):
        async with loaded(path) as client:
            with pytest.raises(NoAnswer) as told:
                await client.create(MESSAGES)
    assert "first refused our key (HTTP 401); second failed (HTTP 503)" in str(told.value)
    assert "nothing was repeated" in str(told.value)
    assert KEY not in str(told.value) + caplog.text
    assert "It failed for the key ***" in caplog.text


async def test_failed_model_rests_for_its_retry_time(openai: OpenAIServer) -> None:
    """The others are asked first; if all rest, one is asked nevertheless."""
    now = 1000.0
    async with of_two(openai, clock=lambda: now) as model:
        openai.will("first", Fails(429, retry_after="90"))
        for now, expected in ((1000.0, "second"), (1089.0, "second"), (1091.0, "first")):  # noqa: B007
            _, answer = await answer_of(model, streaming=False)
            assert answer.by == expected
        assert openai.models() == ["first", "second", "second", "first"]
        openai.will("first", Fails(500))
        openai.will("second", Says(), Fails(500))
        await answer_of(model, streaming=False)
        _, answer = await answer_of(model, streaming=False)
    assert answer.by == "first", "one that rests is better than a run that fails"


async def test_rejected_request_does_not_rest_the_model(openai: OpenAIServer) -> None:
    """HTTP 400 is about the request, so the next request begins with the same model."""
    openai.will("first", Fails(400))
    async with of_two(openai) as model:
        answers = [(await answer_of(model, streaming=False))[1].by for _ in range(2)]
    assert answers == ["second", "first"]


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
async def test_cancelled_request_is_not_passed_to_the_next_model(streaming: bool, openai: OpenAIServer) -> None:
    token = CancellationToken()
    openai.will("first", Hangs("Dear "))
    async with of_two(openai) as model:
        asking = asyncio.create_task(answer_of(model, streaming=streaming, cancellation_token=token))
        async with asyncio.timeout(PATIENCE):
            while not openai.asked:
                await asyncio.wait({asking}, timeout=0.01)
            token.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
    assert openai.models() == ["first"]


async def test_model_without_tools_is_skipped_for_tool_requests(openai: OpenAIServer) -> None:
    """The error says that it was not asked."""
    openai.will("first", Fails(500), Fails(500))
    async with of_two(openai, second={**ABLE, "function_calling": False}) as model:
        _, answer = await answer_of(model, streaming=False)
        assert answer.by == "second"
        with pytest.raises(NoAnswer, match="second cannot call tools and was not asked"):
            await model.create(MESSAGES, tools=[TOOL])
    assert openai.models() == ["first", "second", "first"]


@pytest.mark.filterwarnings("ignore:No text content")
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
async def test_empty_answer_from_every_model_is_the_answer(streaming: bool, openai: OpenAIServer) -> None:
    openai.will("first", Says(""))
    openai.will("second", Says(" \n"))
    async with of_two(openai) as model:
        _, answer = await answer_of(model, streaming=streaming)
    assert (answer.content, answer.by, answer.instead_of) == ("", "first", [])


async def test_rate_limit_is_reported_before_the_wait(openai: OpenAIServer, tmp_path: Path) -> None:
    """R21: at once, with how long; then the same model is asked again."""
    openai.will("only", Fails(429, retry_after="2"))
    told = list[tuple[str, float]]()
    async with loaded(written(tmp_path, [component(openai, "only")])) as client:
        token = DELAYED.set(lambda why, pause: told.append((why, pause.total_seconds())))
        try:
            _, answer = await answer_of(client, streaming=False)
        finally:
            DELAYED.reset(token)
    assert answer.by == "only" and openai.models() == ["only", "only"]
    assert told == [("only is rate-limited (HTTP 429)", 2.0)]


async def test_last_model_keeps_its_own_timeout(openai: OpenAIServer, tmp_path: Path) -> None:
    path = written(tmp_path, [component(openai, "first"), component(openai, "second")])
    openai.will("first", Fails(500))
    openai.will("second", Fails(500))
    async with loaded(path) as client:
        _, answer = await answer_of(client, streaming=False)
    assert answer.by == "second"
    assert openai.models() == ["first", "second", "second"]
