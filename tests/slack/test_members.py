"""Everyone in the approvals channel as reviewers: asked where there is somebody, and told in their Homes."""

import pytest

from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector import unreachable_reviewers
from bot.slack.projector.message_sync import Poster
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.ids import GroupId
from countersign.domain.people import Reviewers
from countersign.domain.requests import How, Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from tests.sample_requests import HERE, OURS, question, rules
from tests.slack.test_grant_windows import drawing, now_is
from tests.slack.test_projector import all_drawn

MEMBERS = Reviewers(members=True)


async def test_request_that_nobody_can_decide_is_rejected_before_posting(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R10: only Alice, who asks, a guest, and the app itself are there; the agent and the thread are told why."""
    slack.workspace.channels["C0APPROVALS"].members.intersection_update({"U0BOT", "U0ALICE"})
    slack.invite("U0GRETA", "#approvals")
    await store.set_defaults(rules(reviewers=MEMBERS))
    asked = await usecases.ask(store, lease, question())
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    settled = await now_is(store, asked)
    assert settled.decision is not None
    assert (settled.status, settled.decision.how, settled.decision.by) == (Status.REJECTED, How.POLICY, ())
    assert "Nobody was asked, because nobody could decide" in settled.decision.words
    assert slack.channel("#approvals").messages == []
    (root,) = slack.channel("#general").messages
    assert "nobody could decide" in " ".join(text_of(m) for m in slack.channel("#general").thread(root.ts))


async def test_request_is_posted_while_slack_hides_the_members(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9, R21: not knowing is no reason to turn anything down."""
    slack.faults.add("error", on="conversations.members", error="fetch_members_failed", times=None)
    await store.set_defaults(rules(reviewers=MEMBERS))
    asked = await usecases.ask(store, lease, question())
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    assert (await now_is(store, asked)).status is Status.PENDING
    (card,) = slack.channel("#approvals").messages
    assert "everybody in <#C0APPROVALS>" in text_of(card)


@pytest.mark.parametrize("gone", ["the group", "everybody"])
async def test_requester_learns_once_that_nobody_can_decide(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, gone: str
) -> None:
    """R10, R21: the group was deleted, or all have left, after the question was asked."""
    group = Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))
    await store.set_defaults(
        rules(reviewers=group if gone == "the group" else rules().reviewers, on_timeout=OnTimeout.WAIT)
    )
    await usecases.ask(store, lease, question())
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    poster = Poster(GatedCalls(bot.client, HURRY), store, HERE, slack.url, OURS)
    for times in (0, 1, 1):
        # Nothing is remembered of what Slack said before.
        directory = Directory(bot.client, HERE, LookupCache())
        await unreachable_reviewers.look(store, directory, poster)
        await directory.close()
        thread = slack.channel("#general").thread(slack.channel("#general").messages[0].ts)
        assert sum("still pending, but nobody could decide" in text_of(m) for m in thread) == times
        slack.workspace.groups.clear()
        for name in ("U0BOB", "U0CAROL"):
            slack.workspace.users[name].deleted = True
    assert [r.status for r in await store.indexes.waiting(10)] == [Status.PENDING]
