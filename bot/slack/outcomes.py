"""How people are told what became of a request: on its card, and in its run's thread."""

from collections.abc import Iterable
from typing import Final

from bot.core.ids import UserId
from bot.core.people import Reviewers
from bot.core.requests import Decision, How, Request, Status
from bot.slack import wording
from bot.slack.blocks import Block, data, words
from bot.slack.text import Room, shorten, visible, when

WORDS: Final = Room(3000, 3500, 60)
"""Room for a reason or an answer."""
_NAMED: Final = 12
"""How many people a message names; the others are counted."""


def votes(request: Request) -> Block:
    by = people(v.user for v in request.votes)
    return words(f"*{len(request.votes)} of {request.rules.quorum} approvals*" + (f": {by}" if by else ""))


def reason(decision: Decision) -> list[Block]:
    beginning, hidden, end = shorten(visible(decision.words).strip(), WORDS)
    if not beginning:
        return []
    if not hidden:
        return [data([beginning])]
    return [
        data([beginning]),
        words(f"_{hidden:,} characters in between are not shown here; the agents have them all._"),
        data([end]),
    ]


def sentence(request: Request, decision: Decision) -> str:
    """Who, what, when, and how it came about; the words are drawn apart."""
    who, at = people(decision.by), when(decision.at)
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            meant = "nobody decided, and this channel's settings say that this means approval"
            return f":warning: *Approved by timeout* {at}: {meant}."
        case Status.EXPIRED, _:
            then = wording.of(request.question.kind).unanswered
            return f":alarm_clock: *Time ran out* {at}: nobody decided. {then[0].upper()}{then[1:]}."
        case Status.WITHDRAWN, _:
            return (
                f":leftwards_arrow_with_hook: *Withdrawn* {at}"
                + (f" by {who}" if who else "")
                + ": the run no longer asks this."
            )
        case outcome, how:
            by = who or {How.POLICY: "a rule of this channel", How.PERMISSION: "a standing permission"}.get(
                how, "nobody"
            )
            return f"{wording.of(request.question.kind).outcomes[outcome]} by {by} {at}"


def named(reviewers: Reviewers) -> str:
    names = [f"<@{u}>" for u in sorted(reviewers.users)] + [f"<!subteam^{g}>" for g in sorted(reviewers.groups)]
    return _listed(names) or "nobody"


def people(users: Iterable[UserId]) -> str:
    return _listed([f"<@{u}>" for u in users])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
