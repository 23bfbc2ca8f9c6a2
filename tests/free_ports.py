"""Ports for servers that start a moment later, or come back where they were.

What the kernel picks for one program it picks for the next one as well: between the look and the server's start, or
while a killed server is away, another test would get it. These ports lie below the range that kernels pick from (from
32768 on Linux, from 49152 elsewhere), and each process of the tests has a share of its own, in whatever run.
"""

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

_SHARES = range(10_000, 32_000, 250)


def free_port() -> int:
    """A port that is free, and that no other test gets before a whole share was given away."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    ports = _share()
    for _ in range(_SHARES.step):
        row = list(itertools.islice(ports, count))
        if row[-1] == row[0] + count - 1 and _all_free(row):
            return row[0]
    raise AssertionError(f"There are no {count} free ports in a row.")


@cache
def _share() -> Iterator[int]:
    """The ports of this process, over and over: it holds a lock on them until it ends."""
    for first in _SHARES:
        try:
            lock = os.open(Path(tempfile.gettempdir()) / f"countersign-ports-{first}.lock", os.O_RDWR | os.O_CREAT)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return itertools.cycle(range(first, first + _SHARES.step))
    raise AssertionError("Every share of ports is taken.")


def _all_free(ports: list[int]) -> bool:
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
        return True
