"""Jobs in docket's stream, which contain only a run's id; calls of its scripts.

Docket pickles the arguments of a job and has no hook for the JSON that we write. Its worker ends at a job that it
cannot read. Its scripts fail if the server forgets a script that was just loaded. So `mend_docket` replaces docket's
pickle module, the class that reads a job, and the method that calls a script.
"""

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Self

from docket import Docket, Execution, execution, strikelist, worker
from docket._lua import RedisScript

from countersign.domain.ids import RunId
from countersign.logs import OF_REDIS
from countersign.store.redis.scripts import Script

_log = logging.getLogger("countersign.runs.job_queue")
_NUMBERS: Final = (b"attempt", b"generation")


class _Json:
    """JSON replacement for docket's cloudpickle, whose `loads` would run code."""

    @staticmethod
    def dumps(value: object) -> bytes:
        return json.dumps(value).encode()

    @staticmethod
    def loads(stored: bytes) -> Any:
        return json.loads(stored)


def run_of(message: Mapping[bytes, bytes]) -> RunId | None:
    """Read the run of a job in the stream; None if the job is not ours."""
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        [run] = json.loads(message[b"args"])
        return RunId.named(run) if isinstance(run, str) else None
    return None


class _Job(Execution):
    """A job from the stream; foreign jobs get the run "": errors would end the worker."""

    @classmethod
    async def from_message(cls, docket: Docket, message: dict[bytes, bytes], **how: Any) -> Self:  # type: ignore[override]
        run = run_of(message) or ""
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()).encode()
        ours = {b"args": _Json.dumps([run]), b"kwargs": b"{}", b"function": b"advance", b"when": now}
        numbers = {name: value for name, value in message.items() if name in _NUMBERS and value.isdigit()}
        key = message.get(b"key", b"").decode(errors="replace")
        others = {name: value for name, value in message.items() if name not in _NUMBERS}
        whole = {b"attempt": b"1", **others, **ours, **numbers, b"key": key.encode()}
        return await super().from_message(docket, whole, **how)


async def _call(script: RedisScript[..., Any], client: Any, /, *args: Any, **named: Any) -> Any:
    return await Script(client, script.lua)(*script._keys_and_argv(args, named))


def mend_docket() -> None:
    """Replace docket's parts; docket is pinned, and a test reads its source."""
    RedisScript.__call__ = _call  # type: ignore[method-assign]
    for module in (execution, strikelist):
        module.cloudpickle = _Json  # type: ignore[attr-defined]
    worker.Execution = _Job  # type: ignore[attr-defined]


class _ThrottledLog(logging.Handler):
    """Log of docket's warnings, one line each and at most once a minute.

    In an outage docket writes 5 tracebacks a second.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said.get(record.msg, -60.0) >= 60.0:
            self._said[record.msg] = now
            cause = f" ({record.exc_info[1]!r})" if record.exc_info else ""
            about = OF_REDIS if "Redis" in record.getMessage() else None
            _log.warning("Job engine: %s%s", record.getMessage(), cause, extra=about)


def calm_docket() -> None:
    """Write docket's warnings through `_ThrottledLog`."""
    engine = logging.getLogger("docket")
    if not any(isinstance(handler, _ThrottledLog) for handler in engine.handlers):
        engine.addHandler(_ThrottledLog())
        engine.propagate = False
        engine.setLevel(logging.WARNING)
