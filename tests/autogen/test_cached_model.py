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
async def test_the_same_question_is_asked_once_whether_it_streams_or_not(
    first: bool, again: bool, house: House, openai: OpenAIServer
) -> None:
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


async def test_another_question_choice_of_tool_or_configuration_is_another_answer(
    house: House, openai: OpenAIServer
) -> None:
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


async def test_the_same_models_with_another_key_from_the_environment_give_the_kept_answers(
    house: House, openai: OpenAIServer
) -> None:
    path = written(house.folder, [component(openai, "first", api_key="${KEY}")], cache="1h")
    for key in ("sk-old", "sk-new"):
        client = load_model(path, {"KEY": key}, answers=RedisAnswers(house.area))
        await client.create(MESSAGES)
        await client.close()
    assert len(openai.asked) == 1


async def test_answers_are_kept_for_as_long_as_the_file_says(house: House, openai: OpenAIServer) -> None:
    async with kept(openai, house) as client:
        await client.create(MESSAGES)
    names = [key async for key in house.store.client.scan_iter(f"{house.area.keys.prefix}answer:*")]
    assert len(names) == 1
    left = timedelta(milliseconds=await house.store.client.pttl(names[0]))
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.filterwarnings("ignore:No text content")
async def test_what_is_no_answer_is_not_kept(house: House, openai: OpenAIServer) -> None:
    openai.will("first", Says(""), Says(""), Fails(500))
    openai.will("second", Says(""), Says(""))
    async with kept(openai, house) as client:
        for _ in range(2):
            assert (await answer_of(client, streaming=False))[1].content == ""
        assert (await answer_of(client, streaming=False))[1].by == "second"


async def test_a_cache_that_is_away_or_holds_something_else_is_none(house: House, openai: OpenAIServer) -> None:
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
