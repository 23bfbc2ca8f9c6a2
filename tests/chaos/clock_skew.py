"""A process whose clock is wrong by hours, without any other program: nothing may depend on a worker's clock."""

import ctypes
import gc
import time
from datetime import datetime, timedelta, tzinfo

_REPLACED: list[object] = []
"""Kept, for Python's cache of attributes may still point to them, and the process would crash."""


def shift(seconds: float) -> None:
    """From now on `time.time`, `time.time_ns`, `datetime.now` and `utcnow` are wrong by so much; `monotonic` is not."""
    if not seconds:
        return
    clock, nanoseconds, now, utcnow, wrong = (
        time.time,
        time.time_ns,
        datetime.now,
        datetime.utcnow,
        timedelta(0, seconds),
    )

    def shifted(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return now(tz) + wrong

    def shifted_utc(cls: type[datetime]) -> datetime:
        return utcnow() + wrong

    time.time = lambda: clock() + seconds
    time.time_ns = lambda: nanoseconds() + int(seconds * 1e9)
    # The type is written in C and closed; others have imported it already, so it is its own dict that changes.
    inside = gc.get_referents(datetime.__dict__)[0]
    _REPLACED.extend((inside["now"], inside["utcnow"]))
    inside["now"] = classmethod(shifted)
    inside["utcnow"] = classmethod(shifted_utc)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
