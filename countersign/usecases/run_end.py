"""End a run: stopped by people, or finished or failed at its worker."""

import logging
from dataclasses import replace
from typing import Final

from countersign.domain import channel_settings, request_endings, runs
from countersign.domain.errors import CountersignError, InvalidInput, NewerSchema, NotFound, UnknownSchema
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, RequestId, RunId, UserId
from countersign.domain.people import Actor
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Run
from countersign.domain.slash_commands import NAMES
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, if_live, update
from countersign.usecases.effective_settings import rules_of
from countersign.usecases.ports import Change, Lease, Put, Queue, Seen, SeenRequest, Store
from countersign.usecases.recorded_events import unknown_run

_ENDS: Final = {runs.Verb.FINISH: runs.Status.FINISHED, runs.Verb.FAIL: runs.Status.FAILED}
_log = logging.getLogger(__name__)


async def stop(
    store: Store,
    run: str,
    actor: Actor,
    admins: frozenset[UserId],
    attempt: AttemptId | None = None,
    queue: Queue | None = None,
) -> Run:
    """Stop a run and withdraw its requests in one step.

    The run is put on the `queue` once more, so that a worker drops its journal even if no worker holds it.

    The requester (unless a program named them), the channel's reviewers and admins may do so. InvalidInput if somebody
    else tries, NotFound if the run does not exist; either is recorded once for each `attempt`.
    """
    name = RunId.named(run)

    async def propose() -> Keep[Run | None] | Swap[Run | None] | Refuse:
        seen = await store.run(name) if name is not None else None
        if seen is None or seen.value.over:
            return Keep(None if seen is None else seen.value)
        run = seen.value
        if (actor.user, actor.workspace) != (run.requester, run.workspace) or run.program is not None:
            why_not = channel_settings.why_not_configure(actor, await rules_of(store, run.channel), admins)
            if why_not is not None:
                refused = runs.event(EventType.STOP_REFUSED, run, seen.now, user=actor.user, why=why_not)
                record = Change(events=(replace(refused, workspace=actor.workspace),), once=attempt)
                error = (
                    "Only the person who started a run, the channel's reviewers and admins can stop it. "
                    "It is still running."
                )
                return Refuse(InvalidInput(error), record=record)
        step = runs.end(run, runs.Verb.STOP, seen.now, result="Stopped.", user=actor.user)
        return Swap(await _ending(store, seen, step, "the run was stopped", actor.user), step.run)

    stopped = (await update(store, propose)).value
    if stopped is None:
        why = f"There is no run “{run[:40]}”. `{NAMES.agent} status` lists the runs in progress."
        await unknown_run(store, attempt, name=run, workspace=actor.workspace, user=actor.user, why=why)
        raise NotFound(why)
    if queue is not None and not stopped.id.of_script:
        try:
            await queue.advance(stopped.id)
        except CountersignError as away:  # the run is stopped, and its journal goes later
            _log.info("No worker was told that run %s was stopped. %s", stopped.id, away)
    return stopped


async def finish(store: Store, lease: Lease, call: Finish) -> None:
    """Finish or fail the run for its worker, and withdraw its requests.

    A repeat changes nothing. InvalidInput for another verb: only people stop a run.
    """
    if call.verb not in _ENDS:
        raise InvalidInput("A worker can finish or fail a run. Nothing was changed.")

    async def propose() -> Keep[Run] | Swap[Run]:
        before = await store.run(lease.run)
        if before is not None and before.value.fence == lease.fence and before.value.status is _ENDS[call.verb]:
            return Keep(before.value)  # the answer to the first copy was lost
        seen = if_live(before, lease)  # it is not read again, because the first copy may still be under way
        run = seen.value
        if call.verb is runs.Verb.FINISH:
            run = runs.move(run, runs.Verb.GO_ON, seen.now) or run
        step = runs.end(
            run,
            call.verb,
            seen.now,
            result=call.result,
            words=call.words,
            usage=call.usage,
            ended_as=call.ended_as,
        )
        return Swap(await _ending(store, seen, step, "the run ended"), step.run)

    await update(store, propose)


async def _ending(store: Store, seen: Seen[Run], step: runs.Step, why: str, user: UserId | None = None) -> Change:
    """Make the change that ends the run and withdraws its open requests."""
    open_requests = [await _readable(store, name) for name in seen.value.open.values()]
    withdrawn = [
        (before, withdrawal)
        for before in open_requests
        if before is not None
        if (withdrawal := request_endings.withdraw(before.value, seen.now, why, user)).changes
    ]
    return Change(
        runs=(Put(step.run, seen.version),),
        requests=tuple(Put(withdrawal.request, before.version) for before, withdrawal in withdrawn),
        events=(*(event for _, withdrawal in withdrawn for event in withdrawal.events), *step.events),
        delivered=tuple(seen.value.open.values()),
    )


async def _readable(store: Store, name: RequestId) -> SeenRequest | None:
    """Read a question of an ending run; None if it is gone or damaged.

    NewerSchema if a newer version wrote it: that version withdraws it.
    """
    try:
        return await store.request(name)
    except NewerSchema:
        raise
    except UnknownSchema as damaged:
        _log.error("Request %s is not withdrawn with its run: %s", name, damaged)
        return None
