"""Claims of workers: they ask, withdraw, and let time run out; they never decide.

Web and workers share one Redis, which keeps their records apart by key. These rules read the agents' records so that
nothing in them counts as a vote, an approval or somebody's name, whatever was written there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from countersign.domain import schedule
from countersign.domain.calls import is_canonical
from countersign.domain.errors import NotRecorded
from countersign.domain.events import Event, EventType, read_arguments
from countersign.domain.ids import ChannelId
from countersign.domain.question_salts import unchanged
from countersign.domain.requests import Decision, How, Request, Status
from countersign.policy.evaluation import Action, Effect, Judgement, Rulebook, judge

ENDINGS: Final = frozenset({(Status.WITHDRAWN, How.RUN), (Status.EXPIRED, How.TIMEOUT)})
"""Endings of a request without anybody's decision."""

_REPORTED: Final = frozenset(
    {
        EventType.RUN_QUEUED,  # of a team in a program of one's own
        EventType.RUN_STARTED,
        EventType.RUN_PROGRESSED,
        EventType.RUN_FINISHED,
        EventType.RUN_FAILED,
        EventType.REQUEST_ASKED,
        EventType.REQUEST_DECIDED,
        EventType.CALL_PASSED,
        EventType.CALL_REFUSED,
        EventType.DECISION_DELIVERED,
        EventType.ACTION_REPORTED,
    }
)
"""Events that workers report. A request that they settle must have one of those endings, and names nobody. A stopped
run is web's to report: people stop runs, and web knows who."""
_OF_AN_END: Final = frozenset({"outcome", "how", "words", "digest", "waited", "late"})
"""Data of an event of such an ending; no other data is taken over."""
KEPT_POLICIES: Final = 20
"""Versions of the workspace's policy by which reports are judged."""
_SPAN: Final = re.compile(r"-?[0-9]{1,10}\.[0-9]{3}")


def ended_without_people(request: Request) -> bool:
    """Tell whether it has ended in a way that the agents' side may write."""
    decision = request.decision
    if decision is None:
        return False
    return request.status is decision.outcome and (decision.outcome, decision.how) in ENDINGS


def as_asked(request: Request) -> Request | None:
    """Read the agents' record of a request as undecided, or ended without people.

    None if its words are not those that its id was made of: the content of a card does not change under it (R13); or if
    its schedule cannot be computed.
    """
    if not unchanged(request):
        return None
    if (call := request.question.call) is not None and not is_canonical(call.arguments):
        return None
    asked = Request(
        id=request.id,
        run=request.run,
        workspace=request.workspace,
        channel=request.channel,
        requester=request.requester,
        question=request.question,
        rules=request.rules,
        created_at=request.created_at,
        deadline=request.deadline,
    )
    try:
        schedule.next_step(asked)
    except (TypeError, ValueError, OverflowError):  # hours that never end or have a zone each, times beyond all years
        return None
    return _ended_like(asked, request)


def with_ending(request: Request, asked: Request) -> Request:
    """Join a waiting request, as people left it, with its end by the agents' side."""
    return _ended_like(request, asked) if request.id == asked.id else request


def policy_of(
    data: Mapping[str, str], policies: Sequence[tuple[datetime, Rulebook]], begun: datetime
) -> Rulebook | None:
    """Find the policy by which a call that passed is judged.

    That is the one that its worker names, if it was in force at any time since the run began, else the last. None if
    the policy of that time is not kept any more. `policies` holds each policy with the moment from which it was in
    force, the last one last.
    """
    ends = [since for since, _ in policies[1:]] + [datetime.max.replace(tzinfo=UTC)]
    for (_, book), end in zip(policies, ends, strict=True):
        if str(book.version) == data.get("policy") and end > begun:
            return book
    if data.get("policy") != str(policies[-1][1].version) and len(policies) >= KEPT_POLICIES and begun < policies[0][0]:
        return None
    return policies[-1][1]


def judged_again(book: Rulebook, data: Mapping[str, str], team: str, channel: ChannelId) -> Judgement | str:
    """Judge a call that passed at a worker, by the arguments that it reports.

    Team and channel are those that web knows. Returns a sentence if nobody can tell.
    """
    team_says = data.get("team_says", "")
    if team_says not in ("", "nothing", *Effect):
        return "The report does not tell what the team's own code wanted."
    arguments = read_arguments(data.get("arguments", "{}"))
    action = Action(team, data.get("agent", ""), data.get("tool", ""), arguments, channel)
    try:
        return judge(book, action, None if team_says in ("", "nothing") else Effect(team_says))
    except NotRecorded as gap:
        return str(gap) or "The report does not hold what the policy looks at."


def _ended_like(request: Request, other: Request) -> Request:
    decision = other.decision
    if decision is None or not ended_without_people(other):
        return request
    bare = Decision(decision.outcome, decision.how, decision.at, words=decision.words)
    return replace(request, status=decision.outcome, decision=bare)


def reported(event: Event) -> Event:
    """Turn a worker's report into the event to record.

    A claim to something that workers cannot do is recorded as a refused report.
    """
    if event.type in _REPORTED and (event.user is None or event.type is EventType.RUN_QUEUED):
        if event.type is not EventType.REQUEST_DECIDED:
            return event
        spans = [event.data[name] for name in ("waited", "late") if name in event.data]
        if (event.data.get("outcome"), event.data.get("how")) in ENDINGS and all(map(_SPAN.fullmatch, spans)):
            return replace(event, data={name: value for name, value in event.data.items() if name in _OF_AN_END})
    return Event(
        EventType.REPORT_REFUSED,
        event.at,
        run=event.run,
        request=event.request,
        workspace=event.workspace,
        data={"claimed": event.type, "outcome": event.data.get("outcome", "")},
    )
