"""A file is the last thing that is drawn: what cannot be uploaded is said, and keeps nothing that counts."""

from datetime import timedelta
from typing import Any

import pytest

from bot.slack.projector import file_uploads
from countersign import usecases
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Verb
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.faults import Kind as Fault
from localslack.fixtures import UNHURRIED
from tests.longest_wait import PATIENCE
from tests.sample_requests import question
from tests.slack.test_pending_state import GENERAL_TOO, due
from tests.slack.test_projector import all_drawn, card_of, decide, running_projector
from tests.store_fixtures import configure

LONG = "\n".join(f"line {n}: rm -rf /tmp/{n}" for n in range(2000))
MISSING = "the file with the full request couldn't be uploaded"


@pytest.mark.parametrize(
    ("fault", "on", "more"),
    [
        ("server_error", "files.getUploadURLExternal", {}),
        ("server_error", "upload", {}),
        ("lost_request", "files.completeUploadExternal", {}),
        ("error", "files.completeUploadExternal", {"error": "file_uploads_disabled"}),
    ],
)
async def test_failed_upload_is_abandoned_and_the_card_says_so(
    fault: Fault, on: str, more: dict[str, Any], slack: LocalSlack, store: Store, lease: Lease, monkeypatch: Any
) -> None:
    """R36, R14: a few tries, each after a look whether it arrived; then it is missing, and people know."""
    monkeypatch.setattr(file_uploads, "PAUSE", timedelta(milliseconds=1))
    slack.faults.add(fault, on=on, times=None, **more)
    asked = await usecases.ask(store, lease, question(LONG))
    async with running_projector(slack, store):
        await card_of(slack)
        await all_drawn(slack, store)
        assert MISSING in text_of(await card_of(slack))
        tried = [call for call in slack.calls if call.method == on]
        assert len(tried) == (1 if fault == "error" else file_uploads.TRIES)
        await decide(store, asked)
        await usecases.finish(store, lease, Finish(Verb.FINISH, result="Done.", words=LONG))
        await all_drawn(slack, store)
        (root,) = slack.channel("#general").messages
        await slack.wait_message("#general", lambda m: "couldn't be uploaded" in text_of(m), thread=root.ts)
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert card.buttons == ["Details"]
    assert len([call for call in slack.calls if call.method == on]) == 2 * len(tried)


async def test_forbidden_uploads_delay_no_card_or_reminder(store: Store, lease: Lease) -> None:
    """R36, R2: the card says what is missing, reminders and escalation come, and it is settled."""
    await configure(store, remind_after=timedelta(minutes=15), escalation=(GENERAL_TOO,), timeout=timedelta(days=1))
    async with LocalSlack(**UNHURRIED, file_uploads=False) as slack:
        asked = await usecases.ask(store, lease, question(LONG))
        async with running_projector(slack, store):
            await card_of(slack)
            await due(store, asked, timedelta(hours=3))
            for channel in ("#approvals", "#general"):
                await slack.wait_message(channel, lambda m: m.buttons and MISSING in text_of(m))
            (card,) = slack.channel("#approvals").messages
            await slack.wait_message("#approvals", lambda m: "is still missing" in text_of(m), thread=card.ts)
            await decide(store, asked)
            await all_drawn(slack, store)
        assert [m.buttons for m in slack.channel("#approvals").messages] == [["Details"]]


async def test_file_whose_reply_was_lost_is_shared_once(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: Any
) -> None:
    """R36: it is looked for only when Slack has had time to share it."""
    monkeypatch.setattr(file_uploads, "PAUSE", timedelta(seconds=1))
    slack.faults.add("lost_reply", on="files.completeUploadExternal")
    await usecases.ask(store, lease, question(LONG))
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    assert len([m for m in slack.channel("#approvals").thread(card.ts) if m.files]) == 1
    assert [call.method for call in slack.calls].count("upload") == 1


async def test_decision_does_not_wait_for_an_upload(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R36, R6: the card is settled and the thread told while the upload hangs; the file comes afterwards, once."""
    slow = slack.faults.add("delay", on="files.completeUploadExternal", seconds=PATIENCE)
    asked = await usecases.ask(store, lease, question(LONG))
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: slow not in slack.faults.active)
        await decide(store, asked)
        await slack.wait_for(lambda _: [m.buttons for m in slack.channel("#approvals").messages] == [["Details"]])
        (root,) = slack.channel("#general").messages
        await slack.wait_message("#general", lambda m: "Approved" in text_of(m), thread=root.ts)
        assert "files.completeUploadExternal" not in [call.method for call in slack.calls]
        slow.over.set()
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    await slack.wait_message("#approvals", lambda m: m.files, thread=card.ts)
    assert len([f for m in slack.channel("#approvals").thread(card.ts) for f in m.files]) == 1
    assert MISSING not in text_of(card)
