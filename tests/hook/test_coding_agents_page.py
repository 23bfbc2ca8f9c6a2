"""docs/coding-agents.md tells the truth: its rules can be read, and its examples are judged as it says."""

import re
from pathlib import Path

import pytest

from countersign.domain.actions import Action
from countersign.hook.cli import AGENTS
from countersign.hook.protocols import PROTOCOLS
from countersign.hook.rules import judge, read_rules
from countersign.hook.settings_files import PLACES
from countersign.hook.shell_commands import read_script
from countersign.hook.tool_calls import ToolCall
from tests.processes import HERE

PAGE = (HERE / "docs" / "coding-agents.md").read_text()
[RULES] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize(
    ("script", "effect"),
    [
        ("rm x -fR", Action.ASK),
        ("/bin/rm --recursive x", Action.ASK),
        ("sudo rm -fr x", Action.ASK),
        ('bash -c "rm -rf x"', Action.ASK),
        ("find . -exec rm -r {} ;", Action.ASK),
        ("kubectl -n prod delete pod x", Action.DENY),
        ("git status", Action.ALLOW),
        ("python build.py", Action.ALLOW),
        ("cp x ~/.ssh/", Action.ALLOW),
        ("sh run.sh", Action.ASK),
    ],
)
def test_documented_rules_do_what_the_page_says(script: str, effect: Action, tmp_path: Path) -> None:
    path = tmp_path / "hook.yaml"
    path.write_text(RULES)
    call = ToolCall("claude-code", "PreToolUse", "s1", tmp_path, "Bash", {"command": script})
    assert judge(read_rules(path), call, tmp_path, []).effect is effect


def test_documented_encoded_script_is_judged_unclear() -> None:
    assert read_script("echo cm0gLXJm | base64 -d | sh").unclear


def test_every_agent_has_protocol_settings_and_a_column() -> None:
    assert set(AGENTS) == PROTOCOLS.keys() == PLACES.keys()
    (head,) = re.findall(r"^\| \| (Claude Code .*)$", PAGE, re.M)
    assert [title in head for title in (one.title for one in PROTOCOLS.values())] == [True] * 4
