"""Copies of the tree with one bug in them, and what the tests say about it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.mutant import Bug

TREE: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 15
"""Seconds that a test may take: a bug may make it wait for ever."""
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__")


class OutOfDate(Exception):
    """The table names text that is not in the file exactly once."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one run of pytest said: which of the tests failed, and whether it came so far as to run them."""

    failed: set[str]
    ran: bool
    output: str


def copied(into: Path) -> Path:
    """The tree without what is not kept in it."""
    return Path(shutil.copytree(TREE, into, ignore=_LEFT_OUT))


def planted(bug: Bug, tree: Path = TREE) -> str:
    """The file's text with the bug in it. OutOfDate if the place is not there, or not the only one."""
    text = (tree / bug.file).read_text()
    if (times := text.count(bug.old)) != 1:
        raise OutOfDate(f"“{bug.name}”: {bug.file} holds the old text {times} times, not once: {bug.old!r}")
    return text.replace(bug.old, bug.new)


def plant(bug: Bug, tree: Path) -> None:
    """Put the bug into this copy."""
    changed = planted(bug, tree)
    (tree / bug.file).write_text(changed)


def tried(tests: Collection[str], tree: Path, patience: int = PATIENCE) -> Found:
    """Run these tests in this copy.

    All have failed if they go on for ever: in a task that never rests, pytest's own timeout is not heard.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", f"--timeout={patience}"]
    command += ["-rfE", *dict.fromkeys(tests)]
    most = patience * (len(tests) + 4)
    try:
        done = subprocess.run(
            command, cwd=tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=most
        )
    except subprocess.TimeoutExpired:
        return Found(set(tests), True, f"no end after {most} s")
    told = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    failed = {test for test in tests if any(re.match(rf"{re.escape(test)}(?:\[| |$)", line) for line in told)}
    return Found(failed, done.returncode in (0, 1), done.stdout)
