"""A process that was frozen wakes up and finishes what it was drawing, long after another one drew it: one stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.ports import DrawingTask, Outdated, drawing_task
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.projector.projector import Projector
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.block_kit import Drawing
from countersign import usecases
from countersign.domain.errors import Refused, StoreUnavailable
from countersign.domain.events import Event
from countersign.metrics import Repair
from countersign.store.outbox import Outbox
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed, Lease, Message, Put
from localslack import LocalSlack
from localslack.fixtures import HURRY
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired
from tests.sample_requests import GENERAL, HERE, OURS, attempt, question
from tests.slack.test_projector import all_drawn
from tests.store_fixtures import NoQueue

OLD, NEW = (
    Drawing(text, [{"type": "section", "text": {"type": "plain_text", "text": text}}]) for text in ("old", "new")
)

AS_ON_CARDS = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]}
"""Slack puts nothing without rich text in the place of a card, which has some."""


@asynccontextmanager
async def poster(slack: LocalSlack, store: Store) -> AsyncIterator[Poster]:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        yield Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)


async def under_way(slack: LocalSlack, fault: object) -> None:
    """Returns when the call that this fault delays has reached Slack."""
    async with asyncio.timeout(PATIENCE):
        while any(f is fault for f in slack.faults.active):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def shown(slack: LocalSlack) -> list[str]:
    return [m.text for m in slack.channel("#general").messages]


async def test_replaced_projector_deletes_its_second_copy(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R20: the post was on its way when another process took over; who posted knows about it, nobody else does."""
    slow = slack.faults.add("delay", on="chat.postMessage", seconds=1.0)
    async with poster(slack, store) as first, poster(slack, store) as second:
        frozen = asyncio.create_task(Projector(store, Outbox(store), first, "web-1").run())
        await under_way(slack, slow)
        await store.client.delete(store.keys.projector)
        awake = asyncio.create_task(Projector(store, Outbox(store), second, "web-2").run())
        await slack.wait_for(lambda _: shown(slack))
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
        await slack.wait_for(lambda _: sum(c.method == "chat.postMessage" for c in slack.calls) >= 2)
        await slack.wait_for(lambda _: len(shown(slack)) == 1)
        awake.cancel()
        await asyncio.gather(awake, return_exceptions=True)
    known = await store.message(f"run/{lease.run}")
    assert known is not None
    assert [m.ts for m in slack.channel("#general").messages] == [known.value.ts]


async def test_copy_by_killed_process_is_deleted_at_second_look(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: whoever posted instead looked before, and the killed one cannot look afterwards. Chaos found it."""
    monkeypatch.setattr("bot.slack.projector.message_sync.SECOND_LOOK", timedelta(0))
    slow = slack.faults.add("delay", on="chat.postMessage", seconds=0.5)
    async with poster(slack, store) as first, poster(slack, store) as second:
        killed = asyncio.create_task(first.show("note/1", Place(GENERAL), NEW))
        await under_way(slack, slow)
        killed.cancel()
        known = await second.show("note/1", Place(GENERAL), NEW)
        await slack.wait_for(lambda _: len(shown(slack)) == 2)
        awake = asyncio.create_task(Projector(store, Outbox(store), second, "web-2").run())
        async with asyncio.timeout(PATIENCE):
            while await store.indexes.to_look_at():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        awake.cancel()
        await asyncio.gather(awake, return_exceptions=True)
    assert known is not None
    assert [m.ts for m in slack.channel("#general").messages] == [known.ts]


async def test_second_copy_with_a_lost_reply_is_deleted(slack: LocalSlack, store: Store) -> None:
    """R6: its post arrived after another process had found nothing and posted; it looks for its own afterwards."""
    slow = slack.faults.add("delay", on="chat.postMessage", seconds=0.5)
    slack.faults.add("lost_reply", on="chat.postMessage", times=1)
    async with poster(slack, store) as first, poster(slack, store) as second:
        frozen = asyncio.create_task(first.show("note/1", Place(GENERAL), OLD))
        await under_way(slack, slow)
        kept = await second.show("note/1", Place(GENERAL), OLD)
        await frozen
    assert kept is not None
    assert [m.ts for m in slack.channel("#general").messages] == [kept.ts]


async def test_post_intended_by_another_process_is_looked_up_first(slack: LocalSlack, store: Store) -> None:
    """R6: the other one meant to post just before us, posted, lost the reply, and was frozen before it looked."""
    slack.faults.add("lost_reply", on="chat.postMessage")
    slow = slack.faults.add("delay", on="conversations.history", seconds=0.5)
    async with poster(slack, store) as first:
        frozen: list[asyncio.Task[object]] = []

        class Meddled(Store):
            async def commit(self, change: Change) -> Committed:
                if not frozen:
                    frozen.append(asyncio.create_task(first.show("note/1", Place(GENERAL), OLD)))
                    await under_way(slack, slow)
                return await super().commit(change)

        async with poster(slack, Meddled(store.client, store.keys.prefix[1:-2])) as second:
            await second.show("note/1", Place(GENERAL), OLD)
        await frozen[0]
    assert shown(slack) == ["old"]
    assert sum(c.method == "chat.postMessage" for c in slack.calls) == 1


async def test_message_drawn_by_two_processes_is_drawn_again(slack: LocalSlack, store: Store) -> None:
    """R6: Slack shows what came last; who finds that another process drew meanwhile says that nobody knows what."""
    async with poster(slack, store) as first, poster(slack, store) as second:
        await first.show("note/1", Place(GENERAL), Drawing("oldest", OLD.blocks))
        slow = slack.faults.add("delay", on="chat.update", seconds=0.5)
        frozen = asyncio.create_task(first.show("note/1", Place(GENERAL), OLD))
        await under_way(slack, slow)
        await second.show("note/1", Place(GENERAL), NEW)
        await frozen
        assert shown(slack) == ["old"]
        await second.show("note/1", Place(GENERAL), NEW)
    assert shown(slack) == ["new"]


async def test_projector_redraws_what_it_overwrote_with_older_state(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R6, R20: what it drew from has changed while it was frozen; it looks once more when it has drawn."""

    def progress() -> str:
        return " ".join(m.text for m in slack.channel("#general").posts.values() if "writer" in m.text)

    await usecases.note_progress(store, lease, "writer", "step one")
    async with poster(slack, store) as first, poster(slack, store) as second:
        frozen = asyncio.create_task(Projector(store, Outbox(store), first, "web-1").run())
        await slack.wait_for(lambda _: "step one" in progress())
        slow = slack.faults.add("delay", on="chat.update", seconds=1.0)
        await usecases.note_progress(store, lease, "writer", "step two")
        await under_way(slack, slow)
        await store.client.delete(store.keys.projector)
        awake = asyncio.create_task(Projector(store, Outbox(store), second, "web-2").run())
        await usecases.note_progress(store, lease, "writer", "step three")
        await slack.wait_for(lambda _: "step three" in progress())
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
        assert "step three" in progress()
        awake.cancel()
        await asyncio.gather(awake, return_exceptions=True)
    assert any("step two" in str(c.args.get("text")) for c in slack.calls if c.method == "chat.update")


class Frozen(GatedCalls):
    """Calls of a process that is frozen right before a message is changed, if `text` is in its words."""

    def __init__(self, client: AsyncWebClient, text: str) -> None:
        super().__init__(client, HURRY)
        self.text = text
        self.frozen, self.thawed, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def _send(self, method: str, content: dict[str, Any]) -> dict[str, Any]:
        if method == "chat.update" and self.text in content["text"]:
            self.frozen.set()
            await self.thawed.wait()
            answer = await super()._send(method, content)
            self.arrived.set()
            return answer
        return await super()._send(method, content)


async def test_projector_without_its_lease_redraws_what_it_overwrote(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R6, R20: nobody else knows that its picture came last, so the message would keep it for ever."""
    monkeypatch.setattr("bot.slack.projector.projector.LEASE", timedelta(milliseconds=90))  # looks whether it holds it
    monkeypatch.setattr("bot.slack.projector.projector.GRACE", 1000)

    def progress() -> str:
        return " ".join(m.text for m in slack.channel("#general").posts.values() if "writer" in m.text)

    await usecases.note_progress(store, lease, "writer", "step one")
    async with poster(slack, store) as first, poster(slack, store) as second:
        calls = Frozen(first.calls.client, "step two")
        first = Poster(calls, store, HERE, slack.url, OURS)
        frozen = asyncio.create_task(Projector(store, Outbox(store), first, "web-1").run())
        await slack.wait_for(lambda _: "step one" in progress())
        await usecases.note_progress(store, lease, "writer", "step two")
        await calls.frozen.wait()
        await store.client.delete(store.keys.projector)
        awake = asyncio.create_task(Projector(store, Outbox(store), second, "web-2").run())
        await usecases.note_progress(store, lease, "writer", "step three")
        await slack.wait_for(lambda _: "step three" in progress())
        while "Another process draws Slack now." not in caplog.messages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        calls.thawed.set()
        await calls.arrived.wait()
        await slack.wait_for(lambda _: "step three" in progress())
        for projector in (frozen, awake):
            projector.cancel()
        await asyncio.gather(frozen, awake, return_exceptions=True)


async def test_unrecorded_note_is_found_after_the_decision(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R2, R6: it is not drawn any more, but the message that stands is known."""
    asked = await usecases.ask(store, lease, question())
    name = f"progress/{asked.run}"

    async def known() -> Message:
        async with asyncio.timeout(PATIENCE):
            while (seen := await store.message(name)) is None or not seen.value.ts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return seen.value

    async with poster(slack, store) as first:
        drawing = asyncio.create_task(Projector(store, Outbox(store), first, "web-1").run())
        before = await known()
        seen = await store.message(name)
        assert seen is not None
        forgotten = replace(before, ts="", drawn="", posting_since=seen.now)
        await store.commit(Change(messages=(Put(forgotten, seen.version),)))
        await usecases.take_back(store, lease, asked.id, "not wanted")
        assert (await known()).ts == before.ts
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def test_possibly_outdated_drawing_is_not_drawn(slack: LocalSlack, store: Store) -> None:
    """R20: a process that was frozen reads again before it draws over what another one drew meanwhile."""
    async with poster(slack, store) as first:
        await first.show("note/1", Place(GENERAL), NEW)
        before = asyncio.get_running_loop().time() - 1
        drawing_task.set(DrawingTask(lambda: before))
        with pytest.raises(Outdated):
            await first.show("note/1", Place(GENERAL), OLD)
        with pytest.raises(Outdated):
            await first.show("note/2", Place(GENERAL), OLD)
    assert shown(slack) == ["new"]


class Unlucky(Outbox):
    """The reply to one read, and the first tick, are lost."""

    lost = 0

    async def read(self, limit: int) -> list[tuple[str, Event]]:
        found = await super().read(limit)
        if found and not self.lost:
            self.lost = 1
            return []
        return found

    async def done(self, entry: str) -> None:
        if self.lost == 1:
            self.lost = 2
            raise StoreUnavailable("The store (Redis) does not answer.")
        await super().done(entry)


async def test_lost_events_are_drawn_later(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R5, R6: the reply that brought them did not arrive, and the process goes on as the projector."""
    outbox = Unlucky(store)
    outbox.lost = 2
    with repaired(Repair.EVENT_OVERLOOKED):
        await _draw_what_was_lost(slack, store, lease, outbox)
    assert outbox.lost == 2
    assert len(slack.channel("#approvals").messages) == 1


async def _draw_what_was_lost(slack: LocalSlack, store: Store, lease: Lease, outbox: Unlucky) -> None:
    async with poster(slack, store) as first:
        projector = Projector(store, outbox, first, "web-1", overlooked=timedelta(seconds=0.5))
        drawing = asyncio.create_task(projector.run())
        await slack.wait_for(lambda _: "Working" in " ".join(shown(slack)))
        outbox.lost = 0
        await usecases.ask(store, lease, question())
        await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        async with asyncio.timeout(PATIENCE):
            while (await store.client.xpending(store.keys.events, "projector"))["pending"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def test_stray_button_on_a_settled_card_disappears_when_clicked(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6, R7: it drew over the settled card as it woke up, and nobody else knows. Chaos found it."""
    monkeypatch.setattr("bot.slack.projector.card_drawing._LATE", timedelta(0))
    asked = await usecases.ask(store, lease, question())

    def card() -> str:
        return "".join(message.text for message in slack.channel("#approvals").messages)

    async with poster(slack, store) as first:
        drawing = asyncio.create_task(Projector(store, Outbox(store), first, "web-1").run())
        await slack.wait_for(lambda _: card())
        older, ts = card(), slack.channel("#approvals").messages[0].ts
        await usecases.take_back(store, lease, asked.id, "not wanted")
        await slack.wait_for(lambda _: card() != older)
        await all_drawn(slack, store)
        settled = card()
        async with aiohttp.ClientSession() as session:
            killed = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
            blocks, channel = [*OLD.blocks, AS_ON_CARDS], asked.rules.approvals_channel
            await killed.chat_update(channel=channel, ts=ts, text=older, blocks=blocks)
        assert card() == older
        with pytest.raises(Refused):
            await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
        await slack.wait_for(lambda _: card() == settled)
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)
