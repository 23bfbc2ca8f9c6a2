"""The end of a worker that is told to stop, within a span that a platform knows."""

import asyncio
import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from countersign.domain.ids import RunId

log = logging.getLogger("agents")
_LOGGED_WITHIN: Final = 1.0
"""Seconds for the last line: the log's reader may be gone."""


def hear_stop_signals(stop: asyncio.Event, span: timedelta, in_hand: Callable[[], Collection[RunId]]) -> None:
    """Set `stop` on SIGTERM and SIGINT, and end the process `span` later.

    It then ends as if it was killed. A thread ends it, because an action may block the event loop, or a thread for
    which Python waits before it ends.
    """
    told: queue.SimpleQueue[int] = queue.SimpleQueue()  # one that a signal handler may use
    loop = asyncio.get_running_loop()

    def hear(number: int, frame: object) -> None:
        told.put(number)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stop.set)

    def end_late() -> None:
        told.get()
        time.sleep(span.total_seconds())
        logging_it = threading.Thread(target=_log_late, args=(span, in_hand()), daemon=True)
        logging_it.start()
        logging_it.join(_LOGGED_WITHIN)
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)
    threading.Thread(target=end_late, name="end of the process", daemon=True).start()


def _log_late(span: timedelta, runs: Collection[RunId]) -> None:
    log.error(
        "The worker had not ended %g s after it was told to (STOP_WITHIN), and ends now, with these runs in hand: %s. "
        "Another worker continues them, and people are asked about actions whose end is not known.",
        span.total_seconds(),
        ", ".join(sorted(runs)) or "none",
    )
