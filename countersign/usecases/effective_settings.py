"""Rules in force in a channel, the policy's judgement, and changes of settings."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from countersign.domain import channel_settings
from countersign.domain.calls import Call
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules
from countersign.domain.errors import InvalidInput, NotFound, Refused, plain_text
from countersign.domain.event_data import plain
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, ChannelId, UserId
from countersign.domain.people import Actor
from countersign.domain.questions import asker
from countersign.domain.refusals import Refusal, Sentence
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question
from countersign.domain.runs import Run
from countersign.policy import evaluation, loosening
from countersign.policy.evaluation import Action, Effect, Judgement
from countersign.policy.loosening import Configured, NeedsSecond, Proposal
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Seen, Store


async def rules_of(store: Store, channel: ChannelId) -> Rules:
    """The rules that are in force in a channel now."""
    defaults = await store.defaults()
    if defaults is None:
        raise NotFound("The approval service has not been started on this store yet. Start `python -m bot` first.")
    own = (await store.settings(channel)).value
    approvals = (await store.settings(own.approvals_channel or defaults.approvals_channel)).value
    return channel_settings.resolve(defaults, approvals, own)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A question's rules, and what the channel's were before the policy made them stricter.

    `refused` is set if it may not be asked, or nobody could answer.
    """

    rules: Rules
    settings: Rules
    refused: Refused | None = None


async def rules_for(store: Store, run: Run, question: Question) -> Rules:
    """The channel's rules, made stricter by the workspace's policy. Refused if nobody may be asked, or could answer."""
    ruled = await ruled_for(store, run, question)
    if ruled.refused is not None:
        raise ruled.refused
    return ruled.rules


async def ruled_for(store: Store, run: Run, question: Question) -> Ruled:
    """The same for the record, which also tells what was refused."""
    rules = settings = await rules_of(store, run.channel)
    if question.kind not in ABOUT_THE_RUN:
        said = await judge(store, run, asker(question), question.call, Effect.ASK)
        rules = evaluation.apply(said, settings)
        if said.effect is Effect.REFUSE:
            what = f"rule “{said.clause}”" + (f": {said.why}" if said.why else "")
            return Ruled(rules, settings, _refused(Refusal.BY_POLICY, what))
    elif question.kind is Kind.IN_DOUBT:  # whether it is done again is for those who may have it done
        rules = evaluation.apply(await _of_doubt(store, run, question, settings), settings)
    if not rules.reviewers:
        return Ruled(rules, settings, Refused(Refusal.NOBODY_NAMED, Refusal.NOBODY_NAMED.filled()))
    nobody = _why_nobody(rules, run)
    return Ruled(rules, settings, None if nobody is None else _refused(Refusal.NOBODY_COULD, nobody))


async def _of_doubt(store: Store, run: Run, question: Question, settings: Rules) -> Judgement:
    def possible(said: Judgement) -> bool:
        return _why_nobody(evaluation.apply(said, settings), run) is None

    return evaluation.judge_doubt(await store.rulebook(), run.team, question.agent, run.channel, possible)


def _why_nobody(rules: Rules, run: Run) -> str | None:
    """By what is known without Slack."""
    return None if rules.reviewers.groups else channel_settings.enough_people(rules, run.requester, frozenset())


async def judge(store: Store, run: Run, agent: str, call: Call | None, team_says: Effect | None) -> Judgement:
    """The policy's judgement of an action of the run; of a question that is no call where it is None."""
    arguments = json.loads(call.arguments) if call else {}
    action = Action(run.team, agent, call.tool if call else "", arguments, run.channel)
    return evaluation.judge(await store.rulebook(), action, team_says)


def _refused(refusal: Refusal, what: str) -> Refused:
    return Refused(refusal, refusal.filled(what=(what,)))


async def configure(
    store: Store,
    channel: ChannelId,
    actor: Actor,
    admins: frozenset[UserId],
    change: Callable[[ChannelSettings], ChannelSettings],
    check: Callable[[Rules], Awaitable[list[Sentence]]],
    attempt: AttemptId | None = None,
    confirms: Proposal | None = None,
    proposer: Actor | None = None,
    why_not_propose: Callable[[Proposal], str | None] = lambda proposal: None,
) -> Configured:
    """Change a channel's settings, or make the change that somebody else, the `proposer`, proposed (`confirms`).

    InvalidInput, with nothing changed but an event, once for each `attempt`, if the actor may not, or nobody could
    decide afterwards. `check` finds what only Slack knows (an empty group, a channel without the bot). NeedsSecond,
    with the proposal in an event, if it makes the rules milder and the actor may not do so alone (R33);
    `why_not_propose` finds what keeps a proposal from being shown.
    """

    async def read() -> _Configuring:
        seen = await store.settings(channel)
        before = await rules_of(store, channel)
        wanted = change(seen.value)
        after = await _rules_with(store, channel, wanted)
        if wanted.on_timeout is OnTimeout.APPROVE:  # after the time that was agreed on, whatever changes elsewhere
            wanted = replace(wanted, timeout=after.timeout)
        inherited = [await _inherited(store, channel, one) for one in (seen.value, wanted)]
        effect = Configured(before, after, *inherited)
        why_not = channel_settings.why_not_configure(actor, before, admins)
        if why_not is None and confirms is not None:
            why_not = loosening.why_not_second(confirms, actor, proposer, admins, seen.version, effect)
        problems: list[Sentence] = (
            [(why_not,)]
            if why_not is not None
            else [(problem,) for problem in channel_settings.problems_of(after)] or await check(after)
        )
        return _Configuring(seen, wanted, effect, problems)

    def rule(read: _Configuring) -> Swap[Configured] | Refuse:
        seen, wanted, effect, problems = read
        milder = () if problems or confirms is not None else loosening.loosened_by(effect)
        alone = bool(milder) and not loosening.may_alone(actor, admins)
        proposal = Proposal(channel, actor.user, wanted, seen.version, loosening.print_of(*effect))
        if alone and (why_not := why_not_propose(proposal)) is not None:
            problems = [(why_not,)]
        kind = EventType.SETTINGS_PROPOSED if alone else EventType.SETTINGS_CHANGED
        event = Event(
            EventType.SETTINGS_REFUSED if problems else kind,
            seen.now,
            workspace=actor.workspace,
            user=actor.user,
            data={"channel": channel, "problems": " ".join(map(plain_text, problems)), "settings": repr(wanted)}
            | ({} if problems else {**_recorded(effect), "milder": "; ".join(milder)})
            | ({"wanted": json.dumps(plain(wanted)), "version": str(seen.version)} if alone and not problems else {})
            | ({} if confirms is None else {"proposed_by": confirms.by, "proposal": confirms.id}),
        )
        record = Change(events=(event,), once=attempt)
        if problems:
            words = (part for problem in problems for part in (*problem, " "))
            return Refuse(InvalidInput(*words, "Nothing was changed."), record)
        if alone:
            return Refuse(NeedsSecond(proposal, effect), record)
        before = Configured(effect.before, effect.before, effect.inherited_before, effect.inherited_before)
        # Whatever was changed since a repeated attempt stays.
        return Swap(replace(record, settings={channel: Put(wanted, seen.version)}), effect, repeated=Keep(before))

    return (await update(store, read, rule)).value


class _Configuring(NamedTuple):
    """A channel's settings, those that are wanted, their effect, and what is wrong with them."""

    seen: Seen[ChannelSettings]
    wanted: ChannelSettings
    effect: Configured
    problems: list[Sentence]


def _recorded(effect: Configured) -> dict[str, str]:
    """The effect as JSON: all of the rules afterwards, and what of them was otherwise before. The way back is
    `effect_of` in `bot.slack.settings_proposals`."""
    before, after = _differences(effect.before, effect.after)
    inherited_before, _ = _differences(effect.inherited_before, effect.inherited_after)
    texts = {
        "before": before,
        "after": after,
        "rules": plain(effect.after),
        "inherited_before": inherited_before,
        "inherited": plain(effect.inherited_after),
    }
    return {name: json.dumps(value) for name, value in texts.items()}


def _differences(before: Rules, after: Rules) -> tuple[dict[str, Any], dict[str, Any]]:
    """Differing fields, as they were and as they are."""
    old, new = plain(before), plain(after)
    names = [name for name in old if old[name] != new[name]]
    return {name: old[name] for name in names}, {name: new[name] for name in names}


async def _inherited(store: Store, channel: ChannelId, own: ChannelSettings) -> Rules:
    """What a channel without settings of its own has from this one if its cards go there."""
    defaults = await store.defaults()
    assert defaults is not None, "the rules in force were found with them"
    return channel_settings.resolve(defaults, own, ChannelSettings(approvals_channel=channel))


async def _rules_with(store: Store, channel: ChannelId, own: ChannelSettings) -> Rules:
    defaults = await store.defaults()
    if defaults is None:
        raise NotFound("The approval service has not been started on this store yet. Start `python -m bot` first.")
    destination = own.approvals_channel or defaults.approvals_channel
    approvals = own if destination == channel else (await store.settings(destination)).value
    return channel_settings.resolve(defaults, approvals, own)
