"""Changes that make a channel's rules milder, which need a second person (R33).

That is an admin, or a second reviewer."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import NamedTuple

from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, say_value, why_not_configure
from countersign.domain.errors import CountersignError
from countersign.domain.ids import ChannelId, Digest, UserId, digest_of
from countersign.domain.people import Actor, Reviewers


class Configured(NamedTuple):
    """The rules before and after a change: the channel's own, and what channels inherit whose cards go there."""

    before: Rules
    after: Rules
    inherited_before: Rules
    inherited_after: Rules


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of a channel's settings that somebody may not make alone.

    It is bound to what was shown of it: the settings' version, and a digest of the rules before and after.
    """

    channel: ChannelId
    by: UserId
    wanted: ChannelSettings
    version: int
    rules: Digest

    @property
    def id(self) -> Digest:
        """The same for a proposal that is made again."""
        return digest_of(self.channel, self.by, str(self.version), self.rules)


class NeedsSecond(CountersignError):
    """Who wants the change may not make it alone; nothing was changed, and the change is proposed."""

    def __init__(self, proposal: Proposal, effect: Configured) -> None:
        self.proposal, self.effect = proposal, effect
        super().__init__("This makes the rules milder, so it takes an admin or a second reviewer. Nothing was changed.")


def loosened_by(effect: Configured) -> tuple[str, ...]:
    """What is milder afterwards, here or where it is inherited, in a few words each; empty if nothing is."""
    here = loosened(effect.before, effect.after)
    others = loosened(effect.inherited_before, effect.inherited_after)
    return (*here, *(f"for channels whose cards go here: {what}" for what in others if what not in here))


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
    proposal: Proposal,
    actor: Actor,
    proposer: Actor | None,
    admins: frozenset[UserId],
    version: int,
    effect: Configured,
) -> str | None:
    """Why this actor, who may change the settings, does not confirm the proposal; None if they do. `proposer` is as
    Slack describes them now: the second person of two is none if the first may not change the settings any more."""
    if (version, print_of(*effect)) != (proposal.version, proposal.rules):
        return "The settings were changed since this was asked for, so it holds no more."
    if may_alone(actor, admins):
        return None
    if actor.user == proposal.by:
        return "You asked for this yourself; it takes an admin or another reviewer."
    if proposer is None or why_not_configure(proposer, effect.before, admins) is not None:
        return "Who asked for this may not change the settings by now, so it takes an admin."
    return None


def print_of(*rules: Rules) -> Digest:
    """Return a digest that is the same for the same settings."""
    return digest_of(*(say_value(getattr(one, setting.name)) for one in rules for setting in fields(ChannelSettings)))
