"""What people see and do while nobody decides: reminders, escalation, the menu, stand-ins; over a local Slack."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain import quiet_hours, schedule
from countersign.domain.channel_settings import Escalation
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Status, Verb
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.usecases import delegation
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, choice, question
from tests.slack.socket_bot import confirm_loosening, events
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.store_fixtures import NoQueue, configure, update_lists
from tests.usecases.test_presence import as_it_is, asked_before

HOUR = timedelta(hours=1)
REVIEWERS = Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))
GENERAL_TOO = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), GENERAL)
RANDOM = ChannelId("C0RANDOM")
"""The app is not in it."""


@pytest.fixture
async def drawn(slack: LocalSlack, store: Store) -> AsyncIterator[None]:
    async with running_projector(slack, store):
        yield


async def due(store: Store, asked: Request, span: timedelta) -> Request:
    await asked_before(store, asked, span)
    now = await usecases.catch_up(store, NoQueue(), asked.id)
    assert now is not None
    return now


def thread(slack: LocalSlack, card: Message, channel: str = "#approvals") -> list[Message]:
    return [m for m in slack.channel(channel).thread(card.ts) if m.ts != card.ts]


async def test_reminder_mentions_the_reviewers_and_settles_with_the_card(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """R2, R6: each reminder once; afterwards it says how it ended."""
    await configure(store, timeout=timedelta(days=2), remind_after=HOUR, quorum=2)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    for number in (1, 2):
        await due(store, asked, timedelta(hours=3))
        await all_drawn(slack, store)
        assert len(thread(slack, card)) == number
    reminder = thread(slack, card)[-1]
    assert "<@U0CAROL>: your decision is still missing" in text_of(reminder) and "<@U0BOB>" not in text_of(reminder)
    assert await store.message_request(HERE, ChannelId("C0APPROVALS"), reminder.ts) == asked.id
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, CAROL))
    await all_drawn(slack, store)
    assert all("Approved" in text_of(m) for m in thread(slack, card))


async def test_requester_is_never_named_as_a_decider(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R10: a reviewer who may not decide on their own request is not told that they may."""
    both, leads = Reviewers(frozenset({ALICE, BOB})), Reviewers(frozenset({ALICE, DAVE}))
    steps = (Escalation(2 * HOUR, leads),)
    await configure(store, reviewers=both, timeout=timedelta(days=1), remind_after=HOUR, escalation=steps)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    assert "Reviewers: <@U0BOB>\n" in text_of(card) + "\n"
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0BOB>, <@U0DAVE>: your decision is still missing" in "".join(text_of(m) for m in thread(slack, card))
    assert "<@U0DAVE>: nobody has decided" in "".join(text_of(m) for m in thread(slack, card))
    assert "<@U0ALICE>" not in "".join(text_of(m) for m in thread(slack, card))
    assert "Reviewers: <@U0BOB>" in str((await slack.user("bob").command("/approvals pending")).blocks)


async def test_split_choice_says_so_and_reminds_all_voters(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R10: the card does not say that enough have chosen, and the reminder leaves nobody out who could end it."""
    await configure(store, timeout=timedelta(days=1), remind_after=HOUR, quorum=2)
    asked = await usecases.ask(store, lease, choice("eu", "us"))
    for user, chosen in ((BOB, "eu"), (CAROL, "us")):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, user, Verb.CHOOSE, chosen=(chosen,)))
    await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert "*1 of 2 matching choices*: <@U0BOB>, <@U0CAROL>" in text_of(card)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0BOB>, <@U0CAROL>: your decision is still missing" in text_of(thread(slack, card)[-1])


async def test_click_in_a_thread_is_answered_there(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R7: Slack would put it into the channel, which nobody sees who reads the thread."""
    await all_drawn(slack, store)
    slack.faults.add("error", on="chat.postMessage", error="restricted_action", times=1)
    await usecases.ask(store, lease, question())
    await all_drawn(slack, store)
    (card,) = [m for m in slack.channel("#general").posts.values() if "Approve" in m.buttons]
    await slack.user("dave").click(card, "Approve")
    assert (await slack.user("dave").wait_ephemeral("not a reviewer")).thread_ts == card.thread_ts


async def test_escalation_posts_a_second_card_and_both_settle(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R1, R2, R6, R9: who was asked next decides on either card, and no card keeps a button."""
    await configure(store, timeout=timedelta(days=1), escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question("\n".join(f"line {n}: rm -rf /tmp/{n}" for n in range(2000))))
    first = await card_of(slack)
    assert await slack.user("dave").click(first, "Review…") is not None
    await slack.user("dave").wait_ephemeral("not a reviewer")
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    second = await card_of(slack, where="#general")
    assert await store.message_request(HERE, GENERAL, second.ts) == asked.id
    await slack.wait_message("#general", lambda m: m.files, thread=second.ts)
    for card in (await card_of(slack), second):
        assert "Escalated to <@U0DAVE> in <#C0GENERAL>" in text_of(card)
    await slack.user("dave").click(second, "Reject")
    await slack.user("dave").wait_modal("Reject")
    assert await slack.user("dave").submit({"reason": "no"}) == {}
    await all_drawn(slack, store)
    settled = [slack.channel("#approvals").posts[first.ts], slack.channel("#general").posts[second.ts]]
    assert [m.buttons.count("Reject") for m in settled] == [0, 0]
    assert all("Rejected" in text_of(m) and "<@U0DAVE>" in text_of(m) for m in settled)


async def test_escalation_in_the_same_channel_is_a_mentioning_reply(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """The next people are mentioned in the card's thread."""
    await configure(store, timeout=timedelta(days=1), escalation=(Escalation(2 * HOUR, REVIEWERS),), reviewers=None)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    (reply,) = thread(slack, card)
    assert "<!subteam^S0REVIEWERS>: nobody has decided" in text_of(reply)
    await due(store, asked, timedelta(days=2))
    await all_drawn(slack, store)
    assert "Expired" in text_of(thread(slack, card)[0])
    assert len(slack.channel("#approvals").messages) == 1


async def test_escalation_that_cannot_be_posted_is_reported_once(
    slack: LocalSlack, store: Store, lease: Lease, drawn: None
) -> None:
    """R21: in the record, once; never a silent wait."""
    step = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), RANDOM)
    await configure(store, timeout=timedelta(days=1), remind_after=HOUR, escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    assert "<@U0DAVE>: nobody has decided" in " ".join(text_of(m) for m in thread(slack, card))
    problems = [e for e in await events(store) if e.type is EventType.CARD_NOT_POSTED]
    assert [e.data["channel"] for e in problems] == [RANDOM]


async def test_decided_request_gets_no_late_reminder(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R26: drawn late, after an outage of Slack or of web."""
    await configure(store, timeout=timedelta(days=1), remind_after=HOUR, escalation=(GENERAL_TOO,))
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    before = len(slack.channel("#general").messages)
    await due(store, asked, timedelta(hours=3))
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    async with running_projector(slack, store, "web-2"):
        await all_drawn(slack, store)
    assert thread(slack, card) == []
    assert len(slack.channel("#general").messages) == before


async def test_card_shows_viewers_and_snoozes_without_locking_others_out(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R7, R9: only for those who may decide, and everybody is answered."""
    await configure(
        store, timeout=timedelta(days=2), remind_after=HOUR, quiet=quiet_hours.parse("20:00-08:00 Europe/Berlin")
    )
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    await all_drawn(slack, store)
    bob, carol, dave = (slack.user(name) for name in ("bob", "carol", "dave"))
    await bob.click(card, "more", choose="I'm reviewing this")
    await bob.wait_ephemeral("you are reviewing this")
    await carol.click(card, "more", choose="Remind tomorrow at 9:00 (Europe/Berlin)")
    await carol.wait_ephemeral("Next reminder")
    await dave.click(card, "more", choose="Remind in 1 hour")
    await dave.wait_ephemeral("not a reviewer")
    await all_drawn(slack, store)
    shown = text_of(await card_of(slack))
    assert "<@U0BOB> (since " in shown and "is reviewing this" in shown
    assert "postponed by <@U0CAROL> until" in shown
    await carol.click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED


@pytest.mark.parametrize(("span", "offered"), [(HOUR, False), (3 * HOUR, True)])
async def test_snooze_past_the_deadline_is_not_offered(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None, span: timedelta, offered: bool
) -> None:
    """R45: an hour's snooze of a request that ends within the hour would leave no reminder to come."""
    await configure(store, timeout=span, remind_after=HOUR / 2)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    menu = json.dumps([block for block in card.blocks or [] if block["type"] == "actions"])
    assert "Details" in menu and ("Remind in 1 hour" in menu) == offered
    if offered:
        await slack.user("carol").click(card, "more", choose="Remind in 1 hour")
        text = text_of(await slack.user("carol").wait_ephemeral("Next reminder at"))
        next_one = schedule.next_reminder(await as_it_is(store, asked))
        assert next_one is not None and f"<!date^{int(next_one.timestamp())}^" in text


async def test_stand_in_decides_and_the_card_says_so(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R9, R25: a card that waits already is drawn anew; afterwards the card says in whose place."""
    await usecases.ask(store, lease, question())
    card = await card_of(slack)
    bob, dave = slack.user("bob"), slack.user("dave")
    await dave.click(card, "Approve")
    await dave.wait_ephemeral("not a reviewer")
    assert "decides in your place" in (await bob.command("/approvals away @dave for 3d")).text
    (told,) = [c.args for c in slack.calls if c.method == "chat.postMessage" and c.args["channel"] == "U0DAVE"]
    assert "<@U0BOB> is away until" in told["text"] and "named you as their stand-in" in told["text"]
    await all_drawn(slack, store)
    assert "stand-in: <@U0DAVE>" in text_of(await card_of(slack))
    await dave.click(await card_of(slack), "Approve")
    await all_drawn(slack, store)
    assert "by <@U0DAVE> (in place of <@U0BOB>)" in text_of(await card_of(slack, pending=False))
    assert (await bob.command("/approvals back")).text.startswith("You're back")
    assert (await bob.command("/approvals back")).text.startswith("You weren't away")
    kinds = [e.type for e in await events(store)]
    assert kinds.count(EventType.STAND_IN_NAMED) == 2 and kinds.count(EventType.STAND_IN_ENDED) == 1


async def test_extra_argument_of_a_command_is_refused(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R7: `back 2026-12-24` ended the absence at once."""
    bob = slack.user("bob")
    await bob.command("/approvals away @dave for 3d")
    for word in ("back", "show", "pending", "permissions"):
        assert f"`/approvals {word}` with nothing after it" in (await bob.command(f"/approvals {word} 2026-12-24")).text
    assert len((await store.absences()).value.people) == 1


async def test_absent_reviewer_learns_that_their_stand_in_was_unreachable(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R7: the absence counts all the same, and somebody has to tell them."""
    slack.faults.add("server_error", on="chat.postMessage", status=503, times=None)
    text = (await slack.user("bob").command("/approvals away @dave for 3d")).text
    assert "<@U0DAVE> decides in your place." in text and "please tell them yourself" in text
    slack.faults.clear()
    assert "They've been notified." in (await slack.user("carol").command("/approvals away @dave for 3d")).text


async def test_stand_in_of_group_member_decides_until_they_leave(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R9: who is away is looked up at the click, like everybody."""
    await configure(store, reviewers=REVIEWERS)
    until = await store.now() + timedelta(days=1)
    await delegation.leave(store, Actor(HERE, CAROL), Actor(HERE, DAVE), until)
    first = await usecases.ask(store, lease, question(agent="first"))
    await slack.user("dave").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, first)).status is Status.APPROVED
    await all_drawn(slack, store)
    slack.workspace.groups["S0REVIEWERS"].users.remove("U0CAROL")
    bot.directory.lookups.forget()  # a minute later
    second = await usecases.ask(store, lease, question(agent="second"))
    await slack.user("dave").click(await card_of(slack), "Approve")
    await slack.user("dave").wait_ephemeral("not a reviewer")
    assert (await as_it_is(store, second)).status is Status.PENDING
    refused = [e for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]
    assert [(e.user, e.data["verb"]) for e in refused] == [(DAVE, Verb.APPROVE)]


NONSENSE = [
    ("@bob for 2d", "be your own stand-in"),
    ("@greta for 2d", "can't decide here"),
    ("@reviewers for 2d", "Name one stand-in"),
    ("@carol", "Say until when"),
    ("@carol until 2026-02-30", "isn't a date"),
    ("@carol until 2020-01-01", "already passed"),
    ("@carol until 2999-01-01", "90 days"),
    ("@carol for 91d", "90 days"),
    ("@carol until soon", "isn't a date or a duration"),
]


async def test_invalid_absence_is_refused_with_a_reason(
    slack: LocalSlack, store: Store, bot: Services, subtests: pytest.Subtests
) -> None:
    """R10"""
    for words, sentence in NONSENSE:
        with subtests.test(words=words):
            reply = await slack.user("bob").command(f"/approvals away {words}")
            assert sentence in reply.text and "othing was changed" in reply.text
            assert (await store.absences()).value.people == ()


async def test_absence_may_last_longer_than_a_request(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R10: in a span as well as until a date."""
    assert "decides in your place" in (await slack.user("bob").command("/approvals away @dave\nfor 6w")).text
    (absence,) = (await store.absences()).value.people
    assert round((absence.until - absence.since) / timedelta(weeks=1), 3) == 6


async def test_escalation_channel_may_be_named_like_a_keyword(slack: LocalSlack, store: Store, bot: Services) -> None:
    """The word `then` stands between two steps."""
    alice = slack.user("alice")
    slack.workspace.channels["C0GENERAL"].name = "if-then"
    words = "/approvals escalate 30 min @dave #if-then Then 45m @reviewers"
    await alice.command(words, channel="C0GENERAL")
    assert (await confirm_loosening(alice)).startswith("Saved.")
    assert [step.channel for step in (await usecases.rules_of(store, GENERAL)).escalation] == [GENERAL, None]


async def test_waiting_settings_are_changed_by_command_and_confirmed(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """Reminders, escalation and quiet hours."""
    alice = slack.user("alice")
    for words in (
        "remind 15m",
        "escalate 30m @dave then 0 h 45 min @reviewers #general",
        "quiet 19:00-08:00 weekends Europe/Berlin",
    ):
        saved = (await alice.command(f"/approvals {words}")).text or await confirm_loosening(alice)
        assert saved.startswith("Saved."), words
    rules = await usecases.rules_of(store, GENERAL)
    assert rules.remind_after == HOUR / 4
    assert [(s.after, s.channel) for s in rules.escalation] == [(HOUR / 2, None), (HOUR * 3 / 4, GENERAL)]
    told = (await alice.command("/approvals show")).text
    assert "Reminders: after 15 min, then at increasing intervals" in told
    assert "after 45 min to <!subteam^S0REVIEWERS> in <#C0GENERAL>" in told
    assert "Quiet hours: 19:00-08:00 weekends Europe/Berlin" in told
    for words in ("remind off", "escalate off", "quiet off"):
        assert (await alice.command(f"/approvals {words}")).text.startswith("Saved."), words
    rules = await usecases.rules_of(store, GENERAL)
    assert (rules.remind_after, rules.escalation, bool(rules.quiet)) == (timedelta(0), (), False)


async def test_escalated_request_is_listed_in_the_next_channel(store: Store, lease: Lease) -> None:
    """While it waits, and after the decision."""
    there = ChannelId("C0RANDOM")
    step = Escalation(2 * HOUR, Reviewers(frozenset({DAVE})), there)
    await configure(store, timeout=timedelta(days=1), escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    await due(store, asked, timedelta(hours=3))
    await update_lists(store)
    assert (await Overview(store).waiting([there], None, lambda request: True, 5)).total == 1
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await update_lists(store)
    assert (await Overview(store).waiting([there], None, lambda request: True, 5)).total == 0
    assert len(await Overview(store).decided(there, 5)) == 1
