"""`python -m tests.any_time`: runs the tests at other times and on other machines, and says where they are red.

Each run is of the last commit, in a clone whose path has a space and a letter beyond ASCII, by an ordinary user
(`nobody` if you are root). `time` is every hour of a day, and the dates on which clocks and calendars are odd. Most
hours carry one of the conditions of `machine` as well, so that one pass covers both; `machine` alone runs each
condition at the time that it is. A red run is tried again without its moment and without its condition, which says
which of them it is.

Each result is a line of JSON in `--results`. A run that is green there is not repeated, so an interrupted pass goes on
where it was: `--again` begins from the start, and `--failed` repeats only the tests that failed, at the same moment and
under the same condition. `--only` takes runs whose names hold one of the words.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from tests.any_time.matrix import Run, any_machine, any_time
from tests.any_time.runs import TREE, Copy, Outcome

RESULTS: Final = TREE / ".any_time"
Line = dict[str, Any]


def known(results: Path) -> dict[str, Line]:
    """The newest result of each run."""
    lines = results.read_text().splitlines() if results.exists() else []
    return {line["run"]: line for line in map(json.loads, lines)}


def suspects(run: Run) -> list[Run]:
    """The same run with all, and with each part, of what is odd about it."""
    parts = [run]
    if run.moment and run.condition:
        parts += [replace(run, condition=None), replace(run, moment=None)]
    return parts


def table(runs: Iterable[Run], results: dict[str, Line]) -> str:
    """A row for each run, with what it carried."""
    rows = ["| suite | moment | condition | passed | failed | commit |", "|---|---|---|---|---|---|"]
    for run in runs:
        line = results.get(run.name)
        moment = f"{run.moment.name} ({run.moment.utc}, {run.moment.zone})" if run.moment else "now"
        counts = f"{line['passed']} | {len(line['failed'])} | {line['commit'][:8]}" if line else "not run | |"
        rows.append(f"| {run.suite} | {moment} | {run.condition.name if run.condition else ''} | {counts} |")
    return "\n".join(rows)


def attributed(copy: Copy, run: Run, outcome: Outcome, seed: str, log: Path) -> dict[str, list[str]]:
    """Which of its failed tests fail again, and in which part of the run."""
    tests = tuple(name for name in outcome.failed if "::" in name)
    if not tests:
        return {}
    return {part.name: list(copy.test(part, 1, seed, log, tests).failed) for part in suspects(run)}


def repeated(copy: Copy, run: Run, before: Line, seed: str, log: Path) -> Outcome:
    """The outcome with only the failed tests run again, after they were mended."""
    tests = tuple(before["failed"])
    outcome = copy.test(run, 1, seed, log, tests)
    passed = before["passed"] + len(tests) - len(outcome.failed)
    return replace(outcome, passed=passed if outcome.passed or outcome.failed else 0)


def main() -> int:
    """The exit status: 1 if a run is red."""
    parser = argparse.ArgumentParser(prog="python -m tests.any_time", description=__doc__.partition("\n")[0])
    parser.add_argument("matrix", choices=["time", "machine"])
    parser.add_argument(
        "--only", default=os.environ.get("ONLY", ""), metavar="WORDS", help="names of runs, with commas"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes of pytest")
    parser.add_argument("--seed", default="1", help="of the random order")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "countersign any time")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="repeat green runs too")
    parser.add_argument("--failed", action="store_true", help="repeat the failed tests of red runs")
    parser.add_argument("--table", action="store_true", help="print the table of what is known, and run nothing")
    chosen = parser.parse_args()
    words = [word for word in chosen.only.split(",") if word]
    every = any_time() if chosen.matrix == "time" else any_machine()
    runs = [run for run in every if not words or any(word in run.name for word in words)]
    chosen.results.mkdir(exist_ok=True)
    lines, log = chosen.results / "results.jsonl", chosen.results / "log"
    if chosen.table:
        print(table(runs, known(lines)))
        return 0
    for program in ("faketime", "unshare", "setpriv"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is needed: on Debian, apt install faketime util-linux.")
    if "de_DE" not in subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout:
        print("There is no de_DE.UTF-8 here (apt install locales-all): programs take it for C.", flush=True)
    before = known(lines)
    green = {name for name, line in before.items() if not line["failed"] and not chosen.again}
    chosen.folder.mkdir(parents=True, exist_ok=True)
    using = (chosen.folder / "in-use").open("w")
    try:
        fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another pass is under way in {chosen.folder}; name another one with --folder.")
    copy = Copy(chosen.folder)
    commit = copy.make()
    for run in runs:
        if run.name in green or (chosen.failed and run.name not in before):
            continue
        if chosen.failed:
            outcome = repeated(copy, run, before[run.name], chosen.seed, log)
        else:
            outcome = copy.test(run, chosen.jobs, chosen.seed, log)
        line: Line = {"run": run.name, "commit": commit, **asdict(outcome)}
        if not outcome.green:
            line["again"] = attributed(copy, run, outcome, chosen.seed, log)
        with lines.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    print(table(runs, known(lines)))
    return int(any(not line or line["failed"] for line in (known(lines).get(run.name) for run in runs)))


if __name__ == "__main__":
    sys.exit(main())
