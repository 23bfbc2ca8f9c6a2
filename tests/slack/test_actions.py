"""What becomes of a click: counted, or answered with the reason; by the right person, on the right request."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck

from bot.slack.handlers import ack_deadline, card_buttons
from bot.slack.handlers.context import Reply, Services
from bot.slack.routes import bound
from bot.slack.views import approval_card, control_values
from bot.slack.views.control_values import Handle
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.ids import Digest, GroupId, RequestId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.errors import CannotDo
from tests.sample_requests import BOB, CAROL, editable, question, rules
from tests.slack.socket_bot import Show, events, newest_ephemeral, post, redis_away
from tests.store_fixtures import configure


async def ask(store: Store, lease: Lease, asked: Question | None = None, **settings: Any) -> Request:
    if settings:
        await configure(store, **settings)
    return await usecases.ask(store, lease, asked or question())


async def status(store: Store, request: Request) -> Status:
    seen = await store.request(request.id)
    assert seen is not None
    return seen.value.status


@pytest.mark.parametrize("button", ["Approve", "Edit"])
async def test_click_on_unknown_request_is_answered_and_logged_once(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Services, button: str
) -> None:
    """R7, R8, R25: the latest of all clicks."""
    asked = await ask(store, lease, editable())
    shown = await show(asked)
    await store.client.delete(store.keys.request(asked.id))
    slack.faults.add("deliver_twice", on="block_actions")
    await slack.user("bob").click(shown, button)
    await slack.user("bob").wait_ephemeral("no longer exists")
    await bot.drain()
    (refusal,) = [event for event in await events(store) if event.type is EventType.ATTEMPT_REFUSED]
    assert (refusal.request, refusal.user, refusal.data["refusal"]) == (
        asked.id,
        "U0BOB",
        "unknown",
    )


async def test_cards_answered_in_reverse_order_keep_their_own_answers(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R1: a button decides the request that it stands under, whatever is older or newer."""
    first, second = await ask(store, lease), await ask(store, lease, question("another", agent="other"))
    cards_shown = await show(first), await show(second)
    await slack.user("bob").click(cards_shown[1], "Approve")
    assert (await status(store, first), await status(store, second)) == (Status.PENDING, Status.APPROVED)
    await slack.user("carol").click(cards_shown[0], "Reject")
    await slack.user("carol").wait_modal("Reject")
    assert await slack.user("carol").submit({"reason": "no"}) == {}
    assert await status(store, first) is Status.REJECTED


async def test_click_counts_before_the_card_is_indexed(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R1, R2: the button carries the request's own id; the index of timestamps is not needed."""
    asked = await ask(store, lease)
    run = await store.run(asked.run)
    assert run is not None
    drawing = approval_card.card(asked, run=run.value, run_link=None)
    sent = await bot.client.chat_postMessage(channel="C0APPROVALS", text=drawing.text, blocks=drawing.blocks)
    shown = await slack.wait_message("#approvals", lambda m: m.ts == sent["ts"])
    await slack.user("bob").click(shown, "Approve")
    assert await status(store, asked) is Status.APPROVED


async def test_late_click_is_answered_with_the_decision(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: on every button of a card that is settled meanwhile."""
    asked = await ask(store, lease)
    shown = await show(asked)
    await slack.user("bob").click(shown, "Approve")
    carol = slack.user("carol")
    for number, button in enumerate(("Approve", "Reject", "Request changes"), 1):
        assert (await carol.click(shown, button, stale=True)).ok
        assert "Already decided by <@U0BOB>" in await newest_ephemeral(carol, number)
    assert carol.modal is None


async def test_click_delivered_twice_counts_once(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R8: recognised by its trigger; the second delivery is no refusal."""
    asked = await ask(store, lease, reviewers=rules().reviewers, quorum=2)
    shown = await show(asked)
    slack.faults.add("deliver_twice", on="block_actions")
    await slack.user("bob").click(shown, "Approve")
    await slack.wait_for(lambda _: len([d for d in slack.deliveries if d[0] == "interactive"]) >= 1)
    await slack.user("bob").wait_ephemeral("1 of 2")
    seen = await store.request(asked.id)
    assert seen is not None
    assert len(seen.value.votes) == 1
    assert EventType.ATTEMPT_REFUSED not in [e.type for e in await events(store)]


@pytest.mark.parametrize(
    ("person", "sentence"),
    [
        ("dave", "not a reviewer"),
        ("alice", "not a reviewer"),
        ("greta", "Guests can't decide"),
        ("sam", "another Slack workspace"),
    ],
)
async def test_only_reviewers_decide_and_others_are_refused(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, person: str, sentence: str
) -> None:
    """R7, R9, R25: by team and user id; an admin is not a reviewer."""
    asked = await ask(store, lease)
    shown = await show(asked)
    slack.invite("U0SAM", "#approvals")
    someone = slack.user(person)
    for number, button in enumerate(("Approve", "Reject"), 1):
        await someone.click(shown, button)
        assert sentence in await newest_ephemeral(someone, number)
    assert await status(store, asked) is Status.PENDING
    refused = [e for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]
    assert [e.user for e in refused] == [someone.id, someone.id]


async def test_group_members_decide_and_a_failed_look_up_refuses(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R9: who is in a group is asked of Slack; no answer is a no that says so."""
    asked = await ask(store, lease, reviewers=Reviewers(groups=frozenset({GroupId("S0REVIEWERS")})))
    shown = await show(asked)
    slack.faults.add("error", on="usergroups.list", error="missing_scope")
    await slack.user("bob").click(shown, "Approve")
    await slack.user("bob").wait_ephemeral("Slack didn't confirm that you can decide")
    assert await status(store, asked) is Status.PENDING
    slack.faults.clear()
    await slack.user("dave").click(shown, "Approve")
    await slack.user("dave").wait_ephemeral("<!subteam^S0REVIEWERS>")
    await slack.user("bob").click(shown, "Approve")
    assert await status(store, asked) is Status.APPROVED


async def test_only_full_channel_members_decide_for_a_channel(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R9: of five thousand Slack lists one page; of who clicks it says where they are. Guests and outsiders do not."""
    channel = slack.workspace.channels["C0GENERAL"]
    channel.members.update({f"U0{number:05}" for number in range(5000)} | {"U0GRETA", "U0SAM"})
    channel.members.remove("U0DAVE")
    everybody = Reviewers(groups=frozenset({GroupId("C0GENERAL")}))
    asked = await ask(store, lease, reviewers=everybody, quorum=2)
    shown = await show(asked)
    slack.invite("U0SAM", "#approvals")
    slack.faults.add("error", on="conversations.members", error="fetch_members_failed")
    await slack.user("bob").click(shown, "Approve")
    await slack.user("bob").wait_ephemeral("Slack didn't confirm that you can decide")
    slack.faults.clear()
    for name, sentence in (
        ("greta", "Guests"),
        ("sam", "another Slack workspace"),
        ("dave", "everybody in <#C0GENERAL>"),
    ):
        await slack.user(name).click(shown, "Approve")
        await slack.user(name).wait_ephemeral(sentence)
    for name in ("bob", "carol"):
        await slack.user(name).click(shown, "Approve")
    assert await status(store, asked) is Status.APPROVED
    assert len([call for call in slack.calls if call.method == "conversations.members"]) == 2
    assert len([call for call in slack.calls if call.method == "users.conversations"]) == 5


async def test_reviewer_whose_account_look_up_times_out_is_refused(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Services
) -> None:
    """R9: nobody waits for Slack longer than the directory's patience."""
    bot.directory.lookups.patience = 0.05
    asked = await ask(store, lease)
    shown = await show(asked)
    slack.faults.add("delay", on="users.info", seconds=20, times=None)
    ack = await slack.user("bob").click(shown, "Approve")
    assert ack.ok
    await slack.user("bob").wait_ephemeral("click again")
    assert await status(store, asked) is Status.PENDING


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"deleted": True}, "1 of 2 needed. Earlier votes by <@U0BOB> no longer count"),
        ({"is_restricted": True}, "1 of 2 needed. Earlier votes by <@U0BOB> no longer count"),
        (None, "Slack didn't confirm that earlier approvers can still approve this"),
    ],
)
async def test_vote_of_a_departed_reviewer_completes_no_quorum(
    slack: LocalSlack,
    store: Store,
    lease: Lease,
    bot: Services,
    show: Show,
    change: dict[str, Any] | None,
    sentence: str,
) -> None:
    """R9, R11, R25: all who voted are looked at again in the step that would complete it."""
    asked = await ask(store, lease, quorum=2)
    shown = await show(asked)
    await slack.user("bob").click(shown, "Approve")
    await slack.user("bob").wait_ephemeral("Your approval was counted: 1 of 2")
    await bot.directory.actor(CAROL)
    bot.directory.lookups.forget(("person", BOB))  # as after a minute
    if change is None:
        slack.faults.add("error", on="users.info", error="internal_error", times=None)
    else:
        bob = slack.workspace.users["U0BOB"]
        slack.workspace.users["U0BOB"] = replace(bob, **change)
    carol = slack.user("carol")
    await carol.click(shown, "Approve")
    await carol.wait_ephemeral(sentence)
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.status is Status.PENDING
    assert [vote.user for vote in seen.value.votes] == (["U0BOB"] if change is None else ["U0CAROL"])
    voided = [e for e in await events(store) if e.type is EventType.VOTE_VOIDED]
    assert [e.user for e in voided] == ([] if change is None else ["U0BOB"])


@pytest.mark.parametrize(
    ("home", "teams", "counts"),
    [
        ("T0HOME", ["T0HOME", "T0LOCAL"], True),
        ("E0ORG", ["T0LOCAL"], True),
        ("T0LOCAL", ["T0LOCAL", "T0HOME"], True),
        ("E0ORG", ["T0HOME"], False),
        ("E0ORG", [], False),
        ("T0HOME", ["T0HOME"], False),
    ],
)
async def test_only_members_of_this_workspace_of_an_organization_decide(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, home: str, teams: list[str], counts: bool
) -> None:
    """R9: a click names somebody's home workspace, so what `users.info` says of them counts; a command names ours."""
    bob = slack.workspace.users["U0BOB"]
    slack.workspace.users["U0BOB"] = replace(bob, team_id=home, enterprise="E0ORG", enterprise_teams=teams)
    slack.workspace.enterprise = "E0ORG"
    asked = await ask(store, lease)
    person = slack.user("bob")
    if counts:
        assert (await person.command("/approvals timeout 15m")).text.startswith("Saved.")
    else:
        with pytest.raises(CannotDo, match="not a valid command"):
            await person.command("/approvals timeout 15m")
    await person.click(await show(asked), "Approve")
    if not counts:
        await person.wait_ephemeral("another Slack workspace")
    assert (await status(store, asked) is Status.APPROVED) is counts


async def test_free_text_is_never_an_approval(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R12: neither in the thread nor in the window for changes."""
    asked = await ask(store, lease)
    shown = await show(asked)
    bob = slack.user("bob")
    await bob.say("approve", channel="#approvals", thread=shown.ts)
    await bob.click(shown, "Request changes")
    await bob.wait_modal("does not approve anything")
    assert await bob.submit({"answer": "I approve this"}) == {}
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.decision is not None
    assert (seen.value.status, seen.value.decision.words) == (Status.ANSWERED, "I approve this")


async def test_blank_answer_is_refused_and_can_be_corrected(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    asked = await ask(store, lease)
    bob = slack.user("bob")
    await bob.click(await show(asked), "Request changes")
    await bob.wait_modal()
    assert "Your answer is empty" in (await bob.submit({"answer": "   "}))["answer"]
    assert await bob.submit({"answer": "shorter"}) == {}
    assert await status(store, asked) is Status.ANSWERED


async def test_click_on_a_card_with_other_content_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R13: the button carries the digest of what stands beside it."""
    asked = await ask(store, lease)
    run = await store.run(asked.run)
    assert run is not None
    forged = replace(asked, question=replace(asked.question, title="Something else?"))
    shown = await post(slack, store, bot, approval_card.card(forged, run=run.value, run_link=None), forged)
    await slack.user("bob").click(shown, "Approve")
    await slack.user("bob").wait_ephemeral("This request has changed since you saw it")
    assert await status(store, asked) is Status.PENDING


OLD_VALUES = [Handle(RequestId("qunknown"), Digest("d" * 64)).write(), "junk", json.dumps([1])]
OLD_ACTIONS = [control_values.APPROVE, control_values.REJECT, control_values.VIEW_FULL, "of_another_version"]


async def test_click_on_an_unreadable_button_is_answered(
    slack: LocalSlack, bot: Services, subtests: pytest.Subtests
) -> None:
    """R7: old cards, other versions, nonsense."""
    go = {"type": "plain_text", "text": "Go"}
    for number, (action, value) in enumerate(product(OLD_ACTIONS, OLD_VALUES), start=1):
        with subtests.test(action=action, value=value):
            button = {"type": "button", "action_id": action, "value": value, "text": go}
            block = {"type": "actions", "elements": [button]}
            await bot.client.chat_postMessage(channel="C0APPROVALS", text=f"old {number}", blocks=[block])
            shown = await slack.wait_message("#approvals", lambda m: m.text == f"old {number}")  # noqa: B023
            assert (await slack.user("bob").click(shown, "Go")).ok
            assert "newest card" in await newest_ephemeral(slack.user("bob"), number)


async def test_view_full_shows_all_content_to_anybody(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13, R14: 50,000 characters, also for those who may not decide."""
    content = "\n".join(f"{n:05} delete /srv/data/{n:05}" for n in range(1700))
    asked = await ask(store, lease, question(content, kind=Kind.CODE))
    shown = await show(asked)
    dave = slack.user("dave")
    await dave.click(shown, "Details")
    modal = await dave.wait_modal("01699")
    texts = [box["elements"][0]["text"] for block in modal.blocks[2:] for box in block["elements"]]
    assert "".join(texts) == content


async def test_expired_trigger_is_reported_and_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: Slack did not open the window; nothing was decided."""
    asked = await ask(store, lease)
    shown = await show(asked)
    slack.faults.add("error", on="views.open", error="expired_trigger_id")
    await slack.user("bob").click(shown, "Reject")
    await slack.user("bob").wait_ephemeral("didn't open the window")
    assert await status(store, asked) is Status.PENDING


@pytest.mark.parametrize(("name", "words"), [("bob", "Reject"), ("dave", "not a reviewer")])
async def test_window_opens_at_once_and_is_filled_later(
    name: str, words: str, slack: LocalSlack, store: Store, lease: Lease, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: the trigger lives 3 s, however long a look-up takes; also where there is no window to open."""
    monkeypatch.setattr("bot.slack.handlers.ack_deadline.ACK_WITHIN", 0.0)
    monkeypatch.setattr("bot.slack.handlers.modal_opening.OPEN_WITHIN", 0.0)
    shown = await show(await ask(store, lease))
    slack.faults.add("delay", on="users.info", seconds=0.5)
    assert (await slack.user(name).click(shown, "Reject")).ok
    small = await slack.user(name).wait_modal("One moment")
    assert (await slack.user(name).wait_modal(words)).id == small.id
    assert slack.user(name).ephemerals == []


async def test_click_during_redis_outage_is_answered_and_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: with the words what to do."""
    asked = await ask(store, lease)
    shown = await show(asked)
    async with redis_away(store):
        ack = await slack.user("bob").click(shown, "Approve")
        assert ack.ok
        await slack.user("bob").wait_ephemeral("Countersign can't reach its database")
    assert await status(store, asked) is Status.PENDING


async def test_slow_redis_delays_the_answer_but_not_the_ack(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: Slack never shows its own error for a click that counts."""
    monkeypatch.setattr("bot.slack.handlers.ack_deadline.ACK_WITHIN", 0.0)
    asked = await ask(store, lease)
    shown = await show(asked)
    await slack.user("bob").click(shown, "Approve")
    await slack.wait_message("#approvals", lambda message: "Approved" in message.text)  # the ack comes before it counts
    await store.client.client_pause(300_000, all=False)
    try:
        ack = await slack.user("carol").click(shown, "Approve", stale=True)
        assert ack.ok
    finally:
        await store.client.client_unpause()
    await slack.user("carol").wait_ephemeral("Already decided by <@U0BOB>")


@pytest.mark.parametrize("broken", ["chat.postEphemeral", "response_url"])
async def test_click_is_answered_when_one_of_two_ways_fails(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, broken: str
) -> None:
    """R7"""
    shown = await show(await ask(store, lease))
    slack.faults.add("server_error", on=broken, status=503, times=None)
    await slack.user("dave").click(shown, "Approve")
    await slack.user("dave").wait_ephemeral("not a reviewer")


@pytest.mark.parametrize("address", ["https://a..b/actions", "no address", "http://[", "https://\ud800/"])
async def test_answer_to_an_invalid_response_url_is_posted(slack: LocalSlack, bot: Services, address: str) -> None:
    """R7"""
    body = {"user_id": "U0BOB", "team_id": "T0LOCAL", "channel_id": "C0GENERAL", "response_url": address}
    await ack_deadline.tell(bot.client, body, Reply("Nothing was changed."))
    await slack.user("bob").wait_ephemeral("Nothing was changed.")


async def test_exception_in_a_handler_is_reported_and_logged(
    slack: LocalSlack,
    store: Store,
    lease: Lease,
    show: Show,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R7: whatever happens, the person hears of it."""
    shown = await show(await ask(store, lease))
    monkeypatch.setattr(card_buttons, "complete", None)
    assert (await slack.user("bob").click(shown, "Approve")).ok
    await slack.user("bob").wait_ephemeral("Something went wrong on our end")
    assert "A listener failed for U0BOB" in caplog.text


async def test_click_on_request_of_newer_schema_is_refused(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7"""
    asked = await ask(store, lease)
    shown = await show(asked)
    await store.client.set(store.keys.request(asked.id), b"1 99\n{}", px=60_000)
    await slack.user("bob").click(shown, "Approve")
    await slack.user("bob").wait_ephemeral("has schema 99")


def test_button_handle_reads_only_its_own_format() -> None:
    handle = Handle(RequestId("q1"), Digest("d" * 64))
    assert Handle.read(handle.write()) == handle
    for other in ("", "{}", "null", '{"request": 1, "digest": "d"}', "x" * 3000):
        assert Handle.read(other) is None


async def test_exception_after_the_ack_is_reported_and_logged(
    slack: LocalSlack, bot: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """R7: Slack has its answer by then, and Bolt has forgotten the listener."""

    async def broken(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        raise ValueError("a bug")

    ack = AsyncAck()  # type: ignore[no-untyped-call]
    await bound(bot, broken)(
        ack, {"user": {"id": "U0BOB"}, "team": {"id": "T0LOCAL"}, "channel": {"id": slack.channel("#approvals").id}}
    )
    assert ack.response is not None
    await slack.user("bob").wait_ephemeral("Something went wrong on our end")
    assert "A listener failed for U0BOB" in caplog.text
