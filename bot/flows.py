"""The verbs: start, ask, decide, expire, park, stop, configure …: each reads, lets a pure rule compute, and commits.

A verb whose commit finds that somebody was faster reads again and lets the rule judge anew, so two people, a person
and the clock, or one person twice never decide the same request twice.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from bot.core import deciding, permissions, policy, requests, rulebook, runs, schedule, settling
from bot.core.calls import Call, is_canonical
from bot.core.deciding import Attempt
from bot.core.errors import CountersignError, GivenUp, InvalidInput, LeaseLost, NotFound, Refused, StoreUnavailable
from bot.core.events import Event, EventType
from bot.core.ids import AttemptId, ChannelId, Digest, RequestId, RunId, UserId, WorkspaceId
from bot.core.options import chosen as choose
from bot.core.people import Actor
from bot.core.policy import ChannelSettings, OnTimeout, Rules
from bot.core.ports import Change, Committed, Lease, Put, Queue, Seen, Store
from bot.core.refusals import Refusal
from bot.core.requests import ABOUT_THE_RUN, Question, Request
from bot.core.rulebook import Action, Effect, Judgement
from bot.core.runs import Run
from bot.core.secrets import hide

T = TypeVar("T")
_log = logging.getLogger(__name__)
_TRIES = 200


async def start(
    store: Store,
    queue: Queue,
    *,
    run: RunId,
    workspace: WorkspaceId,
    channel: ChannelId,
    requester: UserId,
    team: str,
    task: str,
    options: Mapping[str, str] | None = None,
) -> Run:
    """A new run of the team. The same run id again (a retried delivery, R8) is the same run.

    `options` not given are the team's defaults. InvalidInput, with nothing changed, if the team is unknown, no worker
    runs it, an option cannot be chosen, or the task is empty or too long.
    """
    task = _readable(task)
    teams = {t.name: t for t in await store.teams()}
    if not teams:
        raise InvalidInput("No worker is running, so nothing was started. Start one with `python -m agents`.")
    if team not in teams:
        raise InvalidInput(f"There is no team “{team[:40]}”; nothing was started. Teams: {', '.join(teams)}.")
    if teams[team].problem:
        raise InvalidInput(f"The team “{team}” cannot run: {teams[team].problem} Nothing was started.")
    chosen = choose(team, teams[team].options, options or {})
    await _somebody_may_decide(store, channel)
    now = await store.now()
    step = runs.start(
        run,
        workspace=workspace,
        channel=channel,
        requester=requester,
        team=team,
        task=task,
        now=now,
        options=chosen,
    )
    await store.commit(Change(runs=(Put(step.run, 0),), events=step.events))
    await queue.advance(run)
    return step.run


async def start_by_script(
    store: Store, *, run: RunId, channel: ChannelId, requester: UserId, team: str, task: str
) -> Run:
    """A run that the caller advances by itself, in the workspace of the approval service; no worker is asked.

    The same run id again is the same run. InvalidInput, with nothing changed, if the task is empty or too long, or
    nobody may decide in the channel; NotFound if the service has never been started on this store.
    """
    task = _readable(task)
    workspace = await store.workspace()
    if workspace is None:
        raise NotFound("The approval service has not been started on this store yet. Start `python -m bot` first.")
    await _somebody_may_decide(store, channel)
    step = runs.start(
        run,
        workspace=workspace,
        channel=channel,
        requester=requester,
        team=team,
        task=task,
        now=await store.now(),
        by_script=True,
    )
    await store.commit(Change(runs=(Put(step.run, 0),), events=step.events))
    return step.run


def _readable(task: str) -> str:
    task = task.strip()
    if not task:
        raise InvalidInput("There is no task; nothing was started. Write it like `/agent email tell the vendor …`.")
    if len(task) > runs.LONGEST_TASK:
        raise InvalidInput(
            f"The task has {len(task):,} characters, at most {runs.LONGEST_TASK:,} are possible; nothing was started. "
            "Please shorten it, or put the long part where the agents can read it."
        )
    return task


async def _somebody_may_decide(store: Store, channel: ChannelId) -> None:
    if not (await rules_of(store, channel)).reviewers:
        raise InvalidInput(
            "Nobody may decide in this channel, so nothing was started. "
            "An admin must name reviewers first, like `/approvals reviewers @someone`."
        )


async def rules_of(store: Store, channel: ChannelId) -> Rules:
    """The rules that are in force in a channel now."""
    defaults = await store.defaults()
    if defaults is None:
        raise NotFound("The approval service has not been started on this store yet. Start `python -m bot` first.")
    own = (await store.settings(channel)).value
    approvals = (await store.settings(own.approvals_channel or defaults.approvals_channel)).value
    return policy.resolve(defaults, approvals, own)


async def ask(store: Store, lease: Lease, question: Question, limit: int = 0) -> Request:
    """The request for this question of the run: the one asked before if there is one, else a new one.

    Another question in the same place of the run withdraws the one asked there before. Refused, with an event, if
    nobody could decide on it. LeaseLost if the run is no longer ours or has ended. GivenUp, with nothing asked, if
    it has asked `limit` questions already (0: no limit); questions about the run itself do not count.
    """
    counts = question.kind not in requests.ABOUT_THE_RUN
    wanted = requests.request_id(lease.run, question)
    for _ in range(_TRIES):
        run = await _live(store, lease)
        known = await store.request(wanted)
        if known is not None:
            if not await store.confirm(known):
                continue
            return known.value
        if counts and 0 < limit <= run.value.asked:
            raise GivenUp(
                f"The run has asked people {run.value.asked} times, which is the most that one run may (REQUESTS), and "
                "wanted to ask again; so it has ended. What was decided and done before stays done. If so many "
                "questions are right, raise REQUESTS and start the task anew."
            )
        try:
            rules = await rules_for(store, run.value, question)
        except Refused as refused:
            data = {"agent": question.agent, "title": hide(question.title)[0], "why": str(refused)}
            event = Event(EventType.CALL_REFUSED, run.now, run=run.value.id, workspace=run.value.workspace, data=data)
            await _fenced(store, Change(events=(event,), lease=lease, once=AttemptId(wanted)))
            raise
        step = requests.ask(
            question,
            run=run.value.id,
            workspace=run.value.workspace,
            channel=run.value.channel,
            requester=run.value.requester,
            rules=rules,
            now=run.now,
        )
        changed = [Put(step.request, 0)]
        events = list(step.events)
        old = run.value.open.get(step.request.slot)
        if old and (before := await store.request(old)):
            back = settling.withdraw(before.value, run.now, "the run asks something else instead")
            if back.events:
                changed.append(Put(back.request, before.version))
                events += back.events
        waiting = replace(run.value, open={**run.value.open, step.request.slot: wanted}, asked=run.value.asked + counts)
        waiting = runs.move(waiting, runs.Verb.WAIT, run.now) or waiting
        change = Change(
            runs=(Put(waiting, run.version),),
            requests=tuple(changed),
            events=tuple(events),
            lease=lease,
            delivered=(old,) if old else (),
        )
        if await _fenced(store, change):
            return step.request
    raise _too_many_tries()


async def rules_for(store: Store, run: Run, question: Question) -> Rules:
    """The channel's rules, made stricter by the workspace's policy. Refused if nobody may be asked, or could answer."""
    rules = await rules_of(store, run.channel)
    if question.kind not in ABOUT_THE_RUN:
        said = await judge(store, run, question.agent, question.call, Effect.ASK)
        if said.effect is Effect.REFUSE:
            raise _refused(Refusal.BY_POLICY, f"rule “{said.clause}”" + (f": {said.why}" if said.why else ""))
        rules = rulebook.apply(said, rules)
    if not rules.reviewers:
        raise Refused(Refusal.NOBODY_NAMED, Refusal.NOBODY_NAMED.value)
    nobody = None if rules.reviewers.groups else policy.enough_people(rules, run.requester, frozenset())
    if nobody is not None:
        raise _refused(Refusal.NOBODY_COULD, nobody)
    return rules


async def judge(store: Store, run: Run, agent: str, call: Call | None, team_says: Effect | None) -> Judgement:
    """What the workspace's policy says of an action of the run; of a question that is no call where it is None."""
    arguments = json.loads(call.arguments) if call else {}
    action = Action(run.team, agent, call.tool if call else "", arguments, run.channel)
    return rulebook.judge(await store.rulebook(), action, team_says)


def _refused(refusal: Refusal, what: str) -> Refused:
    return Refused(refusal, refusal.value.format(what=what))


async def decide(
    store: Store, queue: Queue, request: RequestId, attempt: Attempt, seen: Seen[Request] | None = None
) -> Request:
    """Count the attempt, and wake a parked run. Returns the request as it is then: decided, or with one more vote.

    `seen` is the request as the caller read it a moment ago, which saves a read; the commit finds out if it is old.

    Refused, with nothing changed but an event for the audit, if the attempt does not count. A late click settles a
    request whose time ran out unnoticed. NotFound if there is no such request.
    """
    for _ in range(_TRIES):
        seen = seen or await store.request(request)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        step = deciding.decide(seen.value, attempt, seen.now, await _outgrown(store, seen.value, attempt))
        if not step.changes:
            if not await store.confirm(seen):
                seen = None
                continue
            return await _told(store, queue, step.request)
        if (refusal := step.refusal) is not None:
            await store.commit(Change(events=step.events, once=attempt.id))
            now_is = await expire(store, queue, request) if refusal is Refusal.TIME_RAN_OUT else None
            raise Refused(refusal, deciding.sentence(refusal, now_is or step.request))
        change = Change(requests=(Put(step.request, seen.version),), events=step.events, before=seen.value.deadline)
        if attempt.wish is not None:
            change = await _with_permission(store, change, step.request)
        if await stored(store, queue, change):
            return step.request
        seen = None
    raise _too_many_tries()


async def _outgrown(store: Store, request: Request, attempt: Attempt) -> bool:
    """Whether the policy refuses the changed call, or lets others decide on it than on what was asked (R19)."""
    call = request.question.call
    if attempt.verb is not requests.Verb.EDIT or call is None or not is_canonical(attempt.arguments):
        return False
    run = await store.run(request.run)
    if run is None:
        return True
    changed = replace(call, arguments=attempt.arguments)
    said = await judge(store, run.value, request.question.agent, changed, Effect.ASK)
    others = said.clause != request.rules.clause and said.terms.reviewers not in (None, request.rules.reviewers)
    return said.effect is Effect.REFUSE or (said.terms.quorum or 1) > request.rules.quorum or others


async def expire(store: Store, queue: Queue, request: RequestId) -> Request | None:
    """Settle a request whose deadline has passed; returns it as it is then, None if there is none.

    Silence approves only where the channel's settings, which no worker can write, say so now too (R23); and only web
    may write that, so a worker gets such a request back as it is.
    """

    return await _settle(store, queue, request, lambda seen: _expired(store, seen))


async def due(store: Store, queue: Queue, request: RequestId) -> Request | None:
    """Do what is due: settle it, or tell the next people, or remind; returns the request as it is then.

    A worker only settles; it gets what else is due back as it is, because only web may write that.
    """

    async def rule(seen: Seen[Request]) -> requests.Step:
        over = seen.value.deadline is not None and seen.now >= seen.value.deadline
        return await _expired(store, seen) if over or not store.decides else schedule.due(seen.value, seen.now)

    return await _settle(store, queue, request, rule)


async def _expired(store: Store, seen: Seen[Request]) -> requests.Step:
    step = settling.expire(seen.value, seen.now)
    if not step.changes or step.request.status is not requests.Status.APPROVED:
        return step
    if not store.decides:
        return requests.Step(seen.value)
    still = (await rules_of(store, seen.value.channel)).on_timeout is OnTimeout.APPROVE
    return step if still else settling.expire(seen.value, seen.now, approving=False)


async def withdraw(store: Store, queue: Queue, request: RequestId, why: str) -> Request | None:
    """Take a question back; returns the request as it is then, None if there is none."""

    async def rule(seen: Seen[Request]) -> requests.Step:
        return settling.withdraw(seen.value, seen.now, why)

    return await _settle(store, queue, request, rule)


async def _settle(
    store: Store, queue: Queue, request: RequestId, rule: Callable[[Seen[Request]], Awaitable[requests.Step]]
) -> Request | None:
    for _ in range(_TRIES):
        seen = await store.request(request)
        if seen is None:
            return None
        step = await rule(seen)
        if step.request == seen.value:
            return await _told(store, queue, step.request)
        waits = step.request.status is requests.Status.PENDING
        change = Change(
            requests=(Put(step.request, seen.version),),
            events=step.events,
            before=seen.value.deadline if waits else None,
        )
        if await stored(store, queue, change):
            return step.request
    raise _too_many_tries()


async def _with_permission(store: Store, change: Change, request: Request) -> Change:
    run = await store.run(request.run)
    if run is None or (given := permissions.given_with(request, run.value.team)) is None:
        return change
    return replace(change, permissions=(Put(given, 0),), events=(*change.events, permissions.given(given)))


async def stored(store: Store, queue: Queue, change: Change) -> bool:
    """Whether the change was stored; a parked run is then asked for, one in memory waits for the request itself.

    A run that parks at this moment finds its request settled and does not (`park`).
    """
    answer = await store.commit(change)
    if answer is Committed.DONE_BUT_PARKED:
        for put in change.requests:
            await _wake(queue, put.value)
    return answer in (Committed.DONE, Committed.DONE_BUT_PARKED)


async def _told(store: Store, queue: Queue, request: Request) -> Request:
    """A repeat: whoever settled the request may have died before asking for its parked run."""
    if request.status is not requests.Status.PENDING:
        try:
            seen = await store.run(request.run)
        except StoreUnavailable:  # the decision counts all the same
            return request
        if seen is not None and seen.value.status is runs.Status.PARKED:
            await _wake(queue, request)
    return request


async def _wake(queue: Queue, request: Request) -> None:
    try:
        await queue.advance(request.run, signal=request.id)
    except CountersignError as away:  # the decision counts all the same
        _log.warning("Run %s was not asked for; the workers find request %s. %s", request.run, request.id, away)


async def park(store: Store, lease: Lease, asked: frozenset[RequestId]) -> bool:
    """The run may leave memory: in one step it is parked and its lease ends. False if it has something to do.

    `asked` is what it waits for; all of that must still be undecided in that step, so no decision falls between (R5).
    Other decisions have nobody who waits for them: a run with changed code did not get there again, and finds them
    when it does.
    """
    for _ in range(_TRIES):
        seen = await _live(store, lease)
        found = {slot: await store.request(name) for slot, name in seen.value.open.items()}
        still = {s: r for s, r in found.items() if r and r.value.status is requests.Status.PENDING}
        parked = runs.move(seen.value, runs.Verb.PARK, seen.now)
        if parked is None or not asked or not asked <= {r.value.id for r in still.values()}:
            return False
        change = Change(
            runs=(Put(replace(parked, open={slot: r.value.id for slot, r in still.items()}), seen.version),),
            unchanged=tuple(Put(r.value, r.version) for r in still.values()),
            delivered=tuple(name for slot, name in seen.value.open.items() if slot not in still),
            lease=lease,
            release=True,
        )
        if await _fenced(store, change):
            return True
    raise _too_many_tries()


async def rests(store: Store, run: Run) -> bool:
    """Whether there is nothing to do for the run: it is parked, and nothing that it asks was settled."""
    if run.status is not runs.Status.PARKED:
        return False
    found = await store.requests(list(run.open.values()))
    return all(request is not None and request.status is requests.Status.PENDING for request in found)


async def still_ours(store: Store, lease: Lease) -> None:
    """LeaseLost if the run has ended or another worker has claimed it: asked right before anything is done outside."""
    await _live(store, lease)
    await _fenced(store, Change(lease=lease))


async def stop(store: Store, run: RunId, actor: Actor, admins: frozenset[UserId]) -> Run:
    """End a run and withdraw what it asks, in one step; its worker finds out and lets go.

    The requester, the channel's reviewers and admins may. InvalidInput if somebody else tries; NotFound if there is
    no such run.
    """
    for _ in range(_TRIES):
        seen = await store.run(run)
        if seen is None:
            raise NotFound(f"There is no run “{run[:40]}”. `/agent status` lists those that are going on.")
        if seen.value.over:
            return seen.value
        if actor.user != seen.value.requester or actor.workspace != seen.value.workspace:
            why_not = policy.why_not_configure(actor, await rules_of(store, seen.value.channel), admins)
            if why_not is not None:
                refused = runs.event(EventType.STOP_REFUSED, seen.value, seen.now, user=actor.user, why=why_not)
                refused = replace(refused, workspace=actor.workspace)
                await store.commit(Change(events=(refused,)))
                raise InvalidInput(
                    "Only who started a run, the channel's reviewers and admins may stop it; it goes on."
                )
        changed, events = await _withdraw_all(store, seen, "the run was stopped", actor.user)
        step = runs.end(seen.value, runs.Verb.STOP, seen.now, result="Stopped.", user=actor.user)
        change = Change(
            runs=(Put(step.run, seen.version),),
            requests=tuple(changed),
            events=(*events, *step.events),
            delivered=tuple(seen.value.open.values()),
        )
        if await store.commit(change) is Committed.DONE:
            return step.run
    raise _too_many_tries()


async def finish(
    store: Store, lease: Lease, verb: runs.Verb, *, result: str, words: str = "", usage: runs.Usage | None = None
) -> Run:
    """End the run as its worker found it to end (finish or fail); withdraws what is still asked."""
    for _ in range(_TRIES):
        seen = await _live(store, lease)
        changed, events = await _withdraw_all(store, seen, "the run ended")
        run = seen.value
        if verb is runs.Verb.FINISH:
            run = runs.move(run, runs.Verb.GO_ON, seen.now) or run
        step = runs.end(run, verb, seen.now, result=result, words=words, usage=usage)
        change = Change(
            runs=(Put(step.run, seen.version),),
            requests=tuple(changed),
            events=(*events, *step.events),
            lease=lease,
            delivered=tuple(run.open.values()),
        )
        if await _fenced(store, change):
            return step.run
    raise _too_many_tries()


async def begin(store: Store, lease: Lease) -> Run:
    """The run starts, or goes on in this process after another one let it go, or after it was parked."""

    def rule(run: Run, now: datetime) -> runs.Step:
        if run.status is runs.Status.PARKED:
            woken = runs.move(run, runs.Verb.GO_ON, now) or run
            return runs.Step((runs.move(woken, runs.Verb.WAIT, now) or woken) if run.open else woken)
        started = runs.move(run, runs.Verb.START, now)
        if started is None:
            return runs.Step(run)
        return runs.Step(started, (runs.event(EventType.RUN_STARTED, started, now, owner=lease.owner),))

    return await advance(store, lease, rule)


async def progressed(store: Store, lease: Lease, agent: str, words: str) -> Run:
    """One more line of progress for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_progress(run, agent, words, now))


async def judged(
    store: Store,
    lease: Lease,
    agent: str,
    tool: str,
    *,
    passed: bool,
    arguments: str,
    digest: Digest,
    why: str,
    once: AttemptId,
) -> None:
    """Record, once, that a policy let a call pass, or refused it, without asking people.

    `arguments` are as people may see them, `digest` is that of the true ones. LeaseLost if the run is no longer ours.
    """
    seen = await _live(store, lease)
    event = Event(
        EventType.CALL_PASSED if passed else EventType.CALL_REFUSED,
        seen.now,
        run=lease.run,
        workspace=seen.value.workspace,
        data={"agent": agent, "tool": tool, "arguments": arguments, "digest": digest, "why": why},
    )
    await _fenced(store, Change(events=(event,), lease=lease, once=once))


async def writing(store: Store, lease: Lease, what: runs.Writing) -> Run:
    """What an agent is just writing, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_writing(run, what, now))


async def answered(store: Store, lease: Lease, request: Request) -> Run:
    """The agent has the decision: its place is free again, and the run goes on if nothing else is asked."""

    def rule(run: Run, now: datetime) -> runs.Step:
        if run.open.get(request.slot) != request.id:
            return runs.Step(run)
        freed = replace(run, open={k: v for k, v in run.open.items() if k != request.slot})
        if not freed.open:
            freed = runs.move(freed, runs.Verb.GO_ON, now) or freed
        delivered = Event(EventType.DECISION_DELIVERED, now, run=run.id, request=request.id, workspace=run.workspace)
        return runs.Step(freed, (delivered,))

    return await advance(store, lease, rule, delivered=(request.id,))


async def advance(
    store: Store,
    lease: Lease,
    rule: Callable[[Run, datetime], runs.Step],
    delivered: tuple[RequestId, ...] = (),
) -> Run:
    """Change a run under its lease. LeaseLost if it is no longer ours or has ended."""
    for _ in range(_TRIES):
        seen = await _live(store, lease)
        step = rule(seen.value, seen.now)
        if step.run == seen.value and not step.events:
            return step.run
        change = Change(runs=(Put(step.run, seen.version),), events=step.events, lease=lease, delivered=delivered)
        if await _fenced(store, change):
            return step.run
    raise _too_many_tries()


async def configure(
    store: Store,
    channel: ChannelId,
    actor: Actor,
    admins: frozenset[UserId],
    change: Callable[[ChannelSettings], ChannelSettings],
    check: Callable[[Rules], Awaitable[list[str]]],
) -> Rules:
    """Change a channel's settings; returns the rules that are in force then.

    InvalidInput, with nothing changed but an event, if the actor may not, or nobody could decide afterwards. `check`
    finds what only Slack knows (an empty group, a channel without the bot).
    """
    for _ in range(_TRIES):
        seen = await store.settings(channel)
        before = await rules_of(store, channel)
        wanted = change(seen.value)
        problems = []
        if (why_not := policy.why_not_configure(actor, before, admins)) is not None:
            problems = [why_not]
        else:
            after = await _rules_with(store, channel, wanted)
            problems = policy.problems_of(after) or await check(after)
        kind = EventType.SETTINGS_REFUSED if problems else EventType.SETTINGS_CHANGED
        event = Event(
            kind,
            seen.now,
            workspace=actor.workspace,
            user=actor.user,
            data={"channel": channel, "problems": " ".join(problems), "settings": repr(wanted)},
        )
        if problems:
            await store.commit(Change(events=(event,)))
            raise InvalidInput(" ".join(problems) + " Nothing was changed.")
        done = await store.commit(Change(settings={channel: Put(wanted, seen.version)}, events=(event,)))
        if done is Committed.DONE:
            return after
    raise _too_many_tries()


async def _rules_with(store: Store, channel: ChannelId, own: ChannelSettings) -> Rules:
    defaults = await store.defaults()
    if defaults is None:
        raise NotFound("The approval service has not been started on this store yet. Start `python -m bot` first.")
    destination = own.approvals_channel or defaults.approvals_channel
    approvals = own if destination == channel else (await store.settings(destination)).value
    return policy.resolve(defaults, approvals, own)


async def _withdraw_all(
    store: Store, seen: Seen[Run], why: str, user: UserId | None = None
) -> tuple[list[Put[Request]], list[Event]]:
    changed: list[Put[Request]] = []
    events: list[Event] = []
    for request in seen.value.open.values():
        before = await store.request(request)
        if before is None:
            continue
        step = settling.withdraw(before.value, seen.now, why, user)
        if step.changes:
            changed.append(Put(step.request, before.version))
            events += step.events
    return changed, events


async def _live(store: Store, lease: Lease) -> Seen[Run]:
    seen = await store.run(lease.run)
    if seen is None:
        raise NotFound(f"There is no run {lease.run}.")
    if seen.value.over:
        raise LeaseLost(f"Run {lease.run} has ended: {seen.value.status}.")
    return seen


async def _fenced(store: Store, change: Change) -> bool:
    answer = await store.commit(change)
    if answer is Committed.FENCED and change.lease is not None:
        raise LeaseLost(f"Another worker advances run {change.lease.run}.")
    return answer is Committed.DONE


def _too_many_tries() -> StoreUnavailable:
    return StoreUnavailable(f"Others were faster {_TRIES} times in a row. Nothing was changed; please try again.")
