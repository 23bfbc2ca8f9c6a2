"""Approve all and Reject all on a card with several rows, by real clicks, and what came of the rows."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bot.slack.handlers.context import Services
from bot.slack.views import control_values
from bot.slack.views.block_kit import button
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.ids import RequestId
from countersign.domain.requests import Question, Request, Status
from countersign.store.store import Store
from countersign.usecases import executions
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.sample_requests import begins, reporting
from tests.slack.socket_bot import events
from tests.slack.test_batch_card import ask, refund, rows_of, shown
from tests.slack.test_projector import all_drawn, decide, running_projector


async def states(store: Store, asked: list[Request]) -> list[tuple[Status, tuple[str, ...]]]:
    found = await store.requests([one.id for one in asked])
    return [(one.status, one.decision.by if one.decision else ()) for one in found if one is not None]


def last_buttons(card: Message) -> list[str]:
    """Return the actions of the controls for all rows."""
    return [element["action_id"] for element in (card.blocks or [])[-1]["elements"]]


@pytest.mark.parametrize(("label", "status"), [("Approve 3", Status.APPROVED), ("Reject 3", Status.REJECTED)])
async def test_approve_all_decides_each_row_in_call_order(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, label: str, status: Status
) -> None:
    """R1, R6: each row is a decision of its own, by who clicked."""
    asked = await ask(store, lease, 0, 1, 2)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        assert rows_of(card) == [one.id for one in asked]
        await slack.user("bob").click(card, label)
        await all_drawn(slack, store)
    assert await states(store, asked) == [(status, ("U0BOB",))] * 3
    (after,) = shown(slack)
    assert not rows_of(after) and set(after.buttons) == {"Details"}
    titles = [b["elements"][0]["elements"][0]["text"][:2] for b in after.blocks or [] if b["type"] == "rich_text"]
    assert titles[1:] == ["1.", "2.", "3."]
    assert not slack.user("bob").ephemerals


async def test_double_click_on_approve_all_decides_once(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R3, R7: the second one is told, and there is one decision for each row."""
    asked = await ask(store, lease, 0, 1, 2)
    bob = slack.user("bob")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        await asyncio.gather(*(bob.click(card, "Approve 3", stale=True) for _ in range(2)))
        await all_drawn(slack, store)
    assert await states(store, asked) == [(Status.APPROVED, ("U0BOB",))] * 3
    made = Counter(event.request for event in await events(store) if event.type is EventType.REQUEST_DECIDED)
    assert made == dict.fromkeys((one.id for one in asked), 1)
    assert "pproved" in text_of(await bob.wait_ephemeral())


async def test_approve_all_leaves_rows_decided_meanwhile(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R3, R7: the others count, and who clicked reads which did not."""
    asked = await ask(store, lease, 0, 1, 2)
    bob = slack.user("bob")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        await slack.user("carol").click(card, "Approve", block=f"decide {asked[1].id}")
        await bob.click(card, "Reject 3", stale=True)
        told = text_of(await bob.wait_ephemeral("Counted for 2 of 3 requests"))
        await all_drawn(slack, store)
    assert "U0CAROL" in told
    assert await states(store, asked) == [
        (Status.REJECTED, ("U0BOB",)),
        (Status.APPROVED, ("U0CAROL",)),
        (Status.REJECTED, ("U0BOB",)),
    ]


async def test_approve_all_counts_known_rows_and_logs_unknown_rows(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R7, R25: the click counts for the others, and who clicked reads for how many."""
    asked = await ask(store, lease, 0, 1)
    unknown = [replace(asked[0], id=RequestId(name)) for name in ("qgone1", "qgone2")]
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        value = control_values.rows_value([asked[0], *unknown, asked[1]])
        made_up = button("Approve all", control_values.APPROVE_ALL, value)
        card.blocks = [*(card.blocks or [])[:-1], {**(card.blocks or [])[-1], "elements": [made_up]}]
        await slack.user("bob").click(card, "Approve all", stale=True)
        await slack.user("bob").wait_ephemeral("Counted for 2 of 4 requests")
    assert [status for status, _ in await states(store, asked)] == [Status.APPROVED] * 2
    refused = [event.request for event in await events(store) if event.type is EventType.ATTEMPT_REFUSED]
    assert refused == [one.id for one in unknown]


async def test_looking_at_a_card_counts_for_its_remaining_rows(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R7: it is noted on the others."""
    asked = await ask(store, lease, 0, 1)
    gone, bob = RequestId("qgone1"), slack.user("bob")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        value = control_values.PresenceItem((asked[0].id, gone, asked[1].id)).write()
        menu = (card.blocks or [])[-1]["elements"][-1]
        menu["options"] = [{"text": {"type": "plain_text", "text": "I'm reviewing this"}, "value": value}]
        await bob.click(
            card, "more", choose="I'm reviewing this", block=(card.blocks or [])[-1]["block_id"], stale=True
        )
        await bob.wait_ephemeral("Counted for 2 of 3 requests")
    assert [len(one.looking) for one in await store.requests([one.id for one in asked]) if one] == [1, 1]


async def test_approve_all_excludes_rows_that_are_cut(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R13: none is drawn, and one that was made up approves only the rows that are whole."""
    long: Question = refund(2, "\n".join(f"Refund line {n} of the order" for n in range(90)))
    asked = [await usecases.ask(store, lease, one) for one in (refund(0), refund(1), long)]
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        assert last_buttons(card) == [control_values.MORE]
        made_up = button("Approve all", control_values.APPROVE_ALL, control_values.rows_value(asked))
        card.blocks = [*(card.blocks or [])[:-1], {**(card.blocks or [])[-1], "elements": [made_up]}]
        await slack.user("bob").click(card, "Approve all", stale=True)
        await slack.user("bob").wait_ephemeral("Counted for 2 of 3 requests")
    assert [status for status, _ in await states(store, asked)] == [Status.APPROVED, Status.APPROVED, Status.PENDING]


async def test_card_and_row_report_the_result_of_the_action(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R5, R15: an approval whose action failed does not stand there as done, and is told once."""
    asked = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        for one in asked:
            await executions.begin(store, lease, begins(await decide(store, one)))
        await executions.report(store, lease, reporting(asked[0]))
        for _ in range(2):
            await executions.report(store, lease, reporting(asked[1], "No card <!here> *Approved*", failed=True))
        await all_drawn(slack, store)
    (card,) = shown(slack)
    lines = [b["text"]["text"] for b in card.blocks or [] if b["type"] == "section"]
    assert lines[0].startswith(":white_check_mark:") and lines[0].endswith("\u00a0·\u00a0done")
    assert lines[1].startswith(":warning: *Approved*") and lines[1].endswith("\u00a0·\u00a0*failed*")
    assert "No card <!here> *Approved*" in str([b for b in card.blocks or [] if b["type"] == "context"])
    told = [event.request for event in await events(store) if event.type is EventType.ACTION_REPORTED]
    assert told == [one.id for one in asked]
