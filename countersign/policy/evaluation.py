"""The policy's judgement of an action: pass, refuse, or ask whom and how long.

Of all clauses that fit an action, the strictest wins: refuse over ask over pass; among clauses that ask, the one with
the larger quorum; else the first in the file. Settings that the strictest clause leaves open come from the channel. Its
own settings cannot make the channel's milder, except the reviewers and the deadline. The request needs the strongest
proof that any fitting rule names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from countersign.domain.actions import Action
from countersign.domain.channel_settings import (
    AS_ELSEWHERE,
    IN_POLICY,
    ChannelSettings,
    OnTimeout,
    Risk,
    Rules,
    in_force,
)
from countersign.domain.errors import CannotTell
from countersign.domain.ids import ChannelId
from countersign.domain.json_comparison import Unrecorded, matches
from countersign.domain.proof import Proof
from countersign.domain.proof import strictest as strictest_proof
from countersign.policy.conditions import holds

_HARM: Final = {risk: at for at, risk in enumerate(Risk)}


@dataclass(frozen=True, slots=True)
class Clause:
    """One rule of a policy, which begins at `line`.

    Names may hold `*`; an empty set of channels means all.
    """

    name: str
    then: Action
    line: int
    team: str = "*"
    agent: str = "*"
    program: str = ""
    """Only programs whose name fits, by their key; "" does not select by program."""
    tool: str = "*"
    channels: frozenset[ChannelId] = frozenset()
    risk: Risk | None = None
    """The lowest risk that the rule fits."""
    condition: str = ""
    """Condition on the arguments; "" always holds."""
    terms: ChannelSettings = AS_ELSEWHERE
    """How people are asked; None inherits the channel's value."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """A workspace's policy.

    `risks` are patterns of tool names; the highest matching risk counts, else low. `version` is the number that web
    gave the policy when it came into force.
    """

    clauses: tuple[Clause, ...] = ()
    risks: tuple[tuple[str, Risk], ...] = ()
    version: int = field(default=0, compare=False)

    def risk_of(self, tool: str) -> Risk:
        """Return the risk of this tool."""
        return max(
            (risk for pattern, risk in self.risks if matches(tool, pattern)), key=_HARM.__getitem__, default=Risk.LOW
        )


@dataclass(frozen=True, slots=True)
class WantedAction:
    """An action of an agent; `tool` is empty for a question without a call.

    `program` is the name of the asking program according to its key, and empty for a team. A program's `agent` is only
    a claim.
    """

    team: str
    agent: str
    tool: str
    arguments: Mapping[str, Any] | Unrecorded
    channel: ChannelId | None
    program: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of an action.

    `clause` is the name of the rule that applied, `version` the policy's; `trail` has a line for each rule.
    """

    then: Action
    risk: Risk
    clause: str = ""
    why: str = ""
    terms: ChannelSettings = AS_ELSEWHERE
    trail: tuple[str, ...] = ()
    version: int = 0


def judge(book: Rulebook, action: WantedAction, team_says: Action | None = None) -> Judgement:
    """Judge an action.

    `team_says` is the action that the team's own code wants, if any. If neither policy nor team says anything, people
    are asked. A condition that cannot be judged counts as true in a rule that asks or refuses, and as false in a rule
    that passes.
    """
    risk = book.risk_of(action.tool)
    trail, fitting = [], []
    for clause in book.clauses:
        unfit, doubt = why_not(clause, action, risk)
        fit = "fits what the program says of itself" if _claimed(clause, action) else "fits"
        trail.append(f"line {clause.line}, {clause.name} ({clause.then}): {unfit or doubt or fit}")
        if not unfit:
            fitting.append(clause)
    return replace(weigh(as_claimed(fitting, action), risk, team_says, tuple(trail)), version=book.version)


def as_claimed(fitting: Sequence[Clause], action: WantedAction) -> list[Clause]:
    """Remove the terms of rules that a program fits only by its own claim (R43).

    Such a rule still asks people. If it kept its terms, a program could choose its reviewers by choosing a name. Such
    rules come last, so that they do not displace a rule that fits by the key.
    """
    by_claim = [clause for clause in fitting if _claimed(clause, action) and clause.then is Action.ASK]
    return [clause for clause in fitting if clause not in by_claim] + [
        replace(clause, terms=AS_ELSEWHERE) for clause in by_claim
    ]


def _claimed(clause: Clause, action: WantedAction) -> bool:
    return bool(action.program) and (clause.team, clause.agent) != ("*", "*")


def judge_doubt(
    book: Rulebook, team: str, tool: str, channel: ChannelId, possible: Callable[[Judgement], bool]
) -> Judgement:
    """Judge how to ask people whether an action happened and may be repeated.

    A question in doubt contains neither the agent nor the arguments, so every rule that may have applied is weighed. If
    one of them bars requesters from deciding, requesters may not decide. `possible` tells whether anybody could be
    asked under a rule; a rule under which nobody could be asked cannot have allowed the action.
    """
    risk, action = book.risk_of(tool), WantedAction(team, "", tool, {}, channel)
    asking = [replace(c, agent="*", condition="") for c in book.clauses if c.then is Action.ASK]
    fitting = [clause for clause in asking if not why_not(clause, action, risk)[0] and possible(weigh([clause], risk))]
    judgement = weigh(fitting, risk, Action.ASK)
    own = False if any(clause.terms.own_requests is False for clause in fitting) else judgement.terms.own_requests
    return replace(judgement, terms=replace(judgement.terms, own_requests=own))


def weigh(
    fitting: Sequence[Clause], risk: Risk, team_says: Action | None = None, trail: tuple[str, ...] = ()
) -> Judgement:
    """Judge by the clauses that fit, in the order of the file."""
    # max() keeps the first of equally strict clauses.
    strictest = max(fitting, key=lambda c: (c.then.strictness, c.terms.quorum or 0), default=None)
    if strictest is None:
        return Judgement(team_says or Action.ASK, risk, trail=trail)
    if team_says is not None and team_says.strictness > strictest.then.strictness:
        return Judgement(team_says, risk, trail=(*trail, f"the team's own code is stricter: {team_says}"))
    terms = strictest.terms
    if proofs := [clause.terms.proof for clause in fitting if clause.terms.proof is not None]:
        terms = replace(terms, proof=strictest_proof(*proofs))  # from any fitting rule
    return Judgement(strictest.then, risk, strictest.name, strictest.why, terms, (*trail, f"counts: {strictest.name}"))


def apply(judgement: Judgement, rules: Rules) -> Rules:
    """Return the rules of a request: the channel's, made stricter by the policy."""
    terms = judgement.terms
    joined = {
        name: setting.join(own, getattr(rules, name))
        for name, setting in IN_POLICY.items()
        if (own := getattr(terms, name)) is not None
    }
    if terms.reviewers is not None:  # without the channel's escalation, unless the rule names one
        joined.setdefault("escalation", ())
    asked = replace(rules, **joined, risk=judgement.risk, clause=judgement.clause, why=judgement.why)
    takes_a_person = asked.risk is Risk.HIGH or asked.proof is not Proof.SLACK
    if takes_a_person and asked.on_timeout is OnTimeout.APPROVE:
        asked = replace(asked, on_timeout=OnTimeout.REJECT)
    return in_force(asked)


def why_not(clause: Clause, action: WantedAction, risk: Risk) -> tuple[str, str]:
    """Explain why the clause does not fit, or else a doubt; both are "" if it fits.

    NotRecorded if the action comes from the record and lacks a value that the clause's condition reads.
    """
    exactly = clause.then is Action.ALLOW
    if clause.program and not (action.program and matches(action.program, clause.program, exactly=exactly)):
        return f"the program is {action.program or 'none'}, not {clause.program}", ""
    if clause.then is Action.ALLOW and _claimed(clause, action):
        return "it lets teams and agents pass by name, and a program passes only by its key (`program`)", ""
    for kind, name, pattern in (
        ("team", action.team, clause.team),
        ("agent", action.agent, clause.agent),
        ("tool", action.tool, clause.tool),
    ):
        if not matches(name, pattern, exactly=exactly):
            return f"the {kind} is {name or 'none'}, not {pattern}", ""
    if clause.channels and action.channel not in clause.channels:
        return f"the channel is {action.channel}", ""
    if clause.risk is not None and _HARM[risk] < _HARM[clause.risk]:
        return f"the risk is {risk}, below {clause.risk}", ""
    try:
        met = not clause.condition or holds(clause.condition, action.arguments)
        return ("" if met else f"not so: {clause.condition}", "")
    except CannotTell as doubt:
        if clause.then is Action.ALLOW:
            return f"cannot be judged ({doubt}), so it lets nothing pass", ""
        return "", f"cannot be judged ({doubt}), so it counts as fitting"
