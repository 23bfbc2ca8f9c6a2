"""Waits of a command: their options, their interruption, and notes."""

import argparse
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from countersign.client import terminal_notes

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SERVICE_TIMEOUT: Final = 300.0
"""Seconds that the service may be away: a restart takes less."""
_STILL: Final = 300.0
"""Seconds between two notes of a wait, for logs in which nothing else happens."""


class Interrupted(KeyboardInterrupt):
    """A signal that ends the wait."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def status(self) -> int:
        """The exit status by which shells tell the signal."""
        return 128 + self.number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that asks people."""
    parser.add_argument("--channel", default="", help="channel to ask in; optional if the key has only one")
    parser.add_argument("--key", help="name of this question: the same key again is the same decision")
    parser.add_argument(
        "--on-interrupt",
        choices=("withdraw", "leave"),
        help="what Ctrl-C or SIGTERM does with the request; by default it is left if there is a --key",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=SERVICE_TIMEOUT,
        metavar="SECONDS",
        help=f"how long the service may be away (default: {SERVICE_TIMEOUT:g}); people have the channel's time",
    )
    parser.add_argument(
        "--requester", default="", metavar="PERSON", help="the person for whom you ask: a Slack id or @name"
    )
    parser.add_argument("--quiet", action="store_true", help="print no notes while people decide")


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted for each signal that ends a wait.

    Signals that the caller of this program ignores stay ignored.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    with heard_by(interrupt):
        yield


@contextmanager
def heard_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals call this, except those that the caller of this program ignores."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number, known in before.items() if known is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def noted(*, quiet: bool) -> Iterator[None]:
    """Print notes on standard error, in a log too.

    Every five minutes a note says that the command still waits.
    """
    over = threading.Event()

    def tick() -> None:
        minutes = 0.0
        while not over.wait(_STILL):
            minutes += _STILL / 60
            terminal_notes.note(f"Still waiting for a decision, for {minutes:.0f} min.")

    terminal_notes.show("never" if quiet else "always")
    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
        terminal_notes.show("at a terminal")
