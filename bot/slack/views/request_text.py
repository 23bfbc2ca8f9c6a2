"""Sentences about a request: who asks for what, how it waits, what became of it."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from countersign.domain import schedule
from countersign.domain.channel_settings import say_duration
from countersign.domain.delegation import Absence, deciders
from countersign.domain.diffs import changed_fields
from countersign.domain.escalation import Escalation
from countersign.domain.grant_request import Scope
from countersign.domain.grants import Permission
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers, those_of
from countersign.domain.questions import asker
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status, Verb
from countersign.domain.vote_count import alike

from . import button_labels
from .block_kit import TOOL, Block, context, data, mrkdwn, plain, words
from .safe_text import Room, quoted, shorten, typed, visible
from .slack_markup import drawn, escape, mention, when

WORDS: Final = Room(3000, 3500, 60)
"""Room for a reason or an answer."""
_CHANGES: Final = Room(1000, 1500, 20)
_CHOSEN: Final = Room(800, 1200, 20)
_TOOL: Final = 300
"""Characters of a tool's name where it is what is allowed: its end may tell what it does."""
_STAND_INS: Final = 3
NAMED: Final = 12
"""How many people a message names; the others are counted."""
_NONE: Final[Mapping[UserId, Absence]] = {}
_STEPS: Final = 2
_ASKED: Final = 4
"""The newest steps of the escalation, and how many people of each, that a card names."""
_LOOKING: Final = 3
"""How many people who look at it a card names; the others are counted."""
_APPROVED: Final = frozenset({Kind.MESSAGE, Kind.TOOL, Kind.CODE})
"""The kinds of which the content itself is approved; other questions are how something goes on."""


def votes(request: Request) -> Block:
    by = people(v.user for v in request.votes)
    return words(f"*{so_far(request)}*" + (f": {by}" if by else ""))


def so_far(request: Request) -> str:
    """Write `1 of 2 approvals`; of choices only equal ones count together."""
    votes = "who choose the same" if request.question.kind is Kind.CHOICE else "approvals"
    return f"{alike(request)} of {request.rules.quorum} {votes}"


def details(request: Request, decision: Decision) -> list[Block]:
    """Draw choice, change and words, each with what has no room counted."""
    chosen = _part("\n".join(quoted(option, 300) for option in decision.chosen), _CHOSEN, "the agents know them all")
    changes = _part(changes_of(request), _CHANGES, "*View full* shows them all")
    if changes:
        changes = [words("*Changed before it was approved*"), *changes]
    return (
        chosen
        + changes
        + standing_of(request, decision)
        + _part(visible(typed(decision.words)).strip(), WORDS, "the agents have them all")
    )


def allows(scope: Scope, kind: Kind, tool: str) -> str:
    """Write what a permission lets run, in mrkdwn."""
    if kind is Kind.CODE:
        return "exactly this code"
    name = f"*{escape(quoted(tool, _TOOL))}*"
    if scope is Scope.CALL:
        return f"exactly this call of {name}"
    return f"{name} with the same arguments" if scope is Scope.ARGUMENTS else f"{name} with any arguments"


def standing_of(request: Request, decision: Decision) -> list[Block]:
    """Draw what is not asked again, if that was decided too."""
    standing, call = decision.standing, request.question.call
    if standing is None or call is None:
        return []
    allowed = allows(standing.scope, request.question.kind, call.tool)
    run = ", as long as this run goes on" if standing.this_run else ""
    ends = f"until {when(standing.until)}{run} (`{standing.permission}`); `/approvals permissions` ends it."
    return [words(f":repeat: Not asked again: {allowed}, {ends}")]


def changes_of(request: Request) -> str:
    """List what an edit changed, a line for each place; "" if there was no edit.

    Secrets are hidden.
    """
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
    who, at = people(decision.by), when(decision.at)
    if who and decision.instead_of:
        who += f" (in place of {people(decision.instead_of)})"
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            meant = "nobody decided, and this channel's settings say that this means approval"
            return f":warning: *Approved by timeout* {at}: {meant}."
        case Status.EXPIRED, _:
            then = button_labels.of(request.question.kind).unanswered
            return f":alarm_clock: *Time ran out* {at}: nobody decided. {then[0].upper()}{then[1:]}."
        case Status.WITHDRAWN, _:
            return (
                f":leftwards_arrow_with_hook: *Withdrawn* {at}"
                + (f" by {who}" if who else "")
                + ": the run no longer asks this."
            )
        case _, How.PERMISSION:
            return f":white_check_mark: *Allowed in advance* by {who}, by a standing permission; nobody was asked {at}"
        case _, How.BREAK_GLASS:
            return f":rotating_light: *Break-glass*: approved by {who} alone, who started the run, {at}."
        case outcome, how:
            by = who or ("a rule of this channel" if how is How.POLICY else "nobody")
            return f"{button_labels.of(request.question.kind).outcomes[outcome]} by {by} {at}"


def named(reviewers: Reviewers, away: Iterable[Absence] = (), most: int = NAMED) -> str:
    """Name the reviewers, at most so many; the others are counted.

    `away`: people who are not here, told of a few with their stand-ins.
    """
    gone = dict([(absence.user, absence) for absence in away if absence.user in reviewers.users][:_STAND_INS])
    return _listed(mentioned(reviewers, gone), most) or "nobody"


def mentioned(reviewers: Reviewers, gone: Mapping[UserId, Absence] = _NONE) -> list[str]:
    """Mention each of them."""
    names = [_with_stand_in(u, gone.get(u)) for u in sorted(reviewers.users)]
    return names + [drawn(those_of(group)) for group in sorted(reviewers.groups)]


def _with_stand_in(user: UserId, away: Absence | None) -> str:
    return mention(user) + (f" (away until {when(away.until)}, {mention(away.stand_in)} stands in)" if away else "")


def no_votes(before: Request, after: Request) -> str:
    """Say whose approval counts no more; "" if there is none."""
    gone = {vote.user for vote in before.votes} - {vote.user for vote in after.votes}
    return f" What {people(sorted(gone))} said before does not count any more: they may not decide by now." * bool(gone)


def people(users: Iterable[UserId]) -> str:
    return _listed([mention(u) for u in users])


def _listed(names: list[str], most: int = NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def stand_ins(request: Request, away: Iterable[Absence]) -> list[Absence]:
    """Return the absences that count here.

    Nobody decides for or as a requester who may not decide themselves.
    """
    own = request.rules.own_requests
    return [absence for absence in away if own or request.requester not in (absence.user, absence.stand_in)]


def how_it_waits(request: Request) -> list[Block]:
    """Draw what came and what comes next, in small print; nothing where nothing does."""
    lines = [
        f"Went to {_whom(request, request.rules.escalation[step.number])} {when(step.at)}: nobody had decided"
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
        parts.append(f"Snoozed by {mention(request.snoozed_by)} until {when(request.snoozed_until)}")
    elif remind is not None:
        parts.append(f"Reminds {when(remind)}")
    if raise_at is not None:
        # Whoever is named by a mention is notified when the card is posted, which is what the wait is to spare them.
        where = _where(request, request.rules.escalation[schedule.taken(request)])
        parts.append(f"{'goes' if parts else 'Goes'} to the next people{where} {when(raise_at)}")
    return " · ".join(parts)


def _whom(request: Request, step: Escalation) -> str:
    return named(deciders(request, step.reviewers), most=_ASKED) + _where(request, step)


def _where(request: Request, step: Escalation) -> str:
    if step.channel is None or step.channel == request.rules.approvals_channel:
        return ""
    return f" in {mention(step.channel)}"


def lookers(request: Request) -> str:
    """Write who looks at it."""
    looking = request.looking
    names = ", ".join(f"{mention(one.user)} (since {when(one.since)})" for one in looking[:_LOOKING])
    more = f" and {len(looking) - _LOOKING} more" if len(looking) > _LOOKING else ""
    many = len(looking) > 1
    return f":eyes: {names}{more} {'are' if many else 'is'} looking at it; others may decide all the same."


def asks(question: Question, team: str, title: str) -> tuple[str, str]:
    """Write the first line of a request: who asks, and for what.

    `team` and `title` are on one line each.
    """
    if question.call is None:
        return team, f" asks: {title}"
    tool = "code" if question.kind is Kind.CODE else quoted(question.call.tool, TOOL)
    known = title.lower() in {tool.lower(), f"call {tool}".lower(), f"run {tool}".lower()}
    return quoted(asker(question), 40), f" wants to run {tool}" + ("" if known else f": {title}")


def why_me(request: Request) -> list[Block]:
    """Name the rule of the workspace's policy by which these people are asked."""
    rules = request.rules
    if not rules.clause:
        return []
    why = f": {rules.why}" if rules.why else ""
    return [plain(f"Why: rule “{rules.clause}”{why}", 300)]


def expiry(request: Request) -> str:
    """Write until when people have time, and what happens then."""
    if request.deadline is None:
        return "Waits until somebody decides or the run is stopped."
    at = f"Expires {when(request.deadline)} (after {say_duration(request.rules.timeout)})"
    if approved_by_timeout(request):
        return f"{at} · then: *it counts as APPROVED if nobody decides*, as this channel's settings say."
    return f"{at} · then: {_nothing(request.question)}{button_labels.of(request.question.kind).unanswered}."


def _nothing(question: Question) -> str:
    """Write what a timeout does not bring about, where a decision would."""
    if question.kind is Kind.CHOICE:
        return "nothing is chosen; "
    return "not approved; " if question.kind in _APPROVED and Verb.APPROVE in question.offers else ""


def permission_line(one: Permission, place: str = "") -> str:
    """Write what it allows, who gave it, until when, and how often it was used.

    `place` is for where the channel is not known.
    """
    used = "not used yet" if not one.used else f"used {'once' if one.used == 1 else f'{one.used:,} times'}"
    run = f" in run `{one.run}`" if one.run else ""
    return (
        f"*{escape(quoted(one.team, 40))}* may run {allows(one.scope, one.kind, one.tool)}{place}{run}\n"
        f"given by {mention(one.by)} · ends {when(one.until)} · {used} · `{one.id}`"
    )
