"""What is stored of a message that stands in Slack, and how its copies are found by that."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack import slack_calls
from bot.slack.projector import file_uploads
from bot.slack.projector.file_uploads import Files
from bot.slack.projector.message_sync import File, Place
from bot.slack.unconfirmed_posts import EVENT_TYPE
from countersign import usecases
from countersign.domain.ids import RequestId
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack, text_of
from localslack.workspace import File as LocalFile
from tests.sample_requests import APPROVALS, GENERAL, question
from tests.slack.test_overtaken import NEW, OLD, poster
from tests.slack.test_projector import all_drawn, running_projector


async def looked_from(slack: LocalSlack, store: Store, name: str) -> str | None:
    """From when on a second look at this message reads the channel."""
    await store.indexes.look_again(name, timedelta(0))
    async with poster(slack, store) as one:
        await one.copies.look_again()
    oldest: str | None = [c for c in slack.calls if c.method == "conversations.history"][-1].args.get("oldest")
    return oldest


async def test_posting_time_is_kept_only_for_growing_cards(slack: LocalSlack, store: Store) -> None:
    """R26: whether a card is new is judged by one clock, the store's."""
    asked = RequestId("qcard")
    async with poster(slack, store) as one:
        root = await one.show("run/1", Place(GENERAL), NEW)
        card = await one.show("card/qcard", Place(GENERAL), NEW, request=asked)
        assert root is not None and card is not None
        note = await one.show("waiting/qcard", Place(GENERAL, root.ts), NEW, request=asked)
        await Files(one, store).attach(
            File("file/qcard", Place(GENERAL, card.ts), "content.txt", b"all of it", "All of it")
        )
    file = await store.message("file/qcard")
    assert note is not None and file is not None
    assert [one.posting_since for one in (root, note, file.value)] == [None, None, None]
    assert card.posting_since is not None


async def test_second_look_starts_an_hour_before_the_message(slack: LocalSlack, store: Store) -> None:
    """R6: Slack may have told whoever posted it to wait, while another process posted it too."""
    async with poster(slack, store) as one:
        shown = await one.show("note/1", Place(GENERAL), OLD)
    assert shown is not None
    assert await looked_from(slack, store, "note/1") == f"{float(shown.ts) - 3600:.6f}"


async def test_growing_message_is_searched_from_its_intended_time(slack: LocalSlack, store: Store) -> None:
    """R6: also where that was long before Slack's own time of it."""
    async with poster(slack, store) as one:
        await one.show("note/1", Place(GENERAL), OLD)
    seen = await store.message("note/1")
    assert seen is not None
    meant = seen.now - timedelta(hours=7)
    await store.commit(Change(messages=(Put(replace(seen.value, posting_since=meant), seen.version),)))
    assert await looked_from(slack, store, "note/1") == f"{(meant - timedelta(minutes=5)).timestamp():.6f}"


async def test_forbidden_channel_does_not_stop_deletion_of_other_copies(slack: LocalSlack, store: Store) -> None:
    """R6: a channel that the app has left kept every later message from being looked at, for ever."""
    async with poster(slack, store) as one:
        left = await one.show("note/1", Place(APPROVALS), NEW)
        kept = await one.show("note/2", Place(GENERAL), NEW)
        assert left is not None and kept is not None
        mark = {"event_type": EVENT_TYPE, "event_payload": {"name": "note/2"}}
        slack.workspace.post(slack.workspace.channel("#general"), "U0BOT", text="new", from_app=True, metadata=mark)
        slack.channel("#approvals").members.discard("U0BOT")
        for name in ("note/1", "note/2"):
            await store.indexes.look_again(name, timedelta(0))
        await one.copies.look_again()
    assert [m.ts for m in slack.channel("#general").messages] == [kept.ts]
    assert await store.indexes.to_look_at() == []


async def test_messages_and_files_of_others_are_not_adopted(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4, R15: another app's message with our metadata was taken for the card, and the card deleted as its copy; a
    file of somebody's with the name of ours was taken for ours.
    """
    room, name = slack.workspace.channel("#general"), "card/qcard"
    mark = {"event_type": EVENT_TYPE, "event_payload": {"name": name}}
    slack.workspace.post(room, "U0EVE", text="not ours", from_app=True, metadata=mark)
    slack.faults.add("lost_reply", on="chat.postMessage")
    slack.faults.add("lost_request", on="files.completeUploadExternal")
    monkeypatch.setattr(file_uploads, "PAUSE", timedelta(seconds=1))
    async with poster(slack, store) as one:
        card = await one.show(name, Place(GENERAL), NEW, request=RequestId("qcard"))
        assert card is not None
        theirs = LocalFile("F0THEIRS", "content.txt", "All of it", "text/plain", b"harmless", 1.0, "U0ALICE", 8, True)
        slack.workspace.files[theirs.id] = theirs
        slack.workspace.post(room, "U0ALICE", text="", thread_ts=card.ts, files=[theirs])
        file = File("file/qcard", Place(GENERAL, card.ts), "content.txt", b"all of it", "All of it")
        await Files(one, store).attach(file)
    await slack.wait_for(lambda _: any(f.user == "U0BOT" for m in room.posts.values() for f in m.files))
    (mine,) = [message for message in room.posts.values() if message.user == "U0BOT" and not message.thread_ts]
    assert mine.ts == card.ts
    assert [f.content for m in slack.channel("#general").thread(card.ts) for f in m.files if f.user == "U0BOT"] == [
        b"all of it"
    ]


async def test_long_notification_text_does_not_prevent_updates(slack: LocalSlack, store: Store) -> None:
    """R6, R14: Slack posts 40,000 characters of them and changes 4,000; what is judged stands in the blocks."""
    async with poster(slack, store) as one:
        for drawing in (OLD, NEW):
            await one.show("note/1", Place(GENERAL), replace(drawing, text=drawing.text + " <@U0BOB>" * 900))
    (standing,) = slack.channel("#general").messages
    assert standing.text.startswith("new") and text_of(standing) == "new"


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize(
    "error", ["ekm_access_denied", "external_channel_migrating", "message_limit_exceeded", "update_failed"]
)
async def test_temporary_error_is_retried_in_place(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch, error: str, method: str
) -> None:
    """R21: a channel that migrates, a key that is suspended: the card stays where it belongs."""
    monkeypatch.setattr(slack_calls, "LATER_PAUSES", (0.0, 0.01, 0.02))
    slack.faults.add("error", on=method, error=error, skip=int(method == "chat.postMessage"))  # not the head
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await usecases.take_back(store, lease, asked.id, "not wanted")
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert "Approve" not in card.buttons
    assert len([call for call in slack.calls if call.method == method and not call.ok]) == 1
    assert "could not be posted" not in " ".join(text_of(m) for m in slack.channel("#general").posts.values())


async def test_lasting_error_moves_the_card_to_the_thread(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21: after two minutes the card stands in the run's thread, and the requester is told."""
    monkeypatch.setattr(slack_calls, "LATER_PAUSES", (0.0,))
    await usecases.ask(store, lease, question())
    fault = slack.faults.add("error", on="chat.postMessage", error="external_channel_migrating", skip=1, times=2)
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: fault not in slack.faults.active)
        await all_drawn(slack, store)
    posts = slack.channel("#general").posts.values()
    assert any("Approve" in message.buttons for message in posts)
    assert slack.channel("#approvals").messages == []
