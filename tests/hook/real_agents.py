"""Real coding agents as processes, with the hook as it is installed and a home of their own."""

import asyncio
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.hook.conftest import RULES
from tests.processes import HERE, Process

ARGUMENTS = {
    "claude-code": ("-p", "Publish it.", "--output-format", "text"),
    "codex": (
        *("exec", "--skip-git-repo-check", "--dangerously-bypass-hook-trust"),
        *("--dangerously-bypass-approvals-and-sandbox", "Publish it."),
    ),
    "gemini": ("-m", "gemini-2.5-pro", "--approval-mode", "yolo", "-p", "Publish it."),
}
"""Codex and Gemini CLI without permissions of their own: the hook alone decides."""


def program_of(agent: str) -> str | None:
    """Find the agent: as the environment names it (`CLAUDE_CODE`), on the PATH, or in the package claude-agent-sdk."""
    named = os.environ.get(agent.upper().replace("-", "_")) or shutil.which(agent.removesuffix("-code"))
    spec = find_spec("claude_agent_sdk") if agent == "claude-code" and not named else None
    bundled = spec and spec.origin and Path(spec.origin).parent / "_bundled" / "claude"
    return named or (str(bundled) if bundled and bundled.exists() else None)


class Session(Process):
    """One run of an agent."""

    def __init__(self, agent: str, folder: Path, env: dict[str, str]) -> None:
        super().__init__(agent, env)
        self.folder = folder

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(str(program_of(self.module)), *ARGUMENTS[self.module]),
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


class Stage:
    """A home with the installed hook, and a repository."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.home, self.repository = folder, folder / "shop"
        (self.repository / ".git").mkdir(parents=True)
        (self.repository / ".git" / "HEAD").write_text("ref: refs/heads/sale\n")
        self.rules = folder / "hook.yaml"
        self.rules.write_text(RULES)
        self.env = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE),
            "COUNTERSIGN_URL": url,
            "COUNTERSIGN_KEY": token,
        }

    async def install(self, agent: str) -> None:
        """Run `countersign hook install … --yes`."""
        command = (sys.executable, "-m", "countersign", "hook", "install", agent, "--yes", "--rules", str(self.rules))
        running = await asyncio.create_subprocess_exec(
            *command, env=self.env, cwd=self.repository, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await running.communicate()
        assert running.returncode == 0, out

    async def session(self, agent: str, **env: str) -> Session:
        """Start the agent."""
        session = Session(agent, self.repository, {**self.env, **env})
        await session.start()
        return session
