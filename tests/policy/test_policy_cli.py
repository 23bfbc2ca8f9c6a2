"""`countersign policy`: looked at before it is used."""

import json
import re
import shlex
from pathlib import Path

import pytest

from countersign.policy import cli

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page about policies, with its example as approvals.yaml in the working folder."""
    page = (DOCS / "policy.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", page, re.S)
    assert found
    (tmp_path / "approvals.yaml").write_text(found[1])
    monkeypatch.chdir(tmp_path)
    return page


def test_documented_policy_commands_print_the_documented_output(
    example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.search(r"```console\n(.*?)```", example, re.S)
    assert shown
    for part in shown[1].split("$ ")[1:]:
        command, _, output = part.partition("\n")
        words = shlex.split(command)
        assert words[:2] == ["countersign", "policy"]
        assert cli.main(words[2:]) == 0
        assert capsys.readouterr().out == output


def test_arguments_that_are_not_an_object_are_refused(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--team", "support", "--tool", "refund", "--args", "600"]) == 2
    assert "is not a JSON object" in capsys.readouterr().err


def test_documented_policy_schema_matches_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((DOCS / "approvals.schema.json").read_text())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "the policy cannot be read: there is no such file."),
        ("", "line 1: this is not a policy; a policy begins with “version: 1”."),
        ("version: 1\nrules: [{name: a, then: aks}]", "line 2: rules.then: must be 'allow', 'ask' or 'deny'."),
        ("version: 1\nrules: [{name: a, then: ask, quorum: two}]", "line 2: rules.quorum: must be a whole number."),
        (
            "version: 1\nrules: [{name: a, then: ask, tol: pay}]",
            "line 2: there is no setting “tol”; check the spelling.",
        ),
    ],
)
def test_policy_check_explains_problems_in_plain_english(
    text: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each, with the file and the line."""
    file = tmp_path / "p.yaml"
    if text is not None:
        file.write_text(text)
    assert cli.main(["check", str(file)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.removeprefix(f"{file}: ").removeprefix(f"{file}, ") == sentence
