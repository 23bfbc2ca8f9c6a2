"""A run ends: stopped by people, or as its worker found it to end."""

from dataclasses import replace

from countersign.domain import channel_settings, request_endings, runs
from countersign.domain.errors import InvalidInput, NotFound
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, RunId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import TRIES, fenced, live, too_many_tries
from countersign.usecases.effective_settings import rules_of
from countersign.usecases.ports import Change, Committed, Lease, Put, Seen, Store
from countersign.usecases.rejected_attempts import unknown_run


async def stop(
    store: Store, run: str, actor: Actor, admins: frozenset[UserId], attempt: AttemptId | None = None
) -> Run:
    """End the run of this id and withdraw what it asks, in one step; its worker finds out and lets go.

    The requester, the channel's reviewers and admins may. InvalidInput if somebody else tries, NotFound if there is no
    such run; either is on record once for each `attempt`.
    """
    for _ in range(TRIES):
        seen = await store.run(name) if (name := RunId.named(run)) is not None else None
        if seen is None:
            why = f"There is no run “{run[:40]}”. `/agent status` lists those that are going on."
            await unknown_run(store, attempt, name=run, workspace=actor.workspace, user=actor.user, why=why)
            raise NotFound(why)
        if seen.value.over:
            return seen.value
        if actor.user != seen.value.requester or actor.workspace != seen.value.workspace:
            why_not = channel_settings.why_not_configure(actor, await rules_of(store, seen.value.channel), admins)
            if why_not is not None:
                refused = runs.event(EventType.STOP_REFUSED, seen.value, seen.now, user=actor.user, why=why_not)
                refused = replace(refused, workspace=actor.workspace)
                await store.commit(Change(events=(refused,), once=attempt))
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
    raise too_many_tries()


async def finish(
    store: Store, lease: Lease, verb: runs.Verb, *, result: str, words: str = "", usage: runs.Usage | None = None
) -> Run:
    """End the run as its worker found it to end (finish or fail); withdraws what is still asked."""
    for _ in range(TRIES):
        seen = await live(store, lease)
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
        if await fenced(store, change):
            return step.run
    raise too_many_tries()


async def _withdraw_all(
    store: Store, seen: Seen[Run], why: str, user: UserId | None = None
) -> tuple[list[Put[Request]], list[Event]]:
    changed: list[Put[Request]] = []
    events: list[Event] = []
    for request in seen.value.open.values():
        before = await store.request(request)
        if before is None:
            continue
        step = request_endings.withdraw(before.value, seen.now, why, user)
        if step.changes:
            changed.append(Put(step.request, before.version))
            events += step.events
    return changed, events
