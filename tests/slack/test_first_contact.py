"""First contact: a channel is greeted once, and a Home starts tasks, reviews and stops."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.slack.handlers.context import Services
from bot.slack.views.settings_text import greeting
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.store.outbox import GROUP
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.fixtures import UNHURRIED
from localslack.person import Person
from localslack.workspace import Message
from tests.sample_requests import LEADS, choice, question
from tests.slack.socket_bot import connected_bot, events
from tests.slack.test_home_publisher import ask, shown
from tests.slack.test_projector import all_drawn, running_projector
from tests.slack.test_two_people import set_of
from tests.usecases.test_presence import as_it_is

OPS = ChannelId("C0OPS")


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    """A workspace whose app hears of invitations, and #ops without the app."""
    async with LocalSlack(**UNHURRIED, bot_events=frozenset({"app_home_opened", "member_joined_channel"})) as running:
        running.add_channel("ops")
        yield running


def greetings(slack: LocalSlack) -> list[Message]:
    return [message for message in slack.channel("#ops").messages if "Settings" in message.buttons]


async def test_channel_is_greeted_once_whatever_is_redelivered(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R6, R8: delivered twice and again later, taken by a second process, drawn by another, or invited once more."""
    async with connected_bot(slack, store), running_projector(slack, store):
        await slack.wait_connected(2)
        slack.faults.add("deliver_twice", on="member_joined_channel")
        await slack.user("alice").say("/invite @countersign @carol", "#ops")
        await slack.wait_for(lambda _: greetings(slack))
        slack.workspace.channels[OPS].members.discard("U0BOT")
        slack.invite("U0BOT", "#ops")
        while len(joined := [e for e in await events(store) if e.type is EventType.CHANNEL_JOINED]) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert [(e.user, e.data) for e in joined] == [("U0ALICE", {"channel": OPS}), (None, {"channel": OPS})]
        await all_drawn(slack, store)
    await store.client.xgroup_setid(store.keys.events, GROUP, "0")
    async with running_projector(slack, store, "web-2"):
        await all_drawn(slack, store)
    (only,) = greetings(slack)
    assert "Start a task for a team of agents here" in text_of(only) and "<#C0APPROVALS>" in text_of(only)


async def test_greeting_of_an_approvals_channel_names_the_reviewers(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """Its buttons open the settings and the window for a task."""
    await set_of(store, OPS, approvals_channel=OPS, quorum=2)
    async with running_projector(slack, store):
        slack.invite("U0BOT", "#ops", by="alice")
        await slack.wait_for(lambda _: greetings(slack))
    (message,) = greetings(slack)
    for part in ("Agents ask for approval in this channel.", "<@U0BOB>", "<@U0CAROL>", "2 approvals", "1 h"):
        assert part in text_of(message)
    bob = slack.user("bob")
    await bob.click(message, "Settings")
    assert "<#C0OPS>" in str((await bob.wait_modal("Approval settings")).json)
    await bob.close()
    await bob.click(message, "Start a task")
    assert "channel" not in {block["block_id"] for block in (await bob.wait_modal("Start a task")).blocks}


async def test_greeting_of_other_channels_counts_reviewers_and_notifies_nobody(store: Store) -> None:
    """Nobody is mentioned, and a channel that is shared outside reads less."""
    rules = await usecases.rules_of(store, OPS)
    short = greeting(OPS, replace(rules, reviewers=replace(rules.reviewers, groups=frozenset({LEADS}))))
    assert "Reviewers: 2 people and 1 group. *Settings* says who." in str(short.blocks)
    assert "<@" not in str(short.blocks) and "<!" not in str(short.blocks)
    assert "Reviewers" not in str(greeting(OPS, rules, shared_outside=True).blocks)


async def test_greeting_warns_of_missing_reviewers_and_shortens_outside(store: Store) -> None:
    """R10: a channel in which nobody can decide is told so; shared channels read no names."""
    rules = await usecases.rules_of(store, OPS)
    here = replace(rules, approvals_channel=OPS)
    assert "Nobody can decide yet" in str(greeting(OPS, replace(here, reviewers=Reviewers())).blocks)
    assert "Nobody can decide yet" in str(greeting(OPS, replace(rules, reviewers=Reviewers())).blocks)
    assert "U0BOB" in str(greeting(OPS, here).blocks)
    assert "U0BOB" not in str(greeting(OPS, here, shared_outside=True).blocks)


async def home_of(person: Person, *words: str) -> str:
    await person.open_home()
    return await shown(person, *words)


async def test_home_starts_a_task_in_the_chosen_channel_once(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8: the same way as `/agent`, and whoever has done nothing yet is welcomed."""
    alice = slack.user("alice")
    await home_of(alice, "Welcome to Countersign", "No runs in progress")
    assert alice.home is not None
    await alice.click(alice.home, "Start a task")
    await alice.wait_modal("Start a task")
    errors = await alice.submit({"team": "email", "task": "tell the vendor", "channel": "#ops"})
    assert "The app is not in this channel" in str(errors)
    slack.invite("U0BOT", "#ops")
    slack.faults.add("deliver_twice", on="view_submission")
    assert await alice.submit({"channel": "#ops"}) == {}
    await bot.drain()
    (run,) = await store.indexes.active_runs(10)
    assert (run.team, run.task, run.channel, run.requester) == ("email", "tell the vendor", OPS, "U0ALICE")
    assert "Welcome" not in await home_of(alice, "Your runs (1)", "tell the vendor")
    await alice.click(alice.home, "Stop")
    await slack.wait_message(slack.workspace.direct("U0ALICE").id, lambda m: m.text.startswith("Stopped"))
    assert await store.indexes.active_runs(10) == []


async def test_home_opens_the_review_and_checks_the_reviewer_again(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9, R13: the window has all of it, and who is no member any more decides nothing in it."""
    asked = await ask(store, lease, question())
    bob, carol = slack.user("bob"), slack.user("carol")
    for person in (bob, carol):
        await home_of(person, "Waiting for you (1)")
        assert person.home is not None
        await person.click(person.home, "Review")
        await person.wait_modal("send this mail")
    slack.workspace.users["U0BOB"].is_restricted = True
    bot.directory.lookups.forget()
    await bob.submit()
    await bob.wait_modal("Guests")
    assert (await as_it_is(store, asked)).status is Status.PENDING
    assert await carol.submit() == {}
    await bot.drain()
    assert (await as_it_is(store, asked)).status is Status.APPROVED


async def test_review_of_a_choice_opens_its_options(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R1: a choice is made among its options, wherever it is opened."""
    asked = await ask(store, lease, choice("eu", "us"))
    bob = slack.user("bob")
    await home_of(bob, "Waiting for you (1)")
    assert bob.home is not None
    await bob.click(bob.home, "Review")
    await bob.wait_modal("Choose one")
    assert await bob.submit({"options": "2. us"}) == {}
    await bot.drain()
    decision = (await as_it_is(store, asked)).decision
    assert decision is not None and decision.chosen == ("us",)
