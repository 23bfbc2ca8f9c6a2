"""After Slack was away many messages wait at once to be looked for, posted and changed; each of them gets its turn."""

import asyncio
import math
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from bot.slack.ports import DrawingTask, Outdated, drawing_task
from bot.slack.projector.message_sync import Place
from bot.slack.projector.projector import Projector
from countersign import usecases
from countersign.domain.events import Event
from countersign.domain.people import Actor
from countersign.store.outbox import Outbox
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed, Lease
from localslack import LocalSlack
from localslack.fixtures import UNHURRIED
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, GENERAL, HERE, question
from tests.slack.test_overtaken import NEW, OLD, poster
from tests.slack.test_projector import all_drawn, running_projector
from tests.store_fixtures import new_run

MANY = 20


async def test_look_up_of_unclear_posts_serves_all_of_them(slack: LocalSlack, store: Store) -> None:
    """R21, R35: every post was left unclear."""
    slack.faults.add("server_error", on="chat.postMessage", times=MANY)
    slack.faults.add("delay", on="conversations.history", times=None, seconds=0.8)
    for number in range(MANY):
        await usecases.ask(store, await new_run(store, f"r{number}"), question())
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    looked = [call for call in slack.calls if call.method == "conversations.history"]
    assert len(looked) < MANY
    assert len([m for m in slack.channel("#general").messages if not m.is_reply]) == MANY
    assert len(slack.channel("#approvals").messages) == MANY


@pytest.mark.slow
async def test_backlog_is_drawn_with_few_calls_per_message(store: Store) -> None:
    """R6, R35: all runs change at once, and again while Slack takes five updates a second."""
    async with LocalSlack(**UNHURRIED, rates={"chat.update": 5.0}) as slack:
        leases = [await new_run(store, f"r{number}") for number in range(MANY)]
        asked = [await usecases.ask(store, lease, question()) for lease in leases]
        async with running_projector(slack, store):
            await all_drawn(slack, store)
            before = len(slack.calls)
            slack.faults.add("ratelimited", on="chat.update", times=1, retry_after=1)  # however slow this machine is
            for lease, request in zip(leases, asked, strict=True):
                await usecases.take_back(store, lease, request.id, "not wanted")
            await slack.wait_for(lambda _: any(call.status == 429 for call in slack.calls))
            for lease in leases:
                await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
            await all_drawn(slack, store)
        updates = [call for call in slack.calls[before:] if call.method == "chat.update"]
        assert not any("Approve" in repr(message.blocks) for message in slack.channel("#approvals").messages)
    tries, drawn = Counter(c.args["ts"] for c in updates), Counter(c.args["ts"] for c in updates if c.ok)
    assert len(drawn) == 3 * MANY, "a head, a card and a note of each run"
    assert max(drawn.values()) <= 2, "once, and once more at most for what changed meanwhile"
    assert max(tries.values()) <= 4, "and refused once before there is a line, and once in turn"
    assert len(updates) - drawn.total() <= MANY + drawn.total() / 4, "all at first, and then one at a time finds out"


async def test_queued_update_is_reread_once_and_keeps_its_place(slack: LocalSlack, store: Store) -> None:
    """R6, R21: news may come faster than turns, and whoever reads anew must not begin again at the end of the line."""
    names = [f"note/{number}" for number in range(8)]
    async with poster(slack, store) as one:
        posted = [await one.show(name, Place(GENERAL), OLD) for name in names]
        slack.faults.add("ratelimited", on="chat.update", times=1, retry_after=1)
        slack.faults.add("delay", on="chat.update", times=None, seconds=0.05)
        reread: list[str] = []

        async def draw(name: str) -> None:
            drawing_task.set(DrawingTask(lambda: math.inf, lambda: name == names[1]))
            while len(reread) < 3:
                try:
                    await one.show(name, Place(GENERAL), NEW)
                    return
                except Outdated:
                    reread.append(name)

        first = asyncio.create_task(draw(names[0]))
        await slack.wait_for(lambda _: slack.calls[-1].status == 429)
        await asyncio.gather(first, *(draw(name) for name in names[1:]))
    assert reread == [names[1]]
    order = [call.args["ts"] for call in slack.calls if call.method == "chat.update" and call.ok]
    assert posted[1] is not None
    assert posted[1].ts in order[1:-1], "others are drawn while it reads, but it is not the last one"


async def test_constantly_changing_run_does_not_hold_back_its_events(
    slack: LocalSlack, redis_url: str, store: Store, lease: Lease
) -> None:
    """R5, R6: what changes while a run is drawn has an event of its own, which is drawn next."""
    ticked: list[Event] = []
    ticked_when_drawn: list[int] = []

    class Restless(Store):
        """In which the run goes on whenever its progress was drawn."""

        async def commit(self, change: Change) -> Committed:
            result = await super().commit(change)
            drawn = any(put.value.name.startswith("progress/") and put.value.drawn for put in change.messages)
            if drawn and len(ticked_when_drawn) < MANY:
                ticked_when_drawn.append(len(ticked))
                await usecases.note_progress(store, lease, "writer", f"step {len(ticked_when_drawn)}")
            return result

    restless = Restless(store.client, store.keys.prefix[1:-2])
    await usecases.note_progress(store, lease, "writer", "the first step")
    async with poster(slack, restless) as one:
        projector = Projector(restless, Outbox(restless), one, "web-1", drawn=ticked.append, thread_delay=timedelta(0))
        task = asyncio.create_task(projector.run())
        async with asyncio.timeout(PATIENCE):
            while len(ticked_when_drawn) < MANY:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await all_drawn(slack, store)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert ticked_when_drawn[-1] > 0, "while the run still went on"


@pytest.mark.slow  # three of Slack's whole seconds
async def test_method_closed_by_429_is_probed_by_one_call(slack: LocalSlack, store: Store, lease: Lease) -> None:
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


async def test_outage_lets_one_message_per_channel_retry(slack: LocalSlack, store: Store) -> None:
    """R6, R35: the others stay clear, so that cards among them grow and none is looked for."""
    away = slack.faults.add("server_error", times=None)
    async with poster(slack, store) as one:
        tasks = [asyncio.create_task(one.show(f"note/{number}", Place(GENERAL), NEW)) for number in range(MANY)]
        await slack.wait_for(lambda _: len(slack.calls) >= 3)
        slack.faults.active.remove(away)
        await asyncio.gather(*tasks)
    assert sum(call.method == "chat.postMessage" and not call.ok for call in slack.calls) == 1
    assert sum(call.method == "conversations.history" and call.ok for call in slack.calls) == 1
    assert [m.text for m in slack.channel("#general").messages] == ["new"] * MANY
