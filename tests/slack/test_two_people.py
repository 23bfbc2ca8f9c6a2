"""What two people agree on is what they saw, and nothing else (R33)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.slack.handlers.context import Services
from bot.slack.handlers.settings_changes import why_not_propose
from countersign import usecases
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import InvalidInput
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.policy.loosening import NeedsSecond
from countersign.store.outbox import GROUP
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.sample_requests import APPROVALS, BOB, CAROL, GENERAL, HERE
from tests.slack.socket_bot import confirm_loosening, events
from tests.slack.test_projector import all_drawn, running_projector

CARDS = ChannelId("C0CARDS")


async def set_of(store: Store, channel: ChannelId, **changes: Any) -> None:
    seen = await store.settings(channel)
    await store.commit(Change(settings={channel: Put(replace(seen.value, **changes), seen.version)}))


def room(slack: LocalSlack) -> None:
    """#cards, where Alice, Bob, Carol and the app are."""
    slack.add_channel("cards", ("alice", "bob", "carol"))
    slack.invite("U0BOT", "#cards")


async def proposal(slack: LocalSlack) -> Message:
    return await slack.wait_message("#approvals", lambda m: "wants to loosen the rules" in m.text)


@pytest.fixture
async def drawn(slack: LocalSlack, store: Store) -> AsyncIterator[None]:
    """Slack is drawn from the events."""
    async with running_projector(slack, store):
        yield


async def none_wrong(_: object) -> list[Sentence]:
    return []


async def test_proposal_is_posted_although_its_process_died(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R33, R4, R6: it is drawn from its event, once, settled by whoever confirms it, and gets no button again."""
    with pytest.raises(NeedsSecond):
        await usecases.configure(
            store, GENERAL, Actor(HERE, BOB), frozenset(), lambda own: replace(own, own_requests=True), none_wrong
        )
    slack.faults.add("lost_reply", on="chat.postMessage")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (asked,) = [m for m in slack.channel("#approvals").messages if "wants to loosen the rules" in m.text]
        assert [*asked.buttons] == ["Loosen rules"]
        await slack.user("carol").click(asked, "Loosen rules")
        await slack.user("carol").wait_ephemeral("Saved.")
        settled = await slack.wait_message("#approvals", lambda m: m.ts == asked.ts and not m.buttons)
        assert "Confirmed by <@U0CAROL>" in text_of(settled) and "own requests: no → yes" in text_of(settled)
        await all_drawn(slack, store)
    await store.client.xgroup_setid(store.keys.events, GROUP, "0")
    async with running_projector(slack, store, "web-2"):
        await all_drawn(slack, store)
    (still,) = [m for m in slack.channel("#approvals").messages if "wants to loosen the rules" in m.text]
    assert still.ts == asked.ts and not still.buttons
    assert sum("confirm_settings" in str(call.args.get("blocks")) for call in slack.calls) <= 2, "posted and adopted"


async def test_proposal_that_cannot_be_shown_is_reported_to_author(
    slack: LocalSlack, store: Store, bot: Services, drawn: None
) -> None:
    """R33, R21: also if it is too long to confirm with a button, and then nothing is proposed."""
    slack.faults.add("error", on="chat.postMessage", times=1, error="restricted_action")
    await slack.user("bob").command("/approvals own-requests yes")
    await slack.wait_for(lambda _: any("nobody can confirm" in str(c.args.get("text")) for c in slack.calls))
    names = frozenset(UserId(f"U0{number:0>14}") for number in range(150))
    with pytest.raises(InvalidInput, match="too long to confirm at once"):
        await usecases.configure(
            store,
            GENERAL,
            Actor(HERE, BOB),
            frozenset(),
            lambda own: replace(own, reviewers=Reviewers(names | {BOB, CAROL})),
            none_wrong,
            why_not_propose=why_not_propose,
        )
    kinds = [event.type for event in await events(store)]
    assert kinds.count(EventType.SETTINGS_PROPOSED) == 1


async def test_inherited_loosening_needs_two_people_as_well(
    slack: LocalSlack, store: Store, bot: Services, drawn: None
) -> None:
    """R33: cards of #general go to #cards, whose own go to #approvals, where requesters decide themselves."""
    room(slack)
    await set_of(store, APPROVALS, own_requests=True)
    await set_of(store, GENERAL, approvals_channel=CARDS)
    told = await slack.user("bob").command("/approvals own-requests yes", "#cards")
    assert "an admin or a second reviewer must confirm it" in told.text
    asked = await proposal(slack)
    for part in ("Channels that send their cards here", "own requests: no → yes"):
        assert part in str(asked.blocks)
    assert (await usecases.rules_of(store, GENERAL)).own_requests is False
    await slack.user("carol").click(asked, "Loosen rules")
    await slack.user("carol").wait_ephemeral("Saved.")
    assert (await usecases.rules_of(store, GENERAL)).own_requests is True
    assert await slack.wait_message("#approvals", lambda m: "as <@U0BOB> proposed" in m.text)


async def test_silence_approves_after_the_timeout_it_was_allowed_with(
    slack: LocalSlack, store: Store, bot: Services
) -> None:
    """R33, R23: whoever changes how long requests wait where its cards go does not change it here."""
    await slack.user("alice").command("/approvals on-timeout approve")
    await confirm_loosening(slack.user("alice"))
    assert (await slack.user("bob").command("/approvals timeout 5s", "#approvals")).text.startswith("Saved.")
    rules = await usecases.rules_of(store, GENERAL)
    assert (rules.on_timeout, rules.timeout) == (OnTimeout.APPROVE, timedelta(hours=1))


@pytest.mark.parametrize("what", ["the other channel", "an account", "a group"])
async def test_proposal_lapses_when_its_basis_changes(
    slack: LocalSlack, store: Store, bot: Services, drawn: None, what: str
) -> None:
    """R33, R13: what was shown, by somebody who may change the settings still."""
    room(slack)
    await set_of(store, APPROVALS, quorum=2)
    await set_of(store, GENERAL, reviewers=Reviewers(groups=frozenset({GroupId("S0REVIEWERS")})))
    await slack.user("bob").command("/approvals channel #cards")
    asked = await proposal(slack)
    if what == "the other channel":
        await set_of(store, CARDS, own_requests=True)
    elif what == "an account":
        slack.workspace.users["U0BOB"].deleted = True
    else:
        slack.workspace.groups["S0REVIEWERS"].users.remove("U0BOB")
    bot.directory.lookups.forget()  # as after a minute
    await slack.user("carol").click(asked, "Loosen rules")
    changed = what == "the other channel"
    await slack.user("carol").wait_ephemeral(
        "settings have changed since" if changed else "can no longer change the settings"
    )
    assert (await usecases.rules_of(store, GENERAL)).approvals_channel == APPROVALS
    if not changed:  # an admin needs nobody
        await slack.user("alice").click(asked, "Loosen rules")
        await slack.user("alice").wait_ephemeral("Saved.")


async def test_proposal_names_every_added_and_removed_reviewer(
    slack: LocalSlack, store: Store, bot: Services, drawn: None
) -> None:
    """R33, R13: one of seventeen is changed for another, and a line names twelve."""
    names = [f"m{number}" for number in range(10, 24)]
    for name in (*names, "zed", "zoe"):
        slack.add_user(name)
    many = frozenset({BOB, CAROL, UserId("U0ZOE"), *(UserId(f"U0{name.upper()}") for name in names)})
    await set_of(store, GENERAL, reviewers=Reviewers(many))
    await slack.user("bob").command(f"/approvals reviewers @bob @carol @zed {' '.join(f'@{name}' for name in names)}")
    asked = await proposal(slack)
    assert "Added: <@U0ZED>" in str(asked.blocks) and "Removed: <@U0ZOE>" in str(asked.blocks)
    await slack.user("carol").click(asked, "Loosen rules")
    await slack.user("carol").wait_ephemeral("Saved.")
    assert await slack.wait_message("#approvals", lambda m: "proposed" in m.text and "U0ZED" in str(m.blocks))


async def test_redelivered_command_undoes_nothing(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R8: Slack delivers again what was not acknowledged in time, whatever others did meanwhile."""
    await slack.user("alice").command("/approvals timeout 1h")  # no time is milder: one person is enough
    await slack.user("bob").command("/approvals away @dave for 2d")
    late = [payload for kind, payload in slack.deliveries if kind == "slash_commands"]
    await slack.user("bob").command("/approvals timeout 2h")
    await slack.user("bob").command("/approvals back")
    for payload in late:
        await slack.platform.interact(payload, "slash_commands")
    await bot.drain()
    assert (await usecases.rules_of(store, GENERAL)).timeout == timedelta(hours=2)
    assert (await store.absences()).value.of(HERE, BOB, await store.now()) is None
    kinds = [event.type for event in await events(store)]
    assert kinds.count(EventType.SETTINGS_CHANGED) == 2 and kinds.count(EventType.STAND_IN_NAMED) == 1
