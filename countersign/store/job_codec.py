"""Jobs in the stream of docket: JSON and the name of a run; calls of its scripts.

Docket has no hook for how it stores arguments, takes a job that it cannot read for its own end, and fails where the
server forgets a script that was just loaded. So a class, a module and a method of its own are exchanged for ours.
"""

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Self

from docket import Docket, Execution, execution, strikelist, worker
from docket._lua import RedisScript

from countersign.store.redis.scripts import Script

_log = logging.getLogger("countersign.store.job_queue")
_NUMBERS: Final = (b"attempt", b"generation")


class _Plain:
    """JSON for what docket stores. It stands where docket has cloudpickle, whose `loads` runs what it reads."""

    @staticmethod
    def dumps(value: object) -> bytes:
        return json.dumps(value).encode()

    @staticmethod
    def loads(stored: bytes) -> Any:
        return json.loads(stored)


def run_of(message: Mapping[bytes, bytes]) -> str:
    """The run that a job of the stream is about; empty if it is none of ours."""
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        [run] = json.loads(message[b"args"])
        return run if isinstance(run, str) else ""
    return ""


class _Job(Execution):
    """A job from the stream. What is none of ours becomes one for no run: what is raised here would end the worker."""

    @classmethod
    async def from_message(cls, docket: Docket, message: dict[bytes, bytes], **how: Any) -> Self:  # type: ignore[override]
        run = run_of(message)
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()).encode()
        ours = {b"args": _Plain.dumps([run]), b"kwargs": b"{}", b"function": b"advance", b"when": now}
        numbers = {name: value for name, value in message.items() if name in _NUMBERS and value.isdigit()}
        key = message.get(b"key", b"").decode(errors="replace")
        others = {name: value for name, value in message.items() if name not in _NUMBERS}
        whole = {b"attempt": b"1", **others, **ours, **numbers, b"key": key.encode()}
        return await super().from_message(docket, whole, **how)


async def _call(script: RedisScript[..., Any], client: Any, /, *args: Any, **named: Any) -> Any:
    return await Script(client, script.lua)(*script._keys_and_argv(args, named))


def mend_docket() -> None:
    """From now on, in this process. pydocket is pinned for it, and a test reads its source."""
    RedisScript.__call__ = _call  # type: ignore[method-assign]
    for module in (execution, strikelist):
        module.cloudpickle = _Plain  # type: ignore[attr-defined]
    worker.Execution = _Job  # type: ignore[attr-defined]


class _Calm(logging.Handler):
    """Docket's warnings, one line each and at most once a minute: in an outage it writes 5 tracebacks a second."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said.get(record.msg, -60.0) >= 60.0:
            self._said[record.msg] = now
            cause = f" ({record.exc_info[1]!r})" if record.exc_info else ""
            _log.warning("Job engine: %s%s", record.getMessage(), cause)


def calm_docket() -> None:
    """Write docket's warnings through `_Calm`."""
    engine = logging.getLogger("docket")
    if not any(isinstance(handler, _Calm) for handler in engine.handlers):
        engine.addHandler(_Calm())
        engine.propagate = False
        engine.setLevel(logging.WARNING)
