"""The card that somebody clicked is replaced through the click's response URL, and by nobody else at that time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from bot.slack.projector import clicked_cards
from bot.slack.projector.clicked_cards import ClickedCards
from countersign import usecases
from countersign.domain import runs
from countersign.domain.requests import Request
from countersign.domain.run_calls import Finish
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.workspace import Message
from tests.sample_requests import CAROL, attempt, question
from tests.slack.test_batch_card import ask
from tests.slack.test_overtaken import poster
from tests.slack.test_projector import all_drawn, card_of, decide, running_projector
from tests.store_fixtures import NoQueue, configure


@pytest.fixture
async def card(slack: LocalSlack, store: Store, lease: Lease, bot: Services) -> AsyncIterator[tuple[Request, Message]]:
    """A card, drawn by the projector of another process than the one that takes clicks."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        shown = await card_of(slack)
        await all_drawn(slack, store)
        yield asked, shown


def updates(slack: LocalSlack) -> list[str]:
    """The timestamps of the messages that were changed by chat.update."""
    return [call.args["ts"] for call in slack.calls if call.method == "chat.update" and call.ok]


def replaced(slack: LocalSlack) -> int:
    """How often a card was replaced through a response URL."""
    return sum(c.method == "response_url" and c.ok and bool(c.args.get("replace_original")) for c in slack.calls)


async def test_clicked_card_is_settled_by_the_response_url(
    slack: LocalSlack, store: Store, card: tuple[Request, Message]
) -> None:
    """R6: the projector waits, and finds that what it would draw stands there."""
    slack.faults.add("delay", on="response_url", seconds=0.5)
    await slack.user("bob").click(card[1], "Approve")
    await card_of(slack, pending=False)
    await all_drawn(slack, store)
    assert replaced(slack) == 1
    assert card[1].ts not in updates(slack)
    seen = await store.message(f"card/{card[0].id}")
    assert seen is not None and seen.value.drawn and seen.value.replaced_by is None


async def test_submitted_window_settles_its_card_by_the_response_url(
    slack: LocalSlack, store: Store, card: tuple[Request, Message]
) -> None:
    """R6: a window has no response URL of its own, that of its card is remembered."""
    bob = slack.user("bob")
    await bob.click(card[1], "Reject")
    await bob.wait_modal("Reject")
    await bob.submit({})
    await card_of(slack, pending=False)
    await all_drawn(slack, store)
    assert replaced(slack) == 1 and card[1].ts not in updates(slack)


@pytest.mark.parametrize("fault", ["server_error", "lost_request", "lost_reply"])
async def test_projector_settles_the_card_when_the_response_url_fails(
    slack: LocalSlack, store: Store, card: tuple[Request, Message], fault: str
) -> None:
    """R6, R21: also where it is unclear whether Slack took it."""
    slack.faults.add(fault, on="response_url", times=None)  # type: ignore[arg-type]
    await slack.user("bob").click(card[1], "Approve")
    await card_of(slack, pending=False)
    await all_drawn(slack, store)
    assert card[1].ts in updates(slack)
    (standing,) = slack.channel("#approvals").messages
    assert "Approve" not in standing.buttons and "Approved" in standing.text


@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "updated"])
async def test_late_replacement_does_not_overwrite_a_newer_drawing(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, monkeypatch: pytest.MonkeyPatch, repeated: bool
) -> None:
    """R6, R26: another row was settled and drawn while it was on its way; it is drawn once more, in either way."""
    monkeypatch.setattr(clicked_cards, "WITHIN", timedelta(0))
    asked = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (shown,) = slack.channel("#approvals").messages
        slow = slack.faults.add("delay", on="response_url", seconds=1.5)
        clicked = asyncio.create_task(slack.user("bob").click(shown, "Approve", block=f"decide {asked[0].id}"))
        await slack.wait_for(lambda _: slow not in slack.faults.active)
        await decide(store, asked[1])
        await slack.wait_for(lambda _: "2 approved" in slack.channel("#approvals").messages[0].text)
        if not repeated:
            slack.faults.add("server_error", on="response_url", times=None)
        await clicked
        await bot.drain()
        await all_drawn(slack, store)
    (standing,) = slack.channel("#approvals").messages
    assert "All decided" in standing.text and "Approve" not in standing.buttons


async def test_late_vote_drawing_does_not_overwrite_the_decision(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6, R21: two processes replace the card, and Slack takes the older picture after the newer one."""
    await configure(store, quorum=2)
    asked = await usecases.ask(store, lease, question())
    async with poster(slack, store) as one:
        async with running_projector(slack, store):
            card = await card_of(slack)
            await all_drawn(slack, store)
        elsewhere = ClickedCards(store, one, None)
        token = slack.platform.response_urls.issue(card.channel, CAROL, card.ts, False)
        container = {"type": "message", "message_ts": card.ts}
        elsewhere.clicked(
            asked.id, {"container": container, "response_url": f"{slack.platform.base_url}/actions/{token}"}
        )
        slow = slack.faults.add("delay", on="response_url", seconds=1.0, times=2)  # and what bob is told
        voted = asyncio.create_task(slack.user("bob").click(card, "Approve"))
        await slack.wait_for(lambda _: slow not in slack.faults.active)
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, CAROL), card_updates=elsewhere.held)
        replacement = elsewhere.replacing(asked.id)
        assert replacement is not None
        await replacement
        await voted
        await asyncio.gather(*bot.tasks)
    (standing,) = slack.channel("#approvals").messages
    assert "Approve" not in standing.buttons and "Approved" in standing.text


async def test_run_costs_at_most_two_updates(slack: LocalSlack, store: Store, lease: Lease, bot: Services) -> None:
    """R35: head, card, progress, three notes are posted; the head is changed once, and the progress at the end."""
    await usecases.note_progress(store, lease, "writer", "a draft")
    await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        shown = await card_of(slack)
        await all_drawn(slack, store)
        await slack.user("bob").click(shown, "Approve")
        await card_of(slack, pending=False)
        await all_drawn(slack, store)
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="sent"))
        await all_drawn(slack, store)
    assert sum(call.method == "chat.postMessage" for call in slack.calls) <= 6
    assert len(updates(slack)) <= 2
