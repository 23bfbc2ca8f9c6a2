"""Sentences about a request: who asks for what, how it waits, what became of it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from countersign.domain import schedule
from countersign.domain.call_words import in_words
from countersign.domain.decision_values import changed_text
from countersign.domain.delegation import Absence, deciders
from countersign.domain.diffs import changed_fields, changed_lines
from countersign.domain.escalation import Escalation
from countersign.domain.grant_request import Scope
from countersign.domain.grants import Permission
from countersign.domain.ids import UserId, digest_of
from countersign.domain.people import Reviewers, those_of
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status
from countersign.domain.vote_count import alike
from countersign.text.safe_text import Room, quoted, shorten, typed, visible

from . import button_labels
from .block_kit import TITLE, TOOL, Block, context, data, mrkdwn, plain, words
from .slack_markup import drawn, escape, mention, when

WORDS: Final = Room(3000, 3500, 60)
"""Room for a reason or an answer."""
_CHANGES: Final = Room(1000, 1500, 20)
_CHOSEN: Final = Room(800, 1200, 20)
_EXACT: Final = 300
"""Characters of a tool's exact name; a digest tells longer ones apart."""
_SIMPLE: Final = re.compile(r"[A-Za-z0-9_.:/-]+")
_STAND_INS: Final = 3
NAMED: Final = 12
"""How many people a message names; the others are counted."""
_NONE: Final[Mapping[UserId, Absence]] = {}
_STEPS: Final = 2
_ASKED: Final = 4
"""The newest steps of the escalation, and how many people of each, that a card names."""
_LOOKING: Final = 3
"""How many people who look at it a card names; the others are counted."""


def votes(request: Request, most: int = NAMED) -> Block:
    by = _listed([mention(v.user) for v in request.votes], most)
    return words(f"*{so_far(request)}*" + (f": {by}" if by else ""))


def so_far(request: Request) -> str:
    """Write `1 of 2 approvals`; of choices only equal ones count together."""
    votes = "who choose the same" if request.question.kind is Kind.CHOICE else "approvals"
    return f"{alike(request)} of {request.rules.quorum} {votes}"


def details(request: Request, decision: Decision) -> list[Block]:
    """Draw choice, changes and words; what has no room is counted."""
    chosen = _part("\n".join(quoted(option, 300) for option in decision.chosen), _CHOSEN, "the agents have them all")
    changes = _part(changes_of(request), _CHANGES, "*Details* shows them all")
    if changes:
        changes = [words("*Changed before it was approved*"), *changes]
    return (
        chosen
        + changes
        + standing_of(request, decision)
        + _part(visible(typed(decision.words)).strip(), WORDS, "the agents have them all")
    )


def allows(scope: Scope, kind: Kind, tool: str) -> str:
    """Write what a permission allows, in mrkdwn."""
    if kind is Kind.CODE:
        return "exactly this code"
    name = f"*{escape(quoted(in_words(tool), TOOL))}* (`{escape(exactly(tool))}`)"
    if scope is Scope.CALL:
        return f"exactly this call of {name}"
    return f"{name} with the same values" if scope is Scope.ARGUMENTS else f"{name} with any values"


def exactly(tool: str) -> str:
    """Write a tool's name so that no two look the same, to stand in code.

    Other than `in_words`, which reads `a_b` and `a-b` as one.
    """
    name = tool if _SIMPLE.fullmatch(tool) else json.dumps(tool).replace("`", "\\u0060")
    return name if len(name) <= _EXACT else f"{name[:_EXACT]}… ({digest_of(tool)[:12]})"


def standing_of(request: Request, decision: Decision) -> list[Block]:
    """Draw the permission that was given with the decision, if any."""
    standing, call = decision.standing, request.question.call
    if standing is None or call is None:
        return []
    allowed = allows(standing.scope, request.question.kind, call.tool)
    run = ", as long as this run goes on" if standing.this_run else ""
    ends = (
        f"until {when(standing.until, decision.at)}{run} (`{standing.permission}`); `/approvals permissions` ends it."
    )
    return [words(f":repeat: Not asked again: {allowed}, {ends}")]


def changes_of(request: Request) -> str:
    """List what an edit changed, a line for each place; "" if there was no edit.

    Secrets are hidden.
    """
    if (text := changed_text(request)) is not None:
        return "\n".join(visible(typed(line, hidden=True)) for line in changed_lines(*text))
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not decision.arguments:
        return ""
    fields = changed_fields(json.loads(call.arguments), json.loads(decision.arguments), call.hidden)
    return "\n".join(f"{visible(typed(path))}: {_value(before)} → {_value(after)}" for path, before, after in fields)


def _value(text: str) -> str:
    return visible(typed(text, hidden=True)) or "(nothing)"


def _part(text: str, room: Room, rest: str) -> list[Block]:
    beginning, hidden, end = shorten(text, room)
    if not beginning:
        return []
    if not hidden:
        return [data([beginning])]
    return [data([beginning]), words(f"_{hidden:,} characters in between are not shown here; {rest}._"), data([end])]


def sentence(request: Request, decision: Decision) -> str:
    """Write who decided what, when, and how; their words are drawn apart."""
    who, at = people(decision.by), when(decision.at, request.created_at)
    if who and decision.instead_of:
        who += f" (in place of {people(decision.instead_of)})"
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            return f":warning: *Approved by timeout* at {at} · nobody decided, and this channel's settings approve then"
        case Status.EXPIRED, _:
            then = button_labels.of(request.question).unanswered.rstrip(",")
            return f":alarm_clock: *Time ran out* at {at} · nobody decided · {then}"
        case Status.WITHDRAWN, _:
            return (
                ":leftwards_arrow_with_hook: *Withdrawn*"
                + (f" by {who}" if who else "")
                + f" at {at} · no longer needed"
            )
        case _, How.PERMISSION:
            return f":white_check_mark: *Auto-approved* by {who}'s standing permission at {at}"
        case _, How.BREAK_GLASS:
            return f":rotating_light: *Break-glass*: approved by {who} alone, who asked for it, at {at}"
        case outcome, how:
            by = who or ("a rule of this channel" if how is How.POLICY else "nobody")
            return f"{button_labels.of(request.question).outcomes[outcome]} by {by} at {at}"


def named(reviewers: Reviewers, away: Iterable[Absence] = (), most: int = NAMED) -> str:
    """Name the reviewers, at most so many; the others are counted.

    `away`: absences, of which a few are named with the stand-ins.
    """
    gone = dict([(absence.user, absence) for absence in away if absence.user in reviewers.users][:_STAND_INS])
    return _listed(mentioned(reviewers, gone), most) or "nobody"


def mentioned(reviewers: Reviewers, gone: Mapping[UserId, Absence] = _NONE) -> list[str]:
    """List a mention of each reviewer."""
    names = [_with_stand_in(u, gone.get(u)) for u in sorted(reviewers.users)]
    return names + [drawn(those_of(group)) for group in sorted(reviewers.groups)]


def _with_stand_in(user: UserId, away: Absence | None) -> str:
    return mention(user) + (
        f" (away until {when(away.until, away.since)}, {mention(away.stand_in)} stands in)" if away else ""
    )


def no_votes(before: Request, after: Request) -> str:
    """Name those whose approval no longer counts; "" if there are none."""
    gone = {vote.user for vote in before.votes} - {vote.user for vote in after.votes}
    return f" The earlier decision of {people(sorted(gone))} no longer counts: they are not reviewers now." * bool(gone)


def people(users: Iterable[UserId]) -> str:
    return _listed([mention(u) for u in users])


def _listed(names: list[str], most: int = NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def stand_ins(request: Request, away: Iterable[Absence]) -> list[Absence]:
    """Return the absences that count for this request.

    None counts of or for a requester who may not decide themselves, or who is talked with.
    """
    own = request.rules.own_requests and not request.rules.in_thread
    return [absence for absence in away if own or request.requester not in (absence.user, absence.stand_in)]


def how_it_waits(request: Request) -> list[Block]:
    """Draw reminders and escalations so far and the next ones, in small print."""
    lines = [
        f"Escalated to {_whom(request, request.rules.escalation[step.number])} at {when(step.at, request.created_at)}"
        for step in request.raised[-_STEPS:]
    ]
    if coming := _coming(request):
        lines.append(coming)
    if request.looking:
        lines.append(lookers(request))
    return [context(mrkdwn(line)) for line in lines]


def _coming(request: Request) -> str:
    parts = []
    remind, raise_at = schedule.next_reminder(request), schedule.next_escalation(request)
    if request.snoozed_until is not None and request.snoozed_by is not None:
        until = when(request.snoozed_until, request.created_at)
        parts.append(f"Reminder put off by {mention(request.snoozed_by)} until {until}")
    elif remind is not None:
        parts.append(f"Next reminder at {when(remind, request.created_at)}")
    if raise_at is not None:
        step = request.rules.escalation[schedule.taken(request)]
        where = button_labels.others(deciders(request, step.reviewers)) + _where(request, step)
        parts.append(f"{'escalates' if parts else 'Escalates'}{where} at {when(raise_at, request.created_at)}")
    return " · ".join(parts)


def _whom(request: Request, step: Escalation) -> str:
    return named(deciders(request, step.reviewers), most=_ASKED) + _where(request, step)


def _where(request: Request, step: Escalation) -> str:
    if step.channel is None or step.channel == request.rules.approvals_channel:
        return ""
    return f" in {mention(step.channel)}"


def lookers(request: Request) -> str:
    """Name the people who are looking at it."""
    looking = request.looking
    names = ", ".join(
        f"{mention(one.user)} (since {when(one.since, request.created_at)})" for one in looking[:_LOOKING]
    )
    more = f" and {len(looking) - _LOOKING} more" if len(looking) > _LOOKING else ""
    many = len(looking) > 1
    return f":eyes: {names}{more} {'are' if many else 'is'} reviewing this. Others can still decide."


def asked(question: Question) -> str:
    """Write what is asked as a question on one line."""
    title = quoted(question.title, TITLE)
    return f"{title}?" if title[-1:].isalnum() or title[-1:] in tuple(")]”\"'") else title


def why_me(request: Request) -> list[Block]:
    """Name the rule of the workspace's policy by which these people are asked."""
    rules = request.rules
    if not rules.clause:
        return []
    why = f": {rules.why}" if rules.why else ""
    return [plain(f"Asked because of the rule “{rules.clause}”{why}", 300)]


def expiry(request: Request) -> str:
    """Write until when people have time, and what happens then."""
    if request.deadline is None:
        return "Never expires"
    at = f"Expires at {when(request.deadline, request.created_at)}"
    if approved_by_timeout(request):
        return f"{at} · *APPROVED if nobody decides*"
    return f"{at} · {button_labels.of(request.question).unanswered} if nobody decides"


def permission_line(one: Permission, place: str = "") -> str:
    """Write what a permission allows, its giver, end and uses.

    `place`: its channel is named too.
    """
    used = "not used yet" if not one.used else f"used {'once' if one.used == 1 else f'{one.used:,} times'}"
    run = " in one run" if one.run else ""
    return (
        f"*{escape(quoted(one.team, 40))}* can run {allows(one.scope, one.kind, one.tool)}{place}{run}\n"
        f"given by {mention(one.by)} · ends {when(one.until, one.at)} · {used}"
    )
