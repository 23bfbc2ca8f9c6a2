"""A signed click proves which message it came from; a message that nobody has written down is adopted by it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.slack.handlers.context import Services
from bot.slack.projector.clicked_cards import ClickedCards
from countersign import usecases
from countersign.domain.errors import Refused
from countersign.domain.ids import digest_of
from countersign.domain.requests import Request
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Message, Put
from localslack import LocalSlack
from localslack.workspace import Message as Posted
from tests.sample_requests import ALICE, APPROVALS, BOB, GENERAL, HERE, attempt, question
from tests.slack.socket_bot import connected_bot
from tests.slack.test_batch_card import ask
from tests.slack.test_overtaken import poster
from tests.slack.test_projector import all_drawn, card_of, decide, running_projector
from tests.store_fixtures import NoQueue


async def forget(slack: LocalSlack, store: Store, request: Request, name: str = "") -> None:
    """`web` was killed between the post of a card and its index, and Slack does not show what the app posted."""
    seen = await store.message(name or f"card/{request.id}")
    assert seen is not None and seen.value.ts
    forgotten = replace(seen.value, ts="", drawn="", stands_since=None, posting_since=seen.now)
    await store.commit(Change(messages=(Put(forgotten, seen.version),)))
    slack.faults.add("error", on="conversations.history", error="missing_scope", times=None)


async def stored(store: Store, request: Request, name: str = "") -> Message:
    seen = await store.message(name or f"card/{request.id}")
    assert seen is not None
    return seen.value


@pytest.fixture
async def lost(slack: LocalSlack, store: Store, lease: Lease) -> AsyncIterator[tuple[Request, Posted]]:
    """A card that stands in Slack, and of which nobody knows where."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        shown = await card_of(slack)
        await all_drawn(slack, store)
    await forget(slack, store, asked)
    yield asked, shown


async def test_click_on_an_unknown_card_adopts_it(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], bot: Services
) -> None:
    """R47: the decision's own commit says where the card stands, so every process settles it."""
    asked, shown = lost
    slack.faults.add("server_error", on="response_url", times=None)
    await slack.user("bob").click(shown, "Approve")
    assert (await stored(store, asked)).ts == shown.ts
    assert (await stored(store, asked)).stands_since is not None
    async with running_projector(slack, store):
        await card_of(slack, pending=False)
        await all_drawn(slack, store)
    assert [m.ts for m in slack.channel("#approvals").messages] == [shown.ts]


async def test_window_of_an_unknown_card_adopts_it_across_processes(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted]
) -> None:
    """R47: the window carries channel and timestamp, for the process that opened it may be gone."""
    asked, shown = lost
    bob = slack.user("bob")
    async with connected_bot(slack, store):
        await bob.click(shown, "Reject")
        await bob.wait_modal("Reject")
    async with connected_bot(slack, store):
        await bob.submit({})
    assert (await stored(store, asked)).ts == shown.ts
    async with running_projector(slack, store):
        await card_of(slack, pending=False)
        await all_drawn(slack, store)


@pytest.mark.parametrize("button", ["Approve", "Reject"])
async def test_refused_click_adopts_its_card_too(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], bot: Services, button: str
) -> None:
    """R47, R25: whether the click is judged at once or before its window opens."""
    asked, shown = lost
    await slack.user("dave").click(shown, button)
    assert (await stored(store, asked)).ts == shown.ts
    await decide(store, asked)
    async with running_projector(slack, store):
        await card_of(slack, pending=False)


@pytest.mark.parametrize("button", ["Approve", "Reject"])
async def test_late_click_settles_an_unknown_card(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], bot: Services, button: str
) -> None:
    """R47, R6: the request was decided where nobody saw this card, a moment ago."""
    asked, shown = lost
    await decide(store, asked)
    slack.faults.add("server_error", on="response_url", times=None)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await slack.user("carol").click(shown, button)
        await card_of(slack, pending=False)


async def test_click_on_a_row_adopts_its_batch(slack: LocalSlack, store: Store, lease: Lease, bot: Services) -> None:
    """R47: a row's own record only says on which card it is."""
    asked = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    (shown,) = slack.channel("#approvals").messages
    await forget(slack, store, asked[0])
    await slack.user("bob").click(shown, "Approve", block=f"decide {asked[1].id}")
    assert (await stored(store, asked[0])).ts == shown.ts


async def test_clicked_copy_is_settled_and_deleted(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], bot: Services
) -> None:
    """R47, R6: another message is known as the card; a click on the first one counts, and one card stays."""
    asked, copy = lost
    async with poster(slack, store) as one:
        (again,) = (m for m in slack.channel("#approvals").messages if m.ts == copy.ts)
        posted = await one.calls.call(
            "chat.postMessage", {"channel": APPROVALS, "text": again.text, "blocks": again.blocks}
        )
    assert posted is not None
    seen = await store.message(f"card/{asked.id}")
    assert seen is not None
    await store.commit(Change(messages=(Put(replace(seen.value, ts=posted["ts"]), seen.version),)))
    await slack.user("bob").click(copy, "Approve")
    await bot.drain()
    async with running_projector(slack, store):
        await card_of(slack, pending=False)
        await all_drawn(slack, store)
    assert [m.ts for m in slack.channel("#approvals").messages] == [posted["ts"]]


async def test_click_on_an_unknown_escalation_adopts_it(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], bot: Services
) -> None:
    """R47: a request has several messages; each is known by the place that was meant for it."""
    asked, shown = lost
    for name, channel, ts in ((f"card/{asked.id}", GENERAL, "1.000001"), (f"card/{asked.id}/instead", APPROVALS, "")):
        seen = await store.message(name)
        version, before = (seen.version, seen.value) if seen else (0, Message(HERE, channel, name, request=asked.id))
        await store.commit(Change(messages=(Put(replace(before, channel=channel, ts=ts), version),)))
    await slack.user("bob").click(shown, "Approve")
    assert (await stored(store, asked, f"card/{asked.id}/instead")).ts == shown.ts
    assert (await stored(store, asked)).ts == "1.000001"


def payload(shown: Posted, **changes: Any) -> dict[str, Any]:
    """A click on a card, as Slack sends it; `changes` in one of its parts."""
    body: dict[str, Any] = {
        "type": "block_actions",
        "team": {"id": HERE},
        "channel": {"id": APPROVALS},
        "container": {"type": "message", "message_ts": shown.ts, "channel_id": APPROVALS, "is_ephemeral": False},
        "message": {"ts": shown.ts, "user": "U0BOT"},
    }
    for part, change in changes.items():
        body[part] = body[part] | change
    return body


@pytest.mark.parametrize(
    "changes",
    [
        {"container": {"is_ephemeral": True}},
        {"container": {"channel_id": GENERAL}},
        {"container": {"thread_ts": "1.000001"}},
        {"message": {"user": ALICE}},
        {"team": {"id": "T0OTHER"}},
        {"container": {"type": "view"}},
    ],
    ids=["ephemeral", "other channel", "other thread", "not ours", "other workspace", "a window"],
)
async def test_message_of_a_possibly_other_request_is_not_adopted(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted], changes: dict[str, Any]
) -> None:
    """R47: only what the payload proves."""
    asked, shown = lost
    async with poster(slack, store) as one:
        cards = ClickedCards(store, one, None)
        cards.clicked(asked.id, payload(shown, **changes))
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB), card_updates=cards.held)
    assert (await stored(store, asked)).ts == ""


async def test_click_on_a_message_with_other_content_adopts_nothing(
    slack: LocalSlack, store: Store, lost: tuple[Request, Posted]
) -> None:
    """R47, R13: a button whose digest is not the request's comes from another message."""
    asked, shown = lost
    async with poster(slack, store) as one:
        cards = ClickedCards(store, one, None)
        cards.clicked(asked.id, payload(shown))
        other = attempt(asked, BOB, digest=digest_of("other"))
        with pytest.raises(Refused):
            await usecases.decide(store, NoQueue(), asked.id, other, card_updates=cards.held)
    assert (await stored(store, asked)).ts == ""
