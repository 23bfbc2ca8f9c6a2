"""Write sentences about a request: its requester, subject, status and outcome."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from countersign.domain import schedule
from countersign.domain.activity import NOT_DONE, UNKNOWN, ActionReport
from countersign.domain.channel_settings import Escalation
from countersign.domain.delegation import Absence
from countersign.domain.eligibility import deciders
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers, those_of
from countersign.domain.proof import Proof
from countersign.domain.quorum import count_alike
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status
from countersign.domain.runs import LONGEST_STATE, UNREPORTED, Run
from countersign.domain.runs import Status as RunStatus
from countersign.text.safe_text import one_line, quoted, typed

from . import button_labels
from .block_kit import TITLE, Block, context, mrkdwn, plain, words
from .slack_markup import NAMED, drawn, escape, listed, mention, moment, people, unstyled, when

_STAND_INS: Final = 3
_NONE: Final[Mapping[UserId, Absence]] = {}
_STEPS: Final = 2
_ASKED: Final = 4
"""The newest steps of the escalation, and how many people of each, that a card names."""
_LOOKING: Final = 3
"""How many people who look at it a card names; the others are counted."""


def run_state(run: Run, waiting: Sequence[Request], reader: UserId | None = None) -> str:
    """Return the run's status or outcome in mrkdwn.

    `waiting`: its undecided requests. In a conversation it waits for its requester, who may be the `reader`.
    """
    if waiting and not run.over and all(one.rules.in_thread for one in waiting):
        return f":hourglass_flowing_sand: Waiting for {answer_of(run.requester, reader)}"
    return button_labels.state_of(run)


def answer_of(requester: UserId, reader: UserId | None = None) -> str:
    """Name the answer that a conversation waits for."""
    return "your answer" if requester == reader else f"{mention(requester)}'s answer"


def votes(request: Request, most: int = NAMED) -> Block:
    """Draw the number of votes and the voters."""
    by = listed([mention(v.user) for v in request.votes], most)
    return words(f"*{votes_so_far(request)}*" + (f": {by}" if by else ""))


def votes_so_far(request: Request) -> str:
    """Write `1 of 2 approvals`; of choices only equal ones count together."""
    votes = "matching choices" if request.question.kind is Kind.CHOICE else "approvals"
    return f"{count_alike(request)} of {request.rules.quorum} {votes}"


def named(reviewers: Reviewers, away: Iterable[Absence] = (), most: int = NAMED) -> str:
    """Name at most this many reviewers; the others are counted.

    `away`: absences, of which a few are named with the stand-ins.
    """
    gone = dict([(absence.user, absence) for absence in away if absence.user in reviewers.users][:_STAND_INS])
    return listed(mentioned(reviewers, gone), most) or "nobody"


def mentioned(reviewers: Reviewers, gone: Mapping[UserId, Absence] = _NONE) -> list[str]:
    """List a mention of each reviewer."""
    names = [_with_stand_in(u, gone.get(u)) for u in sorted(reviewers.users)]
    return names + [drawn(those_of(group)) for group in sorted(reviewers.groups)]


def _with_stand_in(user: UserId, away: Absence | None) -> str:
    return mention(user) + (
        f" (away until {moment(away.until, away.since)}, stand-in: {mention(away.stand_in)})" if away else ""
    )


def dropped_votes(before: Request, after: Request) -> str:
    """Name the people whose approval no longer counts; "" without any."""
    gone = {vote.user for vote in before.votes} - {vote.user for vote in after.votes}
    return f" Earlier votes by {people(sorted(gone))} no longer count: they are no longer reviewers." * bool(gone)


def stand_ins(request: Request, away: Iterable[Absence]) -> list[Absence]:
    """Return the absences that count for this request.

    A requester who may not decide, or with whom the agents talk, neither has a stand-in nor is one.
    """
    requester_may = request.rules.own_requests and not request.rules.in_thread
    return [absence for absence in away if requester_may or request.requester not in (absence.user, absence.stand_in)]


def waiting_lines(request: Request) -> list[Block]:
    """Draw reminders and escalations so far and the next ones, in small print."""
    lines = [
        f"Escalated to {_step_in_words(request, request.rules.escalation[raised.number])} "
        f"{when(raised.at, request.created_at)}"
        for raised in request.raised[-_STEPS:]
    ]
    if coming := _next_steps(request):
        lines.append(coming)
    if request.looking:
        lines.append(lookers(request))
    return [context(mrkdwn(line)) for line in lines]


def _next_steps(request: Request) -> str:
    parts = []
    remind, raise_at = schedule.next_reminder(request), schedule.next_escalation(request)
    if request.snoozed_until is not None and request.snoozed_by is not None:
        until = moment(remind or request.snoozed_until, request.created_at)  # it keeps out of quiet hours
        parts.append(f"Reminder postponed by {mention(request.snoozed_by)} until {until}")
    elif remind is not None:
        parts.append(f"Next reminder {when(remind, request.created_at)}")
    if raise_at is not None:
        step = request.rules.escalation[schedule.taken(request)]
        where = button_labels.escalation_target(deciders(request, step.reviewers)) + _where(request, step)
        parts.append(f"{'escalates' if parts else 'Escalates'}{where} {when(raise_at, request.created_at)}")
    return " · ".join(parts)


def for_whom(request: Request) -> str:
    """Name the requester; a name given by a program is shown as its claim."""
    if not request.run.of_program:
        return mention(request.requester)
    named, program = request.program, "a program"
    if named is not None:
        program = f"the program {escape(quoted(named.name, 40))}"
        if named.names_requester:
            return f"{mention(request.requester)} (according to {program})"
    return program


def _step_in_words(request: Request, step: Escalation) -> str:
    return named(deciders(request, step.reviewers), most=_ASKED) + _where(request, step)


def _where(request: Request, step: Escalation) -> str:
    if step.channel is None or step.channel == request.rules.approvals_channel:
        return ""
    return f" in {mention(step.channel)}"


def lookers(request: Request) -> str:
    """Name the people who are looking at it."""
    looking = request.looking
    names = ", ".join(
        f"{mention(one.user)} (since {moment(one.since, request.created_at)})" for one in looking[:_LOOKING]
    )
    more = f" and {len(looking) - _LOOKING} more" if len(looking) > _LOOKING else ""
    are = "are" if len(looking) > 1 else "is"
    return f":eyes: {names}{more} {are} reviewing this. Others can still decide."


def as_question(question: Question) -> str:
    """Write the title as a question on one line."""
    title = quoted(question.title, TITLE)
    return f"{title}?" if title[-1:].isalnum() or title[-1:] in tuple(")]”\"'") else title


def as_matter(question: Question) -> str:
    """Write the title of a settled card; a call loses its question mark."""
    title = quoted(question.title, TITLE)
    return title.rstrip(" ?") if question.call is not None and question.kind is not Kind.FORM else as_question(question)


def policy_rule(request: Request) -> list[Block]:
    """Name the policy rule that selected the reviewers."""
    rules = request.rules
    if not rules.clause:
        return []
    why = f": {rules.why}" if rules.why else ""
    return [plain(f"Asked because of the rule “{rules.clause}”{why}", 300)]


def expiry(request: Request) -> str:
    """Write the deadline and its consequence."""
    if request.deadline is None:
        return "Never expires"
    return f"Expires {when(request.deadline, request.created_at)} · {unless_decided(request)}"


def unless_decided(request: Request) -> str:
    """Write the consequence if nobody decides in time."""
    if approved_by_timeout(request):
        return "*APPROVED if nobody decides*"
    return f"{button_labels.wording_of(request.question).unanswered} if nobody decides"


_ALLOW_THE_ACTION: Final = (Status.APPROVED, Status.EDITED)
_REASON: Final = 200
_SEPARATOR: Final = "\u00a0·\u00a0"
_UNREPORTED: Final = f"{_SEPARATOR}no outcome was reported"
"""Unbroken, so that no phone shows the outcome alone on a line."""


def decision_sentence(request: Request, decision: Decision, shown_at: datetime | None = None) -> str:
    """Write who decided what, when, and how; the reason is drawn separately.

    `shown_at`: the moment of the list that contains the sentence; by default that of the card.
    """
    who, at = people(decision.by), when(decision.at, shown_at or request.created_at)
    if who and decision.instead_of:
        who += f" (in place of {people(decision.instead_of)})"
    if who and decision.proof is not Proof.SLACK and decision.how is not How.PERMISSION:
        who += f" with {button_labels.PROVED_WITH[decision.proof]}"
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            so_far = f"with {votes_so_far(request)}" if request.votes else "nobody decided"
            return f":warning: *Approved by timeout* {at} · {so_far}, so this channel's settings approved it"
        case Status.EXPIRED, _:
            then = button_labels.wording_of(request.question).unanswered.rstrip(",")
            if request.votes:
                by = listed([mention(vote.user) for vote in request.votes])
                return f":alarm_clock: *Expired with {votes_so_far(request)}* ({by}) {at} · {then}"
            return f":alarm_clock: *Expired* {at} · nobody decided · {then}"
        case Status.WITHDRAWN, _:
            return (
                ":leftwards_arrow_with_hook: *Withdrawn*" + (f" by {who}" if who else "") + f" {at} · no longer needed"
            )
        case _, How.PERMISSION:
            return f":white_check_mark: *Auto-approved* by {who}'s standing permission {at}"
        case _, How.BREAK_GLASS:
            return f":rotating_light: *Break-glass*: approved by the requester, {who}, alone {at}"
        case outcome, how:
            by = who or ("a rule for this channel" if how is How.POLICY else "nobody")
            return f"{button_labels.wording_of(request.question).outcomes[outcome]} by {by} {at}"


def settled_line(request: Request, decision: Decision, run: Run | None, shown_at: datetime | None = None) -> str:
    """Write who decided, and the outcome in the team's word.

    The reason for a failure is drawn separately; `shown_at` as in `decision_sentence`.
    """
    line, outcome = decision_sentence(request, decision, shown_at), reported(request, run) if run else None
    if outcome is None:
        unknown = run is not None and run.ended_as == UNREPORTED and decision.outcome in _ALLOW_THE_ACTION
        return f"{line}{_UNREPORTED}" if unknown and request.question.call is not None else line
    if outcome.done == UNKNOWN:
        return f"{line}{_UNREPORTED}"
    late = ", reported late" if outcome.late else ""
    if not outcome.failed:
        return f"{line}{_SEPARATOR}{unstyled(quoted(outcome.done, LONGEST_STATE)) or 'done'}{late}"
    if outcome.done == NOT_DONE:
        why = unstyled(quoted(outcome.words, _REASON)).rstrip(".")
        at = when(decision.at, shown_at or request.created_at)
        did = "changed" if decision.outcome is Status.EDITED else "approved"
        return f":warning: *Not done*: {why}{_SEPARATOR}{people(decision.by)} {did} it {at}, and nothing ran"
    return f":warning: {line.partition(' ')[2]}{_SEPARATOR}*failed*{late}"  # without its emoji


def reported(request: Request, run: Run) -> ActionReport | None:
    """Return the action's outcome, as its program or its worker reported it."""
    if run.program is not None and run.told_outcome:
        return ActionReport(request.id, run.status is RunStatus.FAILED, run.result)
    return next((one for one in run.reported if one.request == request.id), None)


def why_failed(request: Request, run: Run | None) -> str:
    """Return the reported text about a failed action.

    "" if the action did not fail, or if the settled line has the text.
    """
    outcome = reported(request, run) if run else None
    return outcome.words.strip() if outcome is not None and outcome.failed and outcome.done != NOT_DONE else ""


def gist(question: Question) -> str:
    """Write title and beginning for a list; the caller must escape the text."""
    return " – ".join(part for part in (typed(question.title), beginning(question)) if part)


def beginning(question: Question) -> str:
    """Return the first line that tells the content from others of its title.

    "" for a call: its title does.
    """
    if question.kind not in (Kind.MESSAGE, Kind.CODE, Kind.TURN, Kind.END):
        return ""
    lines = (line.strip() for line in question.content.splitlines())
    text = (line for line in lines if line.rpartition(": ")[2].rstrip(":") and not line.startswith(("#", "```")))
    new = (line for line in text if not line.endswith(":") and line.rpartition(": ")[2] not in question.title)
    return one_line(typed(next(new, ""), hidden=question.call is not None), TITLE)
