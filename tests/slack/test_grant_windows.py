"""Standing permissions and break-glass as people meet them: the menu, the windows, the list, the thread."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.handlers.context import Services
from bot.slack.people.account_check import why_not_asked
from bot.slack.people.actors import giver_of
from bot.slack.projector.message_sync import Poster
from bot.slack.projector.projector import Projector
from bot.slack.slack_calls import GatedCalls
from bot.slack.views import answer_modals, commands_text, confirmation_text, home, modal_parts, review_modals
from bot.slack.views.block_kit import Block
from bot.slack.views.control_values import MORE, MenuItem, read_item
from bot.slack.views.decision_details import allows, details
from bot.slack.views.slack_markup import exactly
from countersign import usecases
from countersign.domain import decision_attempts, standing_permissions
from countersign.domain.calls import Call
from countersign.domain.events import EventType
from countersign.domain.people import Actor
from countersign.domain.requests import How, Kind, Question, Request, Scope, Status
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.store.outbox import Outbox
from countersign.store.store import Store
from countersign.usecases import delegation
from countersign.usecases.permission_use import before_people
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from localslack.payload_checks import check_message_blocks
from localslack.workspace import Message
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, DAVE, GENERAL, HERE, NOW, OURS, attempt, call, question, request
from tests.slack.sample_views import mrkdwn_of
from tests.slack.socket_bot import Show, events, newest_ephemeral
from tests.slack.test_projector import all_drawn
from tests.store_fixtures import NoQueue, configure, new_run

DONT_ASK = "Approve and don't ask again…"
LONG = "\n".join(f"{n:04} echo all is well" for n in range(300))


async def now_is(store: Store, asked: Request) -> Request:
    seen = await store.request(asked.id)
    assert seen is not None
    return seen.value


async def given(store: Store, lease: Lease, wish: PermissionChoice, asked: Question | None = None) -> Permission:
    of = await usecases.ask(store, lease, asked or call())
    await usecases.decide(store, NoQueue(), of.id, attempt(of, BOB, permission=wish, name=f"give-{of.id}"))
    return (await store.permissions())[-1].value


@asynccontextmanager
async def drawing(slack: LocalSlack, store: Store, bot: Services) -> AsyncIterator[None]:
    """A projector at work, as `python -m bot` wires it."""
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=int(PATIENCE))
    whose, why_nobody = partial(giver_of, store, bot.directory), partial(why_not_asked, bot.directory)
    allow = before_people(store, NoQueue(), whose, why_nobody)
    one = Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)
    projector = Projector(store, Outbox(store), one, "web-1", allow=allow)
    task = asyncio.create_task(projector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def menu(message: Message) -> list[str]:
    """What the card's one menu offers that decides with more than a click."""
    elements = [e for b in message.blocks or [] if b["type"] == "actions" for e in b["elements"]]
    options = [o for e in elements if e["type"] == "overflow" for o in e["options"]]
    with_more = (MenuItem.PERMIT, MenuItem.BREAK_GLASS)
    return [o["text"]["text"] for o in options if (it := read_item(o["value"])) and it[0] in with_more]


async def test_standing_permission_is_given_by_the_window_and_listed(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R24: the narrowest is chosen already; what was chosen is what stands."""
    asked = await usecases.ask(store, lease, call())
    bob = slack.user("bob")
    await bob.click(await show(asked), MORE, choose=DONT_ASK)
    view = await bob.wait_modal("Refund order 17: 20 EUR")
    radios = [b["element"] for b in view.blocks if b["type"] == "input"]
    assert [r["initial_option"]["value"] for r in radios] == ["call", "run"]
    assert (await now_is(store, asked)).status is Status.PENDING
    choices = {review_modals.SCOPE: "This tool with the same values", review_modals.SPAN: "For an hour"}
    assert await bob.submit(choices) == {}
    done = await now_is(store, asked)
    assert done.decision is not None and done.decision.standing is not None
    assert (done.status, done.decision.standing.scope) == (Status.APPROVED, Scope.ARGUMENTS)
    carol = slack.user("carol")
    await carol.command("/approvals permissions", channel="#approvals")
    listed = text_of(await carol.wait_ephemeral("1 standing permission"))
    assert "*email* can run *refund* (`refund`) with the same values" in listed
    assert "Given by <@U0BOB>" in listed and "not used yet" in listed


async def test_permitted_request_is_reported_in_its_thread_without_card(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6, R24: nobody in #approvals is troubled, and the requester reads by whom it was allowed."""
    permission = await given(store, lease, PermissionChoice(Scope.TOOL, Span.HOUR))
    asked = await usecases.ask(store, await new_run(store, "rlater"), call(order=18))
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    roots = [message.ts for message in slack.channel("#general").messages]
    (later,) = [root for root in roots if await store.message_run(HERE, GENERAL, root) == "rlater"]
    (note,) = [m for m in slack.channel("#general").thread(later) if "Auto-approved" in text_of(m)]
    assert (await now_is(store, asked)).status is Status.APPROVED
    assert permission.id in text_of(note) and "<@U0BOB>" in text_of(note)
    (earlier,) = slack.channel("#approvals").messages  # the request with which the permission was given
    assert "Approve" not in earlier.buttons and "order 18" not in text_of(earlier)


async def test_permission_of_a_departed_reviewer_asks_people(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9, R24: Slack is asked at each use."""
    await given(store, lease, PermissionChoice(Scope.TOOL, Span.HOUR))
    slack.workspace.users[BOB].deleted = True
    await usecases.ask(store, await new_run(store, "rlater"), call())
    async with drawing(slack, store, bot):
        await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        await all_drawn(slack, store)


async def test_stand_in_permission_lasts_while_they_stand_in(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, show: Show
) -> None:
    """R9, R24, R25: by the same rule as their click, at each use; it is told in whose place they gave it."""
    now = await store.now()
    await delegation.leave(store, Actor(HERE, BOB), Actor(HERE, DAVE), now + timedelta(days=1))
    asked, dave = await usecases.ask(store, lease, call()), slack.user("dave")
    await dave.click(await show(asked), MORE, choose=DONT_ASK)
    await dave.wait_modal("Refund order 17")
    choices = {review_modals.SCOPE: "This tool with any values", review_modals.SPAN: "For an hour"}
    assert await dave.submit(choices) == {}
    allowed = await usecases.ask(store, await new_run(store, "rlater"), call(order=18))
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    done = await now_is(store, allowed)
    assert done.decision is not None and done.decision.how is How.PERMISSION
    assert (done.decision.by, done.decision.instead_of) == ((DAVE,), (BOB,))
    await delegation.come_back(store, Actor(HERE, BOB))
    later = await usecases.ask(store, await new_run(store, "rlast"), call(order=19))
    async with drawing(slack, store, bot):
        await all_drawn(slack, store)
    assert (await now_is(store, later)).status is Status.PENDING


async def test_permission_list_revokes_for_reviewers(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R7, R24, R25"""
    permission = await given(store, lease, PermissionChoice(Scope.TOOL, Span.HOUR))
    alice, carol = slack.user("alice"), slack.user("carol")
    alice.user.is_admin = False
    listed = {}
    for person in (alice, carol):
        await person.command("/approvals permissions")
        listed[person.id] = await person.wait_ephemeral("1 standing permission")
    slack.faults.add("deliver_twice", on="block_actions", times=1)
    await alice.click(listed[alice.id], "Revoke")
    await slack.wait_for(lambda _: len(alice.ephemerals) == 3 or None)
    assert all("It's still in force" in reply.text for reply in alice.ephemerals[-2:])
    await carol.click(listed[carol.id], "Revoke")
    await carol.wait_ephemeral("<@U0CAROL> revoked <@U0BOB>'s permission for")
    assert await store.permissions() == []
    reply = await carol.command("/approvals permissions")
    assert "No standing permissions here" in reply.text
    kinds = [e.type for e in await events(store)]
    assert kinds.count(EventType.PERMISSION_REVOKED) == 1
    assert kinds.count(EventType.ATTEMPT_REFUSED) == 1
    kept = await store.permission(permission.id)
    assert kept is not None and kept.value.revoked_by == "U0CAROL"


async def test_permission_menu_needs_a_call_with_quorum_one(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R24"""
    assert menu(await show(await usecases.ask(store, lease, question()))) == []
    assert menu(await show(await usecases.ask(store, lease, call()))) == [DONT_ASK]
    await configure(store, quorum=2, break_glass=True)
    assert menu(await show(await usecases.ask(store, lease, replace(call(), asked=1)))) == []


async def test_permission_window_shows_content_too_long_for_the_card(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13"""
    asked = await usecases.ask(store, lease, replace(call(), content=LONG))
    bob = slack.user("bob")
    await bob.click(await show(asked), MORE, choose=DONT_ASK)
    await bob.wait_modal("0150 echo all is well")


@pytest.mark.parametrize("window", ["permit", "break-glass"])
async def test_window_without_the_whole_content_needs_a_reading_confirmation(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, window: str
) -> None:
    """R13: nothing is decided before the box is checked; then it counts."""
    await configure(store, break_glass=True)
    asked = await usecases.ask(store, lease, replace(call(), content=LONG * 20))
    person = slack.user("bob" if window == "permit" else "alice")
    await person.click(await show(asked), MORE, choose=DONT_ASK if window == "permit" else "More…")
    if window == "break-glass":  # the menu has no room for it beside the rest
        await person.wait_modal("What do you want to do?")
        assert await person.submit({answer_modals.ITEM: "Break glass…"}) == {}
    view = await person.wait_modal("This window has no room for all of it")
    reason = {review_modals.REASON: "The shop is down."} if window == "break-glass" else {}
    assert modal_parts.READ in await person.submit(reason, view)  # Slack itself asks for what is required
    next(block for block in view.blocks if block["block_id"] == modal_parts.READ)["optional"] = True
    assert await person.submit(reason, view) == {modal_parts.READ: confirmation_text.READ_FIRST}  # and so do we
    assert (await now_is(store, asked)).status is Status.PENDING
    assert EventType.REQUEST_DECIDED not in [event.type for event in await events(store)]
    assert await person.submit({**reason, modal_parts.READ: ["yes"]}, view) == {}
    assert (await now_is(store, asked)).status is Status.APPROVED


async def test_menu_window_that_opens_too_late_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: Slack closes the window of who has no answer in time."""
    await configure(store, break_glass=True)
    alice = slack.user("alice")
    await alice.click(await show(await usecases.ask(store, lease, call())), MORE, choose="More…")
    await alice.wait_modal("What do you want to do?")
    monkeypatch.setattr("bot.slack.handlers.ack_deadline.ACK_WITHIN", 0.0)
    assert await alice.submit({answer_modals.ITEM: "Break glass…"}) == {}
    await alice.wait_ephemeral("Nothing was decided; please open it again")


async def test_break_glass_by_the_requester_tells_all_reviewers(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R10, R25: with a reason, marked on the card, in its thread, in the run's thread and in the record."""
    await configure(store, break_glass=True)
    asked = await usecases.ask(store, lease, question())
    alice = slack.user("alice")
    async with drawing(slack, store, bot):
        card = await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        assert "in an emergency, the requester alone" in text_of(card)
        await alice.click(card, MORE, choose="Break glass…")
        await alice.wait_modal("Break-glass")
        assert await alice.submit({review_modals.REASON: "   "}) != {}
        assert (await now_is(store, asked)).status is Status.PENDING
        assert await alice.submit({review_modals.REASON: "The shop is down <!channel>."}) == {}
        message = await slack.wait_message("#approvals", lambda m: "You're a reviewer of" in text_of(m), thread=card.ts)
        root = await slack.wait_message("#general", lambda m: "asked *email*" in text_of(m))
        await slack.wait_message("#general", lambda m: "Break-glass" in text_of(m), thread=root.ts)
        await all_drawn(slack, store)
    done = await now_is(store, asked)
    assert done.decision is not None and done.decision.how is How.BREAK_GLASS
    (settled,) = slack.channel("#approvals").messages
    assert "Break-glass" in text_of(settled) and menu(settled) == []
    assert "<@U0BOB> <@U0CAROL>" in text_of(message) and "The shop is down" in text_of(message)
    assert "<!channel>" not in str([b for b in message.blocks or [] if b["type"] == "section"])
    kinds = [(e.type, e.data.get("how")) for e in await events(store)]
    assert (EventType.REQUEST_DECIDED, "break_glass") in kinds


async def test_break_glass_is_off_until_the_channel_allows_it(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Services
) -> None:
    """R10: a card from before, or a forged click, finds it off."""
    await configure(store, break_glass=True)
    open_card = await show(await usecases.ask(store, lease, question()))
    assert menu(open_card) == ["Break glass…"]
    carol = slack.user("carol")
    assert "Break-glass: off" in (await carol.command("/approvals break-glass no")).text
    asked = await usecases.ask(store, lease, question(asked=1))
    shown = await show(asked)
    assert menu(shown) == []
    for element in next(b for b in open_card.blocks or [] if b["type"] == "actions")["elements"]:
        for option in element.get("options", ()):
            option["value"] = f"{MenuItem.BREAK_GLASS} {asked.id} {asked.digest}"
    alice = slack.user("alice")
    await alice.click(open_card, MORE, choose="Break glass…", stale=True)
    await alice.wait_ephemeral("Break-glass is off in this channel")
    assert (await now_is(store, asked)).status is Status.PENDING


async def test_menu_of_another_version_is_answered(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R7"""
    shown = await show(await usecases.ask(store, lease, call()))
    for value in ("", "permit", "permit q1", "nothing q1 d1", "a b c d"):
        for element in next(b for b in shown.blocks or [] if b["type"] == "actions")["elements"]:
            for option in element.get("options", ()):
                option["value"] = value or "-"
        bob = slack.user("bob")
        before = len(bob.ephemerals)
        await bob.click(shown, MORE, choose=DONT_ASK, stale=True)
        words = await newest_ephemeral(bob, before + 1)
        assert "othing was decided" in words or "newest card" in words


def test_permission_list_fits_a_message_for_any_tool_name() -> None:
    """R14, R24: what has no room is counted, or nobody could revoke any of them."""
    asked = replace(call(), call=Call("返金" * 30, "{}"))
    by = attempt(request(asked=asked), BOB, permission=PermissionChoice(Scope.TOOL, Span.DAY))
    one = standing_permissions.given_with(decision_attempts.decide(request(asked=asked), by, NOW).request, "email")
    assert one is not None
    blocks = commands_text.standing_permissions([one] * 30).blocks
    check_message_blocks(blocks)
    shown = sum("accessory" in block for block in blocks)
    assert 5 < shown < 20 and f"and {30 - shown} more" in str(blocks[-1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a_b", "a-b"),
        ("sendMail", "send_mail"),
        ("refund", "ref\u0443nd"),
        ("a`b", "a\u02cbb"),
        ("x" * 400 + "_read", "x" * 400 + "_drop"),
    ],
)
def test_look_alike_tool_names_differ_in_permissions(one: str, other: str) -> None:
    """R13, R24: in its window, in the decision that gave it, and in both lists."""

    def drawn(tool: str) -> list[list[Block]]:
        asked = request(asked=replace(call(), call=Call(tool, "{}")))
        made = decision_attempts.decide(
            asked, attempt(asked, BOB, permission=PermissionChoice(Scope.TOOL, Span.DAY)), NOW
        ).request
        given = standing_permissions.given_with(made, "support")
        assert given is not None and made.decision is not None
        lists = [home.permissions([given]), commands_text.standing_permissions([given]).blocks]
        (named,) = [b for b in review_modals.permit(asked, GENERAL)["blocks"] if "*Tool:*" in str(b)]
        return [[named], details(made, made.decision), *lists]

    for by_one, by_other in zip(map(mrkdwn_of, drawn(one)), map(mrkdwn_of, drawn(other)), strict=True):
        assert _without_ids(by_one) != _without_ids(by_other)
        assert f"`{exactly(one)}`" in by_one


def _without_ids(text: str) -> str:
    return re.sub(r"`(p|q)[0-9a-f]+`", "", text)


def test_marked_up_tool_name_stays_inside_its_marks() -> None:
    """R15: it stands between our marks as data, and is as long as we let it be."""
    name = exactly("`*x*` <@U0BOB> \n" + "y" * 900)
    assert not set(name) & set("`\n") and len(name) < 400
    assert "<@" not in allows(Scope.TOOL, Kind.TOOL, "`*x*` <@U0BOB>")
