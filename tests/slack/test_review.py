"""Approving what a card does not show whole, and whatever hides in it (R13, R14, R15)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from bot.slack.views import control_values, reviewed_content
from countersign import usecases
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Escalation
from countersign.domain.events import EventType
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Status
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack
from localslack.text import text_of
from tests.sample_requests import DAVE, question, rules
from tests.slack.socket_bot import Show, events
from tests.slack.test_actions import ask, status
from tests.slack.test_overtaken import under_way
from tests.store_fixtures import NoQueue

LONG = "\n".join(f"{n:04} echo all is well" for n in range(300))
RM = "rm -rf /"
HIDINGS = {
    "behind 10,000 spaces": ("echo ok" + " " * 10_000 + RM, ["⟦9,998 spaces⟧ rm -rf /"]),
    "in the middle of 12,000 characters": ("x" * 6_000 + f"\n{RM}\n" + "y" * 6_000, [RM]),
    "behind bidi marks": (f"\u202e{RM[::-1]}\u202c\nand \u2066{RM}\u2069", ["⟦U+202E⟧", "⟦U+2066⟧rm -rf /⟦U+2069⟧"]),
    "behind a look-alike": (f"r\u043em notes; r\uff4d -rf /; {RM}", ["r\u043e⟦U+043E⟧m", "r\uff4d⟦U+FF4D⟧", RM]),
    "after 500 empty lines": ("echo ok" + "\n" * 501 + RM, ["⟦500 empty lines⟧\nrm -rf /"]),
    "behind a secret": (f"--password=hunter22 -u 'Bearer {RM}' && PASSWORD={RM}", ["Bearer rm -rf /", "PASSWORD=rm"]),
    "in the middle of secrets": ("password=hunter22\n" * 400 + RM + "\npassword=hunter22" * 400, [RM]),
}  # fmt: skip


def command(text: str, kind: Kind) -> Question:
    made = Call("shell", canonical({"code": text}))
    return question(text, kind=kind, title="run code", call=None if kind is Kind.MESSAGE else made)


async def test_hidden_content_is_visible_before_approve_can_be_clicked(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, subtests: pytest.Subtests
) -> None:
    """R13, R15: on the card, or in the window whose button approves."""
    bob, kinds = slack.user("bob"), (Kind.MESSAGE, Kind.TOOL, Kind.CODE)
    for number, (hiding, kind) in enumerate(product(HIDINGS, kinds)):
        with subtests.test(hiding=hiding, kind=kind):
            text, seen = HIDINGS[hiding]
            shown = await show(await ask(store, lease, replace(command(text, kind), asked=number)))
            on_card = text_of(shown)
            assert "Approve" not in shown.buttons or all(words in on_card for words in seen)
            if "Review…" in shown.buttons:
                await bob.click(shown, "Review…")
                view = await bob.wait_modal(lambda view: view.json["submit"])
                assert view.json["submit"]["text"] == "Approve"
                assert all(words in text_of(view.json) for words in seen)
                assert not {"\u202e", "\u2066"} & set(text_of(view.json))
                await bob.close()
            assert not {"\u202e", "\u2066"} & set(on_card)
            assert ("mixes alphabets" in on_card or "words mix" in on_card) == ("look-alike" in hiding)


async def test_full_view_approves_content_too_long_for_the_card(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: nothing is decided when it opens; its button decides."""
    asked = await ask(store, lease, question(LONG))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    view = await bob.wait_modal("0150 echo all is well")
    assert await status(store, asked) is Status.PENDING
    assert await bob.submit(view=view) == {}
    assert await status(store, asked) is Status.APPROVED
    assert bob.modal is None


async def test_click_that_opens_a_window_never_decides(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: while Slack says who Dave is, the request goes to him; he has seen nothing of it yet."""
    next_people = Escalation(timedelta(milliseconds=1), Reviewers(frozenset({DAVE})))
    await store.set_defaults(rules(escalation=(next_people,)))
    asked = await ask(store, lease, question(LONG))
    shown = await show(asked)
    slow = slack.faults.add("delay", on="users.info", seconds=0.5)
    click = asyncio.create_task(slack.user("dave").click(shown, "Review…"))
    await under_way(slack, slow)
    await usecases.catch_up(store, NoQueue(), asked.id)
    await click
    assert await status(store, asked) is Status.PENDING
    await slack.user("dave").wait_ephemeral("not a reviewer")


async def test_old_card_with_long_content_does_not_approve_directly(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: whatever button stands there, what has no room on a card is not approved by a click on it."""
    asked = await ask(store, lease, question(LONG))
    shown = await show(asked)
    for element in next(b for b in shown.blocks or [] if b["type"] == "actions")["elements"]:
        if element["action_id"] == control_values.REVIEW:
            element |= {"action_id": control_values.APPROVE, "text": {"type": "plain_text", "text": "Approve"}}
    bob = slack.user("bob")
    await bob.click(shown, "Approve", stale=True)
    await bob.wait_modal("0150 echo all is well")
    assert await status(store, asked) is Status.PENDING


async def test_stranger_gets_a_refusal_and_no_review_window(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R9, R25"""
    shown = await show(await ask(store, lease, question(LONG)))
    alice = slack.user("alice")
    await alice.click(shown, "Review…")
    await alice.wait_ephemeral("not a reviewer")
    assert alice.modal is None
    assert EventType.ATTEMPT_REFUSED in [e.type for e in await events(store)]


async def test_late_approval_in_the_full_view_is_refused_there(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R3, R7: time, identity and digest are judged at the submit."""
    asked = await ask(store, lease, question(LONG))
    shown = await show(asked)
    bob, carol = slack.user("bob"), slack.user("carol")
    for person in (bob, carol):
        await person.click(shown, "Review…")
        await person.wait_modal("0150 echo")
    await bob.submit()
    assert await carol.submit() == {}
    view = await carol.wait_modal("Already decided by")
    assert view.json["submit"] is None
    await carol.close()
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.decision is not None
    assert seen.value.decision.by == ("U0BOB",)


async def test_approval_of_changed_content_is_refused(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: the window carries the digest of what it showed."""
    asked = await ask(store, lease, question(LONG))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    await bob.wait_modal("0150 echo")
    seen = await store.request(asked.id)
    assert seen is not None
    other = replace(seen.value, question=replace(seen.value.question, title="Something else?"))
    await store.commit(Change(requests=(Put(other, seen.version),)))
    await bob.submit()
    await bob.wait_modal("This request has changed since you saw it")
    assert await status(store, asked) is Status.PENDING


async def test_submit_delivered_twice_counts_once(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R8, R11: the second delivery is no refusal and no second vote; who voted is told what is missing."""
    asked = await ask(store, lease, question(LONG), quorum=2)
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    await bob.wait_modal("0150 echo")
    slack.faults.add("deliver_twice", on="view_submission")
    await bob.submit()
    await bob.wait_ephemeral("1 of 2")
    seen = await store.request(asked.id)
    assert seen is not None
    assert len(seen.value.votes) == 1
    assert EventType.ATTEMPT_REFUSED not in [e.type for e in await events(store)]


async def test_content_beyond_a_window_needs_the_file_read(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R14: the window says what it does not show, and asks whether the file was read before it approves."""
    asked = await ask(store, lease, command("x" * 150_000 + RM + "y" * 150_000, Kind.CODE))
    assert reviewed_content.needs_file(asked) and RM in reviewed_content.file_of(asked)[1].decode()
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    await bob.wait_modal("characters in between are not shown here")
    assert "read" in await bob.submit()
    assert await status(store, asked) is Status.PENDING
    assert await bob.submit({"read": ["yes"]}) == {}
    assert await status(store, asked) is Status.APPROVED


@pytest.mark.parametrize("of_a_call", [True, False])
async def test_value_hidden_by_guess_prevents_one_click_approval(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, of_a_call: bool
) -> None:
    """R30: on a card of one and in a row; what the team named itself costs nothing."""
    made = Call("refund", canonical({"order": 17, "card": "4111", "password": "hunter22"}), hidden=("card",))
    guess = question("Refund order 17", kind=Kind.TOOL, title="Refund 20.00 EUR", agent="clerk", call=made)
    named = replace(guess, call=replace(made, hidden=("card", "password")))
    guess = guess if of_a_call else question("mysql --password=hunter22 orders")
    for one, least in ((guess, False), (named, True)):
        assert (reviewed_content.complete(one), reviewed_content.in_row(one)[1]) == (least, least)
    asked = await ask(store, lease, guess)
    shown = await show(asked)
    assert "1 value is hidden because it looks like a secret" in text_of(shown)
    assert "Review…" in shown.buttons and "Approve" not in shown.buttons
    bob = slack.user("bob")
    await bob.click(shown, "Review…")
    window = await bob.wait_modal("1 value is hidden because it looks like a secret")
    assert "hunter22" not in text_of(window.json)
    assert await status(store, asked) is Status.PENDING
    assert await bob.submit() == {}
    assert await status(store, asked) is Status.APPROVED


async def test_raw_arguments_are_one_click_away(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R13, R15: for everybody in the channel, without what is secret."""
    made = Call("refund", canonical({"order": 17, "card": "4111", "password": "hunter22"}), hidden=("card", "password"))
    asked = question("Refund order 17", kind=Kind.TOOL, title="Refund 20.00 EUR", agent="clerk", call=made)
    shown = await show(await ask(store, lease, asked))
    assert "Refund 20.00 EUR" in text_of(shown)
    alice = slack.user("alice")
    await alice.click(shown, "Details")
    view = text_of((await alice.wait_modal("*Tool:* `refund`")).json)
    assert "Order: 17" in view and "Card: ⟦hidden: 4 characters⟧" in view
    assert "hunter22" not in view


async def test_events_contain_no_secrets(store: Store, lease: Lease) -> None:
    """R15: the title is the model's, and the audit is read by many."""
    await usecases.ask(store, lease, question(title="log in with password=hunter22"))
    assert "hunter22" not in str(await events(store))


async def test_review_window_can_reject_with_a_reason(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: the window turns into the one that asks for a reason, and closes with it."""
    asked = await ask(store, lease, question(LONG))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Review…")
    await bob.click(await bob.wait_modal("0150 echo all is well"), "Reject…")
    await bob.wait_modal("Reason")
    assert await bob.submit({"reason": "too long"}) == {}
    assert bob.modal is None
    assert await status(store, asked) is Status.REJECTED
