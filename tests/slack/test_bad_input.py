"""Groups and policies as they are on a bad day: too small, too large, empty, deleted, or at odds; in Slack."""

from datetime import timedelta

import pytest

from bot.slack.handlers.context import Desk
from countersign import usecases
from countersign.domain.escalation import Escalation
from countersign.domain.ids import GroupId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.policy import file
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import User, UserGroup
from tests.making import DAVE, GENERAL, call, question
from tests.slack.test_pending_state import drawn, due
from tests.slack.test_projector import all_drawn, card_of
from tests.storing import configured
from tests.usecases.test_presence import as_it_is

__all__ = ["drawn"]

REVIEWERS = Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))


def group(slack: LocalSlack, handle: str, users: list[str]) -> None:
    found = UserGroup(f"S0{handle.upper()}", handle, handle.capitalize(), users)
    slack.workspace.groups[found.id] = found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("reviewers @reviewers", "quorum 3"), "3 approvals needed, 2 may give them"),
        (("reviewers @pair", "quorum 2"), "2 approvals needed, 1 may give them"),
        (("reviewers @empty",), "There is nobody in <!subteam^S0EMPTY>"),
        (("reviewers @outside",), "only guests, bots or strangers"),
        (("escalate 30m @empty",), "Step 1 of the escalation: There is nobody in <!subteam^S0EMPTY>"),
    ],
)
async def test_a_group_that_is_too_small_is_refused_when_it_is_named(
    slack: LocalSlack, store: Store, bot: Desk, words: tuple[str, ...], sentence: str
) -> None:
    """R10: a member who left, a guest and a stranger are nobody."""
    group(slack, "empty", [])
    group(slack, "pair", ["U0BOB", "U0DORA"])
    group(slack, "outside", ["U0GRETA", "U0SAM"])
    *before, last = words
    for setting in before:
        assert (await slack.user("alice").command(f"/approvals {setting}")).text.startswith("Saved.")
    stood = await usecases.rules_of(store, GENERAL)
    refused = await slack.user("alice").command(f"/approvals {last}")
    assert sentence in refused.text and "othing was changed" in refused.text
    assert await usecases.rules_of(store, GENERAL) == stood


async def test_of_five_thousand_members_each_may_decide_and_slack_is_not_asked_about_each(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R9: thirty are looked up when the group is named, as Slack allows fifty a minute; at a click who clicks."""
    crowd = {f"U0N{n:04}": User(f"U0N{n:04}", f"n{n:04}", f"Number {n}") for n in range(5000)}
    slack.workspace.users |= crowd
    group(slack, "crowd", [*crowd])
    assert (await slack.user("alice").command("/approvals reviewers @crowd")).text.startswith("Saved.")
    assert (await slack.user("alice").command("/agent email write to the vendor")).text.startswith("Started")
    asked = await usecases.ask(store, lease, question())
    slack.invite("U0N4999", "#approvals")
    await slack.user("bob").click(await card_of(slack), "Approve")
    await slack.user("bob").wait_ephemeral("It is for <!subteam^S0CROWD>")
    await slack.user("n4999").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED
    asked_of_slack = [call.method for call in slack.calls]
    assert asked_of_slack.count("users.info") <= 34 and asked_of_slack.count("usergroups.users.list") == 1


async def test_a_group_deleted_while_a_request_waits_leaves_it_to_the_next_people(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R9, R10: nobody decides for a group that is no more; nothing new starts, and what waits is raised as before."""
    step = Escalation(timedelta(hours=2), Reviewers(frozenset({DAVE})))
    await configured(store, timeout=timedelta(days=1), reviewers=REVIEWERS, escalation=(step,))
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


OVERLAPPING = f"""\
version: 1
rules:
  - {{name: all pass, tool: refund, then: pass}}
  - {{name: Dave alone, tool: "*", then: ask, reviewers: [U0DAVE]}}
  - {{name: two for much, tool: "re*", if: amount > 15, then: ask, quorum: 2, why: Much money}}
  - {{name: no such argument, tool: refund, if: 'colour == "red"', then: pass}}
  - {{name: slow, tool: refund, if: 'note like "{"*a" * 200}*b"', then: refuse}}
"""


async def test_of_rules_that_overlap_and_say_different_things_the_strictest_counts_however_slow_one_is(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, drawn: None
) -> None:
    """R11, R19: the card says which, and two must approve; a hostile pattern costs no time."""
    await store.set_rulebook(file.understand(OVERLAPPING))
    asked = await usecases.ask(store, lease, call(order=17, amount=20, note="a" * 3000))
    shown = text_of(await card_of(slack))
    assert "two for much" in shown and "Much money" in shown
    await slack.user("bob").click(await card_of(slack), "Approve")
    await all_drawn(slack, store)
    assert (await as_it_is(store, asked)).status is Status.PENDING
    await slack.user("carol").click(await card_of(slack), "Approve")
    assert (await as_it_is(store, asked)).status is Status.APPROVED
