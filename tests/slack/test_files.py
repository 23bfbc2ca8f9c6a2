"""A file is the last thing that is drawn: what cannot be uploaded is said, and keeps nothing that counts."""

from datetime import timedelta
from typing import Any

import pytest

from bot.slack.projector import file_uploads
from countersign import usecases
from countersign.domain.runs import Verb
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.faults import Kind as Fault
from tests.making import question
from tests.slack.test_projector import all_drawn, card_of, decided, drawing

LONG = "\n".join(f"line {n}: rm -rf /tmp/{n}" for n in range(2000))
MISSING = "the file with all of it could not be uploaded"


@pytest.mark.parametrize(
    ("fault", "on", "more"),
    [
        ("server_error", "files.getUploadURLExternal", {}),
        ("lost_request", "files.completeUploadExternal", {}),
        ("error", "files.completeUploadExternal", {"error": "file_uploads_disabled"}),
    ],
)
async def test_a_file_that_cannot_be_uploaded_is_given_up_and_the_card_says_so(
    fault: Fault, on: str, more: dict[str, Any], slack: LocalSlack, store: Store, lease: Lease, monkeypatch: Any
) -> None:
    """R36, R14: a few tries, each after a look whether it arrived; then it is missing, and people know."""
    monkeypatch.setattr(file_uploads, "PAUSE", timedelta(milliseconds=1))
    slack.faults.add(fault, on=on, times=None, **more)
    asked = await usecases.ask(store, lease, question(LONG))
    async with drawing(slack, store):
        await card_of(slack)
        await all_drawn(slack, store)
        assert MISSING in text_of(await card_of(slack))
        tried = [call for call in slack.calls if call.method == on]
        assert len(tried) == (1 if fault == "error" else file_uploads.TRIES)
        await decided(store, asked)
        await usecases.finish(store, lease, Verb.FINISH, result="Done.", words=LONG)
        await all_drawn(slack, store)
        (root,) = slack.channel("#general").messages
        await slack.wait_message("#general", lambda m: "could not be uploaded" in text_of(m), thread=root.ts)
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert card.buttons == ["View full"]
    assert len([call for call in slack.calls if call.method == on]) == 2 * len(tried)


async def test_a_decision_does_not_wait_for_a_file_that_is_on_its_way(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R36, R6: the card is settled while the upload hangs; the file comes afterwards, once."""
    slow = slack.faults.add("delay", on="files.completeUploadExternal", seconds=2.0)
    asked = await usecases.ask(store, lease, question(LONG))
    async with drawing(slack, store):
        await slack.wait_for(lambda _: slow not in slack.faults.active)
        await decided(store, asked)
        await slack.wait_for(lambda _: [m.buttons for m in slack.channel("#approvals").messages] == [["View full"]])
        assert "files.completeUploadExternal" not in [call.method for call in slack.calls]
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert len([f for m in slack.channel("#approvals").thread(card.ts) for f in m.files]) == 1
    assert MISSING not in text_of(card)
