"""Silence approves only what people could see: its card stood in its channel for all the time that they had."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack.app import slack_clients
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from countersign import usecases
from countersign.domain import request_endings
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import Refused
from countersign.domain.events import EventType
from countersign.domain.requests import Request, Status
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack, text_of
from localslack.fixtures import UNHURRIED
from localslack.workspace import Message
from tests.longest_wait import PATIENCE
from tests.sample_requests import HERE, NOW, attempt, later, question, request, rules
from tests.slack.socket_bot import connected_bot, events
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.store_fixtures import NoQueue, card_is_there, place_card

HOUR = timedelta(hours=1)


async def asked_long_ago(store: Store, lease: Lease) -> Request:
    """In a channel where silence approves; its time is over now."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE))
    asked = await usecases.ask(store, lease, question())
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
async def test_silence_approves_only_cards_visible_for_the_whole_time(
    card: timedelta | str | None, status: Status, store: Store, lease: Lease
) -> None:
    """R32: else it expires, and the record says why."""
    asked = await asked_long_ago(store, lease)
    if isinstance(card, timedelta):
        await place_card(store, asked, asked.created_at + card)
    elif card is not None:
        await place_card(store, asked)
        seen = await store.message(f"card/{asked.id}")
        assert seen is not None
        await store.commit(Change(messages=(Put(replace(seen.value, ts=""), seen.version),)))
    settled = await usecases.catch_up(store, NoQueue(), asked.id, card_is_there)
    assert settled is not None and settled.decision is not None
    assert settled.status is status
    (told,) = [e for e in await events(store) if e.type is EventType.REQUEST_DECIDED]
    assert told.data["words"] == settled.decision.words == (request_endings.UNSEEN if status is Status.EXPIRED else "")


async def test_card_deleted_during_settlement_approves_nothing(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32, R3: the card is looked at in the step that settles."""
    asked = await asked_long_ago(store, lease)
    await place_card(store, asked)
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
    settled = await usecases.catch_up(store, NoQueue(), asked.id, card_is_there)
    assert settled is not None and settled.status is Status.EXPIRED


def test_silent_approval_counts_time_from_the_card() -> None:
    """R32: people have all of it, however late Slack took the card; nobody's time gets shorter."""
    silent = request(on_timeout=OnTimeout.APPROVE)
    late = request_endings.stands(silent, later(minutes=10), later(minutes=11)).request
    assert late.deadline == later(minutes=70)
    assert request_endings.stands(silent, later(seconds=2), later(seconds=2)).request == silent
    assert request_endings.stands(silent, later(minutes=10), later(hours=1)).request == silent
    assert request_endings.stands(request(), later(minutes=10), later(minutes=11)).request == request()
    assert request_endings.expire(late, later(minutes=69)).request == late
    assert not request_endings.seen_long_enough(late, later(minutes=10), later(minutes=69))
    assert request_endings.seen_long_enough(late, NOW, later(minutes=60))


async def test_outage_past_the_deadline_approves_nothing(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R32, R21: the card that comes then is settled, and says why; so does the thread."""
    asked = await asked_long_ago(store, lease)
    slack.faults.add("server_error", on="chat.postMessage", times=None)
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: any(c.method == "chat.postMessage" for c in slack.calls))
        await usecases.catch_up(store, NoQueue(), asked.id)
        slack.faults.clear()
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    thread = " ".join(text_of(m) for m in slack.channel("#general").thread(root.ts))
    assert request_endings.UNSEEN in thread and "Approved" not in thread
    assert not slack.channel("#approvals").messages


async def test_late_card_extends_the_deadline(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R32: the card says until when."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE))
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None and asked.deadline is not None
    old = replace(asked, created_at=asked.created_at - HOUR / 2, deadline=asked.deadline - HOUR / 2)
    await store.commit(Change(requests=(Put(old, seen.version),)))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        card = await card_of(slack)
    seen, shown = await store.request(asked.id), await store.message(f"card/{asked.id}")
    assert seen is not None and shown is not None and shown.value.stands_since is not None
    assert seen.value.deadline == shown.value.stands_since + HOUR
    assert f"<!date^{int(seen.value.deadline.timestamp())}^" in text_of(card) + str(card.blocks)


@pytest.fixture
async def directory(slack: LocalSlack) -> AsyncIterator[Directory]:
    async with slack_clients(slack.bot_token, slack.api_url) as clients:
        directory = Directory(clients.reads, HERE, LookupCache(patience=PATIENCE))
        yield directory
        await directory.close()


async def stood_for_an_hour(
    slack: LocalSlack, store: Store, lease: Lease, *, voted: bool = False
) -> tuple[Request, Message]:
    """In a channel where silence approves; its time is over now. Others write there too."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE, quorum=2 if voted else 1))
    await slack.user("bob").say("good morning", channel="#approvals")
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        card = await card_of(slack)
        if voted:
            await slack.user("bob").click(card, "Approve")
            await all_drawn(slack, store)
    seen, shown = await store.request(asked.id), await store.message(f"card/{asked.id}")
    assert seen is not None and shown is not None
    old = replace(seen.value, created_at=seen.now - HOUR, deadline=seen.now)
    message = Put(replace(shown.value, stands_since=old.created_at), shown.version)
    await store.commit(Change(requests=(Put(old, seen.version),), messages=(message,)))
    return old, card


async def deleted_with_its_thread(slack: LocalSlack, card: Message) -> None:
    await slack.user("bob").say("what is this?", channel="#approvals", thread=card.ts)
    slack.user("alice").delete(card)


def archived_in_private(slack: LocalSlack, card: Message) -> None:
    slack.channel("#approvals").is_private = True
    slack.user("alice").archive("#approvals")


TAKEN_AWAY: dict[str, Callable[[LocalSlack, Message], object]] = {
    "deleted": lambda slack, card: slack.user("alice").delete(card),
    "deleted, and had replies": deleted_with_its_thread,
    "its channel archived": lambda slack, card: slack.user("alice").archive("#approvals"),
    "its private channel archived": archived_in_private,
    "archived, and the app may read": lambda slack, card: setattr(slack.channel("#approvals"), "is_archived", True),
    "the app removed": lambda slack, card: slack.channel("#approvals").members.remove("U0BOT"),
}


@pytest.mark.parametrize("meanwhile", ["nothing happened", *TAKEN_AWAY])
async def test_silence_does_not_approve_a_deleted_card(
    slack: LocalSlack, store: Store, lease: Lease, wakeups: Wakeups, directory: Directory, meanwhile: str
) -> None:
    """R32: the card is looked for in Slack just before; the record and the run's thread say why, not that it waits."""
    asked, card = await stood_for_an_hour(slack, store, lease)
    if meanwhile in TAKEN_AWAY:
        done = TAKEN_AWAY[meanwhile](slack, card)
        if asyncio.iscoroutine(done):
            await done
    keeper = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups, directory.still_there))
    settled = await wakeups.settled(asked.id)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    thread = " ".join(text_of(m) for m in slack.channel("#general").thread(root.ts))
    assert settled.decision is not None
    if meanwhile in TAKEN_AWAY:
        assert (settled.status, settled.decision.words) == (Status.EXPIRED, request_endings.UNSEEN)
        assert request_endings.UNSEEN in thread and "Approved" not in thread
        assert "is still pending" not in thread
    else:
        assert settled.status is Status.APPROVED
        assert "Approved by timeout" in thread


@pytest.mark.parametrize("deleted", [False, True])
async def test_silence_approves_a_card_that_lost_its_metadata(store: Store, lease: Lease, deleted: bool) -> None:
    """R32: Slack does not say whether a response URL leaves a message its metadata. Who took it away is told apart."""
    async with (
        LocalSlack(**UNHURRIED, replacing_drops_metadata=True) as slack,
        connected_bot(slack, store) as bot,
    ):
        asked, card = await stood_for_an_hour(slack, store, lease, voted=True)
        (shown,) = [m for m in slack.channel("#approvals").messages if m.ts == card.ts]
        assert shown.metadata is None and "1 of 2" in text_of(shown)
        if deleted:
            await deleted_with_its_thread(slack, card)
        settled = await usecases.catch_up(store, NoQueue(), asked.id, bot.directory.still_there)
    assert settled is not None and settled.status is (Status.EXPIRED if deleted else Status.APPROVED)


@pytest.mark.parametrize(("unanswered", "status"), [(2, Status.APPROVED), (None, Status.EXPIRED)])
async def test_unanswered_card_look_up_is_retried_with_a_limit(
    slack: LocalSlack, store: Store, lease: Lease, directory: Directory, unanswered: int | None, status: Status
) -> None:
    """R32, R21: not knowing is not approving; nor is it waiting for ever."""
    asked, _ = await stood_for_an_hour(slack, store, lease)
    slack.faults.add("error", on="conversations.history", times=unanswered)
    look = deadlines.bounded(directory.still_there, 3)
    became = [await usecases.catch_up(store, NoQueue(), asked.id, look) for _ in range(3)]
    assert [one and one.status for one in became] == [Status.PENDING, Status.PENDING, status]
    assert became[2] is not None and became[2].decision is not None
    assert became[2].decision.words == ("" if status is Status.APPROVED else request_endings.UNSEEN)


async def test_late_click_cannot_approve_without_a_card_look_up(store: Store, lease: Lease) -> None:
    """R32, R7: who cannot look leaves it to who can, and says what comes of it."""
    asked = await asked_long_ago(store, lease)
    await place_card(store, asked)
    with pytest.raises(Refused, match=r"Time ran out .* counts as approved by timeout if its card was"):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.status is Status.PENDING
