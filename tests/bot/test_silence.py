"""Silence approves only what people could see: its card stood in its channel for all the time that they had."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot import flows
from bot.core import settling
from bot.core.events import EventType
from bot.core.policy import OnTimeout
from bot.core.ports import Change, Lease, Put
from bot.core.requests import Request, Status
from bot.store.store import Store
from localslack import LocalSlack, text_of
from tests.making import NOW, later, question, request, rules
from tests.slack.botting import events
from tests.slack.test_scribe import all_drawn, card_of, drawing
from tests.storing import NoQueue, card_stands

HOUR = timedelta(hours=1)


async def asked_long_ago(store: Store, lease: Lease) -> Request:
    """In a channel where silence approves; its time is over now."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE))
    asked = await flows.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None
    old = replace(asked, created_at=seen.now - HOUR, deadline=seen.now)
    await store.commit(Change(requests=(Put(old, seen.version),)))
    return old


@pytest.mark.parametrize(
    ("card", "status"),
    [
        (None, Status.EXPIRED),
        ("a card whose post nobody knows of", Status.EXPIRED),
        (timedelta(minutes=10), Status.EXPIRED),
        (timedelta(seconds=3), Status.APPROVED),
        (timedelta(0), Status.APPROVED),
    ],
    ids=["no card", "not known", "too late", "as fast as Slack is", "at once"],
)
async def test_silence_approves_only_what_stood_in_its_channel_for_the_whole_time(
    card: timedelta | str | None, status: Status, store: Store, lease: Lease
) -> None:
    """R32: else it expires, and the record says why."""
    asked = await asked_long_ago(store, lease)
    if isinstance(card, timedelta):
        await card_stands(store, asked, asked.created_at + card)
    elif card is not None:
        await card_stands(store, asked)
        seen = await store.message(f"card/{asked.id}")
        assert seen is not None
        await store.commit(Change(messages=(Put(replace(seen.value, ts=""), seen.version),)))
    settled = await flows.expire(store, NoQueue(), asked.id)
    assert settled is not None and settled.decision is not None
    assert settled.status is status
    (told,) = [e for e in await events(store) if e.type is EventType.REQUEST_DECIDED]
    assert told.data["words"] == settled.decision.words == (settling.UNSEEN if status is Status.EXPIRED else "")


async def test_a_card_that_goes_in_the_moment_of_the_step_approves_nothing(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32, R3: the card is looked at in the step that settles."""
    asked = await asked_long_ago(store, lease)
    await card_stands(store, asked)
    stored = store.commit
    gone = False

    async def deleted_meanwhile(change: Change) -> object:
        nonlocal gone
        if change.requests and not gone:
            gone = True
            seen = await store.message(f"card/{asked.id}")
            assert seen is not None
            await stored(Change(messages=(Put(replace(seen.value, ts=""), seen.version),)))
        return await stored(change)

    monkeypatch.setattr(store, "commit", deleted_meanwhile)
    settled = await flows.expire(store, NoQueue(), asked.id)
    assert settled is not None and settled.status is Status.EXPIRED


def test_where_silence_approves_time_counts_from_the_card() -> None:
    """R32: people have all of it, however late Slack took the card; nobody's time gets shorter."""
    silent = request(on_timeout=OnTimeout.APPROVE)
    late = settling.stands(silent, later(minutes=10), later(minutes=11)).request
    assert late.deadline == later(minutes=70)
    assert settling.stands(silent, later(seconds=2), later(seconds=2)).request == silent
    assert settling.stands(silent, later(minutes=10), later(hours=1)).request == silent
    assert settling.stands(request(), later(minutes=10), later(minutes=11)).request == request()
    assert settling.expire(late, later(minutes=69)).request == late
    assert not settling.seen_long_enough(late, later(minutes=10), later(minutes=69))
    assert settling.seen_long_enough(late, NOW, later(minutes=60))


async def test_slack_is_away_past_the_deadline_and_nothing_is_approved(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R32, R21: the card that comes then is settled, and says why; so does the thread."""
    asked = await asked_long_ago(store, lease)
    slack.faults.add("server_error", on="chat.postMessage", times=None)
    async with drawing(slack, store):
        await slack.wait_for(lambda _: any(c.method == "chat.postMessage" for c in slack.calls))
        await flows.expire(store, NoQueue(), asked.id)
        slack.faults.clear()
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    thread = " ".join(text_of(m) for m in slack.channel("#general").thread(root.ts))
    assert settling.UNSEEN in thread and "Approved" not in thread
    assert not slack.channel("#approvals").messages


async def test_a_card_that_slack_took_late_gives_people_all_of_their_time(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R32: the card says until when."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE))
    asked = await flows.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None and asked.deadline is not None
    old = replace(asked, created_at=asked.created_at - HOUR / 2, deadline=asked.deadline - HOUR / 2)
    await store.commit(Change(requests=(Put(old, seen.version),)))
    async with drawing(slack, store):
        await all_drawn(slack, store)
        card = await card_of(slack)
    seen, shown = await store.request(asked.id), await store.message(f"card/{asked.id}")
    assert seen is not None and shown is not None and shown.value.stands_since is not None
    assert seen.value.deadline == shown.value.stands_since + HOUR
    assert f"<!date^{int(seen.value.deadline.timestamp())}^" in text_of(card) + str(card.blocks)
