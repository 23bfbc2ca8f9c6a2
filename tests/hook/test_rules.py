"""Rules of the hook: which fits what, and which counts."""

from pathlib import Path

import pytest

from countersign.domain.actions import Action
from countersign.domain.errors import InvalidInput
from countersign.hook.rules import HookRules, HookVerdict, judge, read_rules
from countersign.hook.tool_calls import ToolCall

HERE = Path("/srv/shop")


def judged(rules: str, tool: str, arguments: dict[str, str], tmp_path: Path) -> HookVerdict:
    path = tmp_path / "rules.yaml"
    path.write_text(f"version: 1\n{rules}")
    call = ToolCall("claude-code", "PreToolUse", "s1", HERE, tool, arguments)
    return judge(read_rules(path), call, HERE, [HERE / ".claude" / "settings.json"])


def of_script(rules: str, script: str, tmp_path: Path) -> Action:
    return judged(rules, "Bash", {"command": script}, tmp_path).effect


ASK = "otherwise: allow\nrules: [{command: %s, then: ask}]"
PASS = "otherwise: ask\nrules: [{command: %s, then: allow}]"


@pytest.mark.parametrize(
    ("pattern", "script", "asks"),
    [
        ("rm -r", "rm -rf x", True),
        ("rm -r", "rm -fr x", True),
        ("rm -r", "rm x -f -R", True),
        ("rm -r", "rm --recursive x", True),
        ("rm -r", "/bin/rm -r x", True),
        ("rm -r", 'rm "$options" x', True),
        ("rm -r", "rm x", False),
        ("rm -r", "grep -rn 'rm -r' docs", False),
        ("git push", "git -C /x push", True),
        ("git push", "git -c a=b push origin", True),
        ("git push", "git log push-notes", False),
        ("git push --force", "git push -f", True),
        ("git push --force", "git push --force-with-lease", False),
        ("git push --force", "git push --forc", True),
        ("git push --force", "git push --force=yes", True),
        ("terraform", "cd infra && AWS_PROFILE=p terraform plan", True),
        ("ansible*", "ansible-playbook site.yml", True),
        ("kubectl delete", "kubectl get pods", False),
    ],
)
def test_asking_rule_matches_every_spelling(pattern: str, script: str, asks: bool, tmp_path: Path) -> None:
    assert (of_script(ASK % pattern, script, tmp_path) is Action.ASK) is asks


@pytest.mark.parametrize(
    ("pattern", "script", "passes"),
    [
        ("git status", "git status --short", True),
        ("git status", "git -c core.pager=x status", False),
        ("git status", "./git status", False),
        ("git status", "git status && make", False),
        ("git status", "git status; $x", False),
        ("git status", "PATH=. git status", False),
        ("git status", "sudo git status", False),
        ("git status", "git statusx", False),
        ("git status", "echo git status", False),
    ],
)
def test_allowing_rule_matches_narrowly(pattern: str, script: str, passes: bool, tmp_path: Path) -> None:
    assert (of_script(PASS % pattern, script, tmp_path) is Action.ALLOW) is passes


@pytest.mark.parametrize("script", ["git push && shutdown", "shutdown || git push", "echo $(shutdown) | git push"])
def test_strictest_rule_of_all_commands_counts(script: str, tmp_path: Path) -> None:
    rules = "rules: [{command: git push, then: ask}, {command: shutdown, then: deny}, {command: '*', then: allow}]"
    assert of_script(rules, script, tmp_path) is Action.DENY


def test_rule_for_the_tool_covers_commands_without_a_rule(tmp_path: Path) -> None:
    rules = "otherwise: ask\nrules: [{tool: Bash, then: allow}, {command: git push, then: deny}]"
    assert of_script(rules, "make", tmp_path) is Action.ALLOW
    assert of_script(rules, "make && git push", tmp_path) is Action.DENY
    assert of_script(rules, "make; $x", tmp_path) is Action.ASK


def test_starter_rules_ask_rarely(tmp_path: Path) -> None:
    """Ordinary work passes, and work that others notice asks."""
    rules = read_rules(None)

    def effect(script: str) -> Action:
        call = ToolCall("claude-code", "PreToolUse", "s1", HERE, "Bash", {"command": script})
        return judge(rules, call, HERE, []).effect

    ordinary = ("git status", "git commit -am x", "pytest -q | tail -5", "npm test", "rm build.log", "make > out.txt")
    notable = ("git push", "npm publish", "rm -rf src", "sudo ls", "kubectl apply -f x", "curl x", "echo x > ~/.zshrc")
    assert [script for script in ordinary if effect(script) is not Action.ALLOW] == []
    assert [script for script in notable if effect(script) is not Action.ASK] == []


def test_guarded_files_always_ask(tmp_path: Path) -> None:
    """An agent cannot switch its own gate off without being asked about."""
    loose = "otherwise: allow\nunclear: allow\nrules: []"
    for tool, arguments in (
        ("Write", {"file_path": ".claude/settings.json", "content": "{}"}),
        ("Bash", {"command": "rm .claude/settings.json"}),
        ("Bash", {"command": "echo {} > /srv/shop/.claude/../.claude/settings.json"}),
    ):
        assert judged(loose, tool, arguments, tmp_path).effect is Action.ASK, tool


@pytest.mark.parametrize(
    ("tool", "arguments", "asks"),
    [
        ("write_file", {"file_path": "/etc/hosts", "content": ""}, True),
        ("replace", {"file_path": "a.py", "old_string": "a", "new_string": "b"}, False),
        ("create", {"path": "/srv/shop/a.py", "file_text": ""}, False),
        ("create", {"path": "../a.py", "file_text": ""}, True),
        ("apply_patch", {"command": "*** Begin Patch\n*** Update File: a.py\n*** End Patch"}, False),
        ("apply_patch", {"command": "*** Begin Patch\n*** Update File: a.py\n*** Move to: /x/a.py\n"}, True),
        ("apply_patch", {"command": "no patch"}, True),
        ("web_fetch", {"prompt": "x"}, True),
        ("mcp__github__create_issue", {}, True),
        ("mcp__docs__search", {}, False),
    ],
)
def test_tools_of_every_agent_are_known(tool: str, arguments: dict[str, str], asks: bool, tmp_path: Path) -> None:
    rules = (
        "otherwise: allow\nrules: [{write: outside repository, then: ask}, {network: true, then: ask},"
        " {tool: mcp__github__*, then: ask}]"
    )
    assert (judged(rules, tool, arguments, tmp_path).effect is Action.ASK) is asks


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 2", "version"),
        ("version: 1\nrules: [{then: ask}]", "needs one of tool, command, write and network"),
        ("version: 1\nrules: [{tool: x, then: maybe}]", "then"),
        ("version: 1\nrules: [{tool: x}]", "then"),
        ("version: 1\nwait: soon", "write a time like 30s"),
        ('version: 1\nrules: [{command: "rm \'", then: ask}]', "can't be read"),
        ("version: 1\nchanel: x", "chanel"),
        ("a: [", "not YAML"),
        ("", "valid"),
    ],
)
def test_problems_of_the_rules_are_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=says):
        read_rules(path)


def test_hook_rules_without_otherwise_ask() -> None:
    assert HookRules(version=1).otherwise is Action.ASK


@pytest.mark.parametrize(
    "script",
    [
        "cd .claude && echo {} > settings.json",
        "echo x > .claude/settings.jso?",
        "cp /tmp/settings.json .claude/",
        "cd / && echo x > srv/shop/.claude/settings.json",
    ],
)
def test_guarded_files_ask_by_any_command(script: str, tmp_path: Path) -> None:
    """R28: a change to them takes the hook away."""
    assert of_script("otherwise: allow\nrules: []", script, tmp_path) is Action.ASK


def test_writes_outside_the_repository_ask_without_a_rule(tmp_path: Path) -> None:
    assert of_script(PASS % "echo", "echo x > ~/.bashrc", tmp_path) is Action.ASK


def test_permission_for_a_wrapper_covers_one_command(tmp_path: Path) -> None:
    """A permission for `timeout` with any values would cover everything that it can run."""
    assert judged(ASK % "rm", "Bash", {"command": "timeout 60 rm x"}, tmp_path).exact
