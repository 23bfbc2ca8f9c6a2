"""Simulation of a policy on actions of the record.

Where the record does not tell what would have happened, neither does this.

A rule whose fit hangs on something that the record does not hold may have fitted or not. Only what comes out the same
either way is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from countersign.domain.channel_settings import Rules, enough_people, say_value
from countersign.domain.errors import NotRecorded
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.json_comparison import Unrecorded
from countersign.policy.evaluation import Action, Clause, Effect, Judgement, Rulebook, apply, weigh, why_not


class Outcome(StrEnum):
    """What changes, the graver first; its value is how people read it."""

    ASKED_PASSES = "asked → passes now"
    REFUSED_PASSES = "refused → passes now"
    REFUSED_ASKS = "refused → asks now"
    ASKED_REFUSED = "asked → is refused now"
    PASSED_REFUSED = "passed → is refused now"
    PASSED_ASKS = "passed → asks now"
    OTHERWISE = "asked → asks otherwise"
    UNTOLD = "cannot be told"
    SAME = "as before"


_OUTCOMES: Final = {
    (Effect.ASK, Effect.PASS): Outcome.ASKED_PASSES,
    (Effect.REFUSE, Effect.PASS): Outcome.REFUSED_PASSES,
    (Effect.REFUSE, Effect.ASK): Outcome.REFUSED_ASKS,
    (Effect.ASK, Effect.REFUSE): Outcome.ASKED_REFUSED,
    (Effect.PASS, Effect.REFUSE): Outcome.PASSED_REFUSED,
    (Effect.PASS, Effect.ASK): Outcome.PASSED_ASKS,
}
_NAMES: Final = ("clause", "why")
"""What of the rules people only read; another name asks nobody else."""
_NO_SETTINGS: Final = "people are asked too, but how, the record does not hold: the channel's own settings of that time"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An action of the record, and what became of it. `gap` says why nothing can be told of it, "" if something can.

    `team` and `channel` are None where the record does not name them. `team_says` is what the team's own code may have
    wanted: one thing, unless that is not on record. `rules` are those that people were asked under, `settings` the
    channel's own; None where nobody was asked or the record does not hold them.
    """

    n: int
    at: datetime
    effect: Effect
    clause: str = ""
    run: str = ""
    request: str = ""
    team: str | None = None
    agent: str = ""
    tool: str = ""
    arguments: dict[str, Any] | Unrecorded = field(default_factory=Unrecorded)
    channel: ChannelId | None = None
    requester: UserId | None = None
    team_says: tuple[Effect | None, ...] = (None, *Effect)
    rules: Rules | None = None
    settings: Rules | None = None
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What becomes of it under the new policy, by the rule `clause`; `how` in words. `effect` None: cannot be told."""

    was: Recorded
    outcome: Outcome
    effect: Effect | None = None
    clause: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    effect: Effect
    clause: str
    how: str
    changed: bool


def replay(book: Rulebook, was: Recorded) -> Replayed:
    """Return what the policy would have done to the action."""
    if was.gap:
        return Replayed(was, Outcome.UNTOLD, how=was.gap)
    judgements, gaps = _possible(book, was)
    answers = list(dict.fromkeys(_answer(judgement, was) for judgement in judgements))
    if len({(answer.effect, answer.changed) for answer in answers}) > 1:
        return Replayed(was, Outcome.UNTOLD, how="; ".join(gaps))
    if was.effect is Effect.ASK and was.settings is None and answers[0].effect is Effect.ASK:
        return Replayed(was, Outcome.UNTOLD, how=_NO_SETTINGS)
    first = answers[0]
    clause = first.clause if len(answers) == 1 else " or ".join(sorted({a.clause or "no rule" for a in answers}))
    how = first.how if len(answers) == 1 else "; ".join(gaps)
    if first.effect is was.effect:
        return Replayed(was, Outcome.OTHERWISE if first.changed else Outcome.SAME, first.effect, clause, how)
    return Replayed(was, _OUTCOMES[was.effect, first.effect], first.effect, clause, how)


def _possible(book: Rulebook, was: Recorded) -> tuple[list[Judgement], list[str]]:
    """All judgements that the record leaves possible, and what it does not hold. One of the rules in doubt at a time is
    enough: the strictest of several is the strictest of them alone."""
    risk = book.risk_of(was.tool)
    sure: list[int] = []
    open_: list[int] = []
    gaps: list[str] = []
    for at, clause in enumerate(book.clauses):
        known, gap = _as_far_as_known(clause, was)
        action = Action(was.team or "", was.agent, was.tool, was.arguments, was.channel)
        try:
            if why_not(known, action, risk)[0]:
                continue
        except NotRecorded as wanting:
            gap = str(wanting)
        if gap:
            gaps.append(f"rule “{clause.name}”: {gap}")
        (open_ if gap else sure).append(at)
    fitting = [[book.clauses[at] for at in sorted({*sure, *more})] for more in ((), *((at,) for at in open_))]
    found = [weigh(clauses, risk, says) for says in was.team_says for clauses in fitting]
    if len(was.team_says) > 1:
        gaps.append("the record does not hold what the team's own code wanted")
    return found, gaps


def _as_far_as_known(clause: Clause, was: Recorded) -> tuple[Clause, str]:
    """The clause without what it asks of something that the record does not name."""
    gaps = []
    if was.team is None and clause.team != "*":
        clause = replace(clause, team="*")
        gaps.append("the team")
    if was.channel is None and clause.channels:
        clause = replace(clause, channels=frozenset())
        gaps.append("the channel")
    return clause, f"the record does not name {' or '.join(gaps)}" if gaps else ""


def _answer(judgement: Judgement, was: Recorded) -> _Answer:
    clause = judgement.clause
    if judgement.effect is not Effect.ASK:
        return _Answer(judgement.effect, clause, judgement.why, changed=False)
    if was.settings is None:
        # What the channel's settings were is not known, only what the rule adds to them.
        return _Answer(Effect.ASK, clause, "; ".join(_said(judgement.terms)), changed=False)
    rules = apply(judgement, was.settings)
    if not rules.reviewers.groups and was.requester is not None:
        nobody = enough_people(rules, was.requester, frozenset())
        if nobody is not None:
            return _Answer(Effect.REFUSE, clause, nobody, changed=False)
    if was.rules is None:
        return _Answer(Effect.ASK, clause, "; ".join(_said(rules)), changed=False)
    differences = list(_differences(was.rules, rules))
    return _Answer(Effect.ASK, clause, "; ".join(differences), changed=bool(differences))


def _differences(before: Rules, after: Rules) -> Iterator[str]:
    for one in fields(Rules):
        old, new = getattr(before, one.name), getattr(after, one.name)
        if one.name not in _NAMES and old != new:
            yield f"{one.name.replace('_', ' ')}: {say_value(old)} → {say_value(new)}"


def _said(terms: Any) -> Iterator[str]:
    for one in fields(terms):
        value = getattr(terms, one.name)
        if one.name not in _NAMES and value is not None:
            yield f"{one.name.replace('_', ' ')}: {say_value(value)}"
