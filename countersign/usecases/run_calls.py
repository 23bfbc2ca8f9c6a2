"""Answer a worker's calls about its run."""

from typing import Any, cast

from countersign.domain import run_calls as calls
from countersign.domain.calls import Call, is_canonical
from countersign.domain.errors import InvalidInput, NotFound
from countersign.domain.ids import ApiKeyId
from countersign.domain.made_files import LARGEST, LeftOut, clean
from countersign.domain.run_calls import Claimed, R, RunCall
from countersign.domain.runs import Run
from countersign.usecases import executions, found_requests, run_end, run_progress, run_requests, run_start
from countersign.usecases.compare_and_set import live
from countersign.usecases.ports import Lease, Store


async def answer(store: Store, lease: Lease, call: RunCall[R], key: ApiKeyId | None = None) -> R:
    """Answer the call of a worker, or of a program with this key.

    LeaseLost if the run is no longer the caller's, or has ended.
    """
    result = await _answer(store, lease, call, key)
    return cast(R, None if call.answer is None else result)


async def _answer(store: Store, lease: Lease, call: RunCall[Any], key: ApiKeyId | None) -> Any:
    match call:
        case calls.Claim():
            return await _claim(store, lease, call)
        case calls.Ask():
            _check(call.question.call)
            return await run_requests.ask(store, lease, call.question, call.limit, call.team_says)
        case calls.Find():
            return await found_requests.find(store, lease.run, call.request)
        case calls.TakeBack():
            return await run_requests.take_back(store, lease, call.request, call.why)
        case calls.Deliver():
            return await run_progress.note_delivery(store, lease, call.request, call.not_done)
        case calls.Judge():
            _check(call.call)
            return await run_progress.judge_call(store, lease, call)
        case calls.Say():
            return await run_progress.note_progress(store, lease, call.agent, call.words, call.at)
        case calls.Write():
            return await run_progress.note_writing(store, lease, call.text)
        case calls.Wait():
            return await run_progress.note_delay(store, lease, call.delay)
        case calls.Plan():
            return await run_progress.note_plan(store, lease, call.number, call.titles)
        case calls.StepDone():
            return await run_progress.note_step_done(store, lease, call.number, call.place)
        case calls.Report():
            return await executions.report(store, lease, call)
        case calls.Begin():
            return await executions.begin(store, lease, call)
        case calls.Park():
            return await run_progress.park(store, lease, call.awaited)
        case calls.Finish():
            return await run_end.finish(store, lease, call)
        case calls.Attach():
            return await _attach(store, lease, call)
        case calls.Read():
            return await _read(store, lease)
        case calls.Start():
            return await run_start.start_by_script(store, lease.run, call, key)
    raise TypeError(f"{type(call).__name__} is not a call of a worker")


async def _read(store: Store, lease: Lease) -> Run:
    seen = await store.run(lease.run)
    if seen is None:
        raise NotFound(f"There is no run {lease.run}.")
    return seen.value


async def _claim(store: Store, lease: Lease, call: calls.Claim) -> Claimed:
    seen = await store.run(lease.run)
    if seen is None or seen.value.over:
        return Claimed(None, over=True)
    if seen.value.by_script and not call.script:
        return Claimed(None)
    if not call.script and seen.value.team not in call.teams and await _is_elsewhere(store, seen.value.team):
        return Claimed(None, elsewhere=True)
    if seen.value.fence < lease.fence and await run_progress.rests(store, seen.value):
        return Claimed(None)
    return Claimed(await run_start.begin(store, lease))


async def _is_elsewhere(store: Store, team: str) -> bool:
    return any(known.name == team and not known.problem for known in await store.workers.teams())


async def _attach(store: Store, lease: Lease, call: calls.Attach) -> None:
    try:
        files = call.decoded()
    except ValueError:
        raise InvalidInput("A file is not base64. Nothing was attached.") from None
    if any(len(file.content) > LARGEST for file in files):
        raise InvalidInput(f"A file has more than {LARGEST:,} bytes. Nothing was attached.")
    await live(store, lease)
    await store.made.keep(lease.run, files, [LeftOut(one.why, clean(one.name)) for one in call.left])


def _check(call: Call | None) -> None:
    """Check that the arguments are canonical JSON (R28). InvalidInput if not."""
    if call is not None and not is_canonical(call.arguments):
        raise InvalidInput("The arguments of a call aren't canonical JSON. Nothing was asked or judged.")
