"""One line from any program, with the real service behind it."""

import asyncio
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from wsgiref.handlers import BaseHandler

import pytest
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.client.approval_decorator import requires_approval
from countersign.client.ask import ask
from countersign.client.client import AsyncClient, Client
from countersign.client.exchange import Decision, NotApproved, ServiceRefused
from countersign.client.slack_input import slack_input
from countersign.domain.errors import InvalidInput
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.slack.test_projector import card_of

pytestmark = pytest.mark.usefixtures("service_in_environment")


async def test_ask_returns_the_decision(slack: LocalSlack) -> None:
    asking = asyncio.create_task(ask("#general", "Deploy now?", "Version 2.1 to staging."))
    card = await card_of(slack)
    assert "Version 2.1 to staging." in text_of(card)
    await slack.user("bob").click(card, "Approve")
    decision = await asking
    assert (decision.approved, decision.by, decision.how) == (True, ("U0BOB",), "reviewers")
    assert decision.names == ("bob",)
    assert "Approved by reviewer bob at" in decision.text


@pytest.mark.parametrize(
    ("outcome", "chosen", "approved"),
    [
        *(("approved", (), True), ("edited", (), True), ("rejected", (), False), ("answered", (), False)),
        *(("answered", ("Deploy",), False), ("expired", (), False), ("withdrawn", (), False)),
    ],
)
def test_decision_is_truthy_only_if_approved(outcome: str, chosen: tuple[str, ...], approved: bool) -> None:
    """R39: `if await ask(…)` is the natural program; “Don't deploy” is an option too."""
    at = datetime(2026, 3, 5, tzinfo=UTC)
    decision = Decision("q1", outcome, "reviewers", at, ("U0BOB",), "no", None, chosen, "text")
    assert bool(decision) is decision.approved is approved


async def test_slack_input_asks_for_an_autogen_proxy(slack: LocalSlack) -> None:
    """S1: people judge what the agents wrote, though AutoGen's proxy asks with a fixed prompt."""
    model = ReplayChatCompletionClient(["Dear vendor, ten percent off, please.", "Never said."])
    writer = AssistantAgent("writer", model)
    human = UserProxyAgent("human", input_func=slack_input("#general"))
    running = asyncio.create_task(RoundRobinGroupChat([writer, human], max_turns=2).run(task="Write to the vendor."))
    card = await card_of(slack)
    assert "Dear vendor, ten percent off, please." in text_of(card)
    await slack.user("bob").click(card, "Approve")
    result = await running
    last = result.messages[-1]
    assert isinstance(last, TextMessage)
    assert last.content == "APPROVE"


async def test_restarted_proxy_finds_its_cards_by_key(slack: LocalSlack) -> None:
    """R8: the same questions in order, also one that is asked twice; another question is another card."""
    drafts = ["Draft one.", "Draft one.", "Draft two."]

    async def program(*said: str) -> list[str]:
        people = slack_input("#general", key="letter-17")
        return [(await UserProxyAgent("human", input_func=people).run(task=t)).messages[-1].to_text() for t in said]

    bob = slack.user("bob")
    for number, (button, window) in enumerate([("Approve", None), ("Reject", {"reason": "twice"}), ("Approve", None)]):
        dies = asyncio.create_task(program(*drafts))
        card = await card_with(slack, drafts[number])
        dies.cancel()
        await asyncio.wait([dies])
        await bob.click(card, button)
        if window is not None:
            await bob.wait_modal()
            await bob.submit(window)
        await slack.wait_message("#approvals", lambda m, ts=card.ts: m.ts == ts and "Approve" not in m.buttons)  # type: ignore[misc]
    first, second, third = await program(*drafts)
    assert (first, second, third) == ("APPROVE", "REJECT: twice", "APPROVE")
    assert len([m for m in slack.channel("#approvals").messages if "Draft" in text_of(m)]) == 3


@pytest.mark.parametrize(("url", "says"), [("", "Set COUNTERSIGN_URL"), ("nowhere", "like https://host")])
def test_slack_input_without_a_valid_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    """It raises before any agent works."""
    monkeypatch.setenv("COUNTERSIGN_URL", url)
    with pytest.raises(InvalidInput, match=says):
        slack_input("#general")


async def test_message_is_edited_before_approval(slack: LocalSlack) -> None:
    """R13: a program and AutoGen's proxy get it as it was changed; without `edit` nobody may."""
    asking = asyncio.create_task(ask("#general", "Send this?", "Dear vendor, ten percent off.", edit=True))
    await change(slack, "ten percent", "Dear Pia, ten percent off.")
    decision = await asking
    assert (decision.outcome, decision.message) == ("edited", "Dear Pia, ten percent off.")
    human = UserProxyAgent("human", input_func=slack_input("#general", edit=True))
    running = asyncio.create_task(human.run(task="Dear vendor, five percent off."))
    await change(slack, "five percent", "Dear Pia, five percent off.")
    assert (await running).messages[-1].to_text() == "APPROVE\nDear Pia, five percent off."
    asking = asyncio.create_task(ask("#general", "Send that?", "Dear vendor, no discount."))
    card = await card_with(slack, "no discount")
    menu = [option["text"]["text"] for element in card.elements for option in element.get("options", ())]
    assert menu and "Edit…" not in menu
    await slack.user("bob").click(card, "Approve")
    assert (await asking).message == "Dear vendor, no discount."


async def card_with(slack: LocalSlack, words: str) -> Message:
    """The card that waits with these words."""
    return await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons and words in text_of(m))


async def change(slack: LocalSlack, before: str, words: str) -> None:
    """Bob changes the message with these words before, and approves it so."""
    bob = slack.user("bob")
    await bob.click(await card_with(slack, before), "Edit")
    await bob.wait_modal()
    assert await bob.submit({"Text": words}) == {}


@requires_approval("#general", title="Refund {euros:.2f} EUR for order {order}?")
async def refund(order: int, euros: float) -> str:
    """Pay money back."""
    return f"{euros:.2f} EUR for order {order}"


@requires_approval("#general", edit=False)
def remove(path: str) -> str:
    """Delete a file."""
    raise FileNotFoundError(path)


async def test_function_runs_only_with_approved_arguments(slack: LocalSlack) -> None:
    """R13: and its outcome is on the card."""
    calling = asyncio.create_task(refund(17, euros=45))
    card = await card_of(slack)
    assert "Refund 45.00 EUR for order 17?" in text_of(card)
    await slack.user("bob").click(card, "Approve")
    assert await calling == "45.00 EUR for order 17"


async def test_failing_function_reports_and_rejected_one_never_runs(slack: LocalSlack) -> None:
    """The same in a thread, without an event loop, and as AutoGen's tool."""
    tool = FunctionTool(remove, description="deletes")
    calling = asyncio.create_task(tool.run_json({"path": "/x"}, CancellationToken()))
    await slack.user("bob").click(await card_of(slack), "Approve")
    with pytest.raises(FileNotFoundError):
        await calling
    await slack.wait_message("#approvals", lambda m: "FileNotFoundError" in text_of(m))


async def test_cancelled_wait_withdraws_unless_it_has_a_key(slack: LocalSlack) -> None:
    """A request with a key stays open, and asking again finds it."""
    async with AsyncClient() as client:
        for key in (None, "mine"):
            asking = asyncio.create_task(client.ask("#general", "Go on?", f"key {key}", key=key))
            await slack.wait_message("#approvals", lambda m, key=key: f"key {key}" in text_of(m))  # type: ignore[misc]
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        card = await card_of(slack)
        assert "key mine" in text_of(card)
        again = asyncio.create_task(client.ask("#general", "Go on?", "key mine", key="mine"))
        await slack.user("bob").click(card, "Approve")
        assert (await again).approved


async def test_impossible_question_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceRefused, match="can ask in #general") as refused:
        await ask("#secret", "May I?")
    assert refused.value.kind == "channel"
    with pytest.raises(InvalidInput, match="doesn't fit"):
        requires_approval("#general", title="{nothing}")(refund.__wrapped__)  # type: ignore[attr-defined]
    monkeypatch.delenv("COUNTERSIGN_KEY")
    with pytest.raises(InvalidInput, match="countersign demo"):
        Client()


def test_function_with_unshowable_arguments_is_refused_at_decoration() -> None:
    """A view, say, which takes the framework's own request."""

    def view(request: BaseHandler, order: int) -> None: ...
    def later(when: Callable[[], int]) -> None: ...

    for function in (view, later):
        with pytest.raises(
            InvalidInput, match=f"{function.__name__} takes arguments that can't be shown to people: .*calls"
        ):
            requires_approval("#general")(function)


def test_refusal_can_be_pickled() -> None:
    """Task queues and pools of processes pickle what a function raises."""
    at = datetime(2026, 3, 5, tzinfo=UTC)
    decision = Decision("q1", "rejected", "reviewers", at, ("U0BOB",), "no", None, (), "DECISION: CALL REJECTED")
    here = pickle.loads(pickle.dumps(NotApproved(decision)))
    assert (type(here), here.decision, str(here)) == (NotApproved, decision, "DECISION: CALL REJECTED")
    refused = pickle.loads(pickle.dumps(ServiceRefused("channel", "Not there.")))
    assert (type(refused), refused.kind, str(refused)) == (ServiceRefused, "channel", "Not there.")
