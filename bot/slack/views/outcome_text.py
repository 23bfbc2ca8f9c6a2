"""How people are told what became of a request: on its card, and in its run's thread."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from countersign.domain.delegation import Absence
from countersign.domain.diffs import changed_fields
from countersign.domain.grant_scopes import Scope
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers, those_of
from countersign.domain.requests import Decision, How, Kind, Request, Status
from countersign.domain.vote_count import alike

from . import button_labels
from .block_kit import Block, data, words
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


def votes(request: Request) -> Block:
    by = people(v.user for v in request.votes)
    return words(f"*{so_far(request)}*" + (f": {by}" if by else ""))


def so_far(request: Request) -> str:
    """`1 of 2 approvals`; of choices only those count together that are the same."""
    what = "who choose the same" if request.question.kind is Kind.CHOICE else "approvals"
    return f"{alike(request)} of {request.rules.quorum} {what}"


def details(request: Request, decision: Decision) -> list[Block]:
    """What was chosen or changed, and the words, each with what has no room counted."""
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
    """What a permission lets run, in mrkdwn."""
    if kind is Kind.CODE:
        return "exactly this code"
    name = f"*{escape(quoted(tool, _TOOL))}*"
    if scope is Scope.CALL:
        return f"exactly this call of {name}"
    return f"{name} with the same arguments" if scope is Scope.ARGUMENTS else f"{name} with any arguments"


def standing_of(request: Request, decision: Decision) -> list[Block]:
    """What is not asked again, if that was decided too."""
    standing, call = decision.standing, request.question.call
    if standing is None or call is None:
        return []
    what = allows(standing.scope, request.question.kind, call.tool)
    run = ", as long as this run goes on" if standing.this_run else ""
    ends = f"until {when(standing.until)}{run} (`{standing.permission}`); `/approvals permissions` ends it."
    return [words(f":repeat: Not asked again: {what}, {ends}")]


def changes_of(request: Request) -> str:
    """What an edit changed, a line for each place, secrets hidden; "" if there was none."""
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
    """Who, what, when, and how it came about; the words are drawn apart."""
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
    """`away`: who of them is not here now, and who stands in; told of a few. `most`: so many are named."""
    gone = dict([(absence.user, absence) for absence in away if absence.user in reviewers.users][:_STAND_INS])
    return _listed(mentioned(reviewers, gone), most) or "nobody"


def mentioned(reviewers: Reviewers, gone: Mapping[UserId, Absence] = _NONE) -> list[str]:
    """Each of them."""
    names = [_with_stand_in(u, gone.get(u)) for u in sorted(reviewers.users)]
    return names + [drawn(those_of(group)) for group in sorted(reviewers.groups)]


def _with_stand_in(user: UserId, away: Absence | None) -> str:
    return mention(user) + (f" (away until {when(away.until)}, {mention(away.stand_in)} stands in)" if away else "")


def no_votes(before: Request, after: Request) -> str:
    """Whose approval counts no more, in a sentence after others; "" if there is none."""
    gone = {vote.user for vote in before.votes} - {vote.user for vote in after.votes}
    return f" What {people(sorted(gone))} said before does not count any more: they may not decide by now." * bool(gone)


def people(users: Iterable[UserId]) -> str:
    return _listed([mention(u) for u in users])


def _listed(names: list[str], most: int = NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
