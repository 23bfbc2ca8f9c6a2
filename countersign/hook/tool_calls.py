"""Calls of tools as coding agents announce them, and the effects of the tools."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from countersign.domain.errors import CountersignError


class Deed(StrEnum):
    """The effect of a tool, as far as its name says."""

    SHELL = "shell"
    WRITE = "write"
    NETWORK = "network"
    OTHER = "other"


DEEDS: Final[dict[str, Deed]] = {
    **dict.fromkeys(("Bash", "bash", "shell", "powershell", "run_shell_command", "run_in_terminal"), Deed.SHELL),
    **dict.fromkeys(("exec_command", "local_shell", "Monitor", "PowerShell"), Deed.SHELL),
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit", "write_file", "replace", "create"), Deed.WRITE),
    **dict.fromkeys(("edit", "str_replace_editor", "apply_patch"), Deed.WRITE),
    **dict.fromkeys(("WebFetch", "WebSearch", "web_fetch", "web_search", "google_web_search"), Deed.NETWORK),
}
"""The tools of Claude Code, Codex, Gemini CLI and Copilot that do more than read; tools of MCP servers are `other`."""
_PATHS: Final = ("file_path", "path", "notebook_path", "absolute_path")
_PATCHED: Final = re.compile(r"^\s*\*\*\* (?:(?:Add|Update|Delete) File|Move to): (.+?)\s*$", re.MULTILINE)
_AFTER: Final = frozenset({"PostToolUse", "PostToolUseFailure", "AfterTool"})
LARGEST: Final = 32 * 2**20
"""Bytes of a message that is read at all."""


class UnreadableCall(CountersignError):
    """A message without a readable call of a tool; nothing may run."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, before it is made."""

    agent: str
    event: str
    session: str
    folder: Path
    tool: str
    arguments: Mapping[str, Any]

    @property
    def deed(self) -> Deed:
        """The effect of the tool."""
        return DEEDS.get(self.tool, Deed.OTHER)

    @property
    def script(self) -> str | None:
        """The script that runs, or None for any other tool."""
        return str(self.arguments["command"]) if self.deed is Deed.SHELL else None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the tool writes."""
        if self.deed is not Deed.WRITE:
            return ()
        named = [value for name in _PATHS if isinstance(value := self.arguments.get(name), str)]
        patch = [value for name in ("command", "input", "patch") if isinstance(value := self.arguments.get(name), str)]
        return (*named, *(path for text in patch for path in _PATCHED.findall(text)))


def read_message(data: bytes) -> dict[str, Any]:
    """Read the JSON object that an agent writes to its hook."""
    if len(data) > LARGEST:
        raise UnreadableCall(f"The message has more than {LARGEST // 2**20} MiB. Nobody was asked.")
    if not data.strip():
        raise UnreadableCall("The hook got no message. It belongs into the settings of a coding agent.")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableCall("The hook got a message that is not valid JSON, or only a part of one.") from None
    if not isinstance(message, dict):
        raise UnreadableCall("The hook got JSON that is not an object.")
    return message


def read_call(agent: str, message: Mapping[str, Any]) -> ToolCall:
    """Read a call in either spelling.

    `tool_name` and `tool_input`, or Copilot's `toolName` and `toolArgs`. UnreadableCall if something is missing.
    """

    def text(*names: str) -> str:
        for name in names:
            if isinstance(value := message.get(name), str) and value:
                return value
        raise UnreadableCall(f"The message has no {names[0]}, so it is not known what would run.")

    arguments = message.get("tool_input", message.get("toolArgs"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    if not isinstance(arguments, Mapping):
        raise UnreadableCall("The message has no arguments of the tool, so it is not known what would run.")
    event, inside = message.get("hook_event_name"), arguments.get("dir_path")
    call = ToolCall(
        agent,
        event if isinstance(event, str) else "",
        text("session_id", "sessionId"),
        Path(text("cwd"), *([inside] if isinstance(inside, str) else [])),  # there Gemini CLI runs the command
        text("tool_name", "toolName"),
        dict(arguments),
    )
    if call.deed is Deed.SHELL and not isinstance(call.arguments.get("command"), str):
        raise UnreadableCall(f"The call of {call.tool} has no command, so it is not known what would run.")
    return call


def is_result(message: Mapping[str, Any]) -> bool:
    """Tell whether the message says how a call ended, and asks for nothing."""
    return (
        message.get("hook_event_name") in _AFTER
        or "toolResult" in message
        or ("error" in message and "toolArgs" in message)
    )


def resolved(path: str, folder: Path) -> Path:
    """Return the path that a tool would write, links followed."""
    return Path(os.path.realpath(folder / Path(path).expanduser()))
