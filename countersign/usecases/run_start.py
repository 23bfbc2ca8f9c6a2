"""Start a run for a worker or a script, and begin it under its lease."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from secrets import token_hex
from typing import Final

from countersign import metrics
from countersign.domain import runs, start_sentences
from countersign.domain.errors import CountersignError, InvalidInput, LeaseLost, NotFound
from countersign.domain.ids import ApiKeyId, AttemptId, ChannelId, RunId, UserId, WorkspaceId, short_name
from countersign.domain.run_calls import Start
from countersign.domain.run_options import chosen as choose
from countersign.domain.runs import Run
from countersign.domain.text_checks import legible
from countersign.metrics import NotStarted
from countersign.usecases.compare_and_set import Keep, Swap, Update, update
from countersign.usecases.effective_settings import rules_of
from countersign.usecases.ports import Change, Committed, Lease, Put, Queue, Store

_REPEATED_WITHIN: Final = timedelta(minutes=1)
_LOOKED_AT: Final = 200
"""Number of the newest runs that are checked for a repeated start."""
_log = logging.getLogger(__name__)


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
    unrepeated: bool = False,
) -> Run:
    """Start a run of the team.

    A repeated run id (a retried delivery, R8) returns the same run.

    `unrepeated`: the same task of the same person within a minute also returns the same run, unless that run has ended:
    people repeat a start that Slack reported as failed because the answer came late.

    `options` not given are the team's defaults. InvalidInput, with nothing changed, if the team is unknown, no worker
    runs it, an option cannot be chosen, or the task is empty or too long.
    """
    with _counted(NotStarted.INPUT):
        task = _readable(task)
    teams = {t.name: t for t in await store.workers.teams()}
    with _counted(NotStarted.NO_WORKER):
        if not teams:
            raise InvalidInput(start_sentences.NO_WORKER)
    with _counted(NotStarted.UNKNOWN_TEAM):
        if team not in teams:
            raise InvalidInput(start_sentences.unknown_team(team, teams))
    with _counted(NotStarted.BROKEN_TEAM):
        if teams[team].problem:
            raise InvalidInput(start_sentences.broken_team(team, teams[team].problem))
    with _counted(NotStarted.INPUT):
        chosen = choose(team, teams[team].options, options or {})
    with _counted(NotStarted.NO_REVIEWERS):
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
        area=teams[team].area,
        salt=token_hex(12),
    )
    started = await _stored(store, step, unrepeated=unrepeated)
    if started.id != run:
        return started
    try:
        await queue.advance(run)
    except CountersignError as away:  # the run is started anyway
        _log.warning("Run %s could not be queued; the workers will find it. %s", run, away)
    return started


async def start_by_script(store: Store, run: RunId, call: Start, key: ApiKeyId | None = None) -> Run:
    """Start a run that the caller itself advances, without a worker.

    It belongs to the workspace of the approval service. A repeated run id returns the same run. InvalidInput, with
    nothing changed, if the task is empty or too long, the app is not in the channel, nobody may decide there, or
    the run is another program's; NotFound if the service has never been started on this store.
    """
    task, channel = _readable(call.task), ChannelId(call.channel)
    workspace = await store.workspace()
    if workspace is None:
        raise NotFound(start_sentences.NO_WEB)
    channels = await store.channels()
    if channels is not None and channel not in channels:
        raise InvalidInput(start_sentences.not_in(channel))
    await _somebody_may_decide(store, channel)
    step = runs.start(
        run,
        workspace=workspace,
        channel=channel,
        requester=UserId(call.requester),
        team=call.team,
        task=task,
        now=await store.now(),
        by_script=True,
        key=key,
        salt=token_hex(12),
    )
    run_there = await _stored(store, step)
    if run_there.key != key:
        raise InvalidInput(f"There is a run {run} already. Nothing was started.")
    return run_there


async def begin(store: Store, lease: Lease) -> Run:
    """Start the run, or continue a released or parked run.

    Older fences become invalid. LeaseLost if the run has ended, or was claimed under a greater fence.
    """

    async def propose() -> Keep[Run] | Swap[Run]:
        seen = await store.run(lease.run)
        if seen is None:
            raise NotFound(f"There is no run {lease.run}.")
        if seen.value.over:
            raise LeaseLost(f"Run {lease.run} has ended: {seen.value.status}.")
        if seen.value.fence > lease.fence:
            raise LeaseLost(f"Another worker advances run {lease.run}.")
        step = runs.claim(seen.value, lease.fence, lease.owner, seen.now)
        if step.run == seen.value:
            return Keep(step.run)
        return Swap(Change(runs=(Put(step.run, seen.version),), events=step.events), step.run)

    return (await update(store, propose)).value


@contextmanager
def _counted(why: NotStarted) -> Iterator[None]:
    """Count the refusal to start a task."""
    try:
        yield
    except InvalidInput:
        metrics.start_refused(why)
        raise


async def _stored(store: Store, step: runs.Step, *, unrepeated: bool = False) -> Run:
    """Store the new run, unless it or a run that counts as the same exists."""
    change, new = Change(runs=(Put(step.run, 0),), events=step.events), step.run

    async def started(change: Change) -> Update[Run]:
        async def propose() -> Keep[Run] | Swap[Run]:
            if (stored := await store.run(new.id)) is not None:
                return Keep(stored.value)
            same = await _same(store, new) if unrepeated else None
            return Swap(change, new) if same is None else Keep(same)

        return await update(store, propose)

    # In one step, because two starts may have waited for the store at the same time.
    outcome = await started(replace(change, once=_words(new)) if unrepeated else change)
    if outcome.answer is Committed.REPEATED:  # the same start, whose run continues or has ended
        outcome = await started(change)
    return outcome.value


async def _same(store: Store, new: Run) -> Run | None:
    """Find an active run that was started with the same text less than a minute ago."""

    def alike(run: Run) -> bool:
        young = new.created_at - run.created_at < _REPEATED_WITHIN
        return young and (run.id == new.id or _words(run) == _words(replace(new, created_at=run.created_at)))

    return next((run for run in await store.indexes.active_runs(_LOOKED_AT) if alike(run)), None)


def _words(run: Run) -> AttemptId:
    """Name a start; equal texts within the same minute give the same name."""
    options = [f"{name}={value}" for name, value in sorted(run.options.items())]
    minute = str(run.created_at.replace(second=0, microsecond=0))
    where = (run.workspace, run.channel, run.requester, run.team, run.task)
    return AttemptId("start-" + short_name(*where, minute, *options, length=20))


def _readable(task: str) -> str:
    task = legible(task)
    if not task:
        raise InvalidInput(start_sentences.no_task())
    if len(task) > runs.LONGEST_TASK:
        raise InvalidInput(start_sentences.too_long(len(task), runs.LONGEST_TASK))
    return task


async def _somebody_may_decide(store: Store, channel: ChannelId) -> None:
    if not (await rules_of(store, channel)).reviewers:
        raise InvalidInput(start_sentences.no_reviewers())
