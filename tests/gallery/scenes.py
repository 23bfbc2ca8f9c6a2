"""The scenes: each plays a story as people do, and takes its pictures on the way.

What a scene finds by words is found by the words of a task or of a team, which the scene itself brings, or by the
action of a button, so that other words on cards change the pictures and not the scenes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, Field

from bot.slack.views import control_values, review_modals
from countersign import ask
from localslack import text_of
from localslack.workspace import Message
from tests.gallery.stage import Stage
from tests.slack import sample_views
from tests.slack.sample_notices import NOTICES

Scene = Callable[[Stage], Awaitable[None]]


class Region(StrEnum):
    """Where a rollout goes."""

    EU = "eu"
    US = "us"


class Rollout(BaseModel):
    """The form of a rollout."""

    region: Region
    percent: Annotated[int, Field(ge=1, le=100, description="Of the customers")]
    note: str = ""


async def _mail(stage: Stage) -> None:
    stage.chapter(
        "A mail", "`/agent email tell the vendor we need 10% off`: words that people judge, as often as they want."
    )
    head = await stage.start("email tell the vendor we need 10% off")
    bob = stage.reviewer("a mail: approve", await stage.card("10%"))
    await stage.measured(bob, "mail", "The card")
    await stage.menu("mail-menu", "What is behind ⋯", bob.card)
    other = stage.reviewer("a mail: request changes", bob.card)
    await other.tap("Request changes")
    await other.window()
    await stage.window("mail-changes", "*Request changes*")
    other.reading.height = bob.reading.height
    await other.submit({_last(stage): "make it shorter"})
    await stage.settled(bob.card)
    again = stage.reviewer("a mail, revised: approve", await stage.card("shorter"))
    await stage.measured(again, "mail-again", "Asked again: the words that it answers, and what changed")
    if again.offers("Edit"):
        await again.person.click(again.card, "Edit")
        await again.person.wait_modal()
        await stage.window("mail-edit", "*Edit*: the mail itself")
        await again.person.close()
    await again.tap(control_values.APPROVE)
    bob.reading.taps = again.reading.taps
    await stage.over(head)
    await stage.message("mail-settled", "Settled: who, when, and what came of it", await stage.settled(again.card))
    await stage.opened("mail-details", "*Details* of the settled mail", await stage.settled(again.card), "Details")
    await stage.thread("mail-thread", "The thread of the run, for whoever asked", head)


async def _call(stage: Stage) -> None:
    stage.chapter(
        "A call of a tool", "`/agent support order 17 came broken, pay it back`: a refund above the limit, then a mail."
    )
    await stage.start("support order 17 came broken, pay it back")
    bob = stage.reviewer("a call: approve", await stage.card("45.00 EUR"))
    await stage.measured(bob, "call", "The card")
    await bob.person.click(bob.card, "Edit")
    await bob.person.wait_modal()
    await stage.window("call-edit", "*Edit*: a form made of the tool's types")
    await bob.person.close()
    await bob.person.click(bob.card, "Approve and don't ask again")
    await bob.person.wait_modal()
    await stage.window("call-permit", "*Approve and don't ask again*")
    await bob.person.close()
    await bob.person.click(bob.card, control_values.REJECT)
    await bob.person.wait_modal()
    await stage.window("call-reject", "*Reject*")
    await bob.person.close()
    await bob.tap(control_values.APPROVE)
    await stage.message("call-settled", "Settled", await stage.settled(bob.card))
    mail = stage.reviewer("a call: reject", await stage.card("carla@example.com"))
    await stage.measured(mail, "call-mail", "The next call, a mail to the customer")
    await mail.tap(control_values.REJECT)
    await mail.window()
    await mail.submit()
    await stage.message("call-rejected", "Rejected", await stage.settled(mail.card))


async def _failure(stage: Stage) -> None:
    stage.chapter("An action that fails", "The refund is more than was paid: the card says so, and so does the thread.")
    head = await stage.start("support order 18 came late, pay 40 EUR back")
    bob = stage.reviewer("", await stage.card("40.00 EUR"))
    stage.readings.pop()
    await bob.tap(control_values.APPROVE)
    await stage.over(head)
    await stage.message("failed", "Approved, and what came of it", await stage.settled(bob.card))
    await stage.thread("failed-thread", "Its thread", head)


async def _code(stage: Stage) -> None:
    stage.chapter("Code", "`/agent code add up 3, 4 and 35`: each program before it runs.")
    head = await stage.start("code add up 3, 4 and 35")
    bob = stage.reviewer("code: approve", await stage.card("sum(thing)"))
    await stage.measured(bob, "code", "The card")
    await bob.tap(control_values.APPROVE)
    again = stage.reviewer("code, corrected: approve", await stage.card("sum(things)"))
    await stage.measured(again, "code-again", "The corrected program: what changed comes first")
    await again.tap(control_values.APPROVE)
    await stage.over(head)
    await stage.thread("code-thread", "The thread, with the output", head)


async def _plan(stage: Stage) -> None:
    stage.chapter(
        "Options, a plan, and high risk",
        "`/agent deploy deploy shop 2.1`: where to, the plan, and each release. Releases are of high risk: the "
        "workspace's policy says so.",
    )
    head = await stage.start("deploy deploy shop 2.1")
    options = stage.reviewer("options: choose", await stage.card("staging"))
    await stage.measured(options, "options", "A question with options")
    await options.tap(f"{control_values.CHOOSE}_0")
    plan = stage.reviewer("a plan: approve", await stage.card("1. "))
    await stage.measured(plan, "plan", "The plan")
    await plan.tap(control_values.APPROVE)
    risky = stage.reviewer("high risk: approve", await stage.card("release", "igh risk"))
    await stage.measured(risky, "high-risk", "A release: high risk has no button that approves")
    await stage.thread("plan-thread", "The thread while the other team works, and waits", head)
    await risky.tap(control_values.REVIEW)
    await risky.window()
    await stage.window("high-risk-window", "*Review…*: all of it, and a word to type")
    await risky.submit({_last(stage): "release"})
    await stage.message("plan-settled", "The plan, settled", await stage.settled(plan.card))


async def _report(stage: Stage) -> None:
    stage.chapter("A report", "`/agent research what is tea made from`: a critic has looked at it before.")
    await stage.start("research what is tea made from")
    bob = stage.reviewer("a report: approve", await stage.card("example.md"))
    await stage.measured(bob, "report", "The card")
    await bob.tap(control_values.APPROVE)
    await stage.message("report-settled", "Settled", await stage.settled(bob.card))


async def _chat(stage: Stage) -> None:
    stage.chapter("A conversation, step by step", "`/agent chat find a date; delete the old list`")
    head = await stage.start("chat find a date; delete the old list")
    asked = stage.reviewer("a step of a conversation: continue", await stage.card("Step 1 of 2"))
    await stage.measured(asked, "chat", "A step")
    await asked.tap(control_values.APPROVE)
    await stage.card("Step 2 of 2")
    await stage.settle()  # a reply counts once the card is known
    await asked.person.say("ask Ann", thread=head.ts)
    for words in ("Step 3 of 3: ask Ann", "All 3 steps"):
        await asked.person.click(await stage.card(words), control_values.APPROVE)
    await stage.over(head)
    await stage.thread("chat-thread", "The end of the conversation in its thread", head)


async def _batch(stage: Stage) -> None:
    stage.chapter(
        "A batch", "`/agent invoices pay what is due`: the calls of one turn, each with a decision of its own."
    )
    await stage.start("invoices pay what is due")
    card = await stage.card("pay what is due", "invoices")
    await stage.settle()
    rows = sum(block["block_id"].startswith("decide ") for block in stage.now(card).blocks or [])
    bob = stage.reviewer(f"a batch of {rows}: approve all", stage.now(card))
    await stage.measured(bob, "batch", "The card")
    await bob.tap(control_values.APPROVE_ALL)
    if bob.person.modal is not None:
        await bob.window()
        await stage.window("batch-window", "*Approve 4*")
        await bob.submit()
    await stage.message("batch-settled", "Settled", await stage.settled(card))


async def _access(stage: Stage) -> None:
    stage.chapter(
        "A team of another framework", "`/agent access read billing for carol, 2 hours`: an agent of Agent Framework."
    )
    head = await stage.start("access read billing for carol, 2 hours")
    bob = stage.reviewer("a call of another framework: approve", await stage.card("carol"))
    await stage.measured(bob, "access", "The card")
    await bob.tap(control_values.APPROVE)
    await stage.over(head)
    await stage.thread("access-thread", "Its thread", head)


async def _form(stage: Stage) -> None:
    stage.chapter("A form", "`ask(…, form=Rollout)` from any program: one person fills it in.")
    asking = asyncio.create_task(
        ask("#general", "How far does 2.1 go?", "The last version went to 20 %.", form=Rollout)
    )
    bob = stage.reviewer("a form: fill in", await stage.card("How far does 2.1 go?"))
    await stage.measured(bob, "form", "The card")
    await bob.tap(control_values.EDIT)
    await bob.window()
    await stage.window("form-window", "*Fill in*")
    await bob.submit({"Region": "eu", "Percent": "20"})
    await asking
    await stage.message("form-settled", "Settled", await stage.settled(bob.card))


async def _long(stage: Stage) -> None:
    stage.chapter("Long content, and secrets", "What a card does not show whole is approved by no button on it.")
    lines = "\n".join(f"order {number}" for number in range(1001, 1401))
    asking = [asyncio.create_task(ask("#general", "Close these 400 orders?", lines))]
    long = await stage.card("Close these 400 orders")
    await stage.settle()  # the file below it moves the page
    await stage.message("long", "Beginning and end; a file in the card's thread has all of it", long)
    command = "curl -u deploy --password=hunter22 https://shop.example/release"
    asking.append(asyncio.create_task(ask("#general", "Run this on the shop's server?", command)))
    secret = await stage.card("on the shop's server")
    await stage.message("secret", "A secret is hidden, and the card says so", secret)
    for card in (long, secret):
        bob = stage.slack.user("bob")
        assert (await bob.click(stage.now(card), "Request changes")).ok
        await bob.wait_modal()
        assert await bob.submit({_last(stage): "Not today."}) == {}
    await asyncio.gather(*asking)


async def _samples(stage: Stage) -> None:
    stage.chapter("Rare messages", "Drawn from samples: a crash, a changed team, a look-alike, and a week's digest.")
    stage.slack.add_channel("samples", ("alice", "bob"))
    stage.slack.invite("U0BOT", "#samples")
    for name, caption in (
        ("card_in_doubt", "A worker was lost in the middle of an action: nobody knows whether it happened"),
        ("card_diverged", "The team's code has changed while the run waited"),
        ("card_lookalike", "A word that mixes alphabets"),
        ("card_lookalike_signs", "Signs that look like a comma and a dot"),
        ("digest", "The digest of a week"),
    ):
        drawing = {**sample_views.DRAWINGS, **NOTICES}[name]
        await stage.message(name.replace("_", "-"), caption, await stage.posted("#samples", drawing))


async def _expired(stage: Stage) -> None:
    stage.chapter("Nobody decides", "In #quick people have six seconds.")
    stage.slack.add_channel("quick", ("alice", "bob"))
    stage.slack.invite("U0BOT", "#quick")
    assert (await stage.slack.user("alice").command("/approvals timeout 6s", "#quick")).ok
    head = await stage.start("email ask the vendor for a date", channel="#quick")
    card = await stage.card("for a date")
    await stage.over(head)
    await stage.message("expired", "The card, expired", await stage.settled(card))
    await stage.thread("expired-thread", "Its thread", head)


async def _waiting(stage: Stage) -> None:
    stage.chapter(
        "Two must approve, and take their time", "In #leads: a reminder after 6 seconds, an escalation after 10."
    )
    await _room(stage, "leads", "quorum 2", "remind 6s", "escalate 10s @carol")
    head = await stage.start("email ask the bank for a loan", channel="#leads")
    card = await stage.card("for a loan")
    notes = await _below(stage, card, 2)
    await stage.message("reminder", "A reminder", notes[0])
    await stage.message("escalation", "An escalation, for those who may decide from now on", notes[1], "carol")
    assert (await stage.slack.user("bob").click(stage.now(card), control_values.APPROVE)).ok
    await stage.settle()
    await stage.message("quorum", "The card, which says how many approved", stage.now(card))
    await stage.thread("waiting-thread", "The thread of whoever asked", head)
    assert (await stage.slack.user("carol").click(stage.now(card), control_values.APPROVE)).ok
    await stage.over(head)


async def _glass(stage: Stage) -> None:
    stage.chapter("Break-glass", "In #oncall the requester may approve alone in an emergency, with a reason.")
    await _room(stage, "oncall", "break-glass yes")
    await stage.start("email tell everybody that the shop is down", channel="#oncall")
    card = await stage.card("shop is down")
    alice = stage.slack.user("alice")
    await alice.click(card, control_values.MORE, choose="Break glass…")
    await alice.wait_modal()
    await stage.window("glass-window", "*Break glass…*", "alice")
    assert await alice.submit({review_modals.REASON: "The shop is down, and nobody answers."}) == {}
    await stage.message("glass", "Settled, and marked as break-glass", await stage.settled(card))
    await stage.message("glass-note", "Every reviewer is told", (await _below(stage, card, 1))[0])


async def _room(stage: Stage, name: str, *settings: str) -> None:
    """Open a channel with these settings; milder ones are confirmed."""
    alice = stage.slack.user("alice")
    stage.slack.add_channel(name, ("alice", "bob"))
    stage.slack.invite("U0BOT", f"#{name}")
    for setting in settings:
        so_far = len(alice.ephemerals)
        assert (await alice.command(f"/approvals {setting}", f"#{name}")).ok
        await stage.slack.wait_for(lambda _, so_far=so_far: alice.modal or len(alice.ephemerals) > so_far)  # type: ignore[misc]
        if alice.modal is not None:
            assert await alice.submit() == {}
    await stage.settle()


async def _below(stage: Stage, card: Message, many: int) -> list[Message]:
    """The notes below a card, once there are so many."""

    def notes() -> list[Message]:
        found = stage.slack.channel(card.channel).thread(card.thread_ts or card.ts)
        return [message.copy() for message in found if message.ts > card.ts and not message.files]

    await stage.slack.wait_for(lambda _: len(notes()) >= many, timeout=30, description="notes below the card")
    await stage.settle()
    return notes()


async def _contact(stage: Stage) -> None:
    stage.chapter("First contact, commands and settings")
    slack, alice = stage.slack, stage.slack.user("alice")
    slack.add_channel("sales", ("alice", "bob"))
    slack.invite("U0BOT", "#sales")
    try:
        greeting = await slack.wait_message("#sales", lambda message: message.from_app, timeout=5)
    except TimeoutError:
        greeting = None
    if greeting is not None:
        await stage.message("greeting", "Invited to a channel, the app greets", greeting, "alice")
    for name, command, caption in (
        ("start", "/agent", "`/agent`: start a task"),
        ("settings", "/approvals", "`/approvals`: the channel's settings"),
    ):
        assert (await alice.command(command)).ok
        await alice.wait_modal()
        await stage.window(f"{name}-window", caption, "alice", "C0GENERAL")
        await alice.close()
    slack.add_channel("loose", ("alice", "bob"))
    slack.invite("U0BOT", "#loose")
    assert (await alice.command("/approvals own-requests yes", "#loose")).ok
    await alice.wait_modal()
    await stage.window("settings-confirm", "A change that makes the rules milder is confirmed", "alice", "C0GENERAL")
    await alice.close()
    head = await stage.start("email ask the baker for bread")
    card = await stage.card("for bread")
    for command in (
        *("/approvals show", "/approvals pending", "/approvals permissions", "/approvals history", "/agent status"),
    ):
        before = {message.ts for message in alice.ephemerals}
        await alice.command(command)
        answer = await alice.wait_ephemeral(lambda message, before=before: message.ts not in before)  # type: ignore[misc]
        await stage.message(f"command-{command.split()[-1]}", f"`{command}`", answer, "alice")
    assert (await slack.user("bob").click(stage.now(card), control_values.APPROVE)).ok
    await stage.over(head)


async def _home(stage: Stage) -> None:
    stage.chapter("Home, and the approvals channel", "While two tasks wait.")
    await stage.home("home-first", "Of somebody who opens it for the first time: a welcome", "dave")
    await stage.start("email ask the printer for a quote")
    await stage.start("code add up 1 and 2")
    await stage.card("quote")
    await stage.card("sum(thing)")
    await stage.home("home-reviewer", "Of a reviewer", "bob")
    await stage.home("home-requester", "Of whoever asked", "alice")
    await stage.channel("channel", "#approvals, as a reviewer finds it", "#approvals", "bob")


SCENES: Final[tuple[Scene, ...]] = (
    *(_mail, _call, _code, _plan, _report, _chat, _batch, _access, _form, _failure, _long, _expired, _waiting, _glass),
    *(_samples, _contact, _home),
)


def _last(stage: Stage) -> str:
    """The last input of bob's window."""
    modal = stage.slack.user("bob").modal
    assert modal is not None
    return str(next(block["block_id"] for block in reversed(modal.blocks) if block["type"] == "input"))


def said(stage: Stage) -> str:
    """All that stands in the channels, for whoever looks for why a scene stopped."""
    rooms = stage.slack.workspace.channels.values()
    return "\n".join(f"#{room.name}: {text_of(message)[:400]}" for room in rooms for message in room.posts.values())
