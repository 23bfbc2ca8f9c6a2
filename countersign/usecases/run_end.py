"""End a run: stopped by people, or finished or failed at its worker."""

from dataclasses import replace
from typing import NamedTuple

from countersign.domain import channel_settings, request_endings, runs
from countersign.domain.activity import Usage
from countersign.domain.errors import InvalidInput, NotFound
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, RunId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Step
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, live, update
from countersign.usecases.effective_settings import rules_of
from countersign.usecases.ports import Change, Lease, Put, Seen, Store
from countersign.usecases.rejected_attempts import unknown_run


async def stop(
    store: Store, run: str, actor: Actor, admins: frozenset[UserId], attempt: AttemptId | None = None
) -> Run:
    """Stop a run and withdraw its requests, in one step; its worker finds out.

    The requester, unless a program named them, the channel's reviewers and admins may. InvalidInput if somebody else
    tries, NotFound if there is no such run; either is on record once for each `attempt`.
    """
    name = RunId.named(run)

    async def read() -> _Ending | None:
        seen = await store.run(name) if name is not None else None
        if seen is None:
            return None
        why_not, run = None, seen.value
        if (actor.user, actor.workspace) != (run.requester, run.workspace) or run.program is not None:
            why_not = channel_settings.why_not_configure(actor, await rules_of(store, seen.value.channel), admins)
        return _Ending(seen, await _open(store, seen.value), why_not)

    def rule(read: _Ending | None) -> Keep[Run | None] | Swap[Run | None] | Refuse:
        if read is None:
            return Keep(None)
        seen = read.seen
        if seen.value.over:
            return Keep(seen.value)
        if read.why_not is not None:
            refused = runs.event(EventType.STOP_REFUSED, seen.value, seen.now, user=actor.user, why=read.why_not)
            record = Change(events=(replace(refused, workspace=actor.workspace),), once=attempt)
            error = (
                "Only the person who started a run, the channel's reviewers and admins can stop it. "
                "It is still running."
            )
            return Refuse(InvalidInput(error), record=record)
        step = runs.end(seen.value, runs.Verb.STOP, seen.now, result="Stopped.", user=actor.user)
        return Swap(_ended(read, step, _withdrawn(read, "the run was stopped", actor.user)), step.run)

    stopped = (await update(store, read, rule)).value
    if stopped is None:
        why = f"There is no run “{run[:40]}”. `/agent status` lists the runs in progress."
        await unknown_run(store, attempt, name=run, workspace=actor.workspace, user=actor.user, why=why)
        raise NotFound(why)
    return stopped


async def finish(
    store: Store,
    lease: Lease,
    verb: runs.Verb,
    *,
    result: str,
    words: str = "",
    usage: Usage | None = None,
    ended_as: str = "",
) -> Run:
    """Finish or fail the run for its worker, and withdraw its requests."""

    async def read() -> _Ending:
        seen = await live(store, lease)
        return _Ending(seen, await _open(store, seen.value))

    def rule(read: _Ending) -> Swap[Run]:
        run, now = read.seen.value, read.seen.now
        if verb is runs.Verb.FINISH:
            run = runs.move(run, runs.Verb.GO_ON, now) or run
        step = runs.end(run, verb, now, result=result, words=words, usage=usage, ended_as=ended_as)
        return Swap(replace(_ended(read, step, _withdrawn(read, "the run ended")), lease=lease), step.run)

    return (await update(store, read, rule)).value


class _Ending(NamedTuple):
    """A run that is to end, its requests, and why this person may not end it."""

    seen: Seen[Run]
    asked: list[Seen[Request]]
    why_not: str | None = None


async def _open(store: Store, run: Run) -> list[Seen[Request]]:
    requests = [await store.request(name) for name in run.open.values()]
    return [request for request in requests if request is not None]


def _withdrawn(read: _Ending, why: str, user: UserId | None = None) -> list[tuple[Seen[Request], Step]]:
    """Withdraw the open requests of the run."""
    steps = [(before, request_endings.withdraw(before.value, read.seen.now, why, user)) for before in read.asked]
    return [(before, step) for before, step in steps if step.changes]


def _ended(read: _Ending, step: runs.Step, withdrawn: list[tuple[Seen[Request], Step]]) -> Change:
    return Change(
        runs=(Put(step.run, read.seen.version),),
        requests=tuple(Put(back.request, before.version) for before, back in withdrawn),
        events=(*(event for _, back in withdrawn for event in back.events), *step.events),
        delivered=tuple(read.seen.value.open.values()),
    )
