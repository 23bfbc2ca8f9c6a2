"""The thread of a run: why it waits, and who is told how it ended."""

from dataclasses import replace
from datetime import timedelta

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector import thread_drawing
from bot.slack.projector.message_sync import Poster
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.activity import Delay
from countersign.domain.ids import RunId, WorkerId
from countersign.domain.run_calls import Finish
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Change, Lease, Put
from countersign.usecases.requeued_runs import Unheld
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from tests.longest_wait import PATIENCE
from tests.sample_requests import HERE, OURS, question
from tests.slack.test_projector import all_drawn, running_projector


async def drawn(slack: LocalSlack, store: Store, run: RunId, *, without_worker: bool = False) -> list[str]:
    """Draws the run's thread once; returns the replies in it."""
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=int(PATIENCE))
    directory = Directory(client, HERE, LookupCache(patience=PATIENCE))
    poster = Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)
    try:
        await thread_drawing.draw(store, poster, run, directory, without_worker=without_worker)
    finally:
        await directory.close()
    (root,) = slack.channel("#general").messages
    return [text_of(message) for message in slack.channel("#general").thread(root.ts)[1:]]


async def finished(store: Store, lease: Lease) -> None:
    await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Sent to the vendor.", ended_as="Sent"))


async def test_requester_who_left_the_channel_gets_a_direct_message(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R21: once, with the outcome; whoever is there is told in the thread alone."""
    slack.workspace.channel("#general").members.discard("U0ALICE")
    await finished(store, lease)
    for _ in range(2):
        assert len(await drawn(slack, store, lease.run)) == 1
    (told,) = [m for m in slack.workspace.direct("U0ALICE").messages if m.user == "U0BOT"]
    assert "which you have left" in text_of(told) and "Sent to the vendor." in text_of(told)


async def test_requester_in_the_channel_gets_no_direct_message(slack: LocalSlack, store: Store, lease: Lease) -> None:
    await finished(store, lease)
    (outcome,) = await drawn(slack, store, lease.run)
    assert "Sent to the vendor." in outcome
    assert not slack.workspace.direct("U0ALICE").messages


async def test_reviewers_learn_the_end_if_the_requester_left(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R21: somebody is told how it ended."""
    slack.workspace.users["U0ALICE"].deleted = True
    await finished(store, lease)
    _, note = await drawn(slack, store, lease.run)
    assert "no longer in this workspace" in note and "<@U0BOB>" in note


@pytest.mark.parametrize("new", [True, False])
async def test_steps_are_drawn_with_the_next_card(slack: LocalSlack, store: Store, lease: Lease, new: bool) -> None:
    """R36: one change less for each question; one whose card Slack lets wait keeps no step from being seen."""
    await usecases.note_progress(store, lease, "writer", "Wrote a mail.")
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None
    at = seen.now + timedelta(hours=1) if new else seen.now - timedelta(minutes=1)
    await store.commit(Change(requests=(Put(replace(seen.value, created_at=at), seen.version),)))
    assert ["Wrote a mail." in text for text in await drawn(slack, store, lease.run)] == ([] if new else [True])


async def test_run_outcome_stands_below_its_steps(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """Also when the run ends before its steps were first drawn."""
    await usecases.note_progress(store, lease, "writer", "Wrote a mail.")
    await finished(store, lease)
    for _ in range(2):
        steps, outcome = await drawn(slack, store, lease.run)
        assert "Wrote a mail." in steps and "Sent to the vendor." in outcome


async def test_refused_steps_do_not_hold_back_the_outcome(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R21: what came of the run is told all the same."""
    assert await drawn(slack, store, lease.run) == []
    slack.faults.add("error", on="chat.postMessage", error="msg_blocks_too_long", times=1)
    await usecases.note_progress(store, lease, "writer", "Wrote a mail.")
    await finished(store, lease)
    (outcome,) = await drawn(slack, store, lease.run)
    assert "Sent to the vendor." in outcome


async def test_thread_says_why_the_run_waits(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R21: the model asks to slow down, or no worker is heard from; what comes next takes its place."""
    until = await store.now() + timedelta(seconds=20)
    await usecases.note_delay(store, lease, Delay("gpt is rate-limited", until))
    (steps,) = await drawn(slack, store, lease.run)
    assert "is rate-limited" in steps and "Trying again at" in steps
    await usecases.note_progress(store, lease, "writer", "step one")
    (steps,) = await drawn(slack, store, lease.run)
    assert "step one" in steps and "no room" not in steps
    (steps,) = await drawn(slack, store, lease.run, without_worker=True)
    assert "The agents have not been heard from for 40 s" in steps
    (steps,) = await drawn(slack, store, lease.run)
    assert "not been heard from" not in steps


async def test_missing_worker_is_reported_while_copies_are_not_searchable(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21: one look stood in the other's way."""
    monkeypatch.setattr("bot.slack.projector.projector.SILENT_AFTER", timedelta(0))
    await usecases.note_progress(store, lease, "writer", "step one")
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    slack.faults.add("server_error", on="conversations.history", status=503, times=None)
    await store.indexes.look_again(f"run/{lease.run}", timedelta(0))
    (root,) = slack.channel("#general").messages
    async with running_projector(slack, store, "web-2"):
        await slack.wait_message("#general", lambda m: "not been heard from" in text_of(m), thread=root.ts)


@pytest.mark.parametrize("held", [True, False])
async def test_run_is_silent_once_no_worker_holds_it(store: Store, lease: Lease, held: bool) -> None:
    await store.workers.announce(WorkerId("one"), Announcement((), (lease.run,) if held else ()), timedelta(minutes=1))
    unheld = Unheld(store)
    assert await unheld.since(timedelta(0)) == ([] if held else [lease.run])
    assert await unheld.since(timedelta(hours=1)) == []


@pytest.mark.parametrize(("ended_as", "again"), [("expired", True), ("failed", True), ("rejected", False), ("", False)])
async def test_only_expired_or_failed_runs_can_be_tried_again(
    slack: LocalSlack, store: Store, lease: Lease, ended_as: str, again: bool
) -> None:
    """Rejected and successful runs get no button."""
    await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Over.", ended_as=ended_as))
    await drawn(slack, store, lease.run)
    (root,) = slack.channel("#general").messages
    assert root.buttons == (["Try again"] if again else [])
