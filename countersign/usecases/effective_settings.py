"""Rules in force in a channel, the policy's judgement, and changes of settings."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from countersign.domain import channel_settings, eligibility
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.calls import Call
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules
from countersign.domain.errors import InvalidInput, NotFound, Refused, plain_text
from countersign.domain.events import Event, EventType, plain
from countersign.domain.ids import AttemptId, ChannelId, UserId
from countersign.domain.people import Actor
from countersign.domain.proof import CLICK, Proof, Proved, strictest, with_evidence
from countersign.domain.question_salts import asker
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request
from countersign.domain.runs import Run
from countersign.policy import evaluation, loosening
from countersign.policy.evaluation import Judgement, WantedAction
from countersign.policy.loosening import (
    Configured,
    Dependent,
    NeedsConfirmation,
    NeedsProof,
    NeedsSecond,
    SettingsProposal,
)
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Store


async def rules_of(store: Store, channel: ChannelId) -> Rules:
    """Find the rules that are in force in a channel now."""
    return await _rules_with(store, channel, (await store.settings(channel)).value)


async def silence_approves(store: Store, request: Request) -> bool:
    """Check whether silence may approve the request now."""
    run = await store.run(request.run)
    try:
        return run is not None and (await rules_for(store, run.value, request.question)).on_timeout is OnTimeout.APPROVE
    except Refused:
        return False


@dataclass(frozen=True, slots=True)
class Ruled:
    """A question's rules, and the channel's before the policy made them stricter.

    `refused` is set if the question may not be asked, or nobody could answer.
    """

    rules: Rules
    settings: Rules
    refused: Refused | None = None


async def rules_for(store: Store, run: Run, question: Question) -> Rules:
    """Find a question's rules: the channel's, made stricter by the policy.

    Refused if the question may not be asked, or nobody could answer.
    """
    ruled = await ruled_for(store, run, question)
    if ruled.refused is not None:
        raise ruled.refused
    return ruled.rules


async def ruled_for(store: Store, run: Run, question: Question) -> Ruled:
    """Find a question's rules, with its refusal for the record."""
    rules = settings = await rules_of(store, run.channel)
    if question.kind not in ABOUT_THE_RUN:
        call = None if question.kind is Kind.FORM else question.call  # no tool is called
        judgement = await judge(store, run, asker(question), call, Action.ASK)
        rules = evaluation.apply(judgement, settings)
        if judgement.then is Action.DENY:
            reason = f"rule “{judgement.clause}”" + (f": {judgement.why}" if judgement.why else "")
            return Ruled(rules, settings, _refused(Refusal.BY_POLICY, reason))
        if eligibility.is_for_requester(question, run, judgement.terms):
            rules = eligibility.for_requester(rules, run.requester, judgement.terms.proof)
    elif question.kind is Kind.IN_DOUBT:  # only people who may approve the action may repeat it
        rules = evaluation.apply(await _of_doubt(store, run, question, settings), settings)
    if not rules.reviewers:
        return Ruled(rules, settings, Refused(Refusal.NOBODY_NAMED, Refusal.NOBODY_NAMED.filled()))
    nobody = _why_nobody(rules, run)
    return Ruled(rules, settings, None if nobody is None else _refused(Refusal.NOBODY_COULD, nobody))


async def _of_doubt(store: Store, run: Run, question: Question, settings: Rules) -> Judgement:
    def possible(judgement: Judgement) -> bool:
        return _why_nobody(evaluation.apply(judgement, settings), run) is None

    return evaluation.judge_doubt(await store.rulebook(), run.team, question.agent, run.channel, possible)


def _why_nobody(rules: Rules, run: Run) -> str | None:
    """Explain, without asking Slack, that too few people could decide."""
    return None if rules.reviewers.groups else channel_settings.enough_people(rules, run.requester, frozenset())


async def judge(store: Store, run: Run, agent: str, call: Call | None, team_says: Action | None) -> Judgement:
    """Judge a call of the run by the policy; None stands for a question without one."""
    arguments = json.loads(call.arguments) if call else {}
    program = run.team if run.program else ""
    action = WantedAction(run.team, agent, call.tool if call else "", arguments, run.channel, program)
    return evaluation.judge(await store.rulebook(), action, team_says)


def _refused(refusal: Refusal, reason: str) -> Refused:
    return Refused(refusal, refusal.filled(what=(reason,)))


async def configure(
    store: Store,
    channel: ChannelId,
    actor: Actor,
    admins: frozenset[UserId],
    change: Callable[[ChannelSettings], ChannelSettings],
    check: Callable[[Rules], Awaitable[list[Sentence]]],
    attempt: AttemptId | None = None,
    confirms: SettingsProposal | None = None,
    proposer: Actor | None = None,
    why_not_propose: Callable[[SettingsProposal], str | None] = lambda proposal: None,
    proved: Proved = CLICK,
) -> Configured:
    """Change a channel's settings, or confirm a change that the `proposer` proposed.

    InvalidInput, with nothing changed but an event, once for each `attempt`, if the actor may not change settings, or
    nobody could decide afterwards. `check` finds problems that only Slack knows (an empty group, a channel without the
    bot). NeedsConfirmation if the change makes the rules milder; NeedsSecond, with the proposal in an event, if the
    actor may not do so alone (R33). `why_not_propose` explains why a proposal could not be shown. `confirms` is the
    proposal to confirm.

    If the rules need a proof, so does loosening them: NeedsProof stores the proposal for its page, where an admin
    confirms it with `proved`, a proof of `loosening.statement`.
    """

    async def propose() -> Swap[Configured] | Refuse:
        seen = await store.settings(channel)
        before = await rules_of(store, channel)
        proposed = change(seen.value)
        after = await _rules_with(store, channel, proposed)
        if proposed.on_timeout is OnTimeout.APPROVE:  # at the agreed time, whatever changes elsewhere
            proposed = replace(proposed, timeout=after.timeout)
        effect = await _effect(store, channel, before, after, seen.value, proposed)
        alone = confirms is None or (confirms.by == actor.user and loosening.needed_proof(effect) is Proof.SLACK)
        together = None if alone else confirms
        why_not = channel_settings.why_not_configure(actor, before, admins)
        if why_not is None and confirms is not None:
            why_not = loosening.why_not_second(confirms, actor, proposer, admins, seen.version, effect)
            why_not = why_not or loosening.why_not_confirmed(confirms, actor, admins, effect, proved, seen.now)
        problems: list[Sentence] = (
            [(why_not,)]
            if why_not is not None
            else [(problem,) for problem in channel_settings.problems_of(after)] or await check(after)
        )
        milder = () if problems or confirms is not None else loosening.loosened_by(effect)
        proposal = SettingsProposal(channel, actor.user, proposed, seen.version, loosening.print_of(*effect[:4]))
        on_page = bool(milder) and loosening.needed_proof(effect) is not Proof.SLACK
        if on_page:
            await store.keep_proposal(proposal)
        elif milder and (why_not := why_not_propose(proposal)) is not None:
            problems = [(why_not,)]
        elif milder and actor.administers(admins):
            return Refuse(NeedsConfirmation(proposal, effect))
        kind = EventType.SETTINGS_PROPOSED if milder else EventType.SETTINGS_CHANGED
        event = Event(
            EventType.SETTINGS_REFUSED if problems else kind,
            seen.now,
            workspace=actor.workspace,
            user=actor.user,
            data={"channel": channel, "problems": " ".join(map(plain_text, problems)), "settings": repr(proposed)}
            | ({} if problems else {**_recorded(effect), "milder": "; ".join(milder)})
            | ({"wanted": json.dumps(plain(proposed)), "version": str(seen.version)} if milder and not problems else {})
            | ({} if together is None else {"proposed_by": together.by, "proposal": together.id}),
        )
        record = Change(events=(with_evidence(event, proved),), once=attempt)
        if problems:
            words = (part for problem in problems for part in (*problem, " "))
            return Refuse(InvalidInput(*words, "Nothing was changed."), record)
        if milder:
            return Refuse((NeedsProof if on_page else NeedsSecond)(proposal, effect), record)
        nothing = Configured(before, before, effect.inherited_before, effect.inherited_before)
        # A repeated attempt does not undo later changes.
        return Swap(replace(record, settings={channel: Put(proposed, seen.version)}), effect, repeated=Keep(nothing))

    return (await update(store, propose)).value


def _recorded(effect: Configured) -> dict[str, str]:
    """Write the effect as JSON: all rules afterwards, and the former values.

    `effect_of` in `bot.slack.settings_proposals` reads it.
    """
    before, after = _differences(effect.before, effect.after)
    inherited_before, _ = _differences(effect.inherited_before, effect.inherited_after)
    texts = {
        "before": before,
        "after": after,
        "rules": plain(effect.after),
        "inherited_before": inherited_before,
        "inherited": plain(effect.inherited_after),
        "elsewhere": effect.elsewhere.value,
    }
    return {name: json.dumps(value) for name, value in texts.items()}


def _differences(before: Rules, after: Rules) -> tuple[dict[str, Any], dict[str, Any]]:
    """Collect the differing fields, with their old and new values."""
    old, new = plain(before), plain(after)
    names = [name for name in old if old[name] != new[name]]
    return {name: old[name] for name in names}, {name: new[name] for name in names}


async def _effect(
    store: Store, channel: ChannelId, before: Rules, after: Rules, own: ChannelSettings, wanted: ChannelSettings
) -> Configured:
    """Compute the effect of a change here, and in channels that inherit the settings."""
    inherited = [await _inherited(store, channel, settings) for settings in (own, wanted)]
    in_policy = [one.terms.proof for one in (await store.rulebook()).clauses if one.terms.proof is not None]
    dependents = await _dependents(store, channel, own, wanted)
    milder = [one.before.proof for one in dependents if loosening.loosened(one.before, one.after)]
    return Configured(before, after, inherited[0], inherited[1], strictest(*in_policy, *milder), dependents)


async def _dependents(
    store: Store, channel: ChannelId, own: ChannelSettings, wanted: ChannelSettings
) -> tuple[Dependent, ...]:
    """Find the channels with a proof of their own whose rules this change may reach."""
    defaults, found = await store.defaults(), list[Dependent]()
    assert defaults is not None, "the rules in force were found with them"
    for name in sorted(await store.proof_channels() - {channel}):
        theirs = (await store.settings(name)).value
        if (theirs.approvals_channel or defaults.approvals_channel) == channel:
            before, after = (channel_settings.resolve(defaults, settings, theirs) for settings in (own, wanted))
            found.append(Dependent(name, before, after))
    return tuple(found)


async def _inherited(store: Store, channel: ChannelId, own: ChannelSettings) -> Rules:
    """Find the rules of a channel without own settings that sends its cards here."""
    defaults = await store.defaults()
    assert defaults is not None, "the rules in force were found with them"
    return channel_settings.resolve(defaults, own, ChannelSettings(approvals_channel=channel))


async def _rules_with(store: Store, channel: ChannelId, own: ChannelSettings) -> Rules:
    defaults = await store.defaults()
    if defaults is None:
        raise NotFound("`web` hasn't run on this Redis yet. Start it first: `python -m bot`.")
    destination = own.approvals_channel or defaults.approvals_channel
    approvals = own if destination == channel else (await store.settings(destination)).value
    return channel_settings.resolve(defaults, approvals, own)


async def preview(store: Store, channel: ChannelId, wanted: ChannelSettings) -> Configured:
    """Return the effect of these settings without storing them."""
    seen = await store.settings(channel)
    before, after = await rules_of(store, channel), await _rules_with(store, channel, wanted)
    return await _effect(store, channel, before, after, seen.value, wanted)
