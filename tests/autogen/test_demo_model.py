"""The offline demo model: deterministic, works the feedback in, and says in every message what it is."""

import asyncio
from collections.abc import Sequence

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken, FunctionCall, Image
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from pydantic import BaseModel

from agents.services.demo_writer import write_mail
from agents.services.mail import FORMAT, Mail, parse
from countersign.domain.errors import WrongTeam
from countersign.frameworks.autogen.models.demo import CONTEXT, DEMO_NOTE, DemoModel

TASK = "tell the vendor we need 10% off"
SYSTEM = SystemMessage(content=f"You draft e-mails.\n\n{FORMAT}")


def talk(*said: str) -> list[LLMMessage]:
    """A drafter's conversation: the task, then feedback on each draft."""
    messages: list[LLMMessage] = [SYSTEM, UserMessage(content=said[0], source="user")]
    for words in said[1:]:
        messages.append(AssistantMessage(content="(an earlier draft)", source="drafter"))
        messages.append(UserMessage(content=words, source="reviewer"))
    return messages


async def draft(*said: str) -> Mail:
    mail = parse(write_mail(said[0], list(said[1:])))
    assert isinstance(mail, Mail), mail
    assert mail.body.endswith(DEMO_NOTE)
    return mail


async def test_first_draft_is_a_mail_about_the_task() -> None:
    mail = await draft(TASK)
    assert mail.to == ("vendor@example.com",)
    assert mail.subject == "We need 10% off"
    assert "we need 10% off" in mail.body


@pytest.mark.parametrize(
    ("task", "to", "subject", "sentence"),
    [
        ("Ask Bob for a reply by Friday.", "bob@example.com", "A reply by Friday", "ask you for a reply by Friday."),
        ("write to bob@x.org about the delay", "bob@x.org", "The delay", "I am writing about the delay."),
        ("please thank the team for the launch", "team@example.com", "The launch", "thank you for the launch."),
        ("let Ann know that it works", "ann@example.com", "It works", "let you know that it works."),
        ("send an email to Ann saying hello", "ann@example.com", "Hello", "let you know that hello."),
        ("tell Jörg to call", "j-rg@example.com", "Call", "ask you to call."),
        ("10% off", "someone@example.com", "10% off", "about the following: 10% off."),
    ],
)
async def test_differently_worded_tasks_become_mails(task: str, to: str, subject: str, sentence: str) -> None:
    mail = await draft(task)
    assert (mail.to, mail.subject) == ((to,), subject)
    assert sentence in mail.body


async def test_feedback_shorter_shortens_the_mail_each_time() -> None:
    lengths = [len((await draft(TASK, *["make it shorter"] * times)).body) for times in range(4)]
    assert lengths == sorted(set(lengths), reverse=True)
    assert "10% off" in (await draft(TASK, *["make it shorter"] * 9)).body


async def test_feedback_longer_undoes_shorter_and_adds_more() -> None:
    assert await draft(TASK, "too long", "too short") == await draft(TASK)
    assert len((await draft(TASK, "more details please")).body) > len((await draft(TASK)).body)


async def test_demo_mail_keeps_a_requested_mention() -> None:
    mail = await draft(TASK, "mention the deadline", "make it shorter")
    assert "Please also note the deadline." in mail.body


async def test_feedback_changes_subject_and_recipients() -> None:
    mail = await draft(
        TASK,
        "change the subject to “A discount”",
        "send it to bob@x.org and cc ann@x.org",
        "also to carl@x.org",
    )
    assert mail.subject == "A discount"
    assert (mail.to, mail.cc) == (("bob@x.org", "carl@x.org"), ("ann@x.org",))


async def test_feedback_replaces_one_phrase_by_another() -> None:
    for words in ("say 15% instead of 10%", "change 10% to 15%", "replace '10%' with '15%'"):
        mail = await draft(TASK, words)
        assert "15%" in mail.body
        assert "10%" not in mail.body + mail.subject


async def test_unknown_feedback_is_quoted_in_the_mail() -> None:
    assert "(The reviewer asked: be bolder.)" in (await draft(TASK, "be bolder")).body
    assert "(The reviewer asked: replace 99% with 1%.)" in (await draft(TASK, "replace 99% with 1%")).body


async def test_two_requests_in_one_answer_are_both_kept() -> None:
    mail = await draft(TASK, "make it shorter and mention the deadline")
    assert "the deadline" in mail.body
    assert len(mail.body) < len((await draft(TASK, "mention the deadline")).body)


async def test_very_long_task_gets_a_short_subject() -> None:
    """The body has the text of the task."""
    task = "tell the vendor " + "very long words " * 3125
    mail = await draft(task)
    assert len(mail.subject) <= 61
    assert "very long words very long words" in mail.body


@given(task=st.text(max_size=300), feedback=st.lists(st.text(max_size=120), max_size=4))
def test_any_task_and_feedback_give_a_sendable_deterministic_mail(task: str, feedback: list[str]) -> None:
    text = write_mail(task, feedback)
    assert isinstance(parse(text), Mail), (text, parse(text))
    assert text.endswith(DEMO_NOTE)
    assert write_mail(task, feedback) == text


HOSTILE = ["a" * 50_000, "@" * 50_000, " " * 25_000 + "x" * 25_000, "a." * 25_000, "tell " * 10_000, "a=?b " * 10_000]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("task", HOSTILE, ids=["a", "at", "blanks", "dots", "tell", "encoded"])
def test_hostile_long_task_is_answered_quickly(task: str) -> None:
    """50,000 characters, and feedback that multiplies them."""
    assert isinstance(parse(write_mail(task, [task[:3000], "replace e with " + "e" * 3000] * 3)), Mail)


async def test_every_other_demo_answer_says_that_it_is_one() -> None:
    model = DemoModel()
    for messages in ([], [UserMessage(content="hello", source="user")], [SystemMessage(content="You sing.")]):
        assert str((await model.create(messages)).content).endswith(DEMO_NOTE)


async def test_demo_stream_is_the_same_answer_in_pieces() -> None:
    whole = await DemoModel().create(talk(TASK))
    model = DemoModel()
    pieces = [piece async for piece in model.create_stream(talk(TASK))]
    assert (whole.finish_reason, whole.cached, len(pieces) > 10) == ("stop", False, True)
    assert "".join(str(piece) for piece in pieces[:-1]) == whole.content
    assert pieces[-1] == whole
    assert model.total_usage() == whole.usage


async def test_demo_model_counts_its_tokens() -> None:
    model = DemoModel()
    first = await model.create(talk(TASK))
    second = await model.create(talk(TASK, "make it shorter"))
    assert first.usage.prompt_tokens == model.count_tokens(talk(TASK)) > 0
    assert second.usage.completion_tokens == len(str(second.content).split())
    assert model.actual_usage() == second.usage
    assert model.total_usage().prompt_tokens == first.usage.prompt_tokens + second.usage.prompt_tokens
    assert model.total_usage().completion_tokens == first.usage.completion_tokens + second.usage.completion_tokens
    assert model.remaining_tokens(talk(TASK)) == CONTEXT - model.count_tokens(talk(TASK))


async def test_demo_model_counts_all_message_kinds_and_tools() -> None:
    def look(where: str) -> str:
        return where

    model = DemoModel()
    messages: list[LLMMessage] = [
        UserMessage(content=["see this", Image(Picture.new("RGB", (1, 1)))], source="user"),
        AssistantMessage(content=[FunctionCall(id="1", name="look", arguments="{}")], source="agent"),
        FunctionExecutionResultMessage(content=[FunctionExecutionResult(content="it", name="look", call_id="1")]),
    ]
    tool = FunctionTool(look, description="Looks.")
    assert model.count_tokens(messages, tools=[tool]) > model.count_tokens(messages) > 2
    assert str((await model.create(messages, tools=[tool], tool_choice="none")).content).endswith(DEMO_NOTE)


async def test_demo_model_refuses_structured_output_and_obeys_cancellation() -> None:
    """Nor can it be made to call a tool."""

    class Answer(BaseModel):
        words: str

    model = DemoModel()
    with pytest.raises(WrongTeam, match="No model is configured"):
        await model.create(talk(TASK), json_output=Answer)
    with pytest.raises(WrongTeam, match="No model is configured"):
        await model.create(talk(TASK), tools=[{"name": "look"}])
    token = CancellationToken()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await model.create(talk(TASK), cancellation_token=token)


@pytest.mark.parametrize("stream", [False, True])
async def test_autogen_agent_drafts_and_revises_with_the_demo_model(stream: bool) -> None:
    def play(agent: str, messages: Sequence[LLMMessage]) -> str:
        said = [str(message.content) for message in messages if isinstance(message, UserMessage)]
        return write_mail(said[0], said[1:])

    model = DemoModel().playing("drafter", play)
    agent = AssistantAgent("drafter", model, system_message=SYSTEM.content, model_client_stream=stream)
    first = await agent.run(task=TASK)
    second = await agent.run(task="make it shorter")
    texts = [result.messages[-1].to_text() for result in (first, second)]
    assert all(isinstance(parse(text), Mail) for text in texts)
    assert len(texts[1]) < len(texts[0])
