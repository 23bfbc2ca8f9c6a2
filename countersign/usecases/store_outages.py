"""Repetition of store operations until Redis is back, and other waits.

An outage of the store is never a decision and never ends a run.

The module also makes cancelled tasks end: redis-py 8.1 on Python 3.11 sometimes swallows a cancellation that arrives
together with a reply, and its caller continues as if it had not been cancelled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from countersign.domain.errors import StoreUnavailable
from countersign.domain.pauses import doubling

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
CANCELLED_AGAIN_AFTER: Final = timedelta(milliseconds=50)


async def patiently(call: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None, *, hint: str = "") -> T:
    """Return the result of `call`, repeated after StoreUnavailable until it answers.

    A call that changes something must be repeatable, because only its reply may have been lost. The wait ends early
    only by cancellation, or with the StoreUnavailable once `stop` is set.
    """
    pauses, told = doubling(FIRST_PAUSE, LONGEST_PAUSE), False
    while True:
        try:
            answer = await call()
        except StoreUnavailable as away:
            if stop is not None and stop.is_set():
                raise
            if not told:
                log.warning("Waiting for the store: %s", f"{away} {hint}".rstrip())
            told = True
        else:
            if being_cancelled():
                raise asyncio.CancelledError
            return answer
        await asyncio.sleep(next(pauses))


def patient(thing: T, stop: asyncio.Event | None = None, *, hint: str = "") -> T:
    """Wrap an object so that its asynchronous methods are called `patiently`."""
    return cast(T, _Patient(thing, stop, hint))


class _Patient:
    def __init__(self, thing: object, stop: asyncio.Event | None, hint: str) -> None:
        self._thing = thing
        self._stop = stop
        self._hint = hint

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._thing, name)

        def call(*args: Any, **options: Any) -> Awaitable[Any]:
            return patiently(lambda: method(*args, **options), self._stop, hint=self._hint)

        return call


def being_cancelled() -> bool:
    """Tell whether the current task itself was cancelled.

    A CancelledError may also come from a future that the task waits for.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def within(span: timedelta, call: Awaitable[T]) -> T:
    """Return the call's result; TimeoutError after `span`, or if it was cancelled.

    A call that ignores its cancellation is left behind.
    """
    task = asyncio.ensure_future(call)
    task.add_done_callback(lambda late: late.cancelled() or late.exception())
    try:
        done, _ = await asyncio.wait({task}, timeout=span.total_seconds())
    finally:
        task.cancel()
    if not done or task.cancelled():
        raise TimeoutError("it was cut off" if done else f"no end after {span.total_seconds():g} seconds")
    return task.result()


async def ended(*futures: asyncio.Future[Any]) -> None:
    """Cancel the futures as often as needed, and return when all are done.

    Their exceptions are dropped.
    """
    pending = {future for future in futures if not future.done()}
    while pending:
        for future in pending:
            future.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCELLED_AGAIN_AFTER.total_seconds())
    for future in futures:
        if not future.cancelled():
            future.exception()
