"""The time from a clone to the demo's page: `python bench/first_page.py`.

It takes about a minute, and needs Python, make, git and a network. It clones what is committed here into a fresh
folder, runs `make setup` and `make demo`, and waits until the page is served: first with empty package caches, then
with what that brought, which tells the network's part.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.free_ports import free_ports

HERE: Final = Path(__file__).resolve().parent.parent
AIM: Final = 20.0
_PORTS: Final = 7
ENDS_WITHIN: Final = 30.0


class Way(NamedTuple):
    """Seconds of each part of the way to the page."""

    clone: float
    setup: float
    start: float

    def __str__(self) -> str:
        return f"{self.clone:8.1f}{self.setup:8.1f}{self.start:8.1f}{sum(self):10.1f} s"


def walk(folder: Path, make: list[str], env: Mapping[str, str]) -> Way:
    """Clone into the folder and go to the page.

    Raises CalledProcessError or RuntimeError if it is not reached; the reason is printed.
    """
    begun = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", str(HERE), str(folder)], check=True)
    cloned = time.perf_counter()
    subprocess.run([*make, "setup"], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    ready = time.perf_counter()
    with demo(folder, make, env) as page, urllib.request.urlopen(page) as answer:
        answer.read()
        return Way(cloned - begun, ready - cloned, time.perf_counter() - ready)


@contextmanager
def demo(folder: Path, make: list[str], env: Mapping[str, str]) -> Iterator[str]:
    """The demo of the folder, and the address of its page, as soon as it says it."""
    command = [*make, "demo", f"PORT={free_ports(_PORTS)}"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        lines: list[str] = []
        try:
            for line in running.stdout:
                lines.append(line)
                if page := re.search(r"Slack +(http\S+) +open this", line):
                    yield page[1]
                    break
            else:
                raise RuntimeError("The demo ended before its page was there:\n" + "".join(lines))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGINT)
            running.communicate(timeout=ENDS_WITHIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", help="the uv to use: `.venv/bin/uv` is the one that pip brings; default: as make does")
    options = parser.parse_args()
    make = ["make", *([f"UV={options.uv}"] if options.uv else [])]
    with tempfile.TemporaryDirectory(prefix="countersign-first-page-") as name:
        folder = Path(name)
        caches = {"UV_CACHE_DIR": str(folder / "uv"), "PIP_CACHE_DIR": str(folder / "pip")}
        print(f"{'':14}{'clone':>8}{'setup':>8}{'start':>8}{'page':>10}")
        empty = walk(folder / "first", make, os.environ | caches)
        print(f"{'empty caches':14}{empty}   aim {AIM:g} s: {'met' if sum(empty) <= AIM else 'missed'}", flush=True)
        kept = walk(folder / "second", make, os.environ | caches)
        print(f"{'full caches':14}{kept}   so downloads took about {max(0.0, empty.setup - kept.setup):.1f} s")


if __name__ == "__main__":
    main()
