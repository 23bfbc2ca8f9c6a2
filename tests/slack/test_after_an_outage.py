"""After Slack was away many messages wait at once to be looked for, posted and changed; each of them gets its turn."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from bot.slack import slack_calls
from bot.slack.projector.message_sync import Place
from countersign import usecases
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.making import GENERAL, question
from tests.slack.test_overtaken import NEW, OLD, poster
from tests.slack.test_projector import all_drawn, drawing
from tests.storing import NoQueue, new_run

MANY = 20


async def test_one_look_up_serves_all_who_wait_however_long_slack_takes_for_it(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21, R35: every post was left unclear, and a look-up takes longer than what was read is fresh."""
    monkeypatch.setattr(slack_calls, "FRESH", timedelta(seconds=0.5))
    slack.faults.add("server_error", on="chat.postMessage", times=MANY)
    slack.faults.add("delay", on="conversations.history", times=None, seconds=0.8)
    for number in range(MANY):
        await usecases.ask(store, await new_run(store, f"r{number}"), question())
    async with drawing(slack, store):
        await all_drawn(slack, store)
    looked = [call for call in slack.calls if call.method == "conversations.history"]
    assert len(looked) < MANY
    assert len([m for m in slack.channel("#general").messages if not m.is_reply]) == MANY
    assert len(slack.channel("#approvals").messages) == MANY


async def test_what_waited_for_its_turn_is_read_anew_once_and_then_drawn(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6, R21: in a long line everything is late, and whoever reads anew is too slow to keep its place."""
    monkeypatch.setattr(slack_calls, "FRESH", timedelta(0))
    monkeypatch.setattr(slack_calls, "_KEPT_PLACE", 0.0)
    asked = [await usecases.ask(store, await new_run(store, f"r{number}"), question()) for number in range(MANY)]
    async with drawing(slack, store):
        await all_drawn(slack, store)
        slack.faults.add("ratelimited", on="chat.update", times=1, retry_after=1)
        for request in asked:
            await usecases.withdraw(store, NoQueue(), request.id, "not wanted")
        await all_drawn(slack, store)
    assert not any("Approve" in repr(message.blocks) for message in slack.channel("#approvals").messages)


async def test_what_slack_closes_for_one_is_closed_for_all_and_tried_by_one(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R35: after a 429 nobody calls that method before its time, and then one at a time finds out."""
    names = [f"note/{number}" for number in range(MANY)]
    async with poster(slack, store) as one:
        for name in names:
            await one.show(name, Place(GENERAL), OLD)
        slack.faults.add("ratelimited", on="chat.update", times=3, retry_after=1)
        first = asyncio.create_task(one.show(names[0], Place(GENERAL), NEW))
        await slack.wait_for(lambda _: slack.calls[-1].status == 429)
        await asyncio.gather(first, *(one.show(name, Place(GENERAL), NEW) for name in names[1:]))
    refused = [call.at for call in slack.calls if call.status == 429]
    assert len(refused) == 3
    assert all(later - before >= 0.9 for before, later in pairwise(refused)), refused
    assert {m.text for m in slack.channel("#general").messages} == {"new"}
