"""Calls of a team's own code, which may be slow, fail, or never answer."""

import asyncio
import concurrent.futures
import contextvars
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from countersign.runs.entries import Entry
from countersign.runs.run_journal import RunJournal

log = logging.getLogger(__name__)

WITHIN: Final = timedelta(seconds=10)
"""How long a callable may take to answer; one that takes longer has not answered."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Yes or no; None if there was no answer.

    `problem` then says why, in words to follow “because”.
    """

    answer: bool | None
    problem: str = ""


async def opinion(
    call: Callable[[], bool | Awaitable[bool]],
    *,
    name: str,
    agent: str,
    about: str,
    journal: RunJournal | None,
) -> Opinion:
    """Ask the callable and record its answer, so that a rebuilt run gets the same.

    `about` is what it judges, as text. `answer_of` says how it is called.
    """
    if journal is None:
        return await _ask(call, name)
    key = journal.key("verdict", agent, name, about)
    entry = await journal.replayed(key)
    if entry is None:
        with journal.activity.working():
            given = await _ask(call, name)
            entry = Entry("failed", given.problem) if given.answer is None else Entry("done", str(given.answer))
            entry = await journal.record_result(key, entry)
    return Opinion(entry.value == "True") if entry.state == "done" else Opinion(None, entry.value)


async def _ask(call: Callable[[], bool | Awaitable[bool]], name: str) -> Opinion:
    try:
        answer = await answer_of(call)
    except Unanswered as none:
        log.warning("%s %s.", name, none)
        return Opinion(None, f"{name} {none}")
    except Exception as error:
        log.exception("%s failed.", name)
        return Opinion(None, f"{name} failed ({type(error).__name__})")
    if not isinstance(answer, bool):
        return Opinion(None, f"{name} answered neither yes nor no")
    return Opinion(answer)


class Unanswered(Exception):
    """A callable has not answered; the words say why and fit behind its name."""


async def answer_of(call: Callable[[], Any]) -> Any:
    """Call it in a thread and return its result, awaited if need be.

    Unanswered after WITHIN, or if it was cancelled. The thread is its own, with the context of the caller: one that
    never returns holds up neither the other runs nor the end of the process. What it raises that is no Exception comes
    out as a RuntimeError.
    """
    answer = asyncio.ensure_future(_called(call))
    answer.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({answer}, timeout=WITHIN.total_seconds())
    finally:
        answer.cancel()
    if not done:
        raise Unanswered(f"gave no answer within {WITHIN.total_seconds():g} seconds")
    if answer.cancelled():
        raise Unanswered("was cancelled")
    return answer.result()


async def _called(call: Callable[[], Any]) -> Any:
    answer = await _in_a_thread(call)
    try:
        return await answer if inspect.isawaitable(answer) else answer
    except SystemExit as error:  # would end the process, which a task does not keep it from
        raise RuntimeError("SystemExit") from error


async def _in_a_thread(call: Callable[[], Any]) -> Any:
    # Not the loop's own threads: the process would wait for them at its end.
    context, result = contextvars.copy_context(), concurrent.futures.Future[Any]()
    result.set_running_or_notify_cancel()

    def work() -> None:
        try:
            answer = context.run(call)
        except StopIteration:  # no future of asyncio takes it
            result.set_exception(RuntimeError("StopIteration"))
        except Exception as error:
            result.set_exception(error)
        except BaseException as error:
            result.set_exception(RuntimeError(type(error).__name__))
        else:
            result.set_result(answer)

    threading.Thread(target=work, name="verdict", daemon=True).start()
    return await asyncio.wrap_future(result)


def _forget(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()
