"""`/approvals pending` and `/approvals history`: what waits in a channel, what was decided there."""

import json

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.requests import Request, Verb
from countersign.store.store import Store
from countersign.usecases import executions
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.sample_requests import BOB, CAROL, attempt, begins, question, reporting, rules
from tests.slack.plain_words import speaks_plainly
from tests.slack.sample_views import refund
from tests.slack.socket_bot import Show
from tests.store_fixtures import NoQueue, update_lists


async def ask(store: Store, lease: Lease, number: int = 0, **changes: str) -> Request:
    request = await usecases.ask(store, lease, question(f"mail {number}", agent=f"agent {number}", **changes))
    await update_lists(store)
    return request


async def decide(
    store: Store, request: Request, user: str = BOB, verb: Verb = Verb.APPROVE, words: str = ""
) -> Request:
    name = f"{request.id}-{user}"
    decided = await usecases.decide(store, NoQueue(), request.id, attempt(request, user, verb, name=name, words=words))
    await update_lists(store)
    return decided


@pytest.mark.parametrize("channel", ["#general", "#approvals"])
async def test_pending_list_shows_reviewers_and_card_of_each_request(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, show: Show, channel: str
) -> None:
    """Where it was asked for, and where its card is; for whoever is there."""
    await store.set_defaults(rules(quorum=2))
    request = await ask(store, lease)
    card = await show(request)
    await decide(store, request)
    reply = await slack.user("dave").command("/approvals pending", channel)
    assert "1 pending request" in reply.text
    for part in ("email", "send this mail", "<@U0BOB>, <@U0CAROL>", "<@U0ALICE>", "1 of 2 approvals", "Expires"):
        assert part in json.dumps(reply.blocks), part
    assert f"/p{card.ts.replace('.', '')}|open the card" in json.dumps(reply.blocks)
    assert not reply.in_channel
    assert "No requests are pending" in (await slack.user("dave").command("/approvals pending", "#random")).text


async def test_history_lists_a_channels_decisions_newest_first(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R25"""
    bob = slack.user("bob")
    assert "No decisions here" in (await bob.command("/approvals history")).text
    await decide(store, await ask(store, lease, 1, title="buy paper"))
    await decide(store, await ask(store, lease, 2, title="burn it"), CAROL, Verb.REJECT)
    reply = await bob.command("/approvals history")
    assert "The last 2 decisions here" in reply.text
    _, newest, oldest = (json.dumps(block) for block in reply.blocks)
    assert "burn it" in newest and "Rejected" in newest and "<@U0CAROL>" in newest and "<@U0ALICE>" in newest
    assert "buy paper" in oldest and "Approved" in oldest and "<@U0BOB>" in oldest
    one = await bob.command("/approvals history 1", "#approvals")
    assert len(one.blocks) == 2 and "burn it" in json.dumps(one.blocks)
    assert "No decisions here" in (await bob.command("/approvals history", "#random")).text


async def test_history_names_the_content_and_the_actions_result(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R5, R15: one who approved reads that it failed, also where the card is not."""
    first, second = await ask(store, lease, 1), await ask(store, lease, 2)
    for one in (first, second):
        await executions.begin(store, lease, begins(await decide(store, one)))
    await executions.report(store, lease, reporting(first, done="sent"))
    await executions.report(store, lease, reporting(second, "No *such* address <!here>", failed=True))
    _, newest, oldest = (json.dumps(block) for block in (await slack.user("bob").command("/approvals history")).blocks)
    assert "send this mail \\u2013 mail 1" in oldest and "\\u00a0sent \\u00b7 for" in oldest
    assert "send this mail \\u2013 mail 2" in newest and "*failed*" in newest and ":white_check_mark:" not in newest
    assert {"type": "plain_text", "text": "No *such* address <!here>", "emoji": False} in json.loads(newest)["elements"]


@pytest.mark.parametrize(
    "command",
    ["/approvals pending", "/approvals history", "/approvals permissions", "/agent status", "/approvals away"],
)
async def test_command_answers_contain_no_internal_terms(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, command: str
) -> None:
    """No function's name, no JSON, no word of how it works."""
    for number in range(2):
        asked = await usecases.ask(store, lease, refund(asked=number))
    await decide(store, asked)
    reply = await slack.user("bob").command(command, "#approvals")
    assert reply.ok
    speaks_plainly([reply.blocks, {"text": reply.text}])


async def test_invalid_list_command_is_answered(
    slack: LocalSlack, store: Store, bot: Services, subtests: pytest.Subtests
) -> None:
    for words in ["history 0", "history 26", "history -1", "history all", "history ٣", "pending 3"]:
        with subtests.test(words=words):
            reply = await slack.user("bob").command(f"/approvals {words}")
            assert "Give a number" in reply.text or "with nothing after it" in reply.text


@pytest.mark.parametrize("words", ["pending", "history 25"])
async def test_long_list_fits_one_message_and_counts_the_rest(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, words: str
) -> None:
    """R14"""
    for number in range(40):
        request = await ask(store, lease, number, title="🎉" * 150)
        if words != "pending":
            await decide(store, request)
    reply = await slack.user("bob").command(f"/approvals {words}")
    assert reply.ok and len(reply.blocks) > 5
    assert " more" in json.dumps(reply.blocks[-1])


async def test_help_names_the_list_commands(slack: LocalSlack, store: Store, bot: Services) -> None:
    text = (await slack.user("bob").command("/approvals help")).text
    assert "/approvals pending" in text and "/approvals history" in text
