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


def test_each_bug_can_be_planted_and_names_existing_tests(subtests: pytest.Subtests) -> None:
    """The tests are functions at the top of the named file."""
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


def test_planted_bugs_have_unique_names() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_missing_or_ambiguous_place_is_reported() -> None:
    """A bug names its place by a text that its file has once."""
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
def test_planted_bug_fails_its_tests_and_leaves_the_tree(tmp_path: Path) -> None:
    bug, before = BUGS[0], (TREE / BUGS[0].file).read_text()
    tree = copied(tmp_path / "tree")
    assert tried(bug.tests, tree).failed == set()
    plant(bug, tree)
    found = tried(bug.tests, tree)
    assert found.ran
    assert found.failed == set(bug.tests)
    assert (TREE / bug.file).read_text() == before


@pytest.mark.slow
def test_bug_that_breaks_everything_is_not_red(tmp_path: Path) -> None:
    """Tests that could not run have noticed nothing."""
    tree = copied(tmp_path / "tree")
    plant(replace(BUGS[0], new="no python ("), tree)
    found = tried(BUGS[0].tests, tree)
    assert (found.ran, found.failed) == (False, set())
