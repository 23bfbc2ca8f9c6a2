"""Suggested rules for calls that could pass without asking, from past decisions.

Suggestions cover only low-risk calls that were asked often, and that people always approved unchanged. A suggestion
allows no more than was approved: the same arguments, numbers up to the largest approved number, and texts among the few
that occurred. A text that was different each time is not limited, but the suggestion names it for its reader to judge.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from countersign.domain.actions import Action
from countersign.domain.channel_settings import Risk
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.json_comparison import Unrecorded
from countersign.policy import conditions
from countersign.policy.evaluation import Clause, Rulebook
from countersign.policy.simulation import Recorded, ReplayOutcome, replay

FEW: Final = 5
"""Most different texts of an argument that a rule may list."""
_KEPT: Final = 500
"""Number of a kind's newest calls on which its suggested rule is tested."""
_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Rule that would have let `asked` calls pass, all of them approved.

    `unlimited` are arguments of any value.
    """

    clause: Clause
    asked: int
    unlimited: tuple[str, ...]


class _Who(NamedTuple):
    """Caller, tool and channel of calls; `program` is "" for a team, as in `Recorded`."""

    team: str
    tool: str
    channel: ChannelId
    program: str


@dataclass(slots=True)
class _Kind:
    """The calls of one tool, of one team or program, in one channel."""

    asked: int = 0
    approved: int = 0
    calls: list[Recorded] = field(default_factory=list)
    refused: bool = False


class Suggestions:
    """Collector of questions and decisions, in the order of the record."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._kinds: dict[_Who, _Kind] = defaultdict(_Kind)
        self._open: dict[str, _Who] = {}

    def asked(self, was: Recorded) -> None:
        """Add a question, unless it is not a low-risk call."""
        if was.then is not Action.ASK or was.team is None or was.channel is None or not was.tool:
            return
        if "*" in was.team + was.tool:  # in a rule, `*` would match anything
            return
        who = _Who(was.team, was.tool, was.channel, was.program)
        kind = self._kinds[who]
        risk = was.rules.risk if was.rules is not None else self._book.risk_of(was.tool)
        if risk is not Risk.LOW or self._book.risk_of(was.tool) is not Risk.LOW:
            kind.refused = True
        kind.asked += 1
        kind.calls = [*kind.calls[1 - _KEPT :], was] if not kind.refused else []
        self._open[was.request] = who

    def decided(self, request: str, approved: bool | None) -> None:
        """Add a decision: whether people approved the call unchanged.

        None if the question was withdrawn.
        """
        key = self._open.pop(request, None)
        if key is None or approved is None:
            return
        self._kinds[key].approved += approved
        if not approved:
            self._kinds[key].refused, self._kinds[key].calls = True, []

    def made(self, least: int) -> Iterator[Suggestion]:
        """Yield a rule for each kind of call approved at least `least` times, and always."""
        names = {clause.name for clause in self._book.clauses}
        for (team, tool, channel, program), kind in sorted(self._kinds.items(), key=lambda one: -one[1].approved):
            if kind.refused or kind.approved < least:
                continue
            condition, unlimited = _limits(kind.calls)
            if condition is None or not _is_condition(condition):
                continue
            name = next(n for n in _names(team, tool, channel) if n not in names)
            names.add(name)
            why = f"Approved {kind.approved} times, never rejected."
            channels = frozenset({channel})
            clause = Clause(
                name,
                Action.ALLOW,
                line=0,
                team="*" if program else team,
                program=program,
                tool=tool,
                channels=channels,
                condition=condition,
                why=why,
            )
            tried = replace(self._book, clauses=(*self._book.clauses, clause))
            if all(replay(tried, was).outcome is ReplayOutcome.ASKED_PASSES for was in kind.calls):
                yield Suggestion(clause, kind.approved, unlimited)


def _names(team: str, tool: str, channel: ChannelId) -> Iterator[str]:
    yield f"{tool} of {team}"[:_NAME]
    yield f"{tool} of {team} in {channel}"[-_NAME:]
    number = 2
    while True:
        yield f"{tool[:40]} {number}"
        number += 1


def _limits(calls: list[Recorded]) -> tuple[str | None, tuple[str, ...]]:
    """Write the condition that these calls meet, and name the unlimited arguments.

    None if the record lacks an argument, because the rule's effect would then be unknown.
    """
    values: dict[str, list[Any]] = defaultdict(list)
    for was in calls:
        if isinstance(was.arguments, Unrecorded) or any(isinstance(v, Unrecorded) for v in was.arguments.values()):
            return None, ()
        for name, value in was.arguments.items():
            values[name].append(value)
    limits, unlimited = [], []
    for name, seen in sorted(values.items()):
        limit = _limit(name, seen) if len(seen) == len(calls) and _is_field(name) else None
        if limit is None:
            unlimited.append(name)
        else:
            limits.append(limit)
    only = f"only({', '.join(name if _is_field(name) else json.dumps(name) for name in sorted(values))})"
    return " and ".join([only, *limits]), tuple(unlimited)


def _is_field(name: str) -> bool:
    """Tell whether a condition can name the argument, which may be a reserved word."""
    return name.isascii() and name.isidentifier() and _is_condition(f"only({name})")


def _is_condition(text: str) -> bool:
    try:
        conditions.check(text)
    except InvalidInput:
        return False
    return True


def _limit(name: str, seen: list[Any]) -> str | None:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in seen):
        return f"{name} >= {json.dumps(min(seen))} and {name} <= {json.dumps(max(seen))}"
    if all(isinstance(value, str | bool) for value in seen):
        different = Counter(seen)
        if len(different) == 1:
            return f"{name} == {json.dumps(seen[0])}"
        if len(different) <= FEW and len(different) * 4 <= len(seen):
            return f"{name} in {json.dumps(sorted(different, key=str))}"
    return None


def as_rule(clause: Clause) -> Mapping[str, Any]:
    """Return the rule as it is written in the file."""
    written = {
        "name": clause.name,
        "then": str(clause.then),
        "team": "" if clause.program else clause.team,
        "program": clause.program,
        "tool": clause.tool,
        "channels": [str(channel) for channel in sorted(clause.channels)],
        "if": clause.condition,
        "why": clause.why,
    }
    return {key: value for key, value in written.items() if value}
