"""`python -m tests.mutants`: plants each bug of the table in a copy of this tree, and looks whether the tests notice.

Exit status 1 if one stays green, if a test is red without any bug, or if the table is out of date. `--only words`
takes the bugs with these words in their name or rule.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.mutants.catalog import BUGS
from tests.mutants.mutant import Bug
from tests.mutants.worktrees import PATIENCE, OutOfDate, copied, plant, tried

_WIDTH: Final = 75


def noticed(bug: Bug, tree: Path) -> bool:
    """Whether every named test fails with the bug; says so, a line for each test."""
    plant(bug, tree)
    began = time.monotonic()
    found = tried(bug.tests, tree)
    took = time.monotonic() - began
    for number, test in enumerate(bug.tests):
        red = found.ran and test in found.failed
        name = f"{bug.name} ({bug.rule})" if not number else ""
        print(f"{name:{_WIDTH}} {'red  ' if red else 'GREEN'} {took:4.1f} s  {test.split('::')[1]}", flush=True)
    if not found.ran:
        print(found.output)
    return found.ran and found.failed == set(bug.tests)


def main() -> int:
    """The exit status."""
    arguments = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    arguments.add_argument("--only", default="", metavar="WORDS")
    only = arguments.parse_args().only
    bugs = [bug for bug in BUGS if only in f"{bug.name} ({bug.rule})"]
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        sound = tried([test for bug in bugs for test in bug.tests], copied(Path(folder) / "sound"), 4 * PATIENCE)
        if sound.failed or not sound.ran:
            print(sound.output, "Red without any bug; nothing was planted.", sep="\n")
            return 1
        green = 0
        for number, bug in enumerate(bugs):
            try:
                green += not noticed(bug, copied(Path(folder) / str(number)))
            except OutOfDate as wrong:
                print(wrong)
                green += 1
    print(f"\n{len(bugs)} bugs planted, {len(bugs) - green} noticed, {green} not noticed.")
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main())
