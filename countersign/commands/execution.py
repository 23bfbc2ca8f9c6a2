"""The execution of an approved command: its output, and the signals for it."""

import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Final, TextIO, cast

from countersign.commands.waiting import Interrupted, heard_by

_CHUNK: Final = 65_536
_KEPT: Final = 16_384
"""Bytes of the output's end that are kept for the card."""
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Colors and the like, which a card cannot show."""


class HeldSignals:
    """Signals between the decision and the command's end.

    They are held until the command has started, and then passed on to it.
    """

    def __init__(self) -> None:
        self.came: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def arrive(self, number: int, _: FrameType | None) -> None:
        """Take one signal."""
        if self._process is None:
            self.came.append(number)
        elif number != signal.SIGINT or not _in_foreground():  # there Ctrl-C reaches the command, too
            self._process.send_signal(number)

    def refuse(self) -> None:
        """Raise Interrupted if one came before the start."""
        if self.came:
            raise Interrupted(self.came[0])

    def pass_on(self, process: subprocess.Popen[bytes]) -> None:
        """Send what came meanwhile to the command, and from now on each as it comes."""
        self._process = process
        for number in self.came:
            process.send_signal(number)


@contextmanager
def held_signals() -> Iterator[HeldSignals]:
    """Keep signals from ending this program until the command has ended."""
    held = HeldSignals()
    with heard_by(held.arrive):
        yield held


def execute(vector: Sequence[str], program: str, held: HeldSignals, lines: int) -> tuple[int, str]:
    """Run the command; return its exit status and the last lines of its output.

    The status is the one that a shell has. Without `lines` the command has the terminal for itself, and nothing of its
    output is kept. OSError if it can't start.
    """
    sys.stdout.flush()
    pipe = subprocess.PIPE if lines else None
    with subprocess.Popen([*vector], executable=program, stdout=pipe, stderr=pipe) as process:
        held.pass_on(process)
        tail = _relayed(process) if lines else b""
        status = process.wait()
    return 128 - status if status < 0 else status, last_lines(tail, lines)


def _relayed(process: subprocess.Popen[bytes]) -> bytes:
    """Copy the output as it comes, until the command has ended; return its end.

    A process that it leaves behind may keep the pipes open for ever: its output is not waited for.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    ended, end = os.pipe()

    def wait() -> None:
        process.wait()
        os.close(end)

    threading.Thread(target=wait, daemon=True).start()
    tail, over = b"", False
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(process.stdout, selectors.EVENT_READ, sys.stdout)
        selector.register(process.stderr, selectors.EVENT_READ, sys.stderr)
        while ready := selector.select(0 if over else None):
            for key, _ in ready:
                if key.fd == ended:
                    over = True
                    selector.unregister(ended)
                    continue
                chunk = os.read(key.fd, _CHUNK)
                tail = (tail + chunk)[-_KEPT:]
                if not chunk or not _written(key.data, chunk):
                    selector.unregister(key.fd)
                    cast("IO[bytes]", key.fileobj).close()  # a command that writes on hears that nobody reads
    os.close(ended)
    return tail


def _written(to: TextIO, chunk: bytes) -> bool:
    try:
        to.buffer.write(chunk)
        to.buffer.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, to.fileno())  # or Python fails at its end, when it writes the rest
        os.close(nowhere)
        return False
    return True


def last_lines(output: bytes, many: int) -> str:
    """Return the last lines of an output as a card shows them.

    Colors are left out, and a progress bar is its last state.
    """
    text = _ESCAPES.sub("", output.decode(errors="replace")).replace("\r\n", "\n")
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in text.rstrip().split("\n")]
    return "\n".join(lines[-many:]) if many else ""


def _in_foreground() -> bool:
    """Tell whether a terminal sends its Ctrl-C to this program and its command alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
