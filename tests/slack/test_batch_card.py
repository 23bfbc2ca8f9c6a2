"""A burst of one run is one card with rows, each its own request; whatever fails in between (R26)."""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from bot.slack.handlers.context import Services
from bot.slack.projector import card_grouping
from bot.slack.projector.projector import Projector
from countersign import usecases
from countersign.domain import batching
from countersign.domain.channel_settings import Escalation
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, RequestId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request
from countersign.store.outbox import Outbox
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.usecases.overview import with_links
from countersign.usecases.ports import Change, Lease, Put, Seen
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.sample_requests import DAVE, HERE, call
from tests.slack.sample_views import DRAWINGS
from tests.slack.socket_bot import events
from tests.slack.test_overtaken import poster, under_way
from tests.slack.test_projector import all_drawn, decide, running_projector
from tests.store_fixtures import NoQueue, configure


def refund(number: int, content: str = "", **changes: Any) -> Question:
    words = content or f"Refund order {number}: 20 EUR"
    return replace(call(order=number, amount=20), asked=number, content=words, **changes)


async def ask(store: Store, lease: Lease, *numbers: int) -> list[Request]:
    """Ask all at once, as a model's parallel calls do."""
    return list(await asyncio.gather(*(usecases.ask(store, lease, refund(n)) for n in numbers)))


def rows_of(card: Message) -> list[RequestId]:
    """Return the requests that wait on the card."""
    blocks = card.blocks or []
    return [RequestId(b["block_id"].split()[1]) for b in blocks if b["block_id"].startswith("decide q")]


def shown(slack: LocalSlack) -> list[Message]:
    return list(slack.channel("#approvals").messages)


def ids(requests: Sequence[Request]) -> set[RequestId]:
    return {request.id for request in requests}


async def is_unposted(store: Store, asked: Sequence[Request]) -> bool:
    """Tell whether each of these requests, once, is on record as not posted."""
    unposted = [e.request for e in await events(store) if e.type is EventType.CARD_NOT_POSTED]
    return sorted(filter(None, unposted)) == sorted(ids(asked))


async def later_is_due(store: Store, request: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what is due to the request a minute from now."""
    seen = await store.request(request.id)
    assert seen is not None
    with monkeypatch.context() as patch:
        patch.setattr(Store, "request", _at(seen.now + timedelta(minutes=1)))
        await usecases.catch_up(store, NoQueue(), request.id)


async def test_parallel_calls_share_one_card_with_a_row_each(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R2, R26: one card, one note in the run's thread, and Home leads from each of them to the card."""
    asked = await ask(store, lease, *range(5))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert rows_of(card) == [request.id for request in asked]
    (root,) = slack.channel("#general").messages
    (note,) = slack.channel("#general").thread(root.ts)[1:]
    assert "Waiting for 5 decisions" in text_of(note)
    assert await store.message_request(HERE, ChannelId("C0APPROVALS"), card.ts) in ids(asked)
    listed = await with_links(store, Overview(store), lambda message: message.ts, asked)
    assert set(listed.links.values()) == {card.ts} and listed.links.keys() == ids(asked)


async def test_first_request_is_posted_immediately_and_its_card_grows(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R26: no request waits for others that may come; one of another kind has its own card."""
    async with running_projector(slack, store):
        (first,) = await ask(store, lease, 0)
        alone = await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        assert "Approve" in alone.buttons
        more = await ask(store, lease, 1, 2)
        message = await usecases.ask(store, lease, replace(refund(3), kind=Kind.CODE))
        await all_drawn(slack, store)
        (grown, other) = shown(slack)
        assert (grown.ts, set(rows_of(grown))) == (alone.ts, ids([first, *more]))
        await decide(store, more[0])
        await decide(store, message)
        await all_drawn(slack, store)
    grown, other = shown(slack)
    assert set(rows_of(grown)) == ids([first, more[1]]) and "Approved" in other.text


async def test_simultaneous_clicks_on_two_rows_both_count(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R1, R3, R6: each row is its own request, and the card is drawn from the store."""
    asked = await ask(store, lease, *range(3))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        first, second, third = (f"decide {request}" for request in rows_of(card))
        await asyncio.gather(
            slack.user("bob").click(card, "Approve", block=first),
            slack.user("carol").click(card, "Approve", block=second),
        )
        await slack.user("carol").click(card, "more", choose="Details", block=third)
        assert (await slack.user("carol").wait_modal()).blocks
        await slack.user("carol").close()
        await slack.user("carol").click(card, "more", choose="Request changes…", block=third)
        await slack.user("carol").wait_modal("Request changes")
        await slack.user("carol").submit({"What should change?": "Which card was used?"})
        await all_drawn(slack, store)
    (after,) = shown(slack)
    assert after.ts == card.ts and not rows_of(after) and "1 answered" in after.text
    sections = " ".join(b["text"]["text"] for b in after.blocks or [] if b["type"] == "section")
    assert "*Approved* by <@U0BOB>" in sections.replace(":white_check_mark: ", "") and "by <@U0CAROL>" in sections
    by = {one.id: one.decision.by for one in await store.requests([r.id for r in asked]) if one and one.decision}
    assert [by[request] for request in rows_of(card)] == [("U0BOB",), ("U0CAROL",), ("U0CAROL",)]


async def test_menu_below_the_rows_applies_to_all_pending_rows(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R7: one click tells of all rows that a person looks at them, except of those settled meanwhile."""
    asked = await ask(store, lease, 0, 1, 2)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        last = (card.blocks or [])[-1]["block_id"]
        await decide(store, asked[1])
        await slack.user("bob").click(card, "more", choose="I'm reviewing this", block=last, stale=True)
        await slack.user("bob").wait_ephemeral("you are reviewing this")
        await all_drawn(slack, store)
    looking = [bool(one and one.looking) for one in await store.requests([r.id for r in asked])]
    assert looking == [True, False, True]


async def test_expired_row_says_so_while_other_rows_are_pending(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R17: each row is settled for itself."""
    asked = await ask(store, lease, 0, 1, 2)
    over = replace(asked[1], deadline=asked[1].created_at)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        seen = await store.request(over.id)
        assert seen is not None
        await store.commit(Change(requests=(Put(over, seen.version),)))
        await usecases.catch_up(store, NoQueue(), over.id)
        await all_drawn(slack, store)
        (card,) = shown(slack)
        assert set(rows_of(card)) == ids([asked[0], asked[2]]) and "1 expired" in card.text
        await decide(store, asked[0])
        await usecases.take_back(store, lease, asked[2].id, "not wanted any more")
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert card.buttons.count("Details") == 3 and not rows_of(card)
    assert "All decided · 1 approved · 1 expired · 1 withdrawn" in card.text


async def cards_of(store: Store, asked: Sequence[Request]) -> list[card_grouping.Card]:
    seen = [await store.request(request.id) for request in asked]
    return [await card_grouping.card_of(store, one) for one in seen if one is not None]


async def test_two_processes_put_the_rows_on_one_card(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: which card a request is on is stored in one step, before it is drawn."""
    asked = await ask(store, lease, *range(4))
    run = await store.run(lease.run)
    assert run is not None
    new = [request.id for request in asked]
    await asyncio.gather(
        *(card_grouping.give_rows(store, run.value, order) for order in (new, new[::-1], new[:2], new[2:]))
    )
    cards = await cards_of(store, asked)
    assert {card.name for card in cards} == {cards[0].name}
    assert ids(cards[0].rows) == ids(asked)
    assert len(cards[0].rows) == len(asked)
    async with running_projector(slack, store):  # whoever gave them rows died before the post
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert rows_of(card) == [row.id for row in cards[0].rows]


async def test_card_overwritten_by_a_slow_projector_is_drawn_again(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R6, R20: it was frozen over one row while another process drew the decision on the other row."""
    first, second = await ask(store, lease, 0, 1)
    async with poster(slack, store) as one, poster(slack, store) as other:
        frozen = asyncio.create_task(Projector(store, Outbox(store), one, "web-1").run())
        await all_drawn(slack, store)
        slow = slack.faults.add("delay", on="chat.update", seconds=1.0)
        await decide(store, second)
        await under_way(slack, slow)
        await store.client.delete(store.keys.projector)
        awake = asyncio.create_task(Projector(store, Outbox(store), other, "web-2").run())
        await decide(store, first)
        await slack.wait_for(lambda _: "All decided" in shown(slack)[0].text)
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
        (card,) = shown(slack)
        assert not rows_of(card) and "2 approved" in card.text
        awake.cancel()
        await asyncio.gather(awake, return_exceptions=True)


async def test_burst_of_thirty_continues_on_further_cards(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R14, R26: no card has more rows than Slack takes, and none of them is on two."""
    monkeypatch.setattr(batching, "WITHIN", timedelta(hours=1))
    asked = await ask(store, lease, *range(30))
    run = await store.run(lease.run)
    assert run is not None
    await card_grouping.give_rows(store, run.value, [request.id for request in asked])
    cards = {card.name: card for card in await cards_of(store, asked)}
    assert [len(card.rows) for card in cards.values()] == [card_grouping.ROWS] * 6
    assert {row.id for card in cards.values() for row in card.rows} == ids(asked)


async def test_burst_that_cannot_be_posted_stands_in_the_thread(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R21: each request is on record as not posted, Home leads to the card, and the requester is told once."""
    await configure(store, approvals_channel=ChannelId("C0RANDOM"))
    asked = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (root,) = slack.channel("#general").messages
        thread = slack.channel("#general").thread(root.ts)
        (card,) = [m for m in thread if rows_of(m)]
        assert set(rows_of(card)) == ids(asked)
        assert sum("could not be posted" in m.text for m in thread) == 1
        listed = await with_links(store, Overview(store), lambda message: message.ts, asked)
        assert listed.links == {request.id: card.ts for request in asked}
        await decide(store, asked[0])
        await all_drawn(slack, store)
    (card,) = [m for m in slack.channel("#general").thread(root.ts) if m.ts == card.ts]
    assert rows_of(card) == [asked[1].id]
    assert await is_unposted(store, asked)


async def test_burst_is_reminded_and_escalated_as_one_card(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R26: one reminder, one note of the escalation, one card for the next people."""
    step = Escalation(timedelta(seconds=30), Reviewers(frozenset({DAVE})), ChannelId("C0GENERAL"))
    await configure(store, remind_after=timedelta(seconds=20), escalation=(step,))
    asked = await ask(store, lease, 0, 1, 2)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await decide(store, asked[0])
        for request in asked[1:]:
            await later_is_due(store, request, monkeypatch)
        await all_drawn(slack, store)
        (card,) = shown(slack)
        thread = [m.text for m in slack.channel("#approvals").thread(card.ts)[1:]]
        assert len(thread) == 1 and "Still waiting: Refund ×3" in thread[0]
        (raised,) = [m for m in slack.channel("#general").messages if rows_of(m)]
        assert set(rows_of(raised)) == ids(asked[1:])
        await decide(store, asked[1])
        await usecases.take_back(store, lease, asked[2].id, "not wanted any more")
        await all_drawn(slack, store)
    for channel in ("#approvals", "#general"):
        assert not [m for m in slack.channel(channel).messages if rows_of(m)]
    assert "All decided" in slack.channel("#approvals").thread(card.ts)[1].text


async def keep(page: Page, name: str) -> None:
    """Save a picture if `PICTURES=<folder>` asks for them."""
    if folder := os.environ.get("PICTURES"):
        await page.get_by_test_id("message").last.evaluate("message => message.scrollIntoView(true)")
        await page.screenshot(path=Path(folder) / f"{name}.png")


def _at(now: datetime) -> object:
    """Return `Store.request` by a clock that has moved."""
    real = Store.request

    async def request(self: Store, name: RequestId) -> Seen[Request] | None:
        seen = await real(self, name)
        return seen and replace(seen, now=now)

    return request


async def test_rows_are_in_the_order_of_the_calls(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R26: also on a card that was posted a moment ago."""
    async with running_projector(slack, store):
        (third,) = await ask(store, lease, 2)
        await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        (second,) = await ask(store, lease, 1)
        await all_drawn(slack, store)
        first, fourth = [(await ask(store, lease, number))[0] for number in (0, 3)]
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert rows_of(card) == [row.id for row in (first, second, third, fourth)]


async def test_card_older_than_the_burst_window_does_not_grow(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R1, R26: by web's own clock, whatever a worker reports: no button moves under a hand."""
    async with running_projector(slack, store):
        (first,) = await ask(store, lease, 0)
        await all_drawn(slack, store)
        seen = await store.message(card_grouping.name_of(first.id))
        assert seen is not None and seen.value.posting_since is not None
        stood = replace(seen.value, posting_since=seen.value.posting_since - timedelta(hours=2))
        await store.commit(Change(messages=(Put(stood, seen.version),)))
    late = await ask(store, lease, 1, 2)
    async with running_projector(slack, store, "web-2"):
        await all_drawn(slack, store)
    alone, other = shown(slack)
    assert "Approve" in alone.buttons and set(rows_of(other)) == ids(late)


async def test_edit_from_a_row_shows_the_whole_call(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R13: also what only a card of its own shows; the note in the run's thread names the row."""
    long = "\n".join(f"Refund line {n} of the order" for n in range(30))
    schema = json.dumps({"type": "object", "properties": {"order": {"type": "integer"}, "amount": {"type": "number"}}})
    whole = refund(1, long)
    assert whole.call is not None
    made = replace(whole, call=replace(whole.call, schema=schema))
    await asyncio.gather(usecases.ask(store, lease, refund(0)), usecases.ask(store, lease, made))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        assert "line 15" not in text_of(card)
        bob = slack.user("bob")
        await bob.click(card, "more", choose="Edit…", block=f"decide {rows_of(card)[1]}")
        await bob.wait_modal("line 15")
        assert await bob.submit({"Amount": "7"}) == {}
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    assert "2. Refund 20.00 EUR" in text_of(slack.channel("#general").thread(root.ts)[-1])


async def test_menu_of_a_row_applies_to_that_row_alone(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R1, R13, R24: a permission, break-glass, and the file of a long request."""
    await configure(store, break_glass=True)
    long = "\n".join(f"Refund line {n} of the order" for n in range(90))
    asked = await asyncio.gather(*(usecases.ask(store, lease, refund(n, long if n == 2 else "")) for n in range(4)))
    bob, alice = slack.user("bob"), slack.user("alice")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        await bob.click(card, "more", choose="Approve and don't ask again…", block=f"decide {asked[0].id}")
        await bob.wait_modal("Don't ask again")
        assert await bob.submit() == {}
        await alice.click(card, "more", choose="Break glass…", block=f"decide {asked[1].id}")
        await alice.wait_modal("Break-glass")
        assert await alice.submit({"reason": "The shop is down."}) == {}
        await all_drawn(slack, store)
    (after,) = shown(slack)
    assert rows_of(after) == [asked[2].id, asked[3].id]
    assert [one.value.request for one in await store.permissions()] == [asked[0].id]
    await slack.wait_for(lambda _: any(m.files for m in slack.channel("#approvals").thread(after.ts)))
    (file, note) = sorted(slack.channel("#approvals").thread(after.ts)[1:], key=lambda m: not m.files)
    assert [one.title for one in file.files] == ["Full request of row 3"]
    assert "You're a reviewer of row 2 of this card" in note.text


@pytest.mark.parametrize("do", ["Edit…", "Break glass…"])
async def test_click_on_an_unknown_row_is_answered_and_logged(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, do: str
) -> None:
    """R7, R25: as a click on its buttons is."""
    await configure(store, break_glass=True)
    asked = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    (card,) = shown(slack)
    for menu in [e for b in card.blocks or [] if b["type"] == "actions" for e in b["elements"] if "options" in e]:
        for option in menu["options"]:
            option["value"] = option["value"].replace(asked[0].id, "qgone")
    await slack.user("bob").click(card, "more", choose=do, block=f"decide {asked[0].id}", stale=True)
    await slack.user("bob").wait_ephemeral("no longer exists")
    refused = [e for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]
    assert [(e.user, e.request) for e in refused] == [("U0BOB", "qgone")]


def test_row_buttons_name_their_request_to_screen_readers() -> None:
    """R41: a screen reader hears "Approve" five times otherwise. Slack takes 75 characters."""
    for name in ("burst", "burst_half_settled"):
        labels = [
            (element["text"]["text"], element.get("accessibility_label", ""))
            for block in DRAWINGS[name].blocks
            for element in [*block.get("elements", ()), block.get("accessory", {})]
            if element.get("type") == "button" and block.get("block_id") != "all rows"
        ]
        assert len({label for _, label in labels}) == len(labels) > 2
        assert all(re.match(rf"{button}: [1-9]\. \w", label) and len(label) <= 75 for button, label in labels)
