"""AutoGen programs that look for a keyword, as tutorials have them: each answer is played in Slack."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import BaseGroupChat, DiGraphBuilder, GraphFlow, RoundRobinGroupChat, SelectorGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.client.slack_input import slack_input
from countersign.domain.errors import InvalidInput
from countersign.domain.typed_answers import UNANSWERED
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.usefixtures("service_in_environment")
DRAFTS = ["Roses are red.", "Roses are blue.", "Roses are green.", "Roses are white."]


def writer(name: str = "assistant") -> AssistantAgent:
    return AssistantAgent(name, model_client=ReplayChatCompletionClient(DRAFTS))


def tutorial(**settings: Any) -> RoundRobinGroupChat:
    """AutoGen's tutorial “Human-in-the-Loop”; its `input_func=input` is the one line that changed."""
    user_proxy = UserProxyAgent("user_proxy", input_func=slack_input("#general", **settings))
    termination = TextMentionTermination("APPROVE")
    return RoundRobinGroupChat([writer(), user_proxy], termination_condition=termination)


def said(result: TaskResult) -> list[tuple[str, str]]:
    """Who said what, without the task."""
    return [(m.source, m.content) for m in result.messages[1:] if isinstance(m, TextMessage)]


async def test_tutorial_team_ends_when_people_approve(bob: Bob) -> None:
    """R38: AutoGen's own termination reads what it reads from a keyboard."""
    running = asyncio.create_task(tutorial().run(task="Write a poem."))
    await bob.presses("Roses are red.", "Approve")
    result = await running
    assert said(result) == [("assistant", "Roses are red."), ("user_proxy", "APPROVE")]
    assert result.stop_reason == "Text 'APPROVE' mentioned"


@pytest.mark.parametrize(
    ("button", "window", "hears"),
    [
        ("Request changes", {"answer": "Make it blue."}, "Make it blue."),
        ("Request changes", {"answer": "I do not APPROVE this."}, "I do not APP·ROVE this."),
        ("Reject", {"reason": "Not approved, APPROVED or not."}, "REJECT: Not app·roved, APP·ROVED or not."),
        ("Reject", {}, "REJECT"),
    ],
)
async def test_tutorial_team_continues_until_people_approve(
    bob: Bob, button: str, window: dict[str, str], hears: str
) -> None:
    """R38: the writer reads the feedback, and no refusal ends the team as an approval does."""
    running = asyncio.create_task(tutorial().run(task="Write a poem."))
    await bob.presses("Roses are red.", button, window)
    await bob.presses("Roses are blue.", "Approve")
    result = await running
    assert said(result) == [
        *(("assistant", "Roses are red."), ("user_proxy", hears)),
        *(("assistant", "Roses are blue."), ("user_proxy", "APPROVE")),
    ]


async def test_tutorial_team_stops_when_nobody_answers(slack: LocalSlack, bob: Bob) -> None:
    """R38: one card, no keyword; the same team runs again, and stops again."""
    team = tutorial()
    for number in (1, 2):
        running = asyncio.create_task(team.run(task="Write a poem."))
        await bob.card(DRAFTS[number - 1])
        await bob.lets_time_run_out()
        result = await running
        assert said(result)[-1] == ("user_proxy", UNANSWERED)
        assert (result.stop_reason, cards(slack)) == (UNANSWERED, number)
    running = asyncio.create_task(team.run(task="Write a poem."))
    await bob.presses(DRAFTS[2], "Approve")
    assert (await running).stop_reason == "Text 'APPROVE' mentioned"


async def test_team_continues_after_silence_if_configured(slack: LocalSlack, bob: Bob) -> None:
    running = asyncio.create_task(tutorial(on_silence="continue").run(task="Write a poem."))
    await bob.card("Roses are red.")
    await bob.lets_time_run_out()
    await bob.presses("Roses are blue.", "Approve")
    assert said(await running)[1::2] == [("user_proxy", UNANSWERED), ("user_proxy", "APPROVE")]


def selected(proxy: UserProxyAgent) -> BaseGroupChat:
    model = ReplayChatCompletionClient(["assistant", "user_proxy"] * 4)
    return SelectorGroupChat([writer(), proxy], model, termination_condition=MaxMessageTermination(12))


def graph(proxy: UserProxyAgent) -> BaseGroupChat:
    """Two branches at once, of which one asks; a loop back to the start."""
    start, other = writer(), writer("other")
    builder = DiGraphBuilder()
    builder.add_node(start).add_node(proxy).add_node(other)
    builder.add_edge(start, proxy).add_edge(start, other)
    builder.add_edge(proxy, start, condition=lambda message: "APPROVE" not in message.to_text())
    builder.set_entry_point(start)
    return GraphFlow([start, proxy, other], builder.build(), termination_condition=MaxMessageTermination(12))


@pytest.mark.parametrize("shape", [selected, graph])
async def test_every_kind_of_team_stops_when_nobody_answers(
    slack: LocalSlack, bob: Bob, shape: Callable[[UserProxyAgent], BaseGroupChat]
) -> None:
    team = shape(UserProxyAgent("user_proxy", input_func=slack_input("#general")))
    running = asyncio.create_task(team.run(task="Write a poem."))
    await bob.card("Roses are red.")
    await bob.lets_time_run_out()
    assert (await running).stop_reason == UNANSWERED
    assert cards(slack) == 1


async def test_outer_team_stops_by_its_condition_after_silence(slack: LocalSlack, bob: Bob) -> None:
    """The inner team stops automatically; the outer one has a line of its own."""
    proxy = UserProxyAgent("user_proxy", input_func=slack_input("#general"))
    inner = RoundRobinGroupChat([writer(), proxy], name="inner", termination_condition=MaxMessageTermination(9))
    outer = RoundRobinGroupChat(
        [inner, writer("editor")], termination_condition=TextMentionTermination(UNANSWERED) | MaxMessageTermination(20)
    )
    running = asyncio.create_task(outer.run(task="Write a poem."))
    await bob.card("Roses are red.")
    await bob.lets_time_run_out()
    assert (await running).stop_reason == f"Text '{UNANSWERED}' mentioned"
    assert cards(slack) == 1


@pytest.mark.parametrize(
    ("button", "window", "done"),
    [
        ("Approve", None, "deployed"),
        ("Reject", {"reason": "freeze, do not PROCEED"}, "cancelled: CANCEL: freeze, do not PRO·CEED"),
        ("Request changes", {"answer": "To staging first."}, "To staging first."),
        ("", None, UNANSWERED),
    ],
)
async def test_checkpoint_hears_proceed_or_cancel(
    bob: Bob, button: str, window: dict[str, str] | None, done: str
) -> None:
    """R38: the checkpoint pattern with one line."""
    checkpoint = slack_input("#general", approve="PROCEED", reject="CANCEL")

    async def deploy() -> str:
        reply = await checkpoint("About to deploy 2.1. Type PROCEED or CANCEL:")
        if "PROCEED" in reply:
            return "deployed"
        return f"cancelled: {reply}" if "CANCEL" in reply else reply

    running = asyncio.create_task(deploy())
    await bob.card("About to deploy 2.1.")
    await (bob.presses("About to deploy 2.1.", button, window) if button else bob.lets_time_run_out())
    assert await running == done


async def test_proxy_offers_options_and_returns_the_chosen_one(bob: Bob) -> None:
    asking = asyncio.ensure_future(slack_input("#general", options=["eu", "us"])("Which region?"))
    await bob.presses("Which region?", "us")
    assert await asking == "us"


def test_confusable_keywords_are_refused_immediately() -> None:
    """R38: before the agents work."""
    with pytest.raises(InvalidInput, match="would take one answer for the other"):
        slack_input("#general", approve="APPROVED", reject="NOT APPROVED")
