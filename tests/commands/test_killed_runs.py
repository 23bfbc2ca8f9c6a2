"""`countersign run` killed by kill -9 and started again: one card, no second action, nothing lost."""

import os
import signal
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.adapters.stage import Bob, cards
from tests.commands.conftest import Command, asked, decided
from tests.processes import Process

pytestmark = pytest.mark.slow
RUN = ("run", "--channel", "#general", "--title", "Deploy", "--host", "ci", "--key", "deploy-1", "--")
WORK = ("sh", "-c", "echo ran >> done; echo began; test -e again || cat gate")
DOUBT = "” happen?"


def done(folder: Path) -> int:
    """How often the command did its work."""
    path = folder / "done"
    return len(path.read_text().splitlines()) if path.exists() else 0


async def test_run_killed_while_asked_finds_the_decision(
    command: Command, bob: Bob, slack: LocalSlack, tmp_path: Path
) -> None:
    """R4: people decide while it is gone."""
    (tmp_path / "again").touch()
    shell = await command(*RUN, *WORK).start()
    await asked(bob, shell, "Deploy")
    await shell.kill()
    await bob.presses("Deploy", "Approve")
    assert done(tmp_path) == 0
    assert await (await shell.start()).wait() == 0
    assert (done(tmp_path), cards(slack)) == (1, 1)


@pytest.mark.parametrize(
    ("place", "answer", "status", "times"),
    [
        ("before the start", "2. It wasn't done: run it now", 0, 1),
        ("before the start", "3. Not sure: leave it", 86, 0),
        ("while it runs", "1. It was done", 0, 1),
        ("while it runs", "3. Not sure: leave it", 86, 1),
        ("while it runs", "2. It wasn't done: run it now", 0, 2),
        ("before the report", "1. It was done", 0, 1),
    ],
)
async def test_command_of_a_killed_run_is_asked_about(
    command: Command, bob: Bob, slack: LocalSlack, tmp_path: Path, place: str, answer: str, status: int, times: int
) -> None:
    """R4, R8: the command starts a second time only if people say so."""
    os.mkfifo(tmp_path / "gate")
    if place == "before the report":
        (tmp_path / "again").touch()
    shell = command(*RUN, *WORK)
    shell.stops = place
    await shell.start()
    await decided(bob, shell, "Deploy", "Approve")
    await shell.said("^began$" if place == "while it runs" else "^stops here$")
    first = shell.pid
    os.kill(first, signal.SIGKILL)
    if place == "while it runs":  # the command outlives it, which is why people are asked
        (tmp_path / "gate").write_text("")
    await Process.wait(shell)
    (tmp_path / "again").touch()
    shell.stops = "nowhere"
    await shell.start()
    await decided(bob, shell, DOUBT, "Choose", {"options": answer})
    assert await shell.wait() == status, shell.printed
    assert (done(tmp_path), cards(slack)) == (times, 2)


async def test_idempotent_killed_run_runs_again(command: Command, bob: Bob, slack: LocalSlack, tmp_path: Path) -> None:
    """Nobody is asked a second time."""
    os.mkfifo(tmp_path / "gate")
    shell = await command(*RUN[:-1], "--idempotent", "--", *WORK).start()
    await decided(bob, shell, "Deploy", "Approve")
    await shell.said("^began$")
    os.kill(shell.pid, signal.SIGKILL)
    (tmp_path / "gate").write_text("")
    await shell.wait()
    (tmp_path / "again").touch()
    assert await (await shell.start()).wait() == 0, shell.printed
    assert (done(tmp_path), cards(slack)) == (2, 1)
