"""Endings of a request: by its deadline, its run or a decision; and its outcome."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Final

from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.events import Event, EventType
from countersign.domain.executions import digest_of_call
from countersign.domain.ids import Digest, RequestId, UserId, digest_of
from countersign.domain.proof import Proof
from countersign.domain.requests import ABOUT_THE_RUN, MOVES, Decision, How, Kind, Request, Status, Step, Verb, Vote

_POSTED_WITHIN: Final = timedelta(seconds=5)
UNSEEN: Final = (
    "Here, silence approves only what people could see the whole time. This card wasn't in its channel for all of it, "
    "so nothing was approved."
)


def expire(request: Request, now: datetime, *, unless: str | None = None) -> Step:
    """End a request whose deadline passed; nothing if it is not due or is settled.

    `unless`: why silence does not approve, despite the request's own rules; the request expires for this reason.
    """
    if request.status is not Status.PENDING or request.deadline is None or now < request.deadline:
        return Step(request)
    verb = Verb.APPROVE if unless is None and approved_by_timeout(request) else Verb.EXPIRE
    outcome = MOVES[request.status][verb]
    return settle(request, Decision(outcome, How.TIMEOUT, now, words=unless or ""))


def stands(request: Request, since: datetime, now: datetime) -> Step:
    """Note since when its card is visible: silent approval counts from then (R32)."""
    if request.status is not Status.PENDING or request.deadline is None or not approved_by_timeout(request):
        return Step(request)
    if now >= request.deadline or since + request.rules.timeout - request.deadline <= _lag(request):
        return Step(request)
    return Step(replace(request, deadline=since + request.rules.timeout))


def seen_long_enough(request: Request, since: datetime | None, now: datetime) -> bool:
    """Tell whether a card posted at `since` was visible for the whole time."""
    return since is not None and now >= since + request.rules.timeout - _lag(request)


def _lag(request: Request) -> timedelta:
    """Return the tolerated time between the question and its card."""
    return min(_POSTED_WITHIN, request.rules.timeout / 10)


def approved_by_timeout(request: Request) -> bool:
    """Tell whether the request counts as approved if nobody decides in time (R23)."""
    question = request.question
    return (
        request.rules.on_timeout is OnTimeout.APPROVE
        and request.rules.risk is not Risk.HIGH
        and request.rules.proof is Proof.SLACK
        and Verb.APPROVE in question.offers
        and question.kind not in ABOUT_THE_RUN
    )


def withdraw(request: Request, now: datetime, why: str, user: UserId | None = None) -> Step:
    """Withdraw the run's question; no effect if it is already settled."""
    if request.status is not Status.PENDING:
        return Step(request)
    by = (user,) if user else ()
    return settle(request, Decision(MOVES[request.status][Verb.WITHDRAW], How.RUN, now, by, why), user=user)


def settle(
    request: Request, decision: Decision, *, user: UserId | None = None, votes: tuple[Vote, ...] | None = None
) -> Step:
    """Put the decision, and any changed votes, into the request; add the event."""
    votes = request.votes if votes is None else votes
    settled = replace(request, status=decision.outcome, votes=votes, decision=decision)
    data = {"outcome": str(decision.outcome), "how": str(decision.how), "words": decision.words}
    data |= {"digest": str(request.digest), **_spans(request, decision)}
    if changed := decision.arguments or decision.content:
        data["edited"] = digest_of(request.question.salt, changed)
    if decision.standing is not None:
        data["permission"] = decision.standing.permission
    if decision.chosen:
        data["chosen"] = " | ".join(decision.chosen)
    if decision.instead_of:
        data["instead_of"] = " ".join(decision.instead_of)
    decided = Event(EventType.REQUEST_DECIDED, decision.at, request.run, request.id, request.workspace, user, data)
    return Step(settled, (decided,))


def _spans(request: Request, decision: Decision) -> dict[str, str]:
    """Seconds from the question to its end, and from the deadline to the settling."""
    spans = {"waited": f"{(decision.at - request.created_at).total_seconds():.3f}"}
    if decision.how is How.TIMEOUT and request.deadline is not None:
        spans["late"] = f"{(decision.at - request.deadline).total_seconds():.3f}"
    return spans


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision for code; `by` are Slack user ids, empty when no person decided.

    `names` are their names in the same order; "" or missing if Slack did not say.
    """

    request: RequestId
    digest: Digest
    outcome: Status
    how: How
    by: tuple[UserId, ...] = ()
    words: str = ""
    chosen: tuple[str, ...] = ()
    content: str = ""
    """The text as edited by a reviewer; "" if unchanged."""
    names: tuple[str, ...] = ()

    def who(self) -> str:
        """Name the people who decided, like “reviewers Bob and Eve”.

        "nobody" if no person decided, or the workspace's rule that did.
        """
        if not self.by:
            return "a rule of the workspace" if self.how is How.POLICY else "nobody"
        known = called(self.by, self.names)
        if self.how is How.BREAK_GLASS:
            return f"{known[0]} alone, who started the run, in an emergency (break-glass)"
        return f"reviewer{'s' if len(known) > 1 else ''} {' and '.join(known)}"


def called(by: tuple[UserId, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the name of each user, or the id of one whose name is not known."""
    return tuple(name or user for user, name in zip_longest(by, names[: len(by)], fillvalue=""))


def decided(request: Request) -> Decided:
    """Return the decision of a settled request; ValueError if it still waits."""
    if request.decision is None:
        raise ValueError(f"Request {request.id} is not decided.")
    decision = request.decision
    return Decided(
        request.id,
        request.digest,
        decision.outcome,
        decision.how,
        decision.by,
        decision.words,
        decision.chosen,
        decision.content,
        decision.names,
    )


def approved_content(request: Request) -> str | None:
    """Return the text that may be used; None if none was approved.

    It is the shown text, or the reviewer's edit of it.
    """
    if request.decision is None or request.status not in (Status.APPROVED, Status.EDITED):
        return None
    return request.decision.content or request.question.content


def may_act(request: Request) -> bool:
    """Tell whether the agent or program may act on the decision.

    An answer to the question about a call approves nothing.
    """
    if request.status is Status.ANSWERED:
        return request.question.kind not in (Kind.TOOL, Kind.CODE)
    return request.status in (Status.APPROVED, Status.EDITED)


def decided_digest(request: Request) -> Digest:
    """Digest the decided content: a call with its final arguments, or a text."""
    call, decision = request.question.call, request.decision
    if call is not None:
        edited = decision is not None and request.status is Status.EDITED
        return digest_of_call(call.tool, decision.arguments if edited and decision else call.arguments)
    return digest_of("text", approved_content(request) or "", decision.words if decision is not None else "")
