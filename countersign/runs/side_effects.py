"""Outside effects of a run, each done at most once however often it is rebuilt."""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from countersign.domain.calls import in_words
from countersign.domain.errors import ActionFailed, LeaseLost, OutcomeUnknown
from countersign.domain.executions import Begun
from countersign.runs.entries import Entry
from countersign.runs.run_journal import RunJournal, inside

_NOT_REPEATED: Final = "It was not repeated. Check the other system before you start the task again."
NOT_APPROVED: Final = "What was approved is not what would run, so nothing was done."
_DONE_BEFORE: Final = "It was done before, and its result was lost with the worker that did it."
_FAILED_BEFORE: Final = "It was tried before and failed."


Performing = Callable[[], Coroutine[Any, Any, str]]
"""Begins an effect. A task that is cancelled before its first step never calls it, and nothing has begun."""


async def _plainly(perform: Performing) -> str:
    return await perform()


async def effect(
    journal: RunJournal,
    key: str,
    name: str,
    act: Callable[[], Awaitable[str]],
    begin: Callable[[], Awaitable[Begun]],
    *,
    decided: bool = False,
    idempotent: bool = False,
    uncut: Callable[[Performing], Awaitable[str]] = _plainly,
) -> str:
    """Perform an effect at most once in the life of the run; return its result.

    `begin` gets the right to act from `web`, and raises if the effect must no longer happen; it is called after
    `started` was recorded and right before `act`. If people `decided` on the effect, `web` knows whether a started one
    was ever granted. ActionFailed if it certainly did not happen, now or when it was tried; to try again, ask under a
    new key. OutcomeUnknown if it was started and nobody knows how it ended (`unknown_outcomes`); an `idempotent` effect
    is then done again, unless `act` itself raised OutcomeUnknown. `uncut` waits for an effect that is under way; the
    wait for a recorded one may be cancelled.
    """
    recorded = await journal.replayed(key)
    # An effect that reported an unknown outcome was put to people, and their answer counts.
    repeat = recorded is not None and recorded.state == "started" and (idempotent or not recorded.attempt)
    if decided and not repeat and recorded is not None and recorded.state == "started":
        with journal.activity.working():
            begun = await begin()
        match begun:
            case Begun.GRANTED:  # the worker that started it was lost before it had the right to act
                repeat = True
            case Begun.DONE | Begun.FAILED:  # the agent's result has its place, like every result
                ended = _not_granted(begun, recorded, name)
                recorded = await journal.record_result(key, ended, replace=True)
    if recorded is not None and not repeat:
        return _as_it_ended(recorded, name)
    return await uncut(lambda: _perform(journal, key, name, act, begin, repeat=repeat))


async def _perform(
    journal: RunJournal,
    key: str,
    name: str,
    act: Callable[[], Awaitable[str]],
    begin: Callable[[], Awaitable[Begun]],
    *,
    repeat: bool,
) -> str:
    async with journal.executing(key):
        await journal.record_ended_turns()
        started = Entry("started", attempt=secrets.token_hex(8), at=(await journal.now()).isoformat())
        stored = await journal.record(key, started, replace=repeat, on_disk=True)
        # A process that lost its lease and got it back may find an effect that another process began.
        if stored.attempt != started.attempt:
            return _as_it_ended(stored, name)
        try:
            begun = await begin()
            if journal.was_left(
                key
            ):  # while this was recorded and checked: nobody waits for the effect, and it has not begun
                raise asyncio.CancelledError
        except BaseException as error:
            lost = isinstance(error, (LeaseLost, asyncio.CancelledError)) and not journal.was_left(key)
            # If the run leaves this process, the next process begins the effect.
            never = Entry("failed", f"“{in_words(name)}” was cancelled before it began.")
            await journal.record(key, dataclasses.replace(started, attempt="") if lost else never, replace=True)
            raise
        if begun is not Begun.GRANTED:
            entry = await journal.record_result(key, _not_granted(begun, started, name), replace=True)
            return _as_it_ended(entry, name)
        return await _act(journal, key, name, act, started)


def _not_granted(begun: Begun, started: Entry, name: str) -> Entry:
    """Make the entry of an effect that `web` does not let start."""
    match begun:
        case Begun.GRANTED_BEFORE:
            doubt = f"Nobody knows whether “{in_words(name)}” happened: it began before, and the record of it is lost."
            return dataclasses.replace(started, state="unknown", value=f"{doubt} {_NOT_REPEATED}")
        case Begun.DONE:
            return Entry("done", _DONE_BEFORE)
        case Begun.FAILED:
            return Entry("failed", _FAILED_BEFORE)
    return Entry("failed", NOT_APPROVED)


async def _act(journal: RunJournal, key: str, name: str, act: Callable[[], Awaitable[str]], started: Entry) -> str:
    try:
        result = await inside(key, act)
    except OutcomeUnknown as unclear:
        await journal.record_result(
            key, dataclasses.replace(started, state="unknown", value=str(unclear)), replace=True
        )
        raise
    except ActionFailed as failure:
        await journal.record_result(key, Entry("failed", str(failure)), replace=True)
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        # SystemExit would end the worker and all of its runs.
        if isinstance(error, asyncio.CancelledError) and journal.is_cut_off():
            raise
        doubt = OutcomeUnknown(
            f"“{in_words(name)}” ended with an error that does not say whether it happened ({type(error).__name__}). "
            f"{_NOT_REPEATED}"
        )
        await journal.record_result(key, dataclasses.replace(started, state="unknown", value=str(doubt)), replace=True)
        raise doubt from error
    await journal.record_result(key, Entry("done", result), replace=True)
    return result


def _as_it_ended(entry: Entry, name: str) -> str:
    match entry.state:
        case "done":
            return entry.value
        case "failed":
            raise ActionFailed(entry.value)
        case "unknown":
            raise OutcomeUnknown(entry.value)
        case "started":
            raise OutcomeUnknown(
                f"Nobody knows whether “{in_words(name)}” happened: the worker was lost while it was under way. "
                f"The worker may only be asleep, and act when it wakes. {_NOT_REPEATED}"
            )
