"""Answers that are kept, in a real Valkey: what counts as the same question, and what a lost cache means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from autogen_core.models import ChatCompletionClient

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import Digest
from countersign.frameworks.autogen.models.config import load_model
from countersign.runs.journal_storage import RedisAnswers
from countersign.usecases.ports import Answers
from tests.autogen.harness import House
from tests.autogen.model_calls import MESSAGES, TOOL, answer_of, component, written
from tests.openai_server import Fails, OpenAIServer, Says


@asynccontextmanager
async def kept(
    openai: OpenAIServer, house: House, answers: Answers | None = None, **config: Any
) -> AsyncIterator[ChatCompletionClient]:
    models = [component(openai, "first", max_retries=0, **config), component(openai, "second", max_retries=0)]
    path = written(house.folder, models, cache="1h")
    client = load_model(path, {}, answers=answers or RedisAnswers(house.area))
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("again", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("first", [False, True], ids=["whole", "streaming"])
async def test_streamed_and_plain_question_share_a_kept_answer(
    first: bool, again: bool, house: House, openai: OpenAIServer
) -> None:
    """The model is asked once."""
    openai.will("first", Says("One answer."))
    async with kept(openai, house) as client:
        _, answer = await answer_of(client, streaming=first)
    async with kept(openai, house) as client:
        shown, repeated = await answer_of(client, streaming=again)
    assert (answer.cached, repeated.cached) == (False, True)
    assert repeated.content == answer.content == "One answer."
    assert (repeated.by, repeated.usage) == ("first", answer.usage)
    assert shown == ("One answer." if again else "")
    assert len(openai.asked) == 1


async def test_different_messages_tools_or_configuration_have_different_answers(
    house: House, openai: OpenAIServer
) -> None:
    """Each is a question of its own in the cache."""
    async with kept(openai, house) as client:
        await client.create(MESSAGES)
        await client.create(MESSAGES[:1])
        await client.create(MESSAGES, tools=[TOOL])
        await client.create(MESSAGES, tools=[TOOL], tool_choice="required")
        await client.create(MESSAGES, json_output=True)
        await client.create(MESSAGES, extra_create_args={"temperature": 1})
    async with kept(openai, house, temperature=0.5) as client:
        await client.create(MESSAGES)
    assert len(openai.asked) == 7


async def test_kept_answers_survive_a_changed_api_key(house: House, openai: OpenAIServer) -> None:
    """The key comes from the environment and does not belong to the question."""
    path = written(house.folder, [component(openai, "first", api_key="${KEY}")], cache="1h")
    for key in ("sk-old", "sk-new"):
        client = load_model(path, {"KEY": key}, answers=RedisAnswers(house.area))
        await client.create(MESSAGES)
        await client.close()
    assert len(openai.asked) == 1


async def test_answers_are_kept_for_the_configured_time(house: House, openai: OpenAIServer) -> None:
    """`cache: 1h` in the model file."""
    async with kept(openai, house) as client:
        await client.create(MESSAGES)
    names = [key async for key in house.store.client.scan_iter(f"{house.area.keys.prefix}answer:*")]
    assert len(names) == 1
    left = timedelta(milliseconds=await house.store.client.pttl(names[0]))
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.filterwarnings("ignore:No text content")
async def test_empty_answer_is_not_kept(house: House, openai: OpenAIServer) -> None:
    openai.will("first", Says(""), Says(""), Fails(500))
    openai.will("second", Says(""), Says(""))
    async with kept(openai, house) as client:
        for _ in range(2):
            assert (await answer_of(client, streaming=False))[1].content == ""
        assert (await answer_of(client, streaming=False))[1].by == "second"


async def test_unavailable_or_damaged_cache_is_ignored(house: House, openai: OpenAIServer) -> None:
    """The model is asked."""

    class Away(RedisAnswers):
        async def get(self, question: Digest) -> bytes | None:
            raise StoreUnavailable("gone")

        async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
            raise StoreUnavailable("gone")

    class Old(RedisAnswers):
        async def get(self, question: Digest) -> bytes | None:
            return b'{"from": "another version"}'

    for answers in (Away(house.area), Old(house.area)):
        async with kept(openai, house, answers) as client:
            _, answer = await answer_of(client, streaming=False)
        assert (answer.content, answer.cached) == ("Dear vendor", False)
