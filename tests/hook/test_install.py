"""`countersign hook install`, `countersign hook doctor`, and the command that the settings call."""

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from countersign.hook import cli
from countersign.hook.settings_files import PLACES, hook_command, our_entry, read_settings, with_hook
from tests.processes import HERE

AGENTS = list(PLACES)
EVENT = {"claude-code": "PreToolUse", "codex": "PreToolUse", "gemini": "BeforeTool", "copilot": "preToolUse"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # nobody is there to agree
    return tmp_path


@pytest.mark.parametrize("agent", AGENTS)
def test_hook_install_shows_the_diff_and_asks_before_writing(
    agent: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / PLACES[agent].user
    assert cli.main(["install", agent]) == 1
    shown = capsys.readouterr().out
    assert "|| exit 2" in shown and f"+++ {path} (with the hook)" in shown and "+version: 1" in shown
    assert not path.exists() and not (home / ".config").exists()
    assert cli.main(["install", agent, "--yes"]) == 0
    entry = our_entry(agent, json.loads(path.read_text()))
    assert entry is not None and EVENT[agent] in json.loads(path.read_text())["hooks"]
    assert (home / ".config" / "countersign" / "hook.yaml").exists()
    written = path.read_text()
    assert cli.main(["install", agent, "--yes"]) == 0
    assert path.read_text() == written


def test_hook_install_keeps_other_settings(home: Path) -> None:
    """Other hooks, other settings, the file's mode, and a link to it; an earlier hook of ours is replaced."""
    others = {"matcher": "Bash", "hooks": [{"type": "command", "command": "lint"}]}
    earlier = {"matcher": "*", "hooks": [{"type": "command", "command": "/old/countersign hook claude-code"}]}
    settings: dict[str, Any] = {
        "model": "opus",
        "hooks": {"PreToolUse": [others, earlier], "Stop": [{"hooks": [{"type": "command", "command": "bell"}]}]},
    }
    real = home / "dotfiles" / "settings.json"
    real.parent.mkdir()
    real.write_text(json.dumps(settings))
    real.chmod(0o640)
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").symlink_to(real)
    assert cli.main(["install", "claude-code", "--yes"]) == 0
    now = json.loads(real.read_text())
    assert (now["model"], now["hooks"]["Stop"]) == ("opus", settings["hooks"]["Stop"])
    assert now["hooks"]["PreToolUse"][0] == others and len(now["hooks"]["PreToolUse"]) == 2
    assert now["hooks"]["PostToolUse"][0]["hooks"][0]["command"].endswith("|| true")
    assert "/old/" not in real.read_text() and real.stat().st_mode & 0o777 == 0o640
    assert (home / ".claude" / "settings.json").is_symlink()


@pytest.mark.parametrize("text", ["{", "[]", '{"hooks": []}', '{"hooks": {"PreToolUse": {}}}'])
def test_hook_install_leaves_unreadable_settings_unchanged(
    text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(text)
    assert cli.main(["install", "claude-code", "--yes"]) == 1
    assert "othing was changed" in capsys.readouterr().err
    assert path.read_text() == text


def test_hook_ends_before_every_agent_stops_waiting(home: Path) -> None:
    """A timeout lets the call run in most agents."""
    assert cli.main(["install", "gemini", "--yes"]) == 0
    entry = our_entry("gemini", read_settings(home / ".gemini" / "settings.json"))
    assert entry is not None and entry["timeout"] == 3_600_000


def fixes(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    status = cli.main(["doctor", *arguments])
    found = [line[5:] for line in capsys.readouterr().out.splitlines() if line.startswith("FIX")]
    assert status == (1 if found else 0)
    return found


async def test_hook_doctor_says_what_to_fix(
    home: Path, service_in_environment: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*arguments: str) -> list[str]:
        return await asyncio.to_thread(fixes, capsys, *arguments)

    (nothing,) = await found()
    assert "countersign hook install claude-code" in nothing
    cli.main(["install", "claude-code", "--yes"])
    assert await found() == []
    path = home / ".claude" / "settings.json"
    whole = path.read_text()
    for old, new, says in (
        (' || exit 2"', '"', "|| exit 2"),
        ('"block"', '"allow"', "onFailure"),
        ('"timeout": 3600', '"timeout": 60', "Set `wait`"),
        ('"hooks": {', '"disableAllHooks": true, "hooks": {', "disableAllHooks"),
        ('"command": "', '"command": "/gone', "can't be executed"),
        ('"hooks": {', '"other": {', "has no hook of Countersign"),
        ("{", "", "not valid JSON"),
    ):
        path.write_text(whole.replace(old, new, 1))
        (problem,) = await found("claude-code")
        assert says in problem
    path.write_text(whole)
    (home / ".config" / "countersign" / "hook.yaml").write_text("version: 3")
    assert "have problems" in (await found())[0]
    (home / ".config" / "countersign" / "hook.yaml").write_text("version: 1")
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_kwrongwrong_" + "x" * 43)
    assert "keys create" in (await found())[0]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    ("stdin", "more", "says"),
    [
        (b"", [], "got no message"),
        (b'{"tool_name": "Bash", "tool_inp', [], "not valid JSON"),
        (b"{}", ["--rules", "/absent"], "no arguments"),
        (b"{}", ["--unknown"], "unrecognized arguments"),
    ],
)
def test_failing_hook_blocks_with_a_sentence(agent: str, stdin: bytes, more: list[str], says: str) -> None:
    """At exit status 2 each agent blocks the call; standard output stays empty."""
    done = run_hook(agent, stdin, *more)
    assert (done.returncode, done.stdout, says in done.stderr.decode()) == (2, b"", True), done.stderr


def test_missing_package_blocks_with_a_sentence(home: Path) -> None:
    """An installation without the extra `hook`."""
    (home / "tree_sitter.py").write_text("raise ModuleNotFoundError(name='tree_sitter')")
    message = {"session_id": "s", "cwd": "/", "tool_name": "Bash", "tool_input": {"command": "ls"}}
    done = run_hook("claude-code", json.dumps(message).encode(), path=f"{home}:{HERE}")
    assert done.returncode == 2 and b"countersign-slack[hook]" in done.stderr
    command = [sys.executable, "-m", "countersign", "hook", "install", "claude-code", "--yes"]
    environment = {**os.environ, "PYTHONPATH": f"{home}:{HERE}"}
    installed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert installed.returncode == 1 and b"countersign-slack[hook]" in installed.stderr
    assert not (home / ".claude").exists()


def run_hook(agent: str, stdin: bytes, *more: str, path: str = str(HERE)) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "countersign", "hook", agent, *more]
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False)


def test_installed_hook_blocks_whatever_fails() -> None:
    """Python that cannot start, or a program that is gone, ends with another status: the shell makes it 2."""
    command = hook_command("claude-code", None).replace("countersign", "no-such-program")
    done = subprocess.run(["sh", "-c", command], input=b"{}", capture_output=True, check=False)
    assert done.returncode == 2


def test_each_agent_has_a_hook_of_its_own() -> None:
    settings = with_hook("codex", {}, "countersign hook codex || exit 2")
    assert our_entry("codex", settings) is not None
    assert our_entry("gemini", settings) is None
