"""Global shortcuts, which work where commands do not: in threads, on a Home, in any channel."""

from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.ids import WorkerId
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Lease, TeamInfo
from localslack import LocalSlack, text_of
from localslack.errors import CannotDo
from tests.sample_requests import question
from tests.slack.test_projector import all_drawn, card_of, running_projector


async def test_shortcut_starts_a_task_in_a_chosen_channel(slack: LocalSlack, store: Store, bot: Services) -> None:
    email = TeamInfo("email", "Writes mails")
    await store.workers.announce(WorkerId("one"), Announcement((email,)), timedelta(minutes=1))
    alice = slack.user("alice")
    await alice.shortcut("start_task")
    window = await alice.wait_modal("Channel")
    assert window.json["callback_id"] == "start_run"
    await alice.submit({"team": "email", "channel": "#general", "task": "ask for a discount"})
    (run,) = await store.indexes.active_runs(9)
    assert (run.task, run.channel, run.requester) == ("ask for a discount", "C0GENERAL", "U0ALICE")


async def test_shortcut_lists_waiting_requests_with_links(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9, R41: for those who may decide; nothing is decided in a list."""
    await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    bob, dave = slack.user("bob"), slack.user("dave")
    await bob.shortcut("waiting_for_me")
    listed = await bob.wait_modal("Waiting for you")
    assert "send this mail?" in text_of(listed.json) and f"p{card.ts.replace('.', '')}" in text_of(listed.json)
    assert not any(block["type"] == "actions" for block in listed.blocks)
    await dave.shortcut("waiting_for_me")
    assert "send this mail" not in text_of((await dave.wait_modal("Waiting for")).json)


async def test_undeclared_shortcut_is_not_offered() -> None:
    """A local Slack offers only what the manifest declares."""
    async with LocalSlack(shortcuts=("start_task",)) as slack:
        with pytest.raises(CannotDo):
            await slack.user("alice").shortcut("waiting_for_me")
