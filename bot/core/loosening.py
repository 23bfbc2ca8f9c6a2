"""What makes a channel's rules milder: for that it takes an admin, or a second reviewer (R33)."""

from dataclasses import dataclass
from datetime import timedelta

from bot.core.errors import CountersignError
from bot.core.ids import ChannelId, Digest, UserId, digest_of
from bot.core.people import Actor, Reviewers
from bot.core.policy import ChannelSettings, OnTimeout, Rules


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of a channel's settings that somebody may not make alone.

    It is bound to what it would change: the settings' version, and a digest of the rules in force.
    """

    channel: ChannelId
    by: UserId
    wanted: ChannelSettings
    version: int
    rules: Digest


class NeedsSecond(CountersignError):
    """Who wants the change may not make it alone; nothing was changed. `again`: it was wanted already."""

    def __init__(self, proposal: Proposal, before: Rules, after: Rules, again: bool) -> None:
        self.proposal, self.before, self.after, self.again = proposal, before, after, again
        super().__init__("This makes the rules milder, so it takes an admin or a second reviewer. Nothing was changed.")


def loosened(before: Rules, after: Rules) -> tuple[str, ...]:
    """What is milder afterwards, in a few words each; empty if nothing is."""
    silence = OnTimeout.APPROVE
    found = {
        "fewer approvals are needed": after.quorum < before.quorum,
        "others may decide": _more(before.reviewers, after.reviewers),
        "requesters may decide on their own requests": after.own_requests and not before.own_requests,
        "requesters may break the glass": after.break_glass and not before.break_glass,
        "silence approves": after.on_timeout is silence is not before.on_timeout,
        "silence approves after another time": after.on_timeout is silence is before.on_timeout
        and after.timeout != before.timeout,
        "silence approves what is shown elsewhere": after.on_timeout is silence is before.on_timeout
        and after.approvals_channel != before.approvals_channel,
        "others may decide after some time, or sooner": _sooner(before, after),
    }
    return tuple(what for what, milder in found.items() if milder)


def _more(before: Reviewers, after: Reviewers) -> bool:
    added = after.users - before.users or after.groups - before.groups
    return bool(added) or (after.members and not before.members)


def _sooner(before: Rules, after: Rules) -> bool:
    """Whether some may decide at a moment at which they could not before."""
    return any(_more(_by_then(before, step.after), _by_then(after, step.after)) for step in after.escalation)


def _by_then(rules: Rules, after: timedelta) -> Reviewers:
    """Who may decide so long after the question."""
    joined = [rules.reviewers, *(step.reviewers for step in rules.escalation if step.after <= after)]
    return Reviewers(
        frozenset().union(*(one.users for one in joined)),
        frozenset().union(*(one.groups for one in joined)),
        any(one.members for one in joined),
    )


def may_alone(actor: Actor, admins: frozenset[UserId]) -> bool:
    """Whether this actor may make the rules milder without anybody else."""
    return actor.is_admin or actor.user in admins


def why_not_second(
    proposal: Proposal, actor: Actor, admins: frozenset[UserId], version: int, before: Rules
) -> str | None:
    """Why this actor, who may change the settings, does not confirm the proposal; None if they do."""
    if (version, print_of(before)) != (proposal.version, proposal.rules):
        return "The settings were changed since this was asked for, so it holds no more."
    if actor.user == proposal.by and not may_alone(actor, admins):
        return "You asked for this yourself; it takes an admin or another reviewer."
    return None


def print_of(rules: Rules) -> Digest:
    """The same for the same rules."""
    people = [rules.reviewers, *(step.reviewers for step in rules.escalation)]
    names = [str((sorted(one.users), sorted(one.groups), one.members)) for one in people]
    others = (rules.approvals_channel, rules.timeout, rules.on_timeout, rules.quorum, rules.own_requests)
    steps = [f"{step.after} {step.channel}" for step in rules.escalation]
    return digest_of(*map(str, (*others, rules.break_glass, rules.remind_after, rules.quiet)), *names, *steps)
