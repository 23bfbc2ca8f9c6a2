"""Calls of one program that come together are rows of one card, each a request of its own (R26)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from bot.slack.views import approval_card, control_values
from countersign import usecases
from countersign.domain import api_keys, batching
from countersign.domain.api_keys import AskingProgram
from countersign.domain.ids import ApiKeyId, RequestId
from countersign.domain.requests import Status
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack, text_of
from tests.api.test_requests import decided
from tests.sample_requests import call, request
from tests.slack.sample_views import run
from tests.slack.test_batch_card import rows_of, shown
from tests.slack.test_projector import all_drawn
from tests.store.test_unreadable import BROKEN
from tests.store_fixtures import NoQueue

SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what is asked here comes together."""
    monkeypatch.setattr(batching, "WITHIN", timedelta(hours=1))


def refund(order: int, **more: Any) -> dict[str, Any]:
    call = {"tool": "refund", "arguments": {"order": order}, "schema": SCHEMA}
    return {"title": f"Refund 45.00 EUR for order {order}?", "call": call, **more}


async def ask(program: httpx.AsyncClient, *bodies: Mapping[str, Any]) -> list[RequestId]:
    """Ask all at once, each under an idempotency key of its own; the requests in the order of the bodies."""

    async def one(body: Mapping[str, Any]) -> RequestId:
        answer = await program.post("/v1/requests", json=body, headers={"idempotency-key": repr(body)})
        assert answer.status_code == 201, answer.text
        return RequestId(answer.json()["id"])

    return list(await asyncio.gather(*map(one, bodies)))


async def test_twenty_calls_make_four_cards_with_one_click_each(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R1, R26: each row is a decision of its own, and says what came of it alone."""
    asked = await ask(program, *map(refund, range(20)))
    await all_drawn(slack, store)
    cards = shown(slack)
    assert [len(rows_of(card)) for card in cards] == [5] * 4
    assert {row for card in cards for row in rows_of(card)} == set(asked)
    first, *others = cards
    assert "ci" in first.text and text_of(first).count("the program ci") == 5
    rows = rows_of(first)
    await slack.user("bob").click(first, "Approve 5")
    for row in rows:
        found = await decided(program, row)
        assert (found["decision"]["outcome"], found["decision"]["by"]) == ("approved", ["U0BOB"])
    report = {"succeeded": True, "words": "Refund 9 was made."}
    assert (await program.post(f"/v1/requests/{rows[1]}/outcome", json=report)).status_code == 200
    await all_drawn(slack, store)
    after = next(card for card in shown(slack) if card.ts == first.ts)
    assert text_of(after).count("Refund 9 was made.") == 1 and not rows_of(after)
    assert [len(rows_of(card)) for card in shown(slack) if card.ts != first.ts] == [5] * 3
    await slack.user("bob").click(others[0], "Reject 5")
    assert (await decided(program, rows_of(others[0])[4]))["status"] == "rejected"


async def test_damaged_request_does_not_block_the_programs_next_card(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R4: its card is the one on which the next was to be a row."""
    (broken,) = await ask(program, refund(1))
    await all_drawn(slack, store)
    await store.client.set(store.keys.request(broken), BROKEN, keepttl=True)
    await ask(program, refund(2))
    await all_drawn(slack, store)
    assert ["order 2" in text_of(card) for card in shown(slack)] == [False, True]


async def test_rows_are_edited_withdrawn_and_expired_individually(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R1, R17: the others wait on."""
    names = await ask(program, *map(refund, range(5)))
    await all_drawn(slack, store)
    (card,) = shown(slack)
    changed, refused, back, late, waits = rows_of(card)
    bob = slack.user("bob")
    await bob.click(card, "more", choose="Edit…", block=f"decide {changed}")
    await bob.wait_modal()
    assert await bob.submit({"Order": "99", "why": "typo"}) == {}
    await bob.click(card, "Reject", block=f"decide {refused}")
    await bob.wait_modal()
    assert await bob.submit({"reason": "kept"}) == {}
    assert (await program.post(f"/v1/requests/{back}/withdraw", json={"why": "sold"})).status_code == 200
    seen = await store.request(late)
    assert seen is not None
    await store.commit(
        Change(requests=(Put(replace(seen.value, deadline=seen.now - timedelta(seconds=1)), seen.version),))
    )
    await usecases.catch_up(store, NoQueue(), late)
    assert (await decided(program, changed))["decision"]["arguments"] == {"order": 99}
    statuses = [(await decided(program, one))["status"] for one in (changed, refused, back, late)]
    assert statuses == ["edited", "rejected", "withdrawn", "expired"]
    await all_drawn(slack, store)
    (after,) = shown(slack)
    assert rows_of(after) == [waits] and set(names) == {changed, refused, back, late, waits}
    last = await store.request(waits)
    assert last is not None and last.value.status is Status.PENDING


async def test_other_keys_and_messages_do_not_share_a_card(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R9, R26: another program's call shares no card, and a message is no row."""
    issued = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(issued.key)
    mine = await ask(program, refund(1), refund(2), {"title": "Send it?", "message": "Dear all,"})
    await all_drawn(slack, store)
    program.headers["authorization"] = f"Bearer {issued.token}"
    others = await ask(program, refund(3), refund(4))
    await all_drawn(slack, store)
    cards = [sorted(rows_of(card)) for card in shown(slack)]
    assert sorted(cards) == sorted([[], sorted(mine[:2]), sorted(others)])


async def test_later_call_gets_a_card_of_its_own(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R26: no button moves under a reader's hand."""
    await ask(program, refund(1), refund(2))
    await all_drawn(slack, store)
    monkeypatch.setattr(batching, "WITHIN", timedelta(0))
    await ask(program, refund(3))
    await all_drawn(slack, store)
    assert [len(rows_of(card)) for card in shown(slack)] == [2, 0]


def test_calls_share_a_card_by_key_not_name() -> None:
    """R9"""
    first, second = (
        replace(request(run=f"p{n}", asked=call(order=n)), program=AskingProgram(ApiKeyId(key), "ci", False))
        for n, key in enumerate(("k00000000000a", "k00000000000b"))
    )
    assert batching.together(first, replace(second, program=first.program))
    assert not batching.together(first, second)


def test_approve_all_needs_rows_of_one_program() -> None:
    """R1, R9: also where a full channel lets requests of several share a card."""

    def buttons(*programs: str) -> list[str]:
        rows = [request(run=f"p{n}", asked=call(order=n)) for n in range(len(programs))]
        named = zip(rows, programs, strict=True)
        runs = {row.run: (run(id=row.run, team="one", program=at or None), None) for row, at in named}
        drawn = approval_card.batch(rows, run=runs[rows[0].run][0], run_link=None, runs=runs)
        return [one["action_id"] for one in drawn.blocks[-1]["elements"]]

    assert control_values.APPROVE_ALL in buttons("k1", "k1")
    assert control_values.APPROVE_ALL not in buttons("k1", "k2")
    assert control_values.APPROVE_ALL not in buttons("", "")
