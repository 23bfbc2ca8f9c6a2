"""`/approvals`: in a window and in words, by those who may, and never so that nobody could decide."""

from datetime import timedelta

import pytest

from bot import flows
from bot.core.events import EventType
from bot.core.ids import GroupId
from bot.core.people import Reviewers
from bot.core.policy import OnTimeout, Rules
from bot.slack.answering import Desk
from bot.store.store import Store
from localslack import LocalSlack
from tests.making import BOB, DAVE, GENERAL
from tests.slack.botting import events


async def rules(store: Store) -> Rules:
    return await flows.rules_of(store, GENERAL)


async def test_everything_can_be_set_in_words(slack: LocalSlack, store: Store, bot: Desk) -> None:
    alice = slack.user("alice")
    for words in (
        "timeout 15m",
        "on-timeout wait",
        "channel #general",
        "reviewers @bob, @dave @reviewers",
        "quorum 2",
        "own-requests yes",
    ):
        reply = await alice.command(f"/approvals {words}")
        assert reply.text.startswith("Saved."), reply.text
    now = await rules(store)
    assert (now.timeout, now.on_timeout, now.approvals_channel) == (timedelta(minutes=15), OnTimeout.WAIT, GENERAL)
    assert now.reviewers == Reviewers(frozenset({BOB, DAVE}), frozenset({GroupId("S0REVIEWERS")}))
    assert (now.quorum, now.own_requests) == (2, True)
    shown = (await alice.command("/approvals show")).text
    assert "<@U0DAVE>" in shown and "2 approvals" in shown and "no deadline" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("timeout soon", "is not a duration"),
        ("timeout -5m", "is not a duration"),
        ("timeout 0", "is not a duration"),
        ("timeout 0s", "is out of range"),
        ("timeout 99999d", "is out of range"),
        ("on-timeout escalate", "is not one of"),
        ("quorum 0", "must be 1 or more"),
        ("quorum two", "is not a whole number"),
        ("quorum 3", "only 2 may approve"),
        ("own-requests maybe", "neither"),
        ("reviewers everybody", "neither a person nor a user group"),
        ("reviewers ,", "Nobody would be allowed"),
        ("reviewers @greta", "is a guest"),
        ("reviewers @dora", "left"),
        ("reviewers @sam", "not a member of this workspace"),
        ("reviewers <@U0BOT>", "is a bot"),
        ("reviewers U0NOBODY", "not a member of this workspace"),
        ("reviewers S0NOTHING", "There is nobody in"),
        ("channel #random", "The app is not in <#C0RANDOM>"),
        ("channel #nowhere", "The app is in no channel"),
        ("colour blue", "There is no setting"),
        ("timeout", "What should it be?"),
    ],
)
async def test_nonsense_is_refused_with_a_sentence(
    slack: LocalSlack, store: Store, bot: Desk, words: str, sentence: str
) -> None:
    """R10: an empty list, people who may not decide, a channel where no card can be posted."""
    before = await rules(store)
    reply = await slack.user("alice").command(f"/approvals {words}")
    assert sentence in reply.text
    assert "othing was changed" in reply.text
    assert await rules(store) == before


async def test_only_admins_and_reviewers_may_configure(slack: LocalSlack, store: Store, bot: Desk) -> None:
    """R25: the refused attempt is on record. Dave is named in ADMINS, Bob reviews, Alice is a workspace admin."""
    slack.invite("U0SAM", "#general")
    for name in ("alice", "bob", "dave"):
        assert (await slack.user(name).command("/approvals timeout 15m")).text.startswith("Saved.")
    for name, sentence in (("greta", "Guests"), ("sam", "another Slack workspace")):
        assert sentence in (await slack.user(name).command("/approvals timeout 5s")).text
    await slack.user("alice").command("/approvals reviewers @bob")
    assert "Only workspace admins" in (await slack.user("carol").command("/approvals timeout 5s")).text
    refused = [e for e in await events(store) if e.type is EventType.SETTINGS_REFUSED]
    assert [e.user for e in refused] == ["U0GRETA", "U0SAM", "U0CAROL"]
    assert (await rules(store)).timeout == timedelta(minutes=15)


async def test_the_window_shows_what_holds_and_changes_only_what_was_changed(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    bob = slack.user("bob")
    await bob.command("/approvals")
    modal = await bob.wait_modal("Approval settings")
    assert modal.title == "Approval settings"
    assert await bob.submit({"timeout": "90s", "groups": ["S0REVIEWERS"]}) == {}
    await bob.wait_ephemeral("Saved.")
    own = (await store.settings(GENERAL)).value
    assert own.timeout == timedelta(seconds=90)
    assert own.reviewers is not None and own.reviewers.groups == {"S0REVIEWERS"}
    assert (own.quorum, own.on_timeout, own.approvals_channel, own.own_requests) == (None, None, None, None)
    await bob.command("/approvals")
    await bob.wait_modal("1 min 30 s")
    assert await bob.submit({"on_timeout": "approve", "own_requests": ["yes"], "quorum": "2"}) == {}
    now = await rules(store)
    assert (now.on_timeout, now.own_requests, now.quorum) == (OnTimeout.APPROVE, True, 2)
    assert now.timeout == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("values", "block", "sentence"),
    [
        ({"timeout": "soon"}, "timeout", "is not a duration"),
        ({"quorum": "9"}, "users", "only 2 may approve"),
        ({"users": ["@greta"]}, "users", "@greta is a guest"),
        ({"users": []}, "users", "name at least one reviewer"),
        ({"approvals_channel": "#random"}, "approvals_channel", "The app is not in #random"),
    ],
)
async def test_the_window_says_what_is_wrong_where_it_is_wrong(
    slack: LocalSlack, store: Store, bot: Desk, values: dict[str, object], block: str, sentence: str
) -> None:
    """R10"""
    before = await rules(store)
    alice = slack.user("alice")
    await alice.command("/approvals")
    await alice.wait_modal()
    errors = await alice.submit(values)
    assert sentence in errors[block]
    assert await rules(store) == before


async def test_settings_changed_by_two_at_once_are_not_undone_silently(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    alice = slack.user("alice")
    await alice.command("/approvals")
    await alice.wait_modal()
    await slack.user("bob").command("/approvals quorum 2")
    errors = await alice.submit({"timeout": "5m"})
    assert "Somebody changed these settings" in errors["timeout"]
    assert (await rules(store)).quorum == 2


async def test_a_group_that_slack_does_not_tell_about_is_refused(slack: LocalSlack, store: Store, bot: Desk) -> None:
    """R9"""
    slack.faults.add("error", on="usergroups.users.list", error="missing_scope", times=None)
    reply = await slack.user("alice").command("/approvals reviewers @reviewers")
    assert "Slack did not answer" in reply.text
    assert (await rules(store)).reviewers.groups == frozenset()
