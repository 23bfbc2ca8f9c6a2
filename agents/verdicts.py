"""What somebody's own callable says, in time and once: it may be slow, fail, or say something else the next time."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from agents.journal import Entry, RunJournal

log = logging.getLogger(__name__)
T = TypeVar("T")

WITHIN: Final = timedelta(seconds=10)
"""How long a callable may take to answer; one that takes longer has not answered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no; None if there was no answer, and `problem` then says why, in words that fit behind “because”."""

    answer: bool | None
    problem: str = ""


async def verdict(
    call: Callable[[], bool | Awaitable[bool]],
    *,
    name: str,
    agent: str,
    about: str,
    journal: RunJournal | None,
    within: timedelta | None = None,
) -> Verdict:
    """What the callable says, recorded, so that a rebuilt run hears the same. `about` is what it judges, as text.
    It may take `within`, or else WITHIN.

    A sync callable runs in a thread of its own, so that it holds up nothing; one that never returns is left there.
    """
    if journal is None:
        return await _ask(call, name, within)
    key = journal.key("verdict", agent, name, about)
    entry = await journal.again(key)
    if entry is None:
        with journal.activity.working():
            said = await _ask(call, name, within)
            entry = Entry("done", str(said.answer)) if said.answer is not None else Entry("failed", said.problem)
            entry = await journal.result(key, entry)
    return Verdict(entry.value == "True") if entry.state == "done" else Verdict(None, entry.value)


async def _ask(call: Callable[[], bool | Awaitable[bool]], name: str, within: timedelta | None) -> Verdict:
    within = within or WITHIN
    try:
        async with asyncio.timeout(within.total_seconds()):
            answer = await _in_a_thread(call)
            if inspect.isawaitable(answer):
                answer = await answer
    except TimeoutError as late:
        log.warning("%s has not answered within %s s.", name, within.total_seconds(), exc_info=late)
        return Verdict(None, f"{name} has not answered within {within.total_seconds():g} seconds")
    except Exception as error:
        log.exception("%s failed.", name)
        return Verdict(None, f"{name} failed ({type(error).__name__})")
    if not isinstance(answer, bool):
        return Verdict(None, f"{name} answered neither yes nor no")
    return Verdict(answer)


async def _in_a_thread(call: Callable[[], T]) -> T:
    # Not the loop's own threads: the process would wait for them at its end.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # no error means that there is a result

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="verdict", daemon=True).start()
    return await done
