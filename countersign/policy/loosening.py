"""Changes that make a channel's rules milder, and who confirms them (R33).

Such a change is saved only once it is confirmed. Admins confirm their own changes; changes by others need an admin or a
second reviewer.
"""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, say_value, why_not_configure
from countersign.domain.errors import CountersignError
from countersign.domain.ids import ChannelId, Digest, UserId, WorkspaceId, digest_of
from countersign.domain.people import Actor, Reviewers
from countersign.domain.proof import Proof, Proved, Statement, Subject, strictest, why_not_proved

LOOSEN: Final = "loosen rules"
"""The verb of the statement with which a change is confirmed."""


class Dependent(NamedTuple):
    """A channel with a proof of its own whose cards go to the changed channel.

    Contains its rules before and after the change.
    """

    channel: ChannelId
    before: Rules
    after: Rules


class Configured(NamedTuple):
    """The rules before and after a change, of the channel and of its dependents.

    Channels inherit from the channel that their cards go to.
    """

    before: Rules
    after: Rules
    inherited_before: Rules
    inherited_after: Rules
    elsewhere: Proof = Proof.SLACK
    """The strongest proof that a rule of the policy names, or a dependent that becomes milder: what it protects
    inherits these settings."""
    dependents: tuple[Dependent, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsProposal:
    """A change of a channel's settings that somebody may not make alone.

    It is bound to the content that was shown: the settings' version, and a digest of the rules before and after.
    """

    channel: ChannelId
    by: UserId
    wanted: ChannelSettings
    version: int
    rules: Digest

    @property
    def id(self) -> Digest:
        """Digest the proposal; equal proposals have equal ids."""
        return digest_of(self.channel, self.by, str(self.version), self.rules)


class NeedsConfirmation(CountersignError):
    """The change loosens the rules, and has to be confirmed; nothing was changed."""

    def __init__(self, proposal: SettingsProposal, effect: Configured, sentence: str = "") -> None:
        self.proposal, self.effect = proposal, effect
        super().__init__(sentence or "This loosens the rules, so confirm it first. Nothing has changed yet.")


class NeedsSecond(NeedsConfirmation):
    """A second person has to confirm the change; it was proposed."""

    def __init__(self, proposal: SettingsProposal, effect: Configured) -> None:
        second = "This loosens the rules, so an admin or a second reviewer must confirm it. Nothing has changed yet."
        super().__init__(proposal, effect, second)


class NeedsProof(NeedsConfirmation):
    """An admin has to confirm the change on its page, with a proof; it was proposed."""

    def __init__(self, proposal: SettingsProposal, effect: Configured) -> None:
        noun = {Proof.OIDC: "a fresh login", Proof.PASSKEY: "a passkey"}[needed_proof(effect)]
        sentence = (
            f"This loosens rules that need {noun}, so an admin must confirm it with one. Nothing has changed yet."
        )
        super().__init__(proposal, effect, sentence)


def needed_proof(effect: Configured) -> Proof:
    """Return the proof for loosening: the one that an approval needed before."""
    return strictest(effect.before.proof, effect.inherited_before.proof, effect.elsewhere)


def statement(workspace: WorkspaceId, user: UserId, proposal: SettingsProposal, nonce: str = "") -> Statement:
    """Return the statement of an admin who confirms the proposal."""
    about = (Subject(proposal.id, proposal.rules),)
    return Statement(workspace=workspace, user=user, verb=LOOSEN, about=about, nonce=nonce)


def why_not_confirmed(
    proposal: SettingsProposal,
    actor: Actor,
    admins: frozenset[UserId],
    effect: Configured,
    proved: Proved,
    now: datetime,
) -> str | None:
    """Return why the proof does not suffice to confirm the proposal; None if it does.

    If a proof is needed, only an admin may confirm: of two reviewers, the first would only have clicked in Slack.
    """
    needed = needed_proof(effect)
    if needed is not Proof.SLACK and not actor.administers(admins):
        return "Rules that need a proof are loosened by an admin, with that proof."
    wrong = why_not_proved(needed, proved, statement(actor.workspace, actor.user, proposal), now)
    if wrong in (Refusal.NEEDS_LOGIN, Refusal.NEEDS_PASSKEY):
        return "This loosens rules that need a proof, and a click proves too little. Its notice leads to its page."
    return None if wrong is None else wrong.value


def loosened_by(effect: Configured) -> tuple[str, ...]:
    """List the rules that become milder, here or in channels that inherit them."""
    here = loosened(effect.before, effect.after)
    others = loosened(effect.inherited_before, effect.inherited_after)
    known = {*here, *others}
    return (
        *here,
        *(f"for channels whose cards go here: {change}" for change in others if change not in here),
        *(
            f"for a channel with a proof of its own whose cards go here: {change}"
            for one in effect.dependents
            for change in loosened(one.before, one.after)
            if change not in known
        ),
    )


def loosened(before: Rules, after: Rules) -> tuple[str, ...]:
    """List the rules that become milder, in a few words each."""
    silent = after.on_timeout is OnTimeout.APPROVE
    still_silent = silent and before.on_timeout is OnTimeout.APPROVE
    effects = {
        "fewer approvals are needed": after.quorum < before.quorum,
        "more people can decide": _adds(before.reviewers, after.reviewers),
        "a weaker proof is enough": not after.proof.reaches(before.proof),
        "requesters can decide on their own requests": after.own_requests and not before.own_requests,
        "requesters can approve alone in an emergency": after.break_glass and not before.break_glass,
        "requests are approved if nobody decides in time": silent and not still_silent,
        "the time after which undecided requests are approved changes": still_silent
        and after.timeout != before.timeout,
        "requests that are approved if nobody decides go to another channel": still_silent
        and after.approvals_channel != before.approvals_channel,
        "escalation lets more people decide, or lets them decide sooner": _adds_sooner(before, after),
    }
    return tuple(effect for effect, milder in effects.items() if milder)


def _adds(before: Reviewers, after: Reviewers) -> bool:
    added = after.users - before.users or after.groups - before.groups
    return bool(added) or (after.members and not before.members)


def _adds_sooner(before: Rules, after: Rules) -> bool:
    """Tell whether anybody may decide at an earlier moment than before."""
    return any(_adds(_reviewers_by(before, step.after), _reviewers_by(after, step.after)) for step in after.escalation)


def _reviewers_by(rules: Rules, after: timedelta) -> Reviewers:
    """Collect the people who may decide at this time after the question."""
    joined = [rules.reviewers, *(step.reviewers for step in rules.escalation if step.after <= after)]
    return Reviewers(
        frozenset().union(*(reviewers.users for reviewers in joined)),
        frozenset().union(*(reviewers.groups for reviewers in joined)),
        any(reviewers.members for reviewers in joined),
    )


def why_not_second(
    proposal: SettingsProposal,
    actor: Actor,
    proposer: Actor | None,
    admins: frozenset[UserId],
    version: int,
    effect: Configured,
) -> str | None:
    """Return why this actor may not confirm the proposal; None if they may.

    The actor must be allowed to change the settings. `proposer` is described by Slack's current data: a second person
    cannot confirm once the proposer may no longer change the settings.
    """
    if (version, print_of(*effect[:4])) != (proposal.version, proposal.rules):
        return "The settings have changed since this was proposed, so it can no longer be confirmed."
    if actor.administers(admins):
        return None
    if actor.user == proposal.by:
        return "You proposed this yourself; an admin or another reviewer must confirm it."
    if proposer is None or why_not_configure(proposer, effect.before, admins) is not None:
        return "The person who proposed this can no longer change the settings, so an admin must confirm it."
    return None


def print_of(*rules: Rules) -> Digest:
    """Digest the settings in these rules."""
    return digest_of(*(say_value(getattr(each, setting.name)) for each in rules for setting in fields(ChannelSettings)))
