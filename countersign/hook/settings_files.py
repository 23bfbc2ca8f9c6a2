"""Settings of the coding agents: reading them, and writing the hook into them."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from countersign.domain.errors import InvalidInput
from countersign.whole_files import write_whole

TIMEOUT: Final = 3600
"""Seconds until an agent stops waiting for its hook. In most agents the call runs then, so the hook ends before."""
Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SettingsPlace:
    """The place where an agent reads its hooks, and the form of an entry."""

    user: str
    project: str
    event: str
    after: tuple[str, ...]
    """The events by which the agent says how a call ended."""
    entry: Callable[[str], Mapping[str, Any]]
    nested: bool = True
    """Whether an entry is inside a group with a matcher."""


def _command(command: str) -> Mapping[str, Any]:
    return {"type": "command", "command": command, "timeout": TIMEOUT}


PLACES: Final = {
    "claude-code": SettingsPlace(
        ".claude/settings.json",
        ".claude/settings.json",
        "PreToolUse",
        ("PostToolUse", "PostToolUseFailure"),
        lambda command: {**_command(command), "onFailure": "block"},
    ),
    "codex": SettingsPlace(".codex/hooks.json", ".codex/hooks.json", "PreToolUse", ("PostToolUse",), _command),
    "gemini": SettingsPlace(
        ".gemini/settings.json",
        ".gemini/settings.json",
        "BeforeTool",
        ("AfterTool",),
        lambda command: {"name": "countersign", **_command(command), "timeout": TIMEOUT * 1000},
    ),
    "copilot": SettingsPlace(
        ".copilot/hooks/countersign.json",
        ".github/hooks/countersign.json",
        "preToolUse",
        ("postToolUse", "postToolUseFailure"),
        lambda command: {"type": "command", "bash": command, "timeoutSec": TIMEOUT},
        nested=False,
    ),
}


def path_of(agent: str, *, project: bool) -> Path:
    """Return the file in which an agent reads its hooks."""
    place = PLACES[agent]
    return Path.cwd() / place.project if project else Path.home() / place.user


def hook_command(agent: str, rules: Path | None) -> str:
    """Return the command for the settings: whatever goes wrong, it blocks the call."""
    beside = Path(sys.executable).with_name("countersign")
    program = [str(beside)] if beside.exists() else [sys.executable, "-m", "countersign"]
    options = [] if rules is None else ["--rules", str(rules)]
    return f"{shlex.join([*program, 'hook', agent, *options])} || exit 2"


def read_settings(path: Path) -> Settings:
    """Read an agent's settings; {} if there is no file.

    InvalidInput if they are not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as wrong:
        raise InvalidInput(f"{path} can't be read: {wrong}. Nothing was changed.") from None
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as wrong:
        raise InvalidInput(f"{path} is not valid JSON ({wrong}). Mend it first; nothing was changed.") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} is not a JSON object. Nothing was changed.")
    return found


def with_hook(agent: str, settings: Settings, command: str) -> Settings:
    """Return the settings with the hook, and everything else as it was.

    An earlier hook of Countersign is replaced.
    """
    place = PLACES[agent]
    hooks = settings.get("hooks", {})
    commands = {place.event: command, **dict.fromkeys(place.after, f"{command.removesuffix('|| exit 2')}|| true")}
    if not isinstance(hooks, dict) or not all(isinstance(hooks.get(event, []), list) for event in commands):
        raise InvalidInput(f"The `hooks` of these settings have another form than {agent} reads. Nothing was changed.")
    with_ours = dict(hooks)
    for event, run in commands.items():
        entry = {name: value for name, value in place.entry(run).items() if event == place.event or name != "onFailure"}
        ours = {"matcher": "*", "hooks": [entry]} if place.nested else entry
        with_ours[event] = [*(group for group in map(_without_ours, hooks.get(event, [])) if group), ours]
    version = {} if place.nested else {"version": 1}
    return {**version, **settings, "hooks": with_ours}


def our_entry(agent: str, settings: Settings) -> Mapping[str, Any] | None:
    """Return the hook's entry in an agent's settings; None if there is none."""
    hooks = settings.get("hooks")
    groups = hooks.get(PLACES[agent].event, []) if isinstance(hooks, dict) else []
    for group in groups if isinstance(groups, list) else []:
        for entry in group.get("hooks", [group]) if isinstance(group, dict) else []:
            if isinstance(entry, dict) and _is_ours(entry):
                return entry
    return None


def command_in(entry: Mapping[str, Any]) -> str:
    """Return the command of an entry."""
    return str(entry.get("command", entry.get("bash", "")))


def seconds_in(agent: str, entry: Mapping[str, Any]) -> float:
    """Return an entry's timeout in seconds; 0 if it has none."""
    given = entry.get("timeoutSec", entry.get("timeout", 0))
    number = float(given) if isinstance(given, int | float) else 0.0
    return number / 1000 if agent == "gemini" else number


def _without_ours(group: Any) -> Any:
    if not isinstance(group, dict):
        return group
    if "hooks" not in group:
        return None if _is_ours(group) else group
    kept = [entry for entry in group["hooks"] if not (isinstance(entry, dict) and _is_ours(entry))]
    return {**group, "hooks": kept} if kept else None


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return "countersign" in command_in(entry) and " hook " in command_in(entry)


def written(settings: Settings) -> str:
    """Write settings as the agents write them."""
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all; a link stays a link, and its mode stays."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_whole(target, text.encode(), mode)
