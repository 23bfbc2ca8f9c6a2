"""A change of settings is told to all whom it concerns, once, whatever ends or fails in between (R33)."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta

import pytest

from bot.audit.auditor import Auditor
from bot.slack.handlers.context import Services
from bot.slack.settings_proposals import effect_of
from bot.slack.views import settings_text
from countersign import usecases
from countersign.domain.channel_settings import ChannelSettings, Escalation, OnTimeout
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.quiet_hours import Quiet
from countersign.policy.loosening import Configured
from countersign.store.outbox import GROUP
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.audit.test_auditor import record
from tests.sample_requests import APPROVALS, BOB, CAROL, HERE, question, rules
from tests.slack.plain_words import texts_of
from tests.slack.socket_bot import events
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.slack.test_two_people import CARDS, room
from tests.store_fixtures import change_settings

RANDOM = ChannelId("C0RANDOM")
NOBODY_BY_THEN = "1 h; if nobody decides by then:"


@pytest.mark.parametrize(
    ("on_timeout", "says"),
    [
        (OnTimeout.WAIT, "no deadline; it waits until somebody decides"),
        (OnTimeout.REJECT, f"{NOBODY_BY_THEN} not approved; the agent is told that nobody answered"),
        (OnTimeout.APPROVE, f"{NOBODY_BY_THEN} it counts as APPROVED even though nobody decided"),
    ],
)
def test_settings_describe_timeout_and_its_effect_once(on_timeout: OnTimeout, says: str) -> None:
    """The time to decide and what follows it, in the list and in the greeting."""
    of = rules(on_timeout=on_timeout, timeout=timedelta(hours=1), approvals_channel=RANDOM)
    assert f"• Timeout: {says}\n" in settings_text.describe(RANDOM, of)
    assert any(
        text.endswith(f"*Time to decide:* {says}") for text in texts_of(settings_text.greeting(RANDOM, of).blocks)
    )


async def change(store: Store, edit: Callable[[ChannelSettings], ChannelSettings]) -> Configured:
    """What a listener does before anything can be posted: as if its process ended right after that."""
    return await change_settings(store, Actor(HERE, BOB, is_admin=True), edit)


async def changes(store: Store) -> list[Event]:
    return [event for event in await events(store) if event.type is EventType.SETTINGS_CHANGED]


def notices(slack: LocalSlack, channel: str) -> list[Message]:
    return [m for m in slack.channel(channel).messages if "changed the settings" in m.text]


@pytest.mark.parametrize("what", ["a crash", "lost_reply", "lost_request", "server_error", "a kill after the post"])
async def test_settings_change_is_announced_once_in_each_channel(slack: LocalSlack, store: Store, what: str) -> None:
    """R33, R4, R6, R25: drawn from its event, adopted where nobody knows whether it arrived, and on record once."""
    room(slack)
    await change(store, lambda own: replace(own, quorum=2, approvals_channel=CARDS))
    if "_" in what:
        slack.faults.add(what, on="chat.postMessage", times=2)  # type: ignore[arg-type]
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    if what == "a kill after the post":
        for name in ("#general", "#approvals", "#cards"):
            (posted,) = notices(slack, name)
            assert posted.metadata is not None
            seen = await store.message(posted.metadata["event_payload"]["name"])
            assert seen is not None
            forgotten = replace(seen.value, ts="", drawn="", posting_since=seen.now)
            await store.commit(Change(messages=(Put(forgotten, seen.version),)))
        await store.client.xgroup_setid(store.keys.events, GROUP, "0")
        async with running_projector(slack, store, "web-2"):
            await all_drawn(slack, store)
    for name in ("#general", "#approvals", "#cards"):
        (notice,) = notices(slack, name)
        for part in ("<@U0BOB>", "<#C0GENERAL>", "Approvals needed: 1 → 2"):
            assert part in text_of(notice), part
    await Auditor(store, "web").catch_up()
    (entry,) = [entry for entry in await record(store) if entry["type"] == "settings_changed"]
    assert json.loads(entry["data"]["before"]) == {"quorum": 1, "approvals_channel": APPROVALS}
    assert json.loads(entry["data"]["rules"])["quorum"] == 2


async def test_unpostable_or_empty_settings_event_blocks_no_other(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R33, R21: the app is not in #random; what cannot be told there is told where its cards go."""
    await store.commit(
        Change(events=(Event(EventType.SETTINGS_CHANGED, await store.now(), user=BOB, data={"channel": RANDOM}),))
    )
    assert (await slack.user("alice").command("/approvals quorum 2", "#random")).text.startswith("Saved.")
    assert (await slack.user("alice").command("/approvals quorum 2", "#random")).text.startswith("Saved.")
    await slack.user("alice").command("/approvals quorum 1", "#random")
    await slack.user("alice").wait_modal("This loosens the rules")
    assert await slack.user("alice").submit() == {}
    await slack.wait_message(slack.workspace.direct("U0ALICE").id, lambda m: m.text.startswith("Saved."))
    await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await card_of(slack)
        await all_drawn(slack, store)
    stricter, milder = notices(slack, "#approvals")
    assert len(await changes(store)) == 4 and notices(slack, "#random") == [], "nothing changed by the third"
    for notice, before, after in ((stricter, "1", "2"), (milder, "2", "1")):
        assert f"Approvals needed: {before} → {after}" in text_of(notice)


async def test_settings_event_holds_rules_before_and_after(store: Store) -> None:
    """R6, R25: the rules before and after, here and where they are inherited, and who wanted and confirmed it."""
    steps = (Escalation(timedelta(minutes=10), Reviewers(groups=frozenset({GroupId("S0LEADS")})), CARDS),)
    people = Reviewers(frozenset({BOB, CAROL}), frozenset({GroupId("S0REVIEWERS")}), members=True)
    await change(store, lambda own: replace(own, reviewers=people, quorum=3, approvals_channel=CARDS))
    quiet = Quiet("Europe/Berlin", time(19), time(8), frozenset({5, 6}))
    other = ChannelSettings(
        approvals_channel=APPROVALS,
        reviewers=people,
        timeout=timedelta(hours=2),
        on_timeout=OnTimeout.APPROVE,
        quorum=1,
        own_requests=True,
        remind_after=timedelta(minutes=5),
        escalation=steps,
        quiet=quiet,
        break_glass=True,
    )
    effect = await change(store, lambda own: other)
    assert effect_of((await changes(store))[-1].data) == effect
    assert effect.before != effect.after and effect.inherited_before != effect.inherited_after != effect.after
