"""What people see: golden JSON of every view, and Slack's limits for whatever content.

`GOLDEN=1 pytest tests/slack/test_cards.py` writes the golden files anew; they are read in review.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.slack.projector import card_placement, reminders
from bot.slack.views import card_content as judged
from bot.slack.views import (
    card_controls,
    cards,
    edit_modal,
    modal_parts,
    modals,
    request_text,
    review_modals,
    settings_modal,
    thread_notes,
)
from bot.slack.views import cards as burst_rows
from bot.slack.views.block_kit import Drawing
from bot.slack.views.card_controls import Handle, MenuItem
from bot.slack.views.safe_text import size_of
from bot.slack.views.slack_markup import escape
from countersign.domain import grants, presence, quiet_hours, request_endings, runs, schedule
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.decision_rules import allow, decide
from countersign.domain.delegation import Absence
from countersign.domain.escalation import Escalation
from countersign.domain.grant_request import Scope, Span, Wish
from countersign.domain.ids import ChannelId, GroupId, RequestId, RunId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.questions import asking
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.run_options import Option
from countersign.domain.runs import Passed, Run, Usage, Writing
from countersign.domain.schedule import Snooze
from countersign.usecases.ports import TeamInfo
from localslack.limits import check_message_blocks, check_view
from tests.longer import times
from tests.making import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    GENERAL,
    HERE,
    LEADS,
    attempt,
    call,
    choice,
    editable,
    later,
    question,
    refusal_text,
    request,
    rules,
)

GOLDEN = Path(__file__).parent / "golden"
LINK = "https://example.slack.com/archives/C0GENERAL/p1?thread_ts=1&cid=C0GENERAL"
LONG = "\n".join(f"{n:04} rm -rf /srv/data/{n:04}" for n in range(400))
HOSTILE = "<!channel> <@U0EVE> <https://evil.example|Approve here> `*_~ \u202e @here :tada: & https://evil.example"


def run(**changes: Any) -> Run:
    made = Run(RunId("rtest"), HERE, GENERAL, ALICE, "email", "tell the vendor we need 10% off", later())
    return replace(made, **changes)


def decided(verb: Verb, words: str = "", of: Request | None = None) -> Request:
    asked = of or request()
    return decide(asked, attempt(asked, BOB, verb, words=words), later(minutes=5)).request


def expired(**changes: Any) -> Request:
    return request_endings.expire(request(**changes), later(hours=2)).request


def voted() -> Request:
    asked = request(quorum=2)
    return decide(asked, attempt(asked), later(minutes=1)).request


def card(of: Request) -> Drawing:
    return cards.card(of, run=run(), run_link=LINK)


def at_work() -> Run:
    step = runs.note_progress(run(status=runs.Status.RUNNING), "drafter", "Drafting\na mail", later(minutes=1))
    return runs.note_progress(step.run, "reviewer", HOSTILE, later(minutes=2)).run


def ended(**changes: Any) -> Run:
    told = {"result": "The mail was sent to vendor@example.com.", "words": "Dear vendor,\n\nten percent off, please."}
    return run(**{"status": runs.Status.FINISHED, "ended_at": later(minutes=9), **told, **changes})


def writing(**changes: Any) -> Run:
    """In the middle of a text."""
    return runs.note_writing(at_work(), Writing("drafter", 1240, f"{HOSTILE}\nDear vendor", **changes), later()).run


PASSED = (
    Passed("lookup", "", 30),
    Passed("refund", "The workspace's policy, rule “small”. Below what a meeting about it costs.", 8),
    Passed(HOSTILE[:60], HOSTILE, 1),
)
USAGE = Usage(
    prompt_tokens=12_345,
    completion_tokens=678,
    calls=4,
    cached=1,
    models=(("gpt-4.1", 3), (HOSTILE, 1)),
    fallbacks=(("gpt-4.1 has no room for more requests now (HTTP 429)", 1),),
)


def in_doubt(**changes: Any) -> Request:
    """As `countersign.autogen.unknown_outcomes` asks; the channel approves by timeout, which does not count here."""
    words = "Nobody knows whether “send” happened.\n\nAttempt 1, started 2026-03-06 17:00:00 UTC.\n\nsend\nTen boxes"
    asked = question(words, kind=Kind.IN_DOUBT, title="Did “send” happen?", agent="send", offers=DOUBT_OFFERS)
    return request(asked=asked, on_timeout=OnTimeout.APPROVE, **changes)


def diverged() -> Request:
    """Likewise."""
    words = "The code of the team “email” has changed while this run was under way."
    offers = (Verb.APPROVE, Verb.REJECT)
    asked = question(words, kind=Kind.DIVERGED, title="Go on with changed code?", agent="drafter", offers=offers)
    return request(asked=asked)


def refund(**changes: Any) -> Question:
    """As the gate asks."""
    arguments = canonical({"order": 17, "amount": 20, "api_key": "s3cr3t-word"})
    return replace(call(), **{"call": Call("refund", arguments, hidden=("api_key",)), **changes})


def code(text: str = "import shutil\n\nshutil.rmtree('build')\n") -> Question:
    made = Call("python", canonical({"code": text}))
    offers = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND)
    notes = ("It runs on the worker itself, without a sandbox.",)
    return Question("coder", 0, Kind.CODE, "run code", text, offers, made, notes=notes)


def permitted() -> Request:
    asked = request(asked=refund())
    approved = attempt(asked, BOB, wish=Wish(Scope.ARGUMENTS, Span.RUN))
    return decide(asked, approved, later(minutes=5)).request


def in_advance() -> Request:
    given = grants.given_with(permitted(), "email")
    assert given is not None
    asked = request(later(minutes=6), asked=refund(asked=1))
    return allow(asked, given, Actor(HERE, BOB), "email", later(minutes=6)).request


def broken() -> Request:
    asked = request(break_glass=True)
    alone = attempt(asked, ALICE, words="The shop is down, and nobody answers.", break_glass=True)
    return decide(asked, alone, later(minutes=5)).request


def edited() -> Request:
    arguments = canonical({"order": 17, "amount": 15, "api_key": "other-word!", "why": "half of it"})
    asked = request(asked=refund())
    return decide(asked, attempt(asked, BOB, Verb.EDIT, arguments=arguments), later(minutes=5)).request


def chosen() -> Request:
    asked = request(asked=choice("eu-west", "us-east", "none of your business", several=True))
    return decide(asked, attempt(asked, BOB, Verb.CHOOSE, chosen=("us-east", "eu-west")), later(minutes=5)).request


LATER: dict[str, Any] = {
    "timeout": timedelta(days=1),
    "remind_after": timedelta(minutes=15),
    "escalation": (
        Escalation(timedelta(hours=2), Reviewers(frozenset({DAVE}))),
        Escalation(timedelta(hours=4), Reviewers(groups=frozenset({LEADS})), ChannelId("C0LEADS")),
    ),
    "quiet": quiet_hours.parse("20:00-08:00 weekends Europe/Berlin"),
}
AWAY = [
    Absence(HERE, BOB, UserId("U0ERIN"), later(), later(days=3)),
    Absence(HERE, CAROL, ALICE, later(), later(days=3)),
]


def waited() -> Request:
    """Nothing happened yet, and much will."""
    return request(**LATER)


def snoozed() -> Request:
    """Carol put it off, and two look at it."""
    off = presence.snooze(waited(), Actor(HERE, CAROL), Snooze.HOUR, later(minutes=1)).request
    looked = presence.look(off, Actor(HERE, BOB), later(minutes=2)).request
    return presence.look(looked, Actor(HERE, CAROL), later(minutes=3)).request


def raised() -> Request:
    """It went to the next people, and the first were reminded."""
    return schedule.due(request(**{**LATER, "quiet": quiet_hours.NEVER}), later(hours=2)).request


def burst(**changes: Any) -> list[Request]:
    """Five calls of one turn, of which one has no room in its row and one is a spoof."""
    texts = ["Refund order 17: 20 EUR", "Refund order 18: 5 EUR", LONG, SPOOF, "Refund order 21:\n 7 EUR\n to the card"]
    calls = [refund(content=text, asked=number) for number, text in enumerate(texts)]
    calls[1] = replace(calls[1], notes=("More than 4 EUR.",))
    return [request(later(seconds=at / 10), asked=asked, **changes) for at, asked in enumerate(calls)]


def half_settled() -> list[Request]:
    """Two said yes and no, with words; one changed the call; two wait, and somebody looks at them."""
    first, second, third, *left = burst()
    no = decide(first, attempt(first, BOB, Verb.REJECT, words=f"Too dear.\n{HOSTILE * 3}"), later(minutes=1)).request
    yes = decide(second, attempt(second, CAROL, wish=Wish(Scope.ARGUMENTS, Span.RUN)), later(minutes=1)).request
    less = canonical({"order": 17, "amount": 15, "api_key": "s3cr3t-word"})
    changed = decide(third, attempt(third, BOB, Verb.EDIT, arguments=less), later(minutes=2)).request
    return [no, yes, changed, *(presence.look(one, Actor(HERE, BOB), later(minutes=3)).request for one in left)]


def settled_burst() -> list[Request]:
    return [one if one.decision else request_endings.expire(one, later(hours=2)).request for one in half_settled()]


def on_one_card(rows: list[Request]) -> Drawing:
    return burst_rows.batch(rows, run=run(), run_link=LINK)


BEFORE = "Refund order 17: 200 EUR\nto the card that was used"
SPOOF = "Pay to p\u0430ypal.com, and send \uff52\uff4d"


def turn(*, to_end: bool = False) -> Question:
    """As `countersign.autogen.people.user_proxy` asks."""
    offers: tuple[Verb, ...] = (Verb.APPROVE, Verb.RESPOND)
    if to_end:
        title = "assistant says that it is finished. End here?"
        return question("All is done.\n\nTERMINATE", kind=Kind.END, title=title, agent="assistant", offers=offers)
    offers = (*offers, Verb.REJECT)
    return question(
        "Step 1 of 2", kind=Kind.TURN, title="assistant has spoken. Go on?", agent="assistant", offers=offers
    )


CHAT = TeamInfo(
    "chat", "talks", options=(Option("mode", "When people are asked", ("always", "never"), "never", "Always or never"),)
)
DOUBT_OFFERS = (Verb.RESPOND, Verb.APPROVE, Verb.REJECT)
DRAWINGS: dict[str, Drawing] = {
    "card": card(request()),
    "card_long": card(request(asked=question(LONG))),
    "card_hostile": card(request(asked=question(HOSTILE, title=HOSTILE, agent=HOSTILE))),
    "card_quorum": card(voted()),
    "card_groups_own": card(
        request(
            reviewers=Reviewers(frozenset({BOB}), frozenset({LEADS})), own_requests=True, timeout=timedelta(minutes=15)
        )
    ),
    "card_timeout_approves": card(request(on_timeout=OnTimeout.APPROVE)),
    "card_waits": card(request(on_timeout=OnTimeout.WAIT)),
    "card_without_respond": card(request(asked=question(offers=(Verb.APPROVE, Verb.REJECT)))),
    "card_waited": card(waited()),
    "card_snoozed": card(snoozed()),
    "card_raised": cards.card(raised(), run=run(), run_link=LINK, away=AWAY),
    "card_raised_approved": card(
        decide(raised(), attempt(raised(), "U0ERIN", stands_for=(Actor(HERE, BOB),)), later(hours=3)).request
    ),
    "card_approved": card(decided(Verb.APPROVE)),
    "card_approved_by_two": card(decide(voted(), attempt(voted(), CAROL), later(minutes=3)).request),
    "card_rejected": card(decided(Verb.REJECT, "Too dear.\nAsk for five.")),
    "card_answered": card(decided(Verb.RESPOND, HOSTILE)),
    "card_long_rejected": card(decided(Verb.REJECT, "no", request(asked=question(LONG)))),
    "card_expired": card(expired()),
    "card_approved_by_timeout": card(expired(on_timeout=OnTimeout.APPROVE)),
    "card_withdrawn": card(request_endings.withdraw(request(), later(minutes=5), "the run was stopped", ALICE).request),
    "card_in_doubt": card(in_doubt()),
    "card_in_doubt_answered": card(decided(Verb.RESPOND, "Message 17 is in the log.", in_doubt())),
    "card_in_doubt_approved": card(decided(Verb.APPROVE, of=in_doubt())),
    "card_in_doubt_rejected": card(decided(Verb.REJECT, of=in_doubt())),
    "card_in_doubt_expired": card(request_endings.expire(in_doubt(), later(hours=2)).request),
    "card_turn": card(request(asked=turn())),
    "card_turn_approved": card(decided(Verb.APPROVE, of=request(asked=turn()))),
    "card_turn_answered": card(decided(Verb.RESPOND, "Take the train.", request(asked=turn()))),
    "card_turn_rejected": card(decided(Verb.REJECT, "enough", request(asked=turn()))),
    "card_end": card(request(asked=turn(to_end=True))),
    "card_end_approved": card(decided(Verb.APPROVE, of=request(asked=turn(to_end=True)))),
    "card_end_expired": card(request_endings.expire(request(asked=turn(to_end=True)), later(hours=2)).request),
    "card_diverged": card(diverged()),
    "card_diverged_approved": card(decided(Verb.APPROVE, of=diverged())),
    "card_tool": card(request(asked=refund())),
    "card_tool_break_glass": card(request(asked=refund(), break_glass=True)),
    "card_tool_whole_menu": card(request(asked=refund(), break_glass=True, **LATER)),
    "card_tool_approved_not_asked_again": card(permitted()),
    "card_tool_approved_in_advance": card(in_advance()),
    "card_approved_broken_glass": card(broken()),
    "note_in_advance": thread_notes.decided_note(in_advance()),
    "note_broken_glass": thread_notes.break_glass_note(broken()),
    "card_tool_titled": card(request(asked=refund(title="give back what was paid"))),
    "card_tool_long": card(request(asked=refund(content=LONG))),
    "card_tool_again": card(request(asked=refund(before=BEFORE, notes=("Over the limit of 10 EUR.", "Bob is away.")))),
    "card_tool_again_same": card(request(asked=refund(before=refund().content))),
    "card_tool_again_long": card(request(asked=refund(content=LONG[:1500], before=LONG[1500:3000]))),
    "card_tool_many_notes": card(request(asked=refund(notes=tuple(f"Note {n}. {HOSTILE * 3}" for n in range(9))))),
    "card_tool_approved": card(decided(Verb.APPROVE, of=request(asked=refund()))),
    "card_tool_edited": card(edited()),
    "card_code": card(request(asked=code())),
    "card_high_risk": card(request(asked=refund(), risk=Risk.HIGH)),
    "card_by_rule": card(request(asked=refund(), clause="big refunds", why="<!here> money", risk=Risk.HIGH, quorum=2)),
    "card_choice": card(request(asked=choice("eu-west", "us-east"))),
    "card_choice_answered": card(chosen()),
    "card_secrets": card(request(asked=question("curl -u bob:x --password=hunter22\nhttps://bob:hunter22@host/"))),
    "card_tool_guessed": card(request(asked=call(order=17, amount=20, api_key="s3cr3t-word"))),
    "card_lookalike": card(request(asked=question(SPOOF))),
    "burst": on_one_card(burst()),
    "burst_whole_menu": on_one_card(burst(break_glass=True, quorum=2, clause="refunds", why="money", **LATER)),
    "burst_half_settled": on_one_card(half_settled()),
    "burst_settled": on_one_card(settled_burst()),
    "note_waiting_for_many": thread_notes.waiting_note(burst()[0], LINK, 4),
    "note_reminder_of_many": reminders.reminder_note(half_settled(), LINK),
    "note_reminder_of_many_over": reminders.reminder_note(settled_burst(), LINK),
    "run_queued": thread_notes.run_message(run()),
    "run_hostile": thread_notes.run_message(run(task=HOSTILE)),
    "run_waiting": thread_notes.run_message(run(status=runs.Status.WAITING)),
    "run_finished": thread_notes.run_message(ended()),
    "run_long_task": thread_notes.run_message(run(task="do " * 3000)),
    "note_progress": thread_notes.progress_note(at_work()),
    "note_writing": thread_notes.progress_note(writing()),
    "note_written": thread_notes.progress_note(writing(done=True)),
    "note_waiting": thread_notes.waiting_note(request(), LINK),
    "note_decided": thread_notes.decided_note(decided(Verb.REJECT, "Too dear.")),
    "note_expired": thread_notes.decided_note(expired()),
    "note_outcome": thread_notes.outcome_note(ended()),
    "note_outcome_with_usage": thread_notes.outcome_note(ended(usage=USAGE)),
    "note_outcome_with_passed": thread_notes.outcome_note(ended(passed=PASSED, usage=USAGE)),
    "note_outcome_long": thread_notes.outcome_note(ended(words=LONG * 3)),
    "note_failed": thread_notes.outcome_note(ended(status=runs.Status.FAILED, result=HOSTILE, words="")),
    "note_stopped": thread_notes.outcome_note(
        ended(status=runs.Status.STOPPED, stopped_by=ALICE, result="Stopped.", words="")
    ),
    "note_reminder": reminders.reminder_note([raised()], LINK, AWAY),
    "note_reminder_over": reminders.reminder_note([request_endings.expire(raised(), later(days=2)).request], LINK),
    "note_raised": reminders.raised_note([raised()], raised().raised[0], LINK),
    "note_not_posted": thread_notes.not_posted_note(request(), "not_in_channel"),
}
VIEWS: dict[str, dict[str, Any]] = {
    "modal_start": modals.start([TeamInfo("email", "writes a mail"), TeamInfo("broken", "", "no model")], GENERAL),
    "modal_start_options": modals.start([TeamInfo("email", "writes a mail"), CHAT], GENERAL, "chat"),
    "modal_reject": modals.reject(request(), GENERAL),
    "modal_respond": modals.respond(request(), GENERAL),
    "modal_in_doubt_stop": modals.reject(in_doubt(), GENERAL),
    "modal_in_doubt_it_ran": modals.respond(in_doubt(), GENERAL),
    "modal_full": review_modals.full(request(asked=question(LONG))),
    "modal_review": review_modals.review(request(asked=question(LONG)), GENERAL),
    "modal_review_tool": review_modals.review(
        request(asked=refund(content=LONG, before=BEFORE, notes=("Mind.",))), GENERAL
    ),
    "modal_high_risk": review_modals.review_part(request(asked=refund(), risk=Risk.HIGH), GENERAL, BOB),
    "modal_high_risk_edit": review_modals.high_risk_edit(
        edit_modal.edit(request(asked=editable()), GENERAL), request(), BOB
    ),
    "modal_permit": review_modals.permit(request(asked=refund()), GENERAL),
    "modal_permit_code": review_modals.permit(request(asked=code()), GENERAL),
    "modal_break_glass": review_modals.break_glass(request(break_glass=True), GENERAL),
    "modal_full_tool": review_modals.full(request(asked=refund())),
    "modal_full_edited": review_modals.full(edited()),
    "modal_review_with_file": review_modals.review(request(asked=code("語" * 4000 + "x" * 40_000)), GENERAL),
    "modal_not_counted": modal_parts.not_counted("Already decided by <@U0CAROL>."),
    "modal_edit": edit_modal.edit(request(asked=editable()), GENERAL),
    "modal_choose": modals.choose(request(asked=choice(*"abcdef")), GENERAL),
    "modal_choose_several": modals.choose(request(asked=choice("eu", "us " * 40, several=True)), GENERAL),
    "modal_settings": settings_modal.view(GENERAL, rules(), {GroupId("S0LEADS"): "@leads"}),
    "modal_settings_times": settings_modal.view(GENERAL, waited().rules, None),
    "modal_settings_silent": settings_modal.view(GENERAL, rules(reviewers=Reviewers(groups=frozenset({LEADS}))), None),
}


@pytest.mark.parametrize("name", [*DRAWINGS, *VIEWS])
def test_views_are_as_they_were_reviewed(name: str) -> None:
    drawing = DRAWINGS.get(name)
    shown = {"text": drawing.text, "blocks": drawing.blocks} if drawing else VIEWS[name]
    text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        (question(), "not approved; the agent is told that nobody answered."),
        (call(), "not approved; the agent is told that nobody answered."),
        (question(offers=(Verb.RESPOND, Verb.REJECT)), "the agent is told that nobody answered."),
        (choice("eu", "us"), "nothing is chosen; the agent is told that nobody answered."),
        (turn(), "the conversation ends, and the agents are told that nobody answered."),
        (turn(to_end=True), "the conversation ends, and the agents are told that nobody answered."),
        (question(kind=Kind.DIVERGED), "the run ends, and nothing is repeated."),
    ],
)
def test_a_card_says_not_approved_only_where_something_can_be(asked: Question, then: str) -> None:
    assert request_text.expiry(request(asked=asked)).partition(" · then: ")[2] == then


def test_every_golden_file_is_of_a_view() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*DRAWINGS, *VIEWS}


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
def test_slack_takes_every_message(drawing: Drawing) -> None:
    check_message_blocks(drawing.blocks)
    assert 0 < len(drawing.text) < 3000


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_slack_takes_every_modal(view: dict[str, Any]) -> None:
    check_view(view, ("modal",))


def test_only_pending_cards_have_buttons_that_decide() -> None:
    """R6: in every settled state there is no block of actions."""
    for name, drawing in DRAWINGS.items():
        if name.startswith("card"):
            ends = ("approved", "rejected", "answered", "expired", "withdrawn", "edited")
            settled = any(f"_{state}" in name for state in ends)
            assert any(b["type"] == "actions" for b in drawing.blocks) != settled, name


def test_an_approval_by_timeout_is_announced_and_told() -> None:
    """R23: on the card while it waits, in the settled card, in the thread."""
    assert "counts as APPROVED if nobody decides" in mrkdwn_of(DRAWINGS["card_timeout_approves"].blocks)
    assert "APPROVED" not in mrkdwn_of(DRAWINGS["card"].blocks)
    told = thread_notes.decided_note(expired(on_timeout=OnTimeout.APPROVE))
    for drawing in (DRAWINGS["card_approved_by_timeout"], told):
        assert "*Approved by timeout*" in drawing.text
        assert "nobody decided" in mrkdwn_of(drawing.blocks)


def test_no_timeout_approves_what_only_people_can_know() -> None:
    """R23: whatever the channel says; a late click is told what happens instead."""
    assert "APPROVED" not in mrkdwn_of(DRAWINGS["card_in_doubt"].blocks)
    late = request_endings.expire(in_doubt(), later(hours=2)).request
    assert late.status is Status.EXPIRED
    assert "nothing is repeated" in mrkdwn_of(DRAWINGS["card_in_doubt_expired"].blocks)
    assert refusal_text(Refusal.TIME_RAN_OUT, late).endswith("the run ends.")


def test_expired_is_not_rejected() -> None:
    """R17: other words."""
    shown = DRAWINGS["card_expired"]
    assert "Time ran out" in shown.text and "eject" not in shown.text


def test_every_button_carries_its_own_request_and_digest() -> None:
    """R1, R13"""
    asked = request(asked=refund(), break_glass=True, remind_after=timedelta(hours=1))
    actions = next(b for b in card(asked).blocks if b["type"] == "actions")
    *buttons, more = actions["elements"]
    assert {Handle.read(button["value"]) for button in buttons} == {Handle(asked.id, asked.digest)}
    one, other, *looking = [option["value"] for option in more["options"]]
    assert card_controls.chosen(one) == (MenuItem.PERMIT, asked.id, asked.digest)
    assert card_controls.chosen(other) == (MenuItem.BREAK_GLASS, asked.id, asked.digest)
    assert [card_controls.Chosen.read(value) for value in looking] == [
        card_controls.Chosen((asked.id,), snooze) for snooze in (None, *Snooze)
    ]
    assert {card_controls.Chosen.read(one), card_controls.Chosen.read(other)} == {None}


@pytest.mark.parametrize("name", ["card_hostile", "card_answered", "run_hostile", "note_progress", "note_failed"])
def test_what_models_and_people_write_does_not_act(name: str) -> None:
    """R15: it stands in plain or preformatted text only, escaped where it must be in mrkdwn."""
    drawing = DRAWINGS[name]
    for acting in (drawing.text, mrkdwn_of(drawing.blocks)):
        assert "<!channel>" not in acting
        assert "<@U0EVE>" not in acting
        assert "<https://evil" not in acting
    assert "\u202e" not in json.dumps([drawing.text, drawing.blocks], ensure_ascii=False)
    assert "⟦U+202E⟧" in json.dumps(drawing.blocks, ensure_ascii=False)


def test_a_step_that_names_only_who_asked_asks_nobody() -> None:
    """R7, R10: it said "nobody: you may now too"."""
    steps = (Escalation(timedelta(hours=1), Reviewers(frozenset({ALICE}))),)
    asked = schedule.due(request(timeout=timedelta(days=1), escalation=steps), later(hours=2)).request
    note = mrkdwn_of(reminders.raised_note([asked], asked.raised[0], LINK).blocks)
    assert "you may now too" not in note and "<@U0ALICE>" not in note
    assert "names only who asked" in note


def test_a_card_says_what_comes_next_who_looks_and_who_stands_in() -> None:
    """R9: a requester who was named as a stand-in is not shown as one, because they may not decide."""
    raised, snoozed = mrkdwn_of(DRAWINGS["card_raised"].blocks), mrkdwn_of(DRAWINGS["card_snoozed"].blocks)
    assert "Went to <@U0DAVE>" in raised and "goes to the next people in <#C0LEADS>" in raised
    assert "<@U0ERIN> stands in" in raised and "<@U0ALICE> stands in" not in raised
    assert "Snoozed by <@U0CAROL> until" in snoozed and "others may decide all the same" in snoozed
    assert "<@U0ERIN> (in place of <@U0BOB>)" in DRAWINGS["card_raised_approved"].text
    assert "<@U0CAROL>, <@U0DAVE>, <@U0ERIN>: this still waits" in mrkdwn_of(DRAWINGS["note_reminder"].blocks)


def test_slack_takes_a_card_on_which_as_much_as_can_be_happened() -> None:
    """R14: five steps, many people, all of them away, and a call that fills the card."""
    people = [[UserId(f"U0PERSON{step}{n:03}") for n in range(30)] for step in range(6)]
    steps = tuple(
        Escalation(timedelta(minutes=n), Reviewers(frozenset(people[n])), ChannelId(f"C0ROOM{n}")) for n in range(1, 6)
    )
    asked = refund(content="語" * 5000, before="本" * 5000, notes=tuple(f"Note {n}. {HOSTILE * 3}" for n in range(9)))
    made = request(
        asked=asked, timeout=timedelta(days=1), remind_after=timedelta(minutes=1), escalation=steps, quorum=9
    )
    for user in people[0]:
        made = replace(made, rules=replace(made.rules, reviewers=Reviewers(frozenset(people[0]))))
        made = presence.look(made, Actor(HERE, user), later()).request
        made = decide(made, attempt(made, user), later()).request if len(made.votes) < 8 else made
    for minute in range(1, 6):
        made = schedule.due(made, later(minutes=minute)).request
    assert (len(made.raised), len(made.looking), len(made.votes)) == (5, 30, 8)
    away = [Absence(HERE, user, BOB, later(), later(days=9)) for user in people[0]]
    check_message_blocks(cards.card(made, run=run(), run_link=LINK, away=away).blocks)


@pytest.mark.parametrize("text", ["x" * 9000, "語" * 9000, "🎉" * 9000, "\u202e<!here>" * 900, HOSTILE * 90])
def test_slack_takes_a_card_of_a_burst_whatever_its_rows_say(text: str) -> None:
    """R14, R26: as many rows as one card ever has, pending and settled, with everything that a row may have."""
    people = frozenset(UserId(f"U0PERSON{n:03}") for n in range(30))
    step = Escalation(timedelta(hours=1), Reviewers(people), ChannelId("C0ROOM"))
    words = refund(content=text, agent=text[:900], title=text[:900], call=replace(made_call(), tool=text[:60]))
    asked = [
        request(
            asked=replace(words, asked=number), break_glass=True, quorum=9, clause=text[:99], why=text[:900],
            reviewers=Reviewers(people), timeout=timedelta(days=1), escalation=(step,) * 2,
            remind_after=timedelta(minutes=15),
        )
        for number in range(card_placement.ROWS)
    ]  # fmt: skip
    for user in sorted(people)[:8]:
        asked = [decide(one, attempt(one, user), later()).request for one in asked]
    asked = [presence.look(one, Actor(HERE, user), later()).request for one in asked for user in sorted(people)[:1]]
    asked = [schedule.due(one, later(hours=2)).request for one in asked]
    check_message_blocks(on_one_card(asked).blocks)
    given = canonical({"order": 17, "amount": text[:2000]})
    once = [replace(one, rules=replace(one.rules, quorum=1), votes=()) for one in asked]
    edits = [
        decide(one, attempt(one, "U0PERSON029", Verb.EDIT, arguments=given, words=text[:3000]), later(hours=3)).request
        for one in once
    ]
    assert {one.status for one in edits} == {Status.EDITED}
    check_message_blocks(on_one_card(edits).blocks)
    check_message_blocks(on_one_card([*edits[:2], *asked[2:]]).blocks)


def made_call() -> Call:
    made = refund().call
    assert made is not None
    return made


@pytest.mark.parametrize("name", ["burst", "burst_whole_menu", "burst_half_settled"])
def test_every_button_of_a_row_carries_its_own_request(name: str) -> None:
    """R1: each row has its own, and what is in the last menu is for all that wait."""
    rows = half_settled() if "half" in name else burst()
    waiting = [row for row in rows if row.status is Status.PENDING]
    blocks = [b for b in DRAWINGS[name].blocks if b["type"] == "actions"]
    assert [b["block_id"] for b in blocks] == [f"decide {row.id}" for row in waiting]
    for row, block in zip(waiting, blocks, strict=True):
        *buttons, more = block["elements"]
        assert {Handle.read(button["value"]) for button in buttons} == {Handle(row.id, row.digest)}
        found = [card_controls.chosen(option["value"]) for option in more["options"]]
        assert {one[1] for one in found if one} == {row.id} and None not in found
    last = DRAWINGS[name].blocks[-1]["accessory"]["options"]
    chosen = [card_controls.Chosen.read(option["value"]) for option in last]
    assert {one.requests for one in chosen if one} == {tuple(row.id for row in waiting)} and None not in chosen


def test_what_a_row_does_not_show_is_not_approved_there() -> None:
    """R13: too long for it, or a spoof, goes through the full view; nothing on a settled row decides."""
    rows = [b["elements"] for b in DRAWINGS["burst"].blocks if b["type"] == "actions"]
    assert [[e["action_id"] for e in row][:2] for row in rows] == [
        [card_controls.REVIEW if number in (2, 3) else card_controls.APPROVE, card_controls.REJECT]
        for number in range(5)
    ]
    assert not [b for b in DRAWINGS["burst_settled"].blocks if b["type"] == "actions"]


@pytest.mark.parametrize("title", ["pay back " + "x" * 80, "返金の依頼を承認して顧客に全額を返す" * 2])
def test_a_row_whose_title_is_cut_is_not_approved_there(title: str) -> None:
    """R13: the title is judged too, and stands nowhere else on the card."""
    shown = on_one_card([request(asked=refund(title=title, asked=9)), burst()[0]])
    buttons = [b["elements"][0]["action_id"] for b in shown.blocks if b["type"] == "actions"]
    assert buttons == [card_controls.REVIEW, card_controls.APPROVE]


@pytest.mark.parametrize("tool", ["customers_" + "x" * 50 + "_" + end for end in ("read", "delete")])
def test_a_tool_s_long_name_is_judged_whole_too(tool: str) -> None:
    """R13: what would run is told by its end; it is on the card, in a row, in the full view and in the file."""
    made = refund(title="call it")
    assert made.call is not None
    asked = request(asked=replace(made, call=replace(made.call, tool=tool)))
    shown = [card(asked).blocks, judged.in_row(asked.question)[0], review_modals.full(asked)["blocks"]]
    assert all(tool in json.dumps(blocks) for blocks in shown)
    assert tool in judged.file_of(asked)[1].decode()


def test_one_request_looks_as_ever() -> None:
    """R26: the first of a burst does not wait for others, and looks as any other until they come."""
    asked = request(asked=refund())
    assert on_one_card([asked]) == card(asked)


def test_who_is_asked_next_is_not_notified_before() -> None:
    """R26: a mention on the first card would tell them at once."""
    assert "S0LEADS" not in json.dumps(DRAWINGS["card_raised"].blocks)


def test_a_long_title_is_judged_whole_too() -> None:
    """R13: what has no room in the first line is in the content, the modal and the file."""
    asked = request(asked=question("short", title="x" * 100 + " rm -rf / " + "y" * 100))
    assert "rm -rf /" in judged.whole(asked)
    assert judged.whole(asked) in judged.file_of(asked)[1].decode()


PAIR = st.characters(min_codepoint=0x10000, max_codepoint=0x1F9FF)
CJK = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)
CONTENT = st.builds(
    lambda text, times: (text * times)[:50_000],
    st.text(st.one_of(PAIR, CJK, st.characters(), st.sampled_from('\n"\\<&\u202e\x00')), min_size=1, max_size=40),
    st.sampled_from([1, 60, 90, 300, 5000]),
)


@settings(max_examples=times(4, 100))
@given(CONTENT, CONTENT, CONTENT)
def test_whatever_the_content_slack_takes_the_card_and_all_can_be_seen(content: str, title: str, words: str) -> None:
    """R13, R14: too long is a file and a modal, never an error; shown and hidden add up to everything."""
    asked = request(asked=question(content, title=title, agent=title[:200]), quorum=1)
    asked = replace(asked, id=RequestId("q" * 17))
    many = Reviewers(frozenset(UserId(f"U{n:010}") for n in range(300)), frozenset({LEADS}))
    asked = replace(asked, rules=replace(asked.rules, reviewers=many, quorum=300, on_timeout=OnTimeout.APPROVE))
    settled = decided(Verb.REJECT, words[:3000].strip(), replace(asked, rules=rules()))
    took = Usage(10**9, 10**9, 10**6, 10**5, ((title[:60], 1),) * 9, ((content[:300], 9),) * 9)
    spoken = ended(result=words[:30_000], words=content[:30_000], usage=took)
    busy = replace(at_work(), writing=Writing(title, len(content), content[:200]))
    for drawing in (
        card(asked),
        card(settled),
        thread_notes.decided_note(settled),
        thread_notes.waiting_note(asked, LINK),
        thread_notes.run_message(replace(spoken, task=content[:10_000])),
        thread_notes.outcome_note(spoken),
        thread_notes.progress_note(runs.note_progress(spoken, title, content, later()).run),
        thread_notes.progress_note(runs.note_progress(busy, title, content, later()).run),
        thread_notes.progress_note(busy),
        thread_notes.not_posted_note(asked, title),
    ):
        check_message_blocks(drawing.blocks)
        assert size_of(drawing.blocks) <= 13_000
        assert len(drawing.text) < 4000
    check_view(review_modals.full(asked), ("modal",))
    check_view(modals.reject(asked, GENERAL), ("modal",))
    whole = judged.whole(asked)
    boxes = [box for box in boxes_of(card(asked).blocks)]
    assert judged.needs_file(asked) == (len(boxes) == 2)
    if judged.needs_file(asked):
        assert whole.startswith(boxes[0]) and whole.endswith(boxes[1])
        hidden = len(whole) - len(boxes[0]) - len(boxes[1])
        assert f"{hidden:,} characters in between are not shown here" in mrkdwn_of(card(asked).blocks)
        assert judged.file_of(asked)[1].decode() == whole
    else:
        assert boxes == [whole]


@settings(max_examples=times(4, 100))
@given(CONTENT, CONTENT, CONTENT)
@example("𞹧" * 300, "𞹧" * 60, "¡¡" * 300)
@example("¡" * 300, "\U0004d925$W" * 90, "𞹧" * 300)
@example("𞹧" * 2500, "𞹧" * 2400, "𞹧" * 300)
@example("\x00" * 2500, "\u202e" * 2400, "語" * 2400)
def test_whatever_is_called_slack_takes_the_card_and_all_can_be_seen(content: str, before: str, other: str) -> None:
    """R13, R14: notes, arguments and what changed have their room; approving needs that all was shown."""
    notes = tuple(other[at : at + 400] for at in range(0, 2400, 400))
    arguments = canonical(
        {
            "text": other.encode(errors="replace").decode(),
            "n": {"list": [1, content[:100].encode(errors="replace").decode()]},
        }
    )
    asked = refund(content=content, before=before, notes=notes, title=other[:200], agent=before[:200], options=())
    asked = replace(asked, call=Call(other[:200], arguments))
    of = replace(request(asked=asked, quorum=1, break_glass=True, **LATER), id=RequestId("q" * 17))
    changed = canonical({"text": before.encode(errors="replace").decode(), "n": None})
    after = decide(of, attempt(of, BOB, Verb.EDIT, arguments=changed, words=other[:3000]), later()).request
    for drawing in (card(of), card(after), thread_notes.decided_note(after), thread_notes.waiting_note(of, LINK)):
        check_message_blocks(drawing.blocks)
        assert size_of(drawing.blocks) <= 13_000
    views = (review_modals.full(of), review_modals.full(after), review_modals.review(of, GENERAL))
    for view in (*views, review_modals.permit(of, GENERAL), review_modals.break_glass(of, GENERAL)):
        check_view(view, ("modal",))
    shown, in_file = "".join(boxes_of(review_modals.review(of, GENERAL)["blocks"])), judged.file_of(of)[1].decode()
    it = judged.seen(asked)
    for part in (it.text, judged._arguments(asked), "\n".join(it.notes)):
        assert part in shown or judged.needs_file(of)
    for part in (it.text, judged._arguments(asked), *it.notes):
        assert part in in_file
    assert ("Approve" in labels_of(card(of))) == judged.complete(asked)


def test_a_card_names_the_agent_alone_whomever_it_asks() -> None:
    """Where a run has two humans, the question's place in the run has the name of the one who is asked, too."""
    asked = replace(question(), agent=asking("editor", "approver"))
    assert "agent editor · run" in json.dumps(card(request(asked=asked)).blocks, ensure_ascii=False)
    step = replace(in_doubt().question, agent="write to disk")  # what a team calls a step is no address
    assert "agent write to disk · run" in json.dumps(card(request(asked=step)).blocks, ensure_ascii=False)


def labels_of(drawing: Drawing) -> list[str]:
    actions = [b for b in drawing.blocks if b["type"] == "actions"]
    return [e["text"]["text"] for b in actions for e in b["elements"] if e["type"] == "button"]


@pytest.mark.parametrize(
    "asked", [question(LONG), code(LONG), in_doubt().question, diverged().question, turn(), refund()]
)
def test_only_what_is_whole_on_the_card_is_approved_there(asked: Question) -> None:
    """R13: of every kind; notes that have no room count too."""
    for more in (
        asked,
        replace(asked, content=LONG),
        replace(asked, notes=("x",) * 4),
        replace(asked, notes=("x" * 300,)),
    ):
        actions = next(b for b in card(request(asked=more)).blocks if b["type"] == "actions")
        ids = [element["action_id"] for element in actions["elements"]]
        assert (card_controls.APPROVE in ids) == judged.complete(more)
        assert (card_controls.REVIEW in ids) != judged.complete(more)
        assert card_controls.APPROVE not in json.dumps(card(request(asked=more, risk=Risk.HIGH)).blocks)
    assert not judged.complete(replace(asked, content=LONG))


def test_the_title_of_a_spoof_is_flagged_too() -> None:
    """R15"""
    for asked in (question(title="pay p\u0430ypal"), question(notes=("p\u0430ypal",))):
        assert "1 word mixes alphabets" in mrkdwn_of(card(request(asked=asked)).blocks)


def test_no_secret_of_a_call_is_drawn() -> None:
    """R15: on its card, in its windows, its file, or when it is edited."""
    drawn = [DRAWINGS[name] for name in DRAWINGS if name.startswith("card_tool")]
    everything = json.dumps([d.blocks for d in drawn] + [VIEWS["modal_full_edited"], VIEWS["modal_full_tool"]])
    everything += judged.file_of(edited())[1].decode()
    assert "hidden: 11 characters" in everything
    assert "s3cr3t-word" not in everything and "other-word!" not in everything


def test_who_must_read_the_file_says_so() -> None:
    """R14: beyond what a window holds; the box is asked for where it is needed only."""
    assert not modal_parts.has_read({**VIEWS["modal_review_with_file"], "state": {"values": {}}})
    checked = {modal_parts.READ: {modal_parts.READ: {"selected_options": [{"value": "yes"}]}}}
    assert modal_parts.has_read({**VIEWS["modal_review_with_file"], "state": {"values": checked}})
    assert modal_parts.has_read({**VIEWS["modal_review"], "state": {"values": {}}})


def test_fifty_thousand_characters_are_whole_in_the_modal() -> None:
    """R14"""
    content = "x" * 49_000 + "\n." * 500
    shown = "".join(boxes_of(review_modals.full(request(asked=question(content)))["blocks"]))
    assert shown == content


def test_more_than_a_modal_holds_is_said_there() -> None:
    """R14: with the file named."""
    view = review_modals.full(request(asked=question("語" * 50_000)))
    check_view(view, ("modal",))
    assert "The file in the card's thread has all" in mrkdwn_of(view["blocks"])


@pytest.mark.parametrize("text", ["x", "語", "🎉"])
def test_slack_takes_the_last_note_whatever_it_counts(text: str) -> None:
    """R14, R26: and all that passed is counted, also what has no room."""
    passed = (*(Passed(f"{n}{text * 59}", text * 200, n) for n in range(1, 20)), Passed("", "", 10))
    usage = replace(USAGE, models=((text * 200, 1),) * 9, fallbacks=((text * 200, 1),) * 9)
    drawing = thread_notes.outcome_note(ended(result=text * 9000, words=text * 9000, passed=passed, usage=usage))
    check_message_blocks(drawing.blocks)
    assert "*200 calls passed by policy*" in mrkdwn_of(drawing.blocks)


def test_final_words_without_room_are_in_a_file() -> None:
    """R14"""
    assert thread_notes.outcome_file(ended()) is None
    named = thread_notes.outcome_file(ended(words=LONG * 3))
    assert named is not None and LONG * 3 in named[1].decode()


def test_a_settled_card_says_who_when_and_why() -> None:
    shown = DRAWINGS["card_rejected"]
    assert "*Rejected* by <@U0BOB> <!date^" in mrkdwn_of(shown.blocks)
    assert "Too dear.\nAsk for five." in boxes_of(shown.blocks)
    assert decided(Verb.REJECT).status is Status.REJECTED
    assert escape("email") in shown.text


def mrkdwn_of(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(found["text"] for found in _all(blocks) if found.get("type") == "mrkdwn")


def boxes_of(blocks: list[dict[str, Any]]) -> list[str]:
    boxes = [found for found in _all(blocks) if found.get("type") == "rich_text_preformatted"]
    return ["".join(element["text"] for element in box["elements"]) for box in boxes]


def _all(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _all(item)
