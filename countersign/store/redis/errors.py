"""Errors of redis-py, raised as ours by each client of Redis."""

import asyncio
import os

import redis.exceptions

from countersign.domain.errors import StoreFull, StoreUnavailable


class reaching:
    """Turn redis-py's errors into StoreUnavailable, and keep cancellations.

    NoScriptError is passed on: the script did not run, and its caller then sends the text. redis-py 8.1 on Python 3.11
    swallows a cancellation that arrives together with a reply; the task would continue forever while another task waits
    for its end.
    """

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelled = self._task.cancelling() if self._task else 0

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: object) -> None:
        if isinstance(wrong, redis.exceptions.RedisError | redis.exceptions.RedisClusterException | OSError):
            if isinstance(wrong, redis.exceptions.NoScriptError):
                return
            if full := _out_of(wrong):
                raise StoreFull(f"The store (Redis) takes nothing more: {full} Nothing was changed.") from wrong
            if why := refusal(wrong):
                away = StoreUnavailable(f"The store (Redis) refuses this process: {why} Nothing was changed.")
                away.reason = why
            else:
                away = StoreUnavailable(f"The store (Redis) does not answer: {wrong}. Nothing was changed.")
                away.reason = _without_address(wrong)
            raise away from wrong
        if wrong is None and self._task is not None and self._task.cancelling() > self._cancelled:
            raise asyncio.CancelledError


def refusal(wrong: BaseException) -> str:
    """Return why Redis refuses the credentials, and what to do.

    "" if it doesn't. redis-py wraps the reason if it asks several nodes.
    """
    cause: BaseException | None = wrong
    while cause is not None:
        words = str(cause)
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return "the user in REDIS_URL may not do this. `countersign acl` prints the users that it needs."
        if isinstance(cause, redis.exceptions.AuthenticationError):
            if "without any password" in words:
                return "REDIS_URL has a password, and Redis has none. Set one there, or leave it out."
            if "required" in words or "already authenticated" in words:  # the answers to a command, and to HELLO
                return "it wants a password, and REDIS_URL has none. Write it as redis://:password@host:6379/0."
            return (
                "the password or the user in REDIS_URL is wrong. In a password write / as %2F, # as %23, ? as %3F, "
                "@ as %40 and % as %25."
            )
        cause = cause.__cause__ or cause.__context__
    return ""


def _without_address(wrong: BaseException) -> str:
    """Return the system's reason for a failed connection; "" if it gives none."""
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return f"{os.strerror(cause.errno)}."
        cause = cause.__cause__ or cause.__context__
    return ""


def _out_of(wrong: Exception) -> str:
    """Describe the resource that Redis ran out of, and the remedy; "" if none."""
    if isinstance(wrong, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in str(wrong):
        return "it has reached its `maxmemory`. Give it more memory."
    return "it cannot write to its disk. Free some space there." if str(wrong).startswith("MISCONF") else ""
