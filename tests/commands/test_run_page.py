"""docs/run.md tells the truth: its commands can be read, its files are YAML, and its table has every status."""

import re
import shlex

import pytest
import yaml

from countersign.commands import ask, run
from countersign.commands.exit_statuses import ExitStatus
from countersign.policy.file import understand
from tests.processes import HERE

PAGE = (HERE / "docs" / "run.md").read_text()
COMMANDS = [
    shlex.split(re.sub(r"\$\{\{[^}]*\}\}", "x", line), comments=True)
    for line in re.findall(r"countersign (?:run|ask) (?!is)[^`&|)>\n]*", re.sub(r"\n +", " ", PAGE))
]


def test_documentation_lists_every_exit_status() -> None:
    table = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.M)}
    assert table == {status.value for status in ExitStatus if status}


@pytest.mark.parametrize("command", [one for one in COMMANDS if len(one) > 3], ids=" ".join)
def test_documented_commands_can_be_parsed(command: list[str]) -> None:
    _, verb, *arguments = command
    if verb == "run":
        ours, separator, vector = run.split(arguments)
        run.parser().parse_args(ours)
        assert separator and vector
    else:
        ask.parser().parse_args(arguments)


def test_documented_pipelines_are_valid_yaml() -> None:
    policy, github, gitlab = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
    assert [rule["then"] for rule in policy["rules"]] == ["allow", "deny"]
    assert "terraform apply plan.tfplan" in github["jobs"]["deploy"]["steps"][-1]["run"]
    assert gitlab["deploy"]["script"][-1].startswith("countersign run ")


def test_documented_policy_is_valid() -> None:
    assert len(understand(re.findall(r"```yaml\n(version.*?)```", PAGE, re.S)[0]).clauses) == 2
