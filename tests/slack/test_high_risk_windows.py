"""What is of high risk as people meet it: no button that approves, all of it in a window, and a word."""

import json
from typing import Any

import pytest

from bot.slack.handlers import ack_deadline
from bot.slack.views import control_values, modal_parts, review_modals
from bot.slack.views.approval_card import card
from countersign import usecases
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Risk
from countersign.domain.events import EventType
from countersign.domain.requests import Kind, Question, Request, Status
from countersign.policy.evaluation import Rulebook
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.modals import View
from localslack.person import Person
from localslack.text import text_of
from localslack.workspace import Message
from tests.sample_requests import question
from tests.slack.socket_bot import Show, connected_bot, events, post
from tests.slack.test_actions import status
from tests.slack.test_edits import ask, decision, refund
from tests.slack.test_review import RM

WORD = review_modals.WORD
HUGE = "\n".join(f"{n:06} echo all is well" for n in range(8_000)) + f"\n{RM}\n" + "x" * 150_000


@pytest.fixture(autouse=True)
async def policy(store: Store) -> None:
    await store.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH), ("shell", Risk.HIGH))))


def forged(shown: Message, action: str, **changes: Any) -> None:
    """The card as an older version, or a client of somebody's own, has it."""
    elements = next(b for b in shown.blocks or [] if b["type"] == "actions")["elements"]
    next(e for e in elements if e["action_id"] == action).update(changes)


def shell(code: str) -> Question:
    return question(code, kind=Kind.CODE, title="run code", call=Call("shell", canonical({"code": "see above"})))


async def refusals(store: Store) -> list[str]:
    return [e.data["refusal"] for e in await events(store) if e.type is EventType.ATTEMPT_REFUSED]


async def test_high_risk_window_asks_for_the_word_below_content(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R13, R25: what was typed wrong is told under it, is on record, and can be typed again."""
    asked = await ask(store, lease, refund())
    shown = await show(asked)
    assert (shown.blocks or [])[0]["text"]["text"] == ':rotating_light: *High risk* · you\'ll type "refund"'
    assert shown.buttons == ["Review…", "Reject"]
    bob = slack.user("bob")
    await bob.click(shown, "Review…")
    view = await bob.wait_modal("*Tool:* `refund`")
    assert view.json["submit"]["text"] == "Approve"
    for wrong in ("approve", "refnud"):
        assert (await bob.submit({WORD: wrong}))[WORD] == 'Type "refund" to approve.'
    assert await status(store, asked) is Status.PENDING
    assert await refusals(store) == ["not_typed", "not_typed"]
    assert await bob.submit({WORD: " Refund "}) == {}
    assert await status(store, asked) is Status.APPROVED
    assert bob.modal is None


async def test_direct_approve_button_opens_the_high_risk_window(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R13: whatever button a card has, of an older version or made up."""
    asked = await ask(store, lease, refund())
    shown = await show(asked)
    forged(shown, control_values.REVIEW, action_id=control_values.APPROVE)
    bob = slack.user("bob")
    await bob.click(shown, control_values.APPROVE, stale=True)
    await bob.wait_modal('Type "refund" to approve')
    assert await status(store, asked) is Status.PENDING


async def test_forged_menu_gives_no_permission_for_high_risk_calls(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R24"""
    asked = await ask(store, lease, refund(), break_glass=True)
    bob, alice = slack.user("bob"), slack.user("alice")
    shown = await show(asked)
    for person, do, told in (
        (bob, control_values.MenuItem.PERMIT, "reviewed each time"),
        (alice, control_values.MenuItem.BREAK_GLASS, "high risk"),
    ):
        made_up = {"text": {"type": "plain_text", "text": "Go"}, "value": f"{do} {asked.id} {asked.digest}"}
        forged(shown, control_values.MORE, options=[made_up])
        await person.click(shown, control_values.MORE, choose="Go", stale=True)
        await person.wait_ephemeral(told)
        assert person.modal is None
    assert await status(store, asked) is Status.PENDING


async def test_high_risk_window_of_another_person_approves_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R9: each opens it themselves, though both may decide; Slack keeps to it, and we do not rely on that alone."""
    asked = await ask(store, lease, refund())
    bob, carol = slack.user("bob"), slack.user("carol")
    await bob.click(await show(asked), "Review…")
    view = await bob.wait_modal('Type "refund"')
    slack.platform.modals.stacks[carol.id] = [view]
    assert "open the full request" in (await carol.submit({WORD: "refund"}, view=view))[WORD]
    assert await status(store, asked) is Status.PENDING
    assert await refusals(store) == ["not_opened"]


async def test_quorum_reviewers_open_the_window_without_typing_a_word(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R11"""
    asked = await ask(store, lease, refund(), quorum=2)
    shown = await show(asked)
    for name in ("bob", "carol"):
        assert await status(store, asked) is Status.PENDING
        person = slack.user(name)
        await person.click(shown, "Review…")
        await person.wait_modal("*Tool:* `refund`")
        assert await person.submit() == {}
    assert (await decision(store, asked)).by == ("U0BOB", "U0CAROL")


LOADING = modal_parts.loading()["title"]["text"]


async def next_part(person: Person, shown: View) -> View:
    before = shown.title  # an update changes the very view
    assert await person.submit() == {}
    return await person.wait_modal(lambda view: view.title not in (before, LOADING))


async def test_all_parts_of_long_content_precede_the_word(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13, R14: nothing is left out between them; the card's file alone approves nothing."""
    asked = await ask(store, lease, shell(HUGE))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    view, read = await bob.wait_modal("part 1 of"), ""
    while not modal_parts.has_block(view.json, review_modals.WORD):
        read += text_of(view.json)
        assert await status(store, asked) is Status.PENDING
        view = await next_part(bob, view)
    read += text_of(view.json)
    assert "not shown here" not in read
    assert RM in read and all(f"{n:06} echo" in read for n in range(8_000)) and read.count("x") >= 150_000
    assert await bob.submit({WORD: "shell"}) == {}
    assert await status(store, asked) is Status.APPROVED


async def test_reader_of_long_content_hears_of_a_decision_meanwhile(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R3, R7"""
    asked = await ask(store, lease, shell(HUGE))
    shown = await show(asked)
    bob, carol = slack.user("bob"), slack.user("carol")
    await bob.click(shown, "Review…")
    await bob.wait_modal("part 1 of")
    await carol.click(shown, "Reject")
    await carol.wait_modal("Reject")
    await carol.submit()
    assert await bob.submit() == {}
    await bob.wait_modal("Already decided by")
    assert await status(store, asked) is Status.REJECTED


async def test_part_that_opens_too_late_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: Slack closes the window of who has no answer in time."""
    asked = await ask(store, lease, shell(HUGE))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    await bob.wait_modal("part 1 of")
    monkeypatch.setattr(ack_deadline, "ACK_WITHIN", 0.0)
    assert await bob.submit() == {}
    await bob.wait_ephemeral("Nothing was decided; please open it again")
    assert await status(store, asked) is Status.PENDING


async def test_edit_of_a_high_risk_call_needs_the_word(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13, R18: the form comes after the full view."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    assert (await bob.wait_modal("*Tool:* `refund`")).json["submit"]["text"] == "Edit…"
    assert await bob.submit() == {}
    await bob.wait_modal("Number of the order")
    assert list(await bob.submit({"Amount": "10", WORD: "go"})) == [WORD]
    assert await status(store, asked) is Status.PENDING
    assert await bob.submit({"Amount": "10", WORD: "refund"}) == {}
    made = await decision(store, asked)
    assert (made.outcome, json.loads(made.arguments)["amount"]) == (Status.EDITED, 10)


async def test_high_risk_window_is_accepted_by_another_process(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R4: nothing of it lives in a process."""
    asked = await usecases.ask(store, lease, refund())
    bob = slack.user("bob")
    async with connected_bot(slack, store) as first:
        await bob.click(await _post(slack, store, first, asked), "Review…")
        await bob.wait_modal('Type "refund"')
    async with connected_bot(slack, store):
        assert await bob.submit({WORD: "refund"}) == {}
    assert await status(store, asked) is Status.APPROVED


async def _post(slack: LocalSlack, store: Store, bot: Any, asked: Request) -> Message:
    run = await store.run(asked.run)
    assert run is not None
    return await post(slack, store, bot, card(asked, run=run.value, run_link=None), asked)
