"""Simulation of a policy on actions of the record.

If the record lacks a value that a rule depends on, the rule may have fitted or not. An outcome is reported only if it
is the same in both cases.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from countersign.domain.actions import Action
from countersign.domain.channel_settings import Rules, enough_people, say_value
from countersign.domain.errors import NotRecorded
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.json_comparison import Unrecorded
from countersign.policy.evaluation import (
    Clause,
    Judgement,
    Rulebook,
    WantedAction,
    apply,
    as_claimed,
    weigh,
    why_not,
)


class ReplayOutcome(StrEnum):
    """A change of an action's fate, gravest first; the value is for people."""

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
    (Action.ASK, Action.ALLOW): ReplayOutcome.ASKED_PASSES,
    (Action.DENY, Action.ALLOW): ReplayOutcome.REFUSED_PASSES,
    (Action.DENY, Action.ASK): ReplayOutcome.REFUSED_ASKS,
    (Action.ASK, Action.DENY): ReplayOutcome.ASKED_REFUSED,
    (Action.ALLOW, Action.DENY): ReplayOutcome.PASSED_REFUSED,
    (Action.ALLOW, Action.ASK): ReplayOutcome.PASSED_ASKS,
}
_NAMES: Final = ("clause", "why")
"""Fields of the rules that are only displayed; a changed name changes no reviewers."""
_NO_SETTINGS: Final = "people are asked too, but how, the record does not hold: the channel's own settings of that time"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded action and its outcome.

    `gap` is the reason why the action cannot be replayed, "" if it can. `team` and `channel` are None if the record
    does not name them. `team_says` lists the actions that the team's own code may have wanted: one, unless the record
    lacks it. `program` is the asking program's name according to its key; "" for a team. `rules` are those of the
    request, `settings` the channel's own; None if nobody was asked or the record lacks them.
    """

    n: int
    at: datetime
    then: Action
    clause: str = ""
    run: str = ""
    request: str = ""
    team: str | None = None
    agent: str = ""
    tool: str = ""
    arguments: dict[str, Any] | Unrecorded = field(default_factory=Unrecorded)
    channel: ChannelId | None = None
    requester: UserId | None = None
    team_says: tuple[Action | None, ...] = (None, *Action)
    rules: Rules | None = None
    settings: Rules | None = None
    gap: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The action's fate under the new policy, by the rule `clause`.

    `how` describes the change; `effect` is None if it is unknown.
    """

    was: Recorded
    outcome: ReplayOutcome
    then: Action | None = None
    clause: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    then: Action
    clause: str
    how: str
    changed: bool


def replay(book: Rulebook, was: Recorded) -> Replayed:
    """Judge the recorded action by the new policy."""
    if was.gap:
        return Replayed(was, ReplayOutcome.UNTOLD, how=was.gap)
    judgements, gaps = _possible(book, was)
    answers = list(dict.fromkeys(_answer(judgement, was) for judgement in judgements))
    if len({(answer.then, answer.changed) for answer in answers}) > 1:
        return Replayed(was, ReplayOutcome.UNTOLD, how="; ".join(gaps))
    if was.then is Action.ASK and was.settings is None and answers[0].then is Action.ASK:
        return Replayed(was, ReplayOutcome.UNTOLD, how=_NO_SETTINGS)
    first = answers[0]
    clause = first.clause if len(answers) == 1 else " or ".join(sorted({a.clause or "no rule" for a in answers}))
    how = first.how if len(answers) == 1 else "; ".join(gaps)
    if first.then is was.then:
        return Replayed(was, ReplayOutcome.OTHERWISE if first.changed else ReplayOutcome.SAME, first.then, clause, how)
    return Replayed(was, _OUTCOMES[was.then, first.then], first.then, clause, how)


def _possible(book: Rulebook, was: Recorded) -> tuple[list[Judgement], list[str]]:
    """List the judgements that the record leaves possible, and its gaps.

    It is enough to try the doubtful rules one at a time, because only the strictest fitting rule counts.
    """
    risk = book.risk_of(was.tool)
    certain: list[int] = []
    uncertain: list[int] = []
    gaps: list[str] = []
    action = WantedAction(was.team or "", was.agent, was.tool, was.arguments, was.channel, was.program)
    for at, clause in enumerate(book.clauses):
        recorded, gap = _as_far_as_known(clause, was)
        try:
            if why_not(recorded, action, risk)[0]:
                continue
        except NotRecorded as wanting:
            gap = str(wanting)
        if gap:
            gaps.append(f"rule “{clause.name}”: {gap}")
        (uncertain if gap else certain).append(at)
    fitting = [[book.clauses[at] for at in sorted({*certain, *more})] for more in ((), *((at,) for at in uncertain))]
    judgements = [weigh(as_claimed(clauses, action), risk, effect) for effect in was.team_says for clauses in fitting]
    if len(was.team_says) > 1:
        gaps.append("the record does not hold what the team's own code wanted")
    return judgements, gaps


def _as_far_as_known(clause: Clause, was: Recorded) -> tuple[Clause, str]:
    """Drop the clause's requirements on values that the record does not name."""
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
    if judgement.then is not Action.ASK:
        return _Answer(judgement.then, clause, judgement.why, changed=False)
    if was.settings is None:
        # The channel's former settings are unknown; only the rule's additions are known.
        return _Answer(Action.ASK, clause, "; ".join(_described(judgement.terms)), changed=False)
    rules = apply(judgement, was.settings)
    if not rules.reviewers.groups and was.requester is not None:
        nobody = enough_people(rules, was.requester, frozenset())
        if nobody is not None:
            return _Answer(Action.DENY, clause, nobody, changed=False)
    if was.rules is None:
        return _Answer(Action.ASK, clause, "; ".join(_described(rules)), changed=False)
    differences = list(_differences(was.rules, rules))
    return _Answer(Action.ASK, clause, "; ".join(differences), changed=bool(differences))


def _differences(before: Rules, after: Rules) -> Iterator[str]:
    for setting in fields(Rules):
        old, new = getattr(before, setting.name), getattr(after, setting.name)
        if setting.name not in _NAMES and old != new:
            yield f"{setting.name.replace('_', ' ')}: {say_value(old)} → {say_value(new)}"


def _described(terms: Any) -> Iterator[str]:
    for setting in fields(terms):
        value = getattr(terms, setting.name)
        if setting.name not in _NAMES and value is not None:
            yield f"{setting.name.replace('_', ' ')}: {say_value(value)}"
