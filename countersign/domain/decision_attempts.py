"""Rules that judge an attempt to decide: the person, the time and the content."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from countersign.domain import high_risk, standing_permissions
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import LONGEST_ARGUMENTS, LONGEST_CONTENT, is_canonical
from countersign.domain.channel_settings import digest_of_rules, recorded
from countersign.domain.durations import say_duration
from countersign.domain.eligibility import (
    free_seat,
    may_break_glass,
    refusal_event,
    seats,
    why_not_now,
    why_not_person,
    why_not_reviewer,
)
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, Digest, UserId
from countersign.domain.people import Actor
from countersign.domain.proof import CLICK, Proof, Proved, Statement, Subject, weakest, why_not_proved, with_evidence
from countersign.domain.quorum import count_people, recount, tied, voided
from countersign.domain.request_endings import settle
from countersign.domain.requests import (
    MOVES,
    Decision,
    How,
    Kind,
    Question,
    Request,
    Standing,
    Status,
    Step,
    Verb,
    Vote,
    digest_of_answer,
    event,
    needed_proof,
)
from countersign.domain.standing_permissions import Permission, PermissionChoice
from countersign.domain.text_checks import is_legible, is_storable, legible

_VOTES: Final = frozenset({Verb.APPROVE, Verb.CHOOSE})
"""Verbs that need a quorum; one rejection or one answer is enough."""
_ABOUT_THE_ANSWER: Final = frozenset(
    {
        Refusal.NOT_OFFERED,
        Refusal.NO_WORDS,
        Refusal.TOO_LONG,
        Refusal.EDIT_NEEDS_ONE,
        Refusal.NOT_ARGUMENTS,
        Refusal.NOT_A_TEXT,
        Refusal.NOTHING_CHANGED,
        Refusal.NO_CHOICE,
        Refusal.NOT_OPENED,
        Refusal.NEEDS_LOGIN,
        Refusal.NEEDS_PASSKEY,
    }
)
"""Faults of an answer's content, not of the person or the time."""
LONGEST_WORDS: Final = 3000
"""Most characters of a reason or an answer: the limit of Slack's plain_text_input."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to decide; `digest` identifies the content that the person saw.

    `arguments` or `content` hold an edited call or text; `chosen` are the chosen options. `permission` is the standing
    permission given with the approval; `break_glass` says that the requester decides alone, in an emergency.
    `opened_for` is the user to whom the window showed all of the content, and `typed` the word that it asked for.
    `voters` are the earlier voters as Slack describes them now, with the people for whom they stand in. `proved` is the
    proof that came with the attempt: in Slack only a click.
    """

    id: AttemptId
    actor: Actor
    verb: Verb
    digest: Digest
    words: str = ""
    arguments: str = ""
    content: str = ""
    chosen: tuple[str, ...] = ()
    permission: PermissionChoice | None = None
    break_glass: bool = False
    opened_for: UserId | None = None
    typed: str = ""
    voters: tuple[Actor, ...] = ()
    proved: Proved = CLICK


def statement(rows: Sequence[Request], attempt: Attempt, nonce: str = "") -> Statement:
    """Return the statement that this attempt makes about these requests.

    `rows` are all requests that one confirmation approves; their attempts differ only in the digest. Pass the requests
    as the page showed them, because the statement covers what the person saw.
    """
    choice = attempt.permission
    return Statement(
        workspace=rows[0].workspace,
        user=attempt.actor.user,
        verb=attempt.verb,
        about=tuple(_subject(row, attempt) for row in rows),
        nonce=nonce,
        permission="" if choice is None else f"{choice.scope} {choice.span}",
        alone=attempt.break_glass,
    )


def _subject(request: Request, attempt: Attempt) -> Subject:
    chosen, words = _chosen(request, attempt), legible(attempt.words)
    answer = digest_of_answer(request.question.salt, attempt.arguments, attempt.content, chosen, words)
    return Subject(request.id, request.digest, digest_of_rules(recorded(request.rules)), answer)


def decide(request: Request, attempt: Attempt, now: datetime, outgrown: bool = False) -> Step:
    """Judge an attempt: it becomes a vote, the decision, or a refusal.

    The approver's identity, the content and the deadline are checked here and nowhere else. Every attempt makes an
    event, except a repeat: a repeat of a counted attempt (a retried delivery, a lost reply) counts as that attempt and
    changes nothing (R8).
    """
    if _counted(request, attempt):
        return Step(request)
    count = recount(request, attempt.voters, lambda voter: why_not_reviewer(request, voter))
    asked = replace(request, votes=count.votes) if count.void else request
    refusal = why_refused(asked, attempt, now)
    if refusal is None and outgrown:
        refusal = Refusal.EDIT_UNDER_ANOTHER_RULE
    agreeing: list[Vote] = []
    if refusal is None and attempt.verb in _VOTES:
        votes = _with_vote(asked, attempt, now)
        agreeing = [vote for vote in votes if vote.chosen == _chosen(request, attempt)]
        checked = [vote for vote in agreeing if vote.user not in count.unchecked]
        if count_people(agreeing) >= request.rules.quorum > count_people(checked):
            refusal = Refusal.VOTERS_NOT_CHECKED
    if refusal is not None:
        refused = refusal_event(request, attempt.actor, attempt.verb, refusal, now, attempt.words)
        return Step(request, (refused,), refusal)
    void: tuple[Event, ...] = ()
    if attempt.verb in _VOTES:
        void = voided(request, count, now)
        if count_people(agreeing) < request.rules.quorum:
            voted = replace(request, votes=votes)
            return Step(voted, (*void, _with_grounds(_vote_cast(voted, attempt, now), attempt)))
        by, instead_of = tuple(v.user for v in agreeing), tuple(v.seat for v in agreeing if v.seat is not None)
        names = tuple(v.name for v in agreeing)
    else:
        votes, by, names = request.votes, (attempt.actor.user,), (attempt.actor.name,)
        instead_of = _in_place_of(request, attempt.actor)
    decision = Decision(
        MOVES[request.status][attempt.verb],
        How.BREAK_GLASS if attempt.break_glass else How.REVIEWERS,
        now,
        by,
        legible(attempt.words),
        attempt.id,
        attempt.arguments,
        attempt.content,
        _chosen(request, attempt),
        instead_of=instead_of,
        standing=None
        if attempt.permission is None
        else standing_permissions.standing(request, attempt.permission, attempt.id, now),
        names=names,
        proof=weakest(*(vote.proof for vote in agreeing)) if agreeing else attempt.proved.shown,
    )
    step = settle(request, decision, user=attempt.actor.user, votes=votes)
    return replace(step, events=(*void, *(_with_grounds(event, attempt) for event in step.events)))


def _with_grounds(event: Event, attempt: Attempt) -> Event:
    """Add the proof of a decision, and the age of Slack's answer if Slack is away."""
    actors = (attempt.actor, *attempt.voters)
    ages = [actor.said_ago for actor in actors if actor.said_ago is not None]
    if ages:
        event = replace(event, data={**event.data, "slack_said": f"{say_duration(_whole_minutes(max(ages)))} before"})
    return with_evidence(event, attempt.proved)


def _whole_minutes(age: timedelta) -> timedelta:
    return timedelta(minutes=age // timedelta(minutes=1))


def allow(request: Request, permission: Permission, giver: Actor, team: str, now: datetime) -> Step:
    """Approve the request by a standing permission (R24).

    Nothing changes if the permission does not cover the request, or if its giver could not approve the request now.
    """
    attempt = Attempt(AttemptId(f"{permission.id}-{request.id}"), giver, Verb.APPROVE, request.digest)
    if (
        giver.user != permission.by
        or not standing_permissions.covers(permission, request, team, now)
        or why_not_apart_from_proof(request, attempt, now) is not None
    ):
        return Step(request)
    by = Standing(permission.id, permission.scope, permission.until, permission.run is not None)
    words = f"Standing permission {permission.id}, given with request {permission.request}."
    decision = Decision(
        Status.APPROVED,
        How.PERMISSION,
        now,
        (permission.by,),
        words,
        attempt.id,
        instead_of=_in_place_of(request, giver),
        standing=by,
        names=(giver.name,),
        proof=permission.proof,
    )
    return settle(request, decision, user=permission.by)


def _with_vote(request: Request, attempt: Attempt, now: datetime) -> tuple[Vote, ...]:
    """Add this vote; on a choice, a person's newer vote replaces the older."""
    actor = attempt.actor
    others = tuple(v for v in request.votes if (v.workspace, v.user) != (actor.workspace, actor.user))
    # With break-glass the requester decides as themselves, even if they stand in for a reviewer.
    seat = actor.user if attempt.break_glass else free_seat(request, actor)
    chosen = _chosen(request, attempt)
    stood_in = None if seat == actor.user else seat
    vote = Vote(actor.workspace, actor.user, now, attempt.id, chosen, stood_in, actor.name, attempt.proved.shown)
    return (*others, vote)


def _in_place_of(request: Request, actor: Actor) -> tuple[UserId, ...]:
    """Return the people in whose place the actor decides; empty for their own seat."""
    return tuple(seat for seat in seats(request, actor)[:1] if seat != actor.user)


def _vote_cast(voted: Request, attempt: Attempt, now: datetime) -> Event:
    seat = voted.votes[-1].seat
    cast = event(EventType.VOTE_CAST, voted, now, user=attempt.actor.user, digest=voted.digest)
    return cast if seat is None else replace(cast, data={**cast.data, "instead_of": str(seat)})


def _chosen(request: Request, attempt: Attempt) -> tuple[str, ...]:
    """Return the choice in the order of the options, so that equal choices are equal."""
    return tuple(option for option in request.question.options if option in attempt.chosen)


def why_refused(request: Request, attempt: Attempt, now: datetime) -> Refusal | None:
    """Judge the person first, so that strangers learn nothing; None if it counts."""
    return (
        _why_not_theirs(request, attempt, now)
        or _why_not_proved(request, attempt, now)
        or _why_not_answer(request, attempt)
    )


def why_not_apart_from_proof(request: Request, attempt: Attempt, now: datetime) -> Refusal | None:
    """Judge the attempt as if it had its proof, before people are asked for one."""
    return _why_not_theirs(request, attempt, now) or _why_not_answer(request, attempt)


def _why_not_theirs(request: Request, attempt: Attempt, now: datetime) -> Refusal | None:
    """Judge the person, the time and the content."""
    alone = attempt.break_glass
    ineligible = _why_not_alone(request, attempt, now) if alone else why_not_person(request, attempt.actor, now)
    if ineligible is not None:
        return ineligible
    if attempt.digest != request.digest:
        return Refusal.OTHER_CONTENT
    if attempt.verb not in request.question.offers or attempt.verb not in MOVES[request.status]:
        return Refusal.NOT_OFFERED
    return None


def _why_not_proved(request: Request, attempt: Attempt, now: datetime) -> Refusal | None:
    needed, proved = needed_proof(request, attempt.verb), attempt.proved
    if needed is Proof.SLACK and proved.wrong is None and not proved.statement:
        return None  # as in `why_not_proved`, but without the statement, which is the slowest part
    return why_not_proved(needed, attempt.proved, statement([request], attempt), now)


def _why_not_answer(request: Request, attempt: Attempt) -> Refusal | None:
    alone = attempt.break_glass
    if attempt.verb is Verb.RESPOND and not is_legible(attempt.words):
        return Refusal.NO_WORDS
    if len(attempt.words) > LONGEST_WORDS:
        return Refusal.TOO_LONG
    if attempt.verb is Verb.APPROVE and any(v.user == attempt.actor.user for v in request.votes):
        return Refusal.VOTED_ALREADY
    if attempt.verb in _VOTES and not alone and free_seat(request, attempt.actor) is None:
        return Refusal.SEAT_TAKEN
    if attempt.permission is not None and attempt.verb is not Verb.APPROVE:
        return Refusal.NOT_OFFERED
    if (
        attempt.permission is not None
        and (narrower := standing_permissions.why_not(request, attempt.permission)) is not None
    ):
        return narrower
    if (unfit := _why_not_content(request, attempt)) is not None:
        return unfit
    return high_risk.why_not(request, attempt.verb, attempt.actor.user, attempt.opened_for, attempt.typed)


def waits_for(request: Request, actor: Actor, now: datetime) -> bool:
    """Tell whether this person's answer would count; a second one only in a tie."""
    voted = any((vote.workspace, vote.user) == (actor.workspace, actor.user) for vote in request.votes)
    if voted and not tied(request):
        return False
    # This answer is empty: only the checks of the person and the time look at it.
    nothing = Attempt(AttemptId("none"), actor, request.question.offers[0], request.digest)
    refusal = why_refused(request, nothing, now)
    return refusal is None or refusal in _ABOUT_THE_ANSWER


def _why_not_alone(request: Request, attempt: Attempt, now: datetime) -> Refusal | None:
    """Return why the actor may not break the glass; None if they may."""
    if (not_now := why_not_now(request, attempt.actor, now)) is not None:
        return not_now
    if attempt.actor.user != request.requester:
        return Refusal.NOT_THE_REQUESTER
    if not may_break_glass(request) or attempt.verb is not Verb.APPROVE or attempt.permission is not None:
        return Refusal.NO_BREAK_GLASS
    return None if is_legible(attempt.words) else Refusal.NO_REASON


def _counted(request: Request, attempt: Attempt) -> bool:
    if request.decision is not None and request.decision.attempt == attempt.id:
        return True
    return any(v.attempt == attempt.id for v in request.votes)


def _why_not_content(request: Request, attempt: Attempt) -> Refusal | None:
    """Return why the content of the attempt is not accepted; None if it is."""
    question = request.question
    if attempt.verb is Verb.EDIT:
        if request.rules.quorum > 1:
            return Refusal.EDIT_NEEDS_ONE
        return _why_not_text(question, attempt) if question.call is None else _why_not_call(question, attempt)
    if attempt.arguments or attempt.content:
        return Refusal.NOT_OFFERED
    if attempt.verb is Verb.CHOOSE:
        chosen = attempt.chosen
        allowed = set(chosen) <= set(question.options) and len(set(chosen)) == len(chosen)
        return None if allowed and chosen and (question.several or len(chosen) == 1) else Refusal.NO_CHOICE
    return Refusal.NOT_OFFERED if attempt.chosen else None


def _why_not_call(question: Question, attempt: Attempt) -> Refusal | None:
    if attempt.content:
        return Refusal.NOT_OFFERED
    if not is_canonical(attempt.arguments) or len(attempt.arguments) > LONGEST_ARGUMENTS:
        return Refusal.NOT_ARGUMENTS
    before = "" if question.call is None else question.call.arguments
    same = attempt.arguments == before and Verb.APPROVE in question.offers  # a form may stay empty
    return Refusal.NOTHING_CHANGED if same else None


def _why_not_text(question: Question, attempt: Attempt) -> Refusal | None:
    """Judge an edited text, which is used exactly as sent (R13)."""
    if question.kind is not Kind.MESSAGE or attempt.arguments:
        return Refusal.NOT_OFFERED
    if not is_legible(attempt.content) or not is_storable(attempt.content) or len(attempt.content) > LONGEST_CONTENT:
        return Refusal.NOT_A_TEXT
    return Refusal.NOTHING_CHANGED if attempt.content == question.content else None
