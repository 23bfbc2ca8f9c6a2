"""Channel settings: reviewers, deadline, channel, and the meaning of a timeout."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from countersign.domain import quiet_hours
from countersign.domain.durations import LONGEST, SHORTEST, say_duration
from countersign.domain.events import plain
from countersign.domain.ids import ChannelId, Digest, UserId, digest_of
from countersign.domain.people import Actor, Reviewers, why_nobody
from countersign.domain.proof import Proof, strictest
from countersign.domain.quiet_hours import NEVER, Quiet
from countersign.domain.slash_commands import NAMES


class OnTimeout(StrEnum):
    """The meaning of a timeout."""

    REJECT = "reject"
    """The request expires; the agent is told that nobody answered."""
    APPROVE = "approve"
    """The request counts as approved, by timeout; never the default (R23)."""
    WAIT = "wait"
    """There is no deadline; the request waits until somebody decides or the run is stopped."""


class Risk(StrEnum):
    """The harm that an action may do, from low to high."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


MOST_STEPS: Final = 5
"""Most steps of one escalation."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """One escalation step: from then on these people may decide too.

    They are notified in `channel`, or where the card is if no channel is set.
    """

    after: timedelta
    reviewers: Reviewers
    channel: ChannelId | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Complete settings, with the policy's judgement of one request.

    A request keeps a copy of the rules in force when it was asked. `risk`, `clause` and `why` come from the workspace's
    policy; `clause` is the name of the rule that applied.
    """

    approvals_channel: ChannelId
    reviewers: Reviewers
    timeout: timedelta = timedelta(hours=1)
    on_timeout: OnTimeout = OnTimeout.REJECT
    quorum: int = 1
    own_requests: bool = False
    break_glass: bool = False
    risk: Risk = Risk.LOW
    clause: str = ""
    why: str = ""
    remind_after: timedelta = timedelta(0)
    """Time until the first reminder; the gap doubles after each reminder. 0 means never."""
    escalation: tuple[Escalation, ...] = ()
    quiet: Quiet = NEVER
    in_thread: bool = False
    """The requester alone answers, in the run's own thread (`countersign.domain.eligibility`)."""
    proof: Proof = Proof.SLACK
    """The proof that an approval needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Settings of one channel, or of one rule of the policy; None inherits the value."""

    reviewers: Reviewers | None = None
    quorum: int | None = None
    own_requests: bool | None = None
    break_glass: bool | None = None
    timeout: timedelta | None = None
    on_timeout: OnTimeout | None = None
    approvals_channel: ChannelId | None = None
    remind_after: timedelta | None = None
    escalation: tuple[Escalation, ...] | None = None
    quiet: Quiet | None = None
    proof: Proof | None = None

    def over(self, rules: Rules) -> Rules:
        """Return the rules, overridden by this channel's own settings."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(rules, **own)


AS_ELSEWHERE: Final = ChannelSettings()


class InPolicy(NamedTuple):
    """A setting that a policy rule may have.

    `key` is its name in the file, `about` its meaning there, `label` its name for people. `join` combines the values of
    the rule and the channel; by default the rule's value wins.
    """

    key: str
    about: str
    label: str
    join: Callable[[Any, Any], Any] = lambda ours, _: ours


def _silence(ours: OnTimeout, channels: OnTimeout) -> OnTimeout:
    return channels if ours is OnTimeout.APPROVE else ours


IN_POLICY: Final = {
    "reviewers": InPolicy(
        "reviewers",
        "users (U…) and user groups (S…) by id; members: everybody where the card goes",
        "reviewers",
        lambda ours, channels: ours or channels,
    ),
    "quorum": InPolicy("quorum", "how many different people must approve", "quorum", max),
    "own_requests": InPolicy("own_requests", "false: who started the run may not decide", "own requests", min),
    "break_glass": InPolicy(
        "break_glass", "false: no requester decides alone, not even in an emergency", "break-glass", min
    ),
    "timeout": InPolicy("timeout", "how long people have: 15m, 4h, 2d", "timeout"),
    "on_timeout": InPolicy("on_timeout", "what it means that nobody decided in time", "on timeout", _silence),
    "approvals_channel": InPolicy("send_to", "the channel where the card appears, by id", "approvals channel"),
    "remind_after": InPolicy("remind", "reminded after so long, then in growing gaps; off: never", "reminders"),
    "escalation": InPolicy("escalate", "who is asked next; []: nobody, whatever the channel says", "escalation"),
    "proof": InPolicy("proof", "what an approval is proved with: slack, oidc or passkey", "proof", strictest),
}
"""All settings that a policy rule may have, by name."""


def resolve(defaults: Rules, approvals: ChannelSettings, channel: ChannelSettings) -> Rules:
    """Find the rules in force: the channel's, its approvals channel's, the defaults.

    `approvals` are the settings of the channel that the cards of `channel` go to. The place where that channel sends
    its own cards is not inherited.
    """
    destination = channel.approvals_channel or defaults.approvals_channel
    inherited = replace(approvals, approvals_channel=None).over(defaults)
    return in_force(replace(channel.over(inherited), approvals_channel=destination))


def recorded(rules: Rules) -> dict[str, Any]:
    """Write rules for the audit log, without values that are null, false or empty."""
    written: dict[str, Any] = filled(plain(rules) | ({} if rules.quiet else {"quiet": None}))
    return written


def filled(value: Any) -> Any:
    """Remove values that are null, false or empty, at any depth."""
    if not isinstance(value, dict):
        return value
    return {name: filled(inner) for name, inner in value.items() if inner not in (None, False, "", [])}


def digest_of_rules(recorded_rules: Any) -> Digest:
    """Digest `recorded` rules, so that a signature names the rules in force."""
    return digest_of(json.dumps(recorded_rules, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def in_force(rules: Rules) -> Rules:
    """Replace `members` by the channel whose members decide."""
    there = rules.approvals_channel
    steps = tuple(replace(step, reviewers=step.reviewers.at(step.channel or there)) for step in rules.escalation)
    return replace(rules, reviewers=rules.reviewers.at(there), escalation=steps)


def meant(rules: Rules) -> Rules:
    """Undo `in_force`: return the rules as they were set, for the settings form."""
    there = rules.approvals_channel
    steps = tuple(replace(step, reviewers=step.reviewers.meant(step.channel or there)) for step in rules.escalation)
    return replace(rules, reviewers=rules.reviewers.meant(there), escalation=steps)


def say_value(value: Any) -> str:
    """Describe a setting's value in a few words, the same for the same value."""
    match value:
        case bool():
            return "yes" if value else "no"
        case timedelta():
            return say_duration(value) if value else "never"
        case Reviewers(users=users, groups=groups, members=members):
            everybody = ["everybody where the card goes"] if members else []
            return ", ".join([*sorted(users), *sorted(groups), *everybody]) or "nobody"
        case Escalation(after=after, reviewers=reviewers, channel=channel):
            return f"after {say_duration(after)} to {say_value(reviewers)}" + (f" in {channel}" if channel else "")
        case tuple():
            return ", then ".join(map(say_value, value)) or "never"
        case Quiet():
            return quiet_hours.say(value)
    return str(value)


def problems_of(rules: Rules) -> list[str]:
    """List the reasons why these rules must not be set, a sentence each."""
    problems = []
    if not rules.reviewers:
        problems.append(
            "Nobody would be allowed to decide: name at least one reviewer, like "
            f"`{NAMES.approvals} reviewers @someone`."
        )
    if rules.quorum < 1:
        problems.append("At least one approval is needed: the quorum must be 1 or more.")
    if rules.break_glass and rules.quorum > 1:
        problems.append(
            f"Break-glass is for one approval, and {rules.quorum} approvals are needed here, so it would never be "
            "offered: turn it off, or lower the quorum."
        )
    if rules.proof is not Proof.SLACK and rules.on_timeout is OnTimeout.APPROVE:
        problems.append(
            f"An approval needs the proof {rules.proof} here, and silence proves nothing: let a timeout reject or "
            "wait, or set the proof to slack."
        )
    named = len(rules.reviewers.users)
    if rules.reviewers and not rules.reviewers.groups and rules.quorum > named:
        problems.append(
            f"{rules.quorum} approvals would be needed, but only {named} may approve: "
            "name more reviewers or lower the quorum."
        )
    if not SHORTEST <= rules.timeout <= LONGEST:
        problems.append(f"A timeout is at least {say_duration(SHORTEST)} and at most {say_duration(LONGEST)}.")
    waits = None if rules.on_timeout is OnTimeout.WAIT else rules.timeout
    problems += escalation_problems(rules.escalation, rules.reviewers, rules.approvals_channel, waits)
    if rules.quiet and (why_not := rules.quiet.why_not()):
        problems.append(why_not)
    return problems


def escalation_problems(
    steps: Sequence[Escalation], reviewers: Reviewers, channel: ChannelId | None, deadline: timedelta | None
) -> list[str]:
    """List the reasons why these rules must not apply to a request, a sentence each.

    `deadline` is None for a request without a deadline.
    """
    faults = []
    if len(steps) > MOST_STEPS:
        faults.append(f"An escalation has at most {MOST_STEPS} steps.")
    reached = {(reviewers, channel)}
    before = timedelta(0)
    rooms = {channel}
    users, groups = set(reviewers.users), set(reviewers.groups)
    for number, step in enumerate(steps, 1):
        if not step.reviewers:
            faults.append(f"Step {number} of the escalation names nobody who could decide.")
        if step.after <= before:
            faults.append(f"Step {number} of the escalation must come later than the one before it.")
        if deadline is not None and step.after >= deadline:
            faults.append(f"Step {number} of the escalation would come after the deadline, so it would never happen.")
        here = (step.reviewers, step.channel or channel)
        if here in reached:
            faults.append(
                f"Step {number} of the escalation goes round in a circle: the same people, in the same channel."
            )
        elif step.reviewers and here[1] in rooms and step.reviewers.users <= users and step.reviewers.groups <= groups:
            faults.append(f"Step {number} of the escalation names only people who may decide already.")
        reached.add(here)
        rooms.add(here[1])
        users |= step.reviewers.users
        groups |= step.reviewers.groups
        before = max(before, step.after)
    return faults


def why_not_configure(actor: Actor, rules: Rules, admins: frozenset[UserId]) -> str | None:
    """Return why this actor may not change the settings in force; None if they may."""
    nobody = why_nobody(actor, actor.workspace)
    if nobody is not None:
        return nobody.value
    if actor.administers(admins) or rules.reviewers.why_not(actor) is None:
        return None
    return "Only workspace admins, people named in ADMINS and this channel's reviewers can change its settings."


def enough_people(
    rules: Rules, requester: UserId, members: frozenset[UserId], gone: frozenset[UserId] = frozenset()
) -> str | None:
    """Explain that too few people could decide on this requester's request (R10).

    None if enough people can. `members` are the members of the groups and channels named in the rules; `gone` are the
    named people who may not decide.
    """
    people = (rules.reviewers.users - gone) | members
    if not rules.own_requests:
        people -= {requester}
    if len(people) >= rules.quorum:
        return None
    if not rules.reviewers:
        return (
            f"nobody can decide here: an admin must name reviewers first, like `{NAMES.approvals} reviewers @someone`"
        )
    remark = (
        "you started it and can't decide on your own requests" if requester in rules.reviewers.users | members else ""
    )
    need = f"{rules.quorum} approval{'s' if rules.quorum > 1 else ''} needed, {len(people)} can approve"
    return f"nobody could decide on its requests: {need}" + (f" ({remark})" if remark else "")
