"""Samples of every view: runs and requests in all of their states, and their drawings."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.slack.views import (
    answer_modals,
    approval_card,
    edit_modal,
    modal_parts,
    reminder_text,
    review_modals,
    run_steps,
    settings_modal,
    settings_text,
    start_modal,
    thread_notes,
)
from bot.slack.views.block_kit import Drawing
from bot.slack.views.settings_text import greeting
from countersign.domain import quiet_hours, request_endings, runs, schedule, standing_permissions
from countersign.domain.activity import NOT_DONE, Delay, Passed, Usage, Writing
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Escalation, OnTimeout, Risk
from countersign.domain.decision_attempts import allow, decide
from countersign.domain.delegation import Absence
from countersign.domain.eligibility import for_requester
from countersign.domain.ids import ChannelId, GroupId, RunId, UserId
from countersign.domain.made_files import LeftOut, Why
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Kind, Question, Request, Scope, Verb
from countersign.domain.run_options import Option
from countersign.domain.runs import Run
from countersign.domain.schedule import Snooze
from countersign.domain.standing_permissions import PermissionChoice, Span
from countersign.policy.loosening import Configured
from countersign.usecases.ports import TeamInfo
from tests.sample_requests import (
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
    reported_in,
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
    who = ALICE if asked.rules.in_thread else BOB
    return decide(asked, attempt(asked, who, verb, words=words), later(minutes=5)).request


def expired(**changes: Any) -> Request:
    return request_endings.expire(request(**changes), later(hours=2)).request


def voted() -> Request:
    asked = request(quorum=2)
    return decide(asked, attempt(asked), later(minutes=1)).request


def card(of: Request) -> Drawing:
    return approval_card.card(of, run=run(), run_link=LINK)


def plan(of: Run, *asked: Request) -> Drawing:
    rows = [run_steps.RequestOnCard(one, number if len(asked) > 1 else 0, LINK) for number, one in enumerate(asked, 1)]
    return run_steps.drawn_as_list(of, run_steps.steps(of, rows))


def at_work() -> Run:
    step = runs.note_progress(run(status=runs.Status.RUNNING), "drafter", "Drafting\na mail", later(minutes=1))
    return runs.note_progress(step.run, "reviewer", HOSTILE, later(minutes=2)).run


def ended(**changes: Any) -> Run:
    told = {"result": "The mail was sent to vendor@example.com.", "words": "Dear vendor,\n\nten percent off, please."}
    return run(**{"status": runs.Status.FINISHED, "ended_at": later(minutes=9), **told, **changes})


def writing(**changes: Any) -> Run:
    """Return a run whose agent is in the middle of a text."""
    return runs.note_writing(at_work(), Writing("drafter", 1240, f"{HOSTILE}\nDear vendor", **changes), later()).run


def planned() -> Run:
    """Return a run with a plan whose first step is done; its second waits, and others are still to come."""
    titles = ("Run the tests", "Release", HOSTILE, "Announce the release of shop 2.1 to everybody who has asked " * 2)
    noted = runs.note_plan(run(status=runs.Status.WAITING), 1, titles, later(minutes=-1)).run
    return runs.note_step(noted, 1, 0, later(minutes=1)).run


PASSED = (
    Passed("look_up", "", 30),
    Passed("refund_order", "The workspace's policy, rule “small”. Below what a meeting about it costs.", 8),
    Passed(HOSTILE[:60], HOSTILE, 1),
)
USAGE = Usage(
    prompt_tokens=12_345,
    completion_tokens=678,
    calls=4,
    cached=1,
    models=(("gpt-4.1", 3), (HOSTILE, 1)),
    fallbacks=(("gpt-4.1 is rate-limited (HTTP 429)", 1),),
)


def in_doubt(**changes: Any) -> Request:
    """Ask as `countersign.frameworks.autogen.unknown_outcomes` does; approval by timeout does not count here."""
    words = "Nobody knows whether “send” happened.\n\nAttempt 1, started 2026-03-06 17:00:00 UTC.\n\nsend\nTen boxes"
    asked = question(words, kind=Kind.IN_DOUBT, title="Did “send” happen?", agent="send", offers=DOUBT_OFFERS)
    return request(asked=asked, on_timeout=OnTimeout.APPROVE, **changes)


def diverged() -> Request:
    """Ask as a run does whose team has changed."""
    words = "The code of the team “email” has changed while this run was under way."
    offers = (Verb.APPROVE, Verb.REJECT)
    asked = question(words, kind=Kind.DIVERGED, title="Continue with the changed code?", agent="drafter", offers=offers)
    return request(asked=asked)


def refund(**changes: Any) -> Question:
    """Ask as the gate does."""
    arguments = canonical({"order": 17, "amount": 20, "api_key": "s3cr3t-word"})
    return replace(call(), **{"call": Call("refund_order", arguments, hidden=("api_key",)), **changes})


def code(text: str = "import shutil\n\nshutil.rmtree('build')\n") -> Question:
    made = Call("run code", canonical({"blocks": [{"language": "python", "code": text}]}), "{}")
    offers = (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND)
    notes = ("Runs directly on the agents' machine, without a sandbox.",)
    return Question("coder", 0, Kind.CODE, "Run this code", f"python:\n\n{text}", offers, made, notes=notes)


def mail(text: str = "To: vendor@example.com\n\nTen percent off, please.") -> Question:
    """Ask about words that people may change."""
    return question(text, offers=(Verb.APPROVE, Verb.REJECT, Verb.RESPOND, Verb.EDIT))


def permitted() -> Request:
    asked = request(asked=refund())
    approved = attempt(asked, BOB, permission=PermissionChoice(Scope.ARGUMENTS, Span.RUN))
    return decide(asked, approved, later(minutes=5)).request


def in_advance() -> Request:
    given = standing_permissions.given_with(permitted(), "email")
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


def edited_mail() -> Request:
    asked, text = request(asked=mail()), f"To: vendor@example.com\n\nFive percent off, please.\n{HOSTILE}"
    return decide(asked, attempt(asked, BOB, Verb.EDIT, content=text), later(minutes=5)).request


def edited_code() -> Request:
    asked = request(asked=code())
    less = canonical({"blocks": [{"language": "python", "code": "import shutil\n\nshutil.rmtree('build/old')\n"}]})
    return decide(asked, attempt(asked, BOB, Verb.EDIT, arguments=less, words="Only that."), later(minutes=5)).request


def with_outcome(of: Request, words: str = "", *, failed: bool = False, done: str = "") -> Run:
    """Return the run of an action that was done, or failed."""
    at_work = run(status=runs.Status.RUNNING)
    return reported_in(at_work, of.id, words, later(minutes=6), failed=failed, done=done)


def reported(of: Request, words: str = "", *, failed: bool = False, done: str = "") -> Drawing:
    return approval_card.card(of, run=with_outcome(of, words, failed=failed, done=done), run_link=LINK)


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
    """Return a request with reminders and escalations still to come."""
    return request(**LATER)


def snoozed() -> Request:
    """Return a request that Carol put off and two people look at."""
    off = schedule.snooze(waited(), Actor(HERE, CAROL), Snooze.HOUR, later(minutes=1)).request
    looked = schedule.look(off, Actor(HERE, BOB), later(minutes=2)).request
    return schedule.look(looked, Actor(HERE, CAROL), later(minutes=3)).request


def raised() -> Request:
    """Return a request that went to the next people, with the first ones reminded."""
    return schedule.due(request(**{**LATER, "quiet": quiet_hours.NEVER}), later(hours=2)).request


def burst(**changes: Any) -> list[Request]:
    """Return five calls of one turn: one too long for its row, one a spoof."""
    texts = ["Refund order 17: 20 EUR", "Refund order 18: 5 EUR", LONG, SPOOF, "Refund order 21:\n 7 EUR\n to the card"]
    calls = [refund(content=text, asked=number) for number, text in enumerate(texts)]
    calls[1] = replace(calls[1], notes=("More than 4 EUR.",))
    return [request(later(seconds=at / 10), asked=asked, **changes) for at, asked in enumerate(calls)]


def half_settled() -> list[Request]:
    """Return a burst with a rejection, an approval, an edit, and two that wait."""
    first, second, third, *left = burst()
    no = decide(first, attempt(first, BOB, Verb.REJECT, words=f"Too dear.\n{HOSTILE * 3}"), later(minutes=1)).request
    yes = decide(
        second, attempt(second, CAROL, permission=PermissionChoice(Scope.ARGUMENTS, Span.RUN)), later(minutes=1)
    ).request
    less = canonical({"order": 17, "amount": 15, "api_key": "s3cr3t-word"})
    changed = decide(third, attempt(third, BOB, Verb.EDIT, arguments=less), later(minutes=2)).request
    return [no, yes, changed, *(schedule.look(one, Actor(HERE, BOB), later(minutes=3)).request for one in left)]


def settled_burst() -> list[Request]:
    return [one if one.decision else request_endings.expire(one, later(hours=2)).request for one in half_settled()]


def on_one_card(rows: list[Request]) -> Drawing:
    return approval_card.batch(rows, run=run(), run_link=LINK)


BEFORE = "Refund order 17: 200 EUR\nto the card that was used"
SPOOF = "Pay to p\u0430ypal.com, and send \uff52\uff4d"


def turn(*, to_end: bool = False) -> Question:
    """Ask as `countersign.frameworks.autogen.people.user_proxy` does."""
    offers: tuple[Verb, ...] = (Verb.APPROVE, Verb.RESPOND)
    if to_end:
        title = "The assistant says that it is finished. End here?"
        return question("All is done.\n\nTERMINATE", kind=Kind.END, title=title, agent="assistant", offers=offers)
    offers = (*offers, Verb.REJECT)
    return question(
        "Step 1 of 2",
        kind=Kind.TURN,
        title="The assistant finished a step. Continue?",
        agent="assistant",
        offers=offers,
    )


def talk(*, to_end: bool = False, **changes: Any) -> Request:
    asked = request(asked=turn(to_end=to_end), **changes)
    return replace(asked, rules=for_requester(asked.rules, ALICE))


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
    "card_raised": approval_card.card(raised(), run=run(), run_link=LINK, away=AWAY),
    "card_raised_approved": card(
        decide(raised(), attempt(raised(), "U0ERIN", stands_for=(Actor(HERE, BOB),)), later(hours=3)).request
    ),
    "card_approved": card(decided(Verb.APPROVE)),
    "card_approved_by_two": card(decide(voted(), attempt(voted(), CAROL), later(minutes=3)).request),
    "card_rejected": card(decided(Verb.REJECT, "Too dear.\nAsk for five.")),
    "card_answered": card(decided(Verb.RESPOND, HOSTILE)),
    "card_long_rejected": card(decided(Verb.REJECT, "no", request(asked=question(LONG)))),
    "card_expired": card(expired()),
    "card_expired_with_votes": card(request_endings.expire(voted(), later(hours=2)).request),
    "card_approved_by_timeout": card(expired(on_timeout=OnTimeout.APPROVE)),
    "card_withdrawn": card(request_endings.withdraw(request(), later(minutes=5), "the run was stopped", ALICE).request),
    "card_in_doubt": card(in_doubt()),
    "card_in_doubt_answered": card(decided(Verb.RESPOND, "Message 17 is in the log.", in_doubt())),
    "card_in_doubt_approved": card(decided(Verb.APPROVE, of=in_doubt())),
    "card_in_doubt_rejected": card(decided(Verb.REJECT, of=in_doubt())),
    "card_in_doubt_expired": card(request_endings.expire(in_doubt(), later(hours=2)).request),
    "card_turn": card(talk()),
    "card_turn_approved": card(decided(Verb.APPROVE, of=talk())),
    "card_turn_answered": card(decided(Verb.RESPOND, "Take the train.", talk())),
    "card_turn_rejected": card(decided(Verb.REJECT, "enough", talk())),
    "card_turn_reminds": card(talk(remind_after=timedelta(minutes=15))),
    "card_turn_in_messages": approval_card.card(talk(), run=run(), run_link=None),
    "steps_talking": run_steps.drawn_as_list(
        at_work(), run_steps.steps(at_work(), [run_steps.RequestOnCard(talk(), 0, LINK, in_thread=True)])
    ),
    "card_end": card(talk(to_end=True)),
    "card_end_approved": card(decided(Verb.APPROVE, of=talk(to_end=True))),
    "card_end_expired": card(request_endings.expire(talk(to_end=True), later(hours=2)).request),
    "card_diverged": card(diverged()),
    "card_diverged_approved": card(decided(Verb.APPROVE, of=diverged())),
    "card_tool": card(request(asked=refund())),
    "card_tool_break_glass": card(request(asked=refund(), break_glass=True)),
    "card_tool_whole_menu": card(request(asked=refund(), break_glass=True, **LATER)),
    "card_tool_approved_not_asked_again": card(permitted()),
    "card_tool_approved_in_advance": card(in_advance()),
    "card_approved_broken_glass": card(broken()),
    "steps_in_advance": plan(run(), in_advance()),
    "note_broken_glass": thread_notes.break_glass_note(broken()),
    "card_tool_titled": card(request(asked=refund(title="give back what was paid"))),
    "card_tool_long": card(request(asked=refund(content=LONG))),
    "card_tool_again": card(request(asked=refund(before=BEFORE, notes=("Over the limit of 10 EUR.", "Bob is away.")))),
    "card_tool_again_same": card(request(asked=refund(before=refund().content))),
    "card_tool_again_long": card(request(asked=refund(content=LONG[:1500], before=LONG[1500:3000]))),
    "card_tool_claimed": card(request(asked=refund(notes=(f"⚠️ Checked by security. {HOSTILE}",), claimed=True))),
    "card_tool_many_notes": card(request(asked=refund(notes=tuple(f"Note {n}. {HOSTILE * 3}" for n in range(9))))),
    "card_tool_approved": card(decided(Verb.APPROVE, of=request(asked=refund()))),
    "card_tool_edited": card(edited()),
    "card_tool_not_done": reported(edited(), f"More than 10 EUR. {HOSTILE}", failed=True, done=NOT_DONE),
    "steps_not_done": plan(with_outcome(edited(), "More than 10 EUR.", failed=True, done=NOT_DONE), edited()),
    "card_tool_done": reported(decided(Verb.APPROVE, of=request(asked=refund()))),
    "card_tool_failed": reported(decided(Verb.APPROVE, of=request(asked=refund())), f"No card. {HOSTILE}", failed=True),
    "card_mail_sent": reported(edited_mail(), "The mail was sent to vendor@example.com.", done="sent"),
    "burst_reported": approval_card.batch(
        half_settled(),
        run=reported_in(run(), half_settled()[1].id, "No card.", later(minutes=6), failed=True),
        run_link=LINK,
    ),
    "card_mail": card(request(asked=mail())),
    "card_mail_edited": card(edited_mail()),
    "card_code_edited": card(edited_code()),
    "card_code": card(request(asked=code())),
    "card_high_risk": card(request(asked=refund(), risk=Risk.HIGH)),
    "card_by_rule": card(request(asked=refund(), clause="big refunds", why="<!here> money", risk=Risk.HIGH, quorum=2)),
    "card_choice": card(request(asked=choice("eu-west", "us-east"))),
    "card_choice_answered": card(chosen()),
    "card_secrets": card(request(asked=question("curl -u bob:x --password=hunter22\nhttps://bob:hunter22@host/"))),
    "card_tool_guessed": card(request(asked=call(order=17, amount=20, api_key="s3cr3t-word"))),
    "card_lookalike": card(request(asked=question(SPOOF))),
    "card_lookalike_signs": card(request(asked=question("Pay 1\u201a000 EUR at https://bank\u3002com"))),
    "burst": on_one_card(burst()),
    "burst_whole_menu": on_one_card(burst(break_glass=True, quorum=2, clause="refunds", why="money", **LATER)),
    "burst_half_settled": on_one_card(half_settled()),
    "burst_settled": on_one_card(settled_burst()),
    "steps_waiting_for_many": plan(run(status=runs.Status.WAITING), *burst()),
    "steps_half_settled": plan(run(status=runs.Status.WAITING), *half_settled()),
    "note_reminder_of_many": reminder_text.reminder_note(half_settled(), LINK),
    "note_reminder_of_many_over": reminder_text.reminder_note(settled_burst(), LINK),
    "run_queued": thread_notes.run_message(run()),
    "run_hostile": thread_notes.run_message(run(task=HOSTILE)),
    "run_waiting": thread_notes.run_message(run(status=runs.Status.WAITING)),
    "run_talking": thread_notes.run_message(run(status=runs.Status.WAITING), [talk()], here=True),
    "run_finished": thread_notes.run_message(ended()),
    "run_long_task": thread_notes.run_message(run(task="do " * 3000)),
    "run_sent": thread_notes.run_message(ended(ended_as="Sent")),
    "run_rejected": thread_notes.run_message(ended(ended_as="rejected")),
    "run_expired": thread_notes.run_message(ended(ended_as="expired")),
    "run_failed": thread_notes.run_message(ended(status=runs.Status.FAILED, result="No model answered.")),
    "steps_at_work": plan(at_work()),
    "steps_writing": plan(writing()),
    "steps_plan_pending": plan(planned(), request(asked=replace(call(), title="Release"))),
    "steps_plan_stopped": plan(replace(planned(), status=runs.Status.STOPPED, ended_at=later(minutes=9))),
    "steps_written": plan(writing(done=True)),
    "steps_waiting": plan(at_work(), request()),
    "steps_rejected": plan(at_work(), decided(Verb.REJECT, "Too dear.")),
    "steps_failed": plan(
        with_outcome(decided(Verb.APPROVE, of=request(asked=refund())), f"No card. {HOSTILE}", failed=True),
        decided(Verb.APPROVE, of=request(asked=refund())),
    ),
    "steps_expired": plan(ended(ended_as="expired"), expired()),
    "steps_slowed_down": plan(run(delay=Delay("The model gpt is rate-limited", later()))),
    "steps_without_a_worker": run_steps.drawn_as_list(run(), run_steps.steps(run(), without_worker=True)),
    "note_outcome": thread_notes.outcome_note(ended()),
    "note_outcome_with_usage": thread_notes.outcome_note(ended(usage=USAGE)),
    "note_outcome_with_passed": thread_notes.outcome_note(ended(passed=PASSED, usage=USAGE)),
    "note_outcome_long": thread_notes.outcome_note(ended(words=LONG * 3)),
    "note_unattached": thread_notes.unattached_note(
        [*(LeftOut(Why.LARGE, f"_report_{number}.pdf") for number in range(6)), LeftOut(Why.CROWDED, "files")],
        [(HOSTILE, "file_uploads_disabled")],
    ),
    "note_unattached_few": thread_notes.unattached_note(
        [LeftOut(Why.CROWDED, "files"), LeftOut(Why.MANY, "rows.csv")], [(HOSTILE, "file_uploads_disabled")]
    ),
    "note_failed": thread_notes.outcome_note(ended(status=runs.Status.FAILED, result=HOSTILE, words="")),
    "note_stopped": thread_notes.outcome_note(
        ended(status=runs.Status.STOPPED, stopped_by=ALICE, result="Stopped.", words="")
    ),
    "note_reminder": reminder_text.reminder_note([raised()], LINK, AWAY),
    "note_reminder_over": reminder_text.reminder_note([request_endings.expire(raised(), later(days=2)).request], LINK),
    "note_raised": reminder_text.escalation_note([raised()], raised().raised[0], LINK),
    "greeting": greeting(GENERAL, rules(approvals_channel=GENERAL)),
    "greeting_short": greeting(GENERAL, rules()),
    "greeting_without_reviewers": greeting(GENERAL, rules(approvals_channel=GENERAL, reviewers=Reviewers())),
    "note_not_posted": thread_notes.not_posted_note(request(), "not_in_channel"),
}
VIEWS: dict[str, dict[str, Any]] = {
    "modal_start": start_modal.start([TeamInfo("email", "writes a mail"), TeamInfo("broken", "", "no model")], GENERAL),
    "modal_start_anywhere": start_modal.start([TeamInfo("email", "writes a mail"), CHAT], GENERAL, anywhere=True),
    "modal_start_options": start_modal.start([TeamInfo("email", "writes a mail"), CHAT], GENERAL, "chat"),
    "modal_reject": answer_modals.reject(request(), GENERAL),
    "modal_respond": answer_modals.respond(request(), GENERAL),
    "modal_in_doubt_stop": answer_modals.reject(in_doubt(), GENERAL),
    "modal_in_doubt_it_ran": answer_modals.respond(in_doubt(), GENERAL),
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
    "modal_edit_mail": edit_modal.edit(request(asked=mail()), GENERAL),
    "modal_edit_long_mail": edit_modal.edit(request(asked=mail(LONG)), GENERAL),
    "modal_edit_code": edit_modal.edit(request(asked=code()), GENERAL),
    "modal_full_mail_edited": review_modals.full(edited_mail()),
    "modal_choose": answer_modals.choose(request(asked=choice(*"abcdef")), GENERAL),
    "modal_choose_several": answer_modals.choose(request(asked=choice("eu", "us " * 40, several=True)), GENERAL),
    "modal_settings": settings_modal.view(GENERAL, rules(), {GroupId("S0LEADS"): "@leads"}),
    "modal_settings_confirm": settings_text.confirm(
        GENERAL,
        Configured(rules(quorum=2), rules(own_requests=True), rules(quorum=2), rules(own_requests=True)),
        "{}",
    ),
    "modal_settings_times": settings_modal.view(GENERAL, waited().rules, None),
    "modal_settings_silent": settings_modal.view(GENERAL, rules(reviewers=Reviewers(groups=frozenset({LEADS}))), None),
}


def made_call() -> Call:
    made = refund().call
    assert made is not None
    return made


def labels_of(drawing: Drawing) -> list[str]:
    actions = [b for b in drawing.blocks if b["type"] == "actions"]
    return [e["text"]["text"] for b in actions for e in b["elements"] if e["type"] == "button"]


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
