"""The table of planted bugs cannot rot: every place is there once, every test exists, and one bug is really planted."""

import ast
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.catalog import BUGS
from tests.mutants.worktrees import TREE, OutOfDate, copied, plant, planted, tried


def test_each_bug_can_be_planted_and_names_tests_that_exist(subtests: pytest.Subtests) -> None:
    for bug in BUGS:
        with subtests.test(bug=bug.name):
            assert planted(bug) != (TREE / bug.file).read_text()
            if bug.file.endswith(".py"):
                ast.parse(planted(bug))
            assert bug.tests
            for test in bug.tests:
                path, _, name = test.partition("[")[0].partition("::")
                assert name in functions_of(path)


@cache
def functions_of(path: str) -> set[str]:
    """The names of the functions at the top of a file."""
    body = ast.parse((TREE / path).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_bugs_have_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_a_place_that_is_gone_or_not_the_only_one_is_told() -> None:
    for text, times in (("no such line", 0), ("\n", len((TREE / BUGS[0].file).read_text().splitlines()))):
        with pytest.raises(OutOfDate, match=f"{times} times, not once"):
            planted(replace(BUGS[0], old=text))


@pytest.mark.slow
def test_each_bug_names_cases_that_exist() -> None:
    tests = list(dict.fromkeys(test for bug in BUGS for test in bug.tests))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    told = subprocess.run([*command, *tests], cwd=TREE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert told.returncode == 0, told.stdout[-2000:]


@pytest.mark.slow
def test_a_planted_bug_turns_its_test_red_and_leaves_the_tree_alone(tmp_path: Path) -> None:
    bug, before = BUGS[0], (TREE / BUGS[0].file).read_text()
    tree = copied(tmp_path / "tree")
    assert tried(bug.tests, tree).failed == set()
    plant(bug, tree)
    found = tried(bug.tests, tree)
    assert found.ran
    assert found.failed == set(bug.tests)
    assert (TREE / bug.file).read_text() == before


@pytest.mark.slow
def test_a_bug_that_breaks_everything_is_not_taken_for_a_red_test(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree")
    plant(replace(BUGS[0], new="no python ("), tree)
    found = tried(BUGS[0].tests, tree)
    assert (found.ran, found.failed) == (False, set())
