"""The real service, and commands of `countersign` as processes in a folder of their own."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.adapters.stage import Bob
from tests.api.conftest import bob, bot, interface, program, token, url
from tests.processes import HERE, Process

__all__ = ["bob", "bot", "interface", "program", "token", "url"]

STOPS = """
import sys, time
from countersign.client import exchange, executions
from countersign.commands import run

executions.LOOKS = 0  # people are asked at once whether it was done

def stop(*_, **__):
    print("stops here", flush=True)
    time.sleep(10_000)

if {place!r} == "before the start":
    run.execute = stop
if {place!r} == "before the report":
    exchange.tell = stop
sys.exit(run.main(sys.argv[1:]))
"""


class Shell(Process):
    """A command of `countersign` in a folder, with standard output and standard error in one."""

    def __init__(self, folder: Path, env: dict[str, str], *arguments: str) -> None:
        super().__init__("countersign", {**env, "PYTHONPATH": str(HERE)}, *arguments)
        self.folder = folder
        self.stops = ""
        """Where `countersign run` stops, once it is started."""

    async def _spawn(self) -> asyncio.subprocess.Process:
        start = ["-c", STOPS.format(place=self.stops), *self._arguments[1:]] if self.stops else None
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *(start or ["-m", "countersign", *self._arguments]),
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def printed(self) -> str:
        """All that it printed."""
        return "\n".join(line for line in self.lines if line != "<countersign ended>")

    def end(self) -> None:
        """End it, and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


Command = Callable[..., Shell]


@pytest.fixture
async def command(url: str, token: str, tmp_path: Path) -> AsyncIterator[Command]:
    """Make a command that knows the service; it ends with the test."""
    made: list[Shell] = []

    def shell(*arguments: str, **env: str) -> Shell:
        known = {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token, "PATH": os.environ["PATH"]}
        made.append(Shell(tmp_path, known | env, *arguments))
        return made[-1]

    yield shell
    for one in made:
        if one.running:
            one.end()
            await one.wait()


async def asked(bob: Bob, shell: Shell, title: str) -> None:
    """Wait for the card; a command that ends before that says why."""
    card, end = asyncio.create_task(bob.card(title)), asyncio.create_task(shell.wait())
    await asyncio.wait({card, end}, return_when=asyncio.FIRST_COMPLETED)
    if not card.done():
        card.cancel()
        raise AssertionError(shell.printed)
    end.cancel()
    await card


async def decided(bob: Bob, shell: Shell, title: str, button: str, window: dict[str, str] | None = None) -> None:
    """Wait for the card and press a button of it."""
    await asked(bob, shell, title)
    await bob.presses(title, button, window)
