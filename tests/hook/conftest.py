"""The real service, a repository, and messages of coding agents to their hook."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from countersign.hook.gate import answer
from countersign.hook.protocols import PROTOCOLS
from tests.api.conftest import bob, bot, interface, program, service_in_environment, token, url
from tests.longest_wait import PATIENCE

__all__ = ["bob", "bot", "interface", "program", "service_in_environment", "token", "url"]

RULES = """\
version: 1
channel: "#general"
service_timeout: 10m
otherwise: allow
rules:
  - {name: pushes, command: [git push, rm -r], then: ask, why: it leaves this machine}
  - {name: network, network: true, then: ask}
  - {name: elsewhere, write: outside repository, then: ask}
  - {name: never, command: shutdown, then: deny, why: People use this machine}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a branch and a remote; the account's own files are elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/sale\n")
    (folder / ".git" / "config").write_text('[remote "origin"]\n\turl = git@github.com:acme/shop.git\n')
    return folder


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "hook.yaml"
    path.write_text(RULES)
    return path


@dataclass(frozen=True)
class Agent:
    """A coding agent: what it sends to its hook, and what it gets."""

    name: str
    folder: Path
    rules: Path

    def message(self, tool: str, arguments: object, session: str = "s1") -> dict[str, Any]:
        if self.name == "copilot":
            return {
                "sessionId": session,
                "timestamp": 1,
                "cwd": str(self.folder),
                "toolName": tool,
                "toolArgs": arguments,
            }
        event = "BeforeTool" if self.name == "gemini" else "PreToolUse"
        return {
            "session_id": session,
            "cwd": str(self.folder),
            "hook_event_name": event,
            "tool_name": tool,
            "tool_input": arguments,
        }

    async def wants(
        self, tool: str, arguments: object, *, wait: float = PATIENCE, session: str = "s1"
    ) -> dict[str, Any]:
        """What the hook prints, read; {} if it prints nothing."""
        data = json.dumps(self.message(tool, arguments, session)).encode()
        printed = await answer(PROTOCOLS[self.name], data, self.rules, wait)
        read: dict[str, Any] = json.loads(printed or "{}")
        return read

    def asks(self, tool: str, arguments: object, **more: Any) -> "asyncio.Task[dict[str, Any]]":
        return asyncio.create_task(self.wants(tool, arguments, **more))


@pytest.fixture
def claude(repository: Path, rules: Path, service_in_environment: None) -> Agent:
    return Agent("claude-code", repository, rules)


def decision(answered: dict[str, Any]) -> tuple[str, str]:
    """The decision and its reason, of Claude Code's answer."""
    output = answered["hookSpecificOutput"]
    return output["permissionDecision"], output["permissionDecisionReason"]


@pytest.fixture
async def unused_tcp_service() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    over = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()
