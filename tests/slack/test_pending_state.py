"""What people see and do while nobody decides: reminders, escalation, the menu, stand-ins; over a local Slack."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.slack.handlers.context import Desk
from countersign import usecases
from countersign.domain import quiet_hours
from countersign.domain.escalation import Escalation
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, GroupId, RequestId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Status, Verb
from countersign.store.overview import Overview
from countersign.store.store import Store
from countersign.usecases import presence_changes
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.making import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, choice, question
from tests.slack.botting import events
from tests.slack.test_projector import all_drawn, card_of, drawing
from tests.storing import NoQueue, configured, lists_follow
from tests.usecases.test_presence import as_it_is, asked_before

HOUR = timedelta(hours=1)
REVIEWERS = Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))
HERE_TOO = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})))
GENERAL_TOO = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), GENERAL)
RANDOM = ChannelId("C0RANDOM")
"""The app is not in it."""


@pytest.fixture
async def drawn(slack: LocalSlack, store: Store) -> AsyncIterator[None]:
    async with drawing(slack, store):
        yield


async def due(store: Store, asked: Request, span: timedelta) -> Request:
    await asked_before(store, asked, span)
    now = await usecases.due(store, NoQueue(), asked.id)
    assert now is not None
    return now


def thread(slack: LocalSlack, card: Message, channel: str = "#approvals") -> list[Message]:
    return [m for m in slack.channel(channel).thread(card.ts) if m.ts != card.ts]


async def test_a_reminder_is_a_reply_that_mentions_who_may_decide_and_is_settled_with_the_card(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """R2, R6: each reminder once; afterwards it says how it ended."""
    await configured(store, timeout=timedelta(days=2), remind_after=HOUR, quorum=2)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    for number in (1, 2):
        await due(store, asked, timedelta(hours=3))
        await all_drawn(slack, store)
        assert len(thread(slack, card)) == number
    reminder = thread(slack, card)[-1]
    assert "<@U0CAROL>: this still waits" in text_of(reminder) and "<@U0BOB>" not in text_of(reminder)
    assert await store.message_request(HERE, ChannelId("C0APPROVALS"), reminder.ts) == asked.id
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, CAROL))
    await all_drawn(slack, store)
    assert all("Approved" in text_of(m) for m in thread(slack, card))


async def test_who_asked_is_neither_named_nor_called_as_one_who_decides(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R10: a reviewer who may not decide on their own request is not told that they may."""
    both, leads = Reviewers(frozenset({ALICE, BOB})), Reviewers(frozenset({ALICE, DAVE}))
    steps = (Escalation(2 * HOUR, leads),)
    await configured(store, reviewers=both, timeout=timedelta(days=1), remind_after=HOUR, escalation=steps)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    assert "May decide: <@U0BOB>\n" in text_of(card) + "\n"
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0BOB>, <@U0DAVE>: this still waits" in "".join(text_of(m) for m in thread(slack, card))
    assert "<@U0DAVE>: nobody has decided" in "".join(text_of(m) for m in thread(slack, card))
    assert "<@U0ALICE>" not in "".join(text_of(m) for m in thread(slack, card))
    assert "may decide: <@U0BOB>" in str((await slack.user("bob").command("/approvals pending")).blocks)


async def test_those_who_chose_different_things_are_told_so_and_reminded_again(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R10: the card does not say that enough have chosen, and the reminder leaves nobody out who could end it."""
    await configured(store, timeout=timedelta(days=1), remind_after=HOUR, quorum=2)
    asked = await usecases.ask(store, lease, choice("eu", "us"))
    for user, chosen in ((BOB, "eu"), (CAROL, "us")):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, user, Verb.CHOOSE, chosen=(chosen,)))
    await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert "*1 of 2 who choose the same*: <@U0BOB>, <@U0CAROL>" in text_of(card)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0BOB>, <@U0CAROL>: this still waits" in text_of(thread(slack, card)[-1])


async def test_who_clicks_in_a_thread_is_answered_there(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R7: Slack would put it into the channel, which nobody sees who reads the thread."""
    await all_drawn(slack, store)
    slack.faults.add("error", on="chat.postMessage", error="restricted_action", times=1)
    await usecases.ask(store, lease, question())
    await all_drawn(slack, store)
    (card,) = [m for m in slack.channel("#general").posts.values() if "Approve" in m.buttons]
    await slack.user("dave").click(card, "Approve")
    await slack.user("dave").wait_ephemeral("not a reviewer")
    (told,) = [call for call in slack.calls if call.method == "response_url"]
    assert told.args["thread_ts"] == card.thread_ts


async def test_an_escalation_puts_the_same_card_into_the_next_channel_and_all_settle_together(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R1, R2, R6, R9: who was asked next decides on either card, and no card keeps a button."""
    await configured(store, timeout=timedelta(days=1), escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question("\n".join(f"line {n}: rm -rf /tmp/{n}" for n in range(2000))))
    first = await card_of(slack)
    assert await slack.user("dave").click(first, "Review…") is not None
    await slack.user("dave").wait_ephemeral("not a reviewer")
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    second = await card_of(slack, where="#general")
    assert await store.message_request(HERE, GENERAL, second.ts) == asked.id
    assert [f for m in thread(slack, second, "#general") for f in m.files]
    for card in (await card_of(slack), second):
        assert "Went to <@U0DAVE> in <#C0GENERAL>" in text_of(card)
    await slack.user("dave").click(second, "Reject")
    await slack.user("dave").wait_modal("Reject")
    assert await slack.user("dave").submit({"reason": "no"}) == {}
    await all_drawn(slack, store)
    settled = [slack.channel("#approvals").posts[first.ts], slack.channel("#general").posts[second.ts]]
    assert [m.buttons.count("Reject") for m in settled] == [0, 0]
    assert all("Rejected" in text_of(m) and "<@U0DAVE>" in text_of(m) for m in settled)


async def test_an_escalation_in_the_same_channel_is_a_reply_that_mentions_the_next_people(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    await configured(store, timeout=timedelta(days=1), escalation=(Escalation(2 * HOUR, REVIEWERS),), reviewers=None)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    (reply,) = thread(slack, card)
    assert "<!subteam^S0REVIEWERS>: nobody has decided" in text_of(reply)
    await due(store, asked, timedelta(days=2))
    await all_drawn(slack, store)
    assert "Time ran out" in text_of(thread(slack, card)[0])
    assert len(slack.channel("#approvals").messages) == 1


async def test_an_escalation_that_cannot_be_posted_there_is_told_where_the_card_is(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """R21: in the record, once; never a silent wait."""
    step = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), RANDOM)
    await configured(store, timeout=timedelta(days=1), remind_after=HOUR, escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0DAVE>: nobody has decided" in " ".join(text_of(m) for m in thread(slack, card))
    problems = [e for e in await events(store) if e.type is EventType.CARD_NOT_POSTED]
    assert [e.data["channel"] for e in problems] == [RANDOM]


async def test_a_lost_reply_makes_no_second_reminder_and_no_second_card(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R2, R6"""
    await configured(store, timeout=timedelta(days=1), remind_after=HOUR, escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question())
    async with drawing(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
        slack.faults.add("lost_reply", on="chat.postMessage", times=2)
        await due(store, asked, timedelta(hours=3))
        await all_drawn(slack, store)
    async with drawing(slack, store, "web-2"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
        await all_drawn(slack, store)
    assert len(thread(slack, card)) == 1
    cards = [m for m in slack.channel("#general").messages if "wants" in m.text or "asked:" in m.text]
    assert len(cards) == 1


async def test_nobody_is_reminded_of_what_was_decided_before_the_reminder_was_drawn(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R6, R26: drawn late, after an outage of Slack or of web."""
    await configured(store, timeout=timedelta(days=1), remind_after=HOUR, escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question())
    async with drawing(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    before = len(slack.channel("#general").messages)
    await due(store, asked, timedelta(hours=3))
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    async with drawing(slack, store, "web-2"):
        await all_drawn(slack, store)
    assert thread(slack, card) == []
    assert len(slack.channel("#general").messages) == before


async def test_who_looks_and_who_snoozes_is_on_the_card_and_nobody_is_locked_out(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R7, R9: only for those who may decide, and everybody is answered."""
    await configured(
        store, timeout=timedelta(days=2), remind_after=HOUR, quiet=quiet_hours.parse("20:00-08:00 Europe/Berlin")
    )
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await all_drawn(slack, store)
    bob, carol, dave = (slack.user(name) for name in ("bob", "carol", "dave"))
    await bob.click(card, "more", choose="I'm looking")
    await bob.wait_ephemeral("keeps nobody from deciding")
    await carol.click(card, "more", choose="Snooze until tomorrow 9:00 (Europe/Berlin)")
    await carol.wait_ephemeral("Nobody is reminded of it before")
    await dave.click(card, "more", choose="Snooze 1 h")
    await dave.wait_ephemeral("not a reviewer")
    await all_drawn(slack, store)
    shown = text_of(await card_of(slack))
    assert "<@U0BOB> (since " in shown and "is looking at it" in shown
    assert "Snoozed by <@U0CAROL> until" in shown
    await carol.click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED


async def test_a_menu_that_carries_nothing_of_ours_does_nothing_and_says_so(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R1, R7"""
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await store.client.delete(store.keys.request(RequestId(asked.id)))
    await slack.user("bob").click(card, "more", choose="I'm looking")
    await slack.user("bob").wait_ephemeral("does not exist here")


async def test_a_stand_in_decides_while_somebody_is_away_and_the_card_says_so(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R9, R25: a card that waits already is drawn anew; afterwards the card says in whose place."""
    await usecases.ask(store, lease, question())
    card = await card_of(slack)
    bob, dave = slack.user("bob"), slack.user("dave")
    await dave.click(card, "Approve")
    await dave.wait_ephemeral("not a reviewer")
    assert "may decide in your place" in (await bob.command("/approvals away @dave for 3d")).text
    await all_drawn(slack, store)
    assert "<@U0DAVE> stands in" in text_of(await card_of(slack))
    await dave.click(await card_of(slack), "Approve")
    await all_drawn(slack, store)
    assert "by <@U0DAVE> (in place of <@U0BOB>)" in text_of(await card_of(slack, pending=False))
    assert (await bob.command("/approvals back")).text.startswith("You are back")
    assert (await bob.command("/approvals back")).text.startswith("You were not away")
    kinds = [e.type for e in await events(store)]
    assert kinds.count(EventType.STAND_IN_NAMED) == 2 and kinds.count(EventType.STAND_IN_ENDED) == 1


async def test_a_stand_in_of_a_member_of_a_group_decides_and_one_of_somebody_who_left_does_not(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R9: who is away is looked up at the click, like everybody."""
    await configured(store, reviewers=REVIEWERS)
    until = await store.now() + timedelta(days=1)
    await presence_changes.leave(store, Actor(HERE, CAROL), Actor(HERE, DAVE), until)
    first = await usecases.ask(store, lease, question(agent="first"))
    await slack.user("dave").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, first)).status is Status.APPROVED
    await all_drawn(slack, store)
    slack.workspace.groups["S0REVIEWERS"].users.remove("U0CAROL")
    bot.directory._answers.clear()  # a minute later
    second = await usecases.ask(store, lease, question(agent="second"))
    await slack.user("dave").click(await card_of(slack), "Approve")
    await slack.user("dave").wait_ephemeral("not a reviewer")
    assert (await as_it_is(store, second)).status is Status.PENDING
    refused = [e for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]
    assert [(e.user, e.data["verb"]) for e in refused] == [(DAVE, Verb.APPROVE)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("@bob for 2d", "cannot stand in for yourself"),
        ("@greta for 2d", "could not decide"),
        ("@reviewers for 2d", "One person stands in"),
        ("@carol", "Until when?"),
        ("@carol until 2026-02-30", "is no date"),
        ("@carol until 2020-01-01", "has passed"),
        ("@carol until 2999-01-01", "90 days"),
        ("@carol for 91d", "90 days"),
        ("@carol until soon", "neither a date nor a span"),
    ],
)
async def test_nonsense_about_being_away_is_refused_with_a_sentence(
    slack: LocalSlack, store: Store, bot: Desk, words: str, sentence: str
) -> None:
    """R10"""
    reply = await slack.user("bob").command(f"/approvals away {words}")
    assert sentence in reply.text and "othing was changed" in reply.text
    assert (await store.absences()).value.people == ()


async def test_somebody_may_be_away_for_longer_than_a_request_may_wait(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    """R10: in a span as well as until a date."""
    assert "may decide in your place" in (await slack.user("bob").command("/approvals away @dave\nfor 6w")).text
    (absence,) = (await store.absences()).value.people
    assert round((absence.until - absence.since) / timedelta(weeks=1), 3) == 6


async def test_the_next_channel_may_be_called_by_the_word_between_two_steps(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    alice = slack.user("alice")
    slack.workspace.channels["C0GENERAL"].name = "if-then"
    words = "/approvals escalate 30 min @dave #if-then Then 45m @reviewers"
    assert (await alice.command(words, channel="C0GENERAL")).text.startswith("Saved.")
    assert [step.channel for step in (await usecases.rules_of(store, GENERAL)).escalation] == [GENERAL, None]


async def test_reminders_escalation_and_quiet_hours_are_set_in_words_and_told(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    alice = slack.user("alice")
    for words in (
        "remind 15m",
        "escalate 30m @dave then 0 h 45 min @reviewers #general",
        "quiet 19:00-08:00 weekends Europe/Berlin",
    ):
        assert (await alice.command(f"/approvals {words}")).text.startswith("Saved."), words
    rules = await usecases.rules_of(store, GENERAL)
    assert rules.remind_after == HOUR / 4
    assert [(s.after, s.channel) for s in rules.escalation] == [(HOUR / 2, None), (HOUR * 3 / 4, GENERAL)]
    told = (await alice.command("/approvals show")).text
    assert "reminds: after 15 min, then in growing gaps" in told
    assert "after 45 min to <!subteam^S0REVIEWERS> in <#C0GENERAL>" in told
    assert "quiet hours: 19:00-08:00 weekends Europe/Berlin" in told
    for words in ("remind off", "escalate off", "quiet off"):
        assert (await alice.command(f"/approvals {words}")).text.startswith("Saved."), words
    rules = await usecases.rules_of(store, GENERAL)
    assert (rules.remind_after, rules.escalation, bool(rules.quiet)) == (timedelta(0), (), False)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("remind soon", "is not a duration"),
        ("escalate 30m", "is no step"),
        ("escalate 30m @bob @carol", "circle"),
        ("escalate 3h @dave", "never would"),
        ("escalate 30m @dave #random", "The app is not in"),
        ("escalate 30m @greta", "Step 1 of the escalation: <@U0GRETA> is a guest"),
        ("escalate 30m dave", "neither a person nor a user group"),
        ("quiet weekends Mars/Olympus", "no time zone"),
        ("quiet 08:00-08:00 UTC", "would never end"),
    ],
)
async def test_nonsense_about_times_is_refused_with_a_sentence(
    slack: LocalSlack, store: Store, bot: Desk, words: str, sentence: str
) -> None:
    """R10, R20"""
    before = await usecases.rules_of(store, GENERAL)
    reply = await slack.user("alice").command(f"/approvals {words}")
    assert sentence in reply.text and "othing was changed" in reply.text
    assert await usecases.rules_of(store, GENERAL) == before


async def test_reminders_and_quiet_hours_are_set_in_the_window_and_nonsense_is_told_beside_them(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    """R20: what was not touched stays as elsewhere; an empty line is off."""
    bob = slack.user("bob")
    await bob.command("/approvals")
    await bob.wait_modal("Approval settings")
    assert "would never end" in (await bob.submit({"quiet": "08:00-08:00 UTC"}))["quiet"]
    assert "is not a duration" in (await bob.submit({"remind_after": "soon"}))["remind_after"]
    assert await bob.submit({"remind_after": "90m", "quiet": "weekends Asia/Tokyo"}) == {}
    await bob.wait_ephemeral("reminds: after 1 h 30 min")
    own = (await store.settings(GENERAL)).value
    assert (own.remind_after, own.quiet, own.escalation) == (1.5 * HOUR, quiet_hours.parse("weekends Asia/Tokyo"), None)
    await bob.command("/approvals")
    await bob.wait_modal("Approval settings")
    assert await bob.submit({"quiet": "", "timeout": "3h"}) == {}
    rules = await usecases.rules_of(store, GENERAL)
    assert (rules.remind_after, rules.quiet, rules.timeout) == (1.5 * HOUR, quiet_hours.NEVER, 3 * HOUR)


async def test_an_escalation_that_slack_refused_once_is_settled_in_the_thread_where_it_was_told(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """R6, R21"""
    await configured(store, timeout=timedelta(days=1), escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await all_drawn(slack, store)
    slack.faults.add("error", on="chat.postMessage", error="restricted_action", times=1)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert thread(slack, card)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await all_drawn(slack, store)
    assert all("Approved" in text_of(message) for message in thread(slack, card))


async def test_what_waits_and_was_decided_is_listed_in_the_channel_it_was_escalated_to(
    store: Store, lease: Lease
) -> None:
    there = ChannelId("C0RANDOM")
    step = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), there)
    await configured(store, timeout=timedelta(days=1), escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    await due(store, asked, timedelta(hours=3))
    await lists_follow(store)
    assert (await Overview(store).waiting([there], None, lambda request: True, 5)).total == 1
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await lists_follow(store)
    assert (await Overview(store).waiting([there], None, lambda request: True, 5)).total == 0
    assert len(await Overview(store).decided(there, 5)) == 1
