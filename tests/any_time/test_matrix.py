"""The matrix of `make test-any-time` leaves nothing out, and a run says what it found."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.any_time.__main__ import known, repeated, suspects, table
from tests.any_time.matrix import CONDITIONS, DATES, HOURS, Condition, Moment, Run, any_machine, any_time
from tests.any_time.runs import Copy


def test_matrix_covers_every_hour_date_and_condition() -> None:
    """R49: and the slow suite at four moments."""
    quick = [run for run in any_time() if run.suite == "quick"]
    assert {run.moment for run in quick} == {*HOURS, *DATES} and len(quick) == len(HOURS) + len(DATES)
    for runs in (quick, any_machine()):
        assert {run.condition.name for run in runs if run.condition} == {condition.name for condition in CONDITIONS}
    assert sorted(moment.at.hour for moment in HOURS) == list(range(24))
    assert len([run for run in any_time() if run.suite == "slow"]) == 4
    assert len({run.name for run in any_time()}) == len(any_time())


@pytest.mark.parametrize("moment", [moment for moment in DATES if moment.zone != "UTC"], ids=lambda moment: moment.name)
def test_clock_changes_fall_within_the_first_minute(moment: Moment) -> None:
    zone = ZoneInfo(moment.zone)
    before, after = (time.astimezone(zone).utcoffset() for time in (moment.at, moment.at + timedelta(minutes=1)))
    assert before != after


def test_red_run_is_tried_without_each_of_its_parts() -> None:
    red = Run("quick", HOURS[3], CONDITIONS[1])
    assert [run.name for run in suspects(red)] == ["quick 03:00 random-order", "quick 03:00", "quick random-order"]


def test_table_says_what_was_not_run(tmp_path: Path) -> None:
    lines = tmp_path / "results.jsonl"
    lines.write_text('{"run": "quick 03:00", "commit": "123456789", "passed": 9, "failed": ["tests/a.py::b"]}\n')
    rows = table([Run("quick", HOURS[3], None), Run("quick", HOURS[4], None)], known(lines)).splitlines()
    assert rows[2].endswith("| 9 | 1 | 12345678 |") and rows[3].endswith("| not run | | |")


TWO_TESTS = """
import os, pytest, time

def test_hour(): assert time.gmtime().tm_hour == 3 and not os.umask(0o22) & 0o700
@pytest.mark.parametrize("mask", ["of a user"])
def test_umask(mask): assert os.umask(0o22) == 0
"""


@pytest.mark.slow
@pytest.mark.real_clock("a clock inside of a faked one is set from the wrong time")
@pytest.mark.skipif(shutil.which("faketime") is None, reason="wants Debian's faketime")
def test_matrix_run_counts_and_names_failures(tmp_path: Path) -> None:
    """At another hour, under the condition that it carries."""
    copy = Copy(tmp_path, user=None)
    copy.tree.mkdir(parents=True)
    (copy.tree / ".venv").symlink_to(sys.prefix)
    (copy.tree / "test_two.py").write_text(TWO_TESTS)
    run = Run("quick", HOURS[3], Condition("umask-077", umask=0o077))
    outcome = copy.test(run, 1, "1", tmp_path / "log")
    red = "test_two.py::test_umask[of a user]"
    assert (outcome.passed, outcome.failed) == (1, (red,)), (tmp_path / "log").read_text()
    assert not outcome.green
    (copy.tree / "test_two.py").write_text(TWO_TESTS.replace("== 0\n", "== 0o77\n"))
    mended = repeated(copy, run, {"passed": 1, "failed": [red]}, "1", tmp_path / "log")
    assert (mended.passed, mended.failed) == (2, ()) and mended.green
