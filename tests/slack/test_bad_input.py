"""Groups and policies as they are on a bad day: too small, too large, empty, deleted, or at odds; in Slack."""

from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.channel_settings import Escalation
from countersign.domain.ids import GroupId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.workspace import User, UserGroup
from tests.sample_requests import DAVE, GENERAL, question
from tests.slack.socket_bot import confirm_loosening
from tests.slack.test_pending_state import drawn, due
from tests.slack.test_projector import all_drawn, card_of
from tests.store_fixtures import configure
from tests.usecases.test_presence import as_it_is

__all__ = ["drawn"]

REVIEWERS = Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))


def group(slack: LocalSlack, handle: str, users: list[str]) -> None:
    found = UserGroup(f"S0{handle.upper()}", handle, handle.capitalize(), users)
    slack.workspace.groups[found.id] = found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("reviewers @reviewers", "quorum 3"), "3 approvals are needed, but only 2 of the reviewers can decide"),
        (("reviewers @pair", "quorum 2"), "2 approvals are needed, but only 1 of the reviewers can decide"),
        (("reviewers @empty",), "<!subteam^S0EMPTY> has no members"),
        (("reviewers @outside",), "only guests, bots and people from other workspaces"),
        (("escalate 30m @empty",), "Step 1 of the escalation: <!subteam^S0EMPTY> has no members"),
    ],
)
async def test_group_without_enough_deciders_is_refused_when_set(
    slack: LocalSlack, store: Store, bot: Services, words: tuple[str, ...], sentence: str
) -> None:
    """R10: a member who left, a guest and a stranger are nobody."""
    group(slack, "empty", [])
    group(slack, "pair", ["U0BOB", "U0DORA"])
    group(slack, "outside", ["U0GRETA", "U0SAM"])
    *before, last = words
    for setting in before:
        saved = (await slack.user("alice").command(f"/approvals {setting}")).text
        assert (saved or await confirm_loosening(slack.user("alice"))).startswith("Saved.")
    stood = await usecases.rules_of(store, GENERAL)
    refused = await slack.user("alice").command(f"/approvals {last}")
    assert sentence in refused.text and "othing was changed" in refused.text
    assert await usecases.rules_of(store, GENERAL) == stood


async def test_every_member_of_a_huge_group_may_decide(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R9: thirty are looked up when the group is named, as Slack allows fifty a minute; at a click who clicks."""
    crowd = {f"U0N{n:04}": User(f"U0N{n:04}", f"n{n:04}", f"Number {n}") for n in range(5000)}
    slack.workspace.users |= crowd
    group(slack, "crowd", [*crowd])
    await slack.user("alice").command("/approvals reviewers @crowd")
    assert (await confirm_loosening(slack.user("alice"))).startswith("Saved.")
    assert (await slack.user("alice").command("/agent email write to the vendor")).text.startswith("Started")
    asked = await usecases.ask(store, lease, question())
    slack.invite("U0N4999", "#approvals")
    await slack.user("bob").click(await card_of(slack), "Approve")
    await slack.user("bob").wait_ephemeral("Reviewers: <!subteam^S0CROWD>")
    await slack.user("n4999").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED
    asked_of_slack = [call.method for call in slack.calls]
    assert asked_of_slack.count("users.info") <= 6 and asked_of_slack.count("usergroups.list") == 1


async def test_deleted_group_leaves_its_request_to_the_escalation(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, drawn: None
) -> None:
    """R9, R10: nobody decides for a group that is no more; nothing new starts, and what waits is raised as before."""
    step = Escalation(timedelta(hours=2), Reviewers(frozenset({DAVE})))
    await configure(store, timeout=timedelta(days=1), reviewers=REVIEWERS, escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    slack.workspace.groups["S0REVIEWERS"].disabled = True
    await slack.user("bob").click(card, "Approve")
    await slack.user("bob").wait_ephemeral("not a reviewer")
    assert "nobody could decide" in (await slack.user("alice").command("/agent email write to the vendor")).text
    await due(store, asked, timedelta(hours=3))
    await all_drawn(slack, store)
    await slack.user("dave").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED
