"""The real Claude Code with the hook as it is installed, and a model that plays a script."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards
from tests.free_ports import free_port
from tests.hook.anthropic_server import AnthropicScript, Line, playing
from tests.hook.conftest import RULES
from tests.processes import HERE, Process


def claude_code() -> str | None:
    """The program: as `CLAUDE_CODE` names it, on the PATH, or in the package claude-agent-sdk."""
    named = os.environ.get("CLAUDE_CODE") or shutil.which("claude")
    spec = None if named else find_spec("claude_agent_sdk")
    bundled = spec and spec.origin and Path(spec.origin).parent / "_bundled" / "claude"
    return named or (str(bundled) if bundled and bundled.exists() else None)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(claude_code() is None, reason="needs Claude Code: npm i -g @anthropic-ai/claude-code"),
]
PUSHED = ("Bash", {"command": "mkdir out && git push 2> out/log", "description": "Push"})
DONE = "All is done."


class Session(Process):
    """One run of `claude -p` in a repository, with a home of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__("claude", env)
        self.folder = folder

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(str(claude_code()), "-p", "Publish it.", "--output-format", "text"),
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


class Stage:
    """A home with the installed hook, a repository, and a model."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.repository = folder / "shop"
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
            "ANTHROPIC_API_KEY": "sk-local",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    async def install(self) -> None:
        """Run `countersign hook install claude-code --yes`."""
        command = (sys.executable, "-m", "countersign", "hook", "install", "claude-code", "--yes", "--rules")
        running = await asyncio.create_subprocess_exec(
            *command, str(self.rules), env=self.env, cwd=self.repository, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await running.communicate()
        assert running.returncode == 0, out

    async def session(self, model: AnthropicScript) -> Session:
        session = Session(self.repository, {**self.env, "ANTHROPIC_BASE_URL": model.url})
        await session.start()
        return session


@pytest.fixture
async def stage(url: str, token: str, tmp_path: Path) -> Stage:
    made = Stage(tmp_path, url, token)
    await made.install()
    return made


@pytest.fixture
async def model() -> AsyncIterator[AnthropicScript]:
    lines: tuple[Line, ...] = (PUSHED, DONE)
    async with playing(AnthropicScript(*lines)) as script:
        yield script


async def test_claude_code_runs_what_people_approved(stage: Stage, model: AnthropicScript, bob: Bob) -> None:
    """Its own permissions would have refused the command without a person at the terminal."""
    session = await stage.session(model)
    shown = text_of(await bob.card("git push"))
    assert "branch sale" in shown and "mkdir out" in shown
    await bob.presses("git push", "Approve")
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "out" / "log").exists(), model.results


async def test_claude_code_runs_the_changed_command(stage: Stage, model: AnthropicScript, bob: Bob) -> None:
    """`updatedInput`."""
    session = await stage.session(model)
    await bob.presses("git push", "Edit", {"field_0": "mkdir other"})
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "other").is_dir() and not (stage.repository / "out").exists()


async def test_claude_code_tells_its_model_why_not(stage: Stage, model: AnthropicScript, bob: Bob) -> None:
    session = await stage.session(model)
    await bob.presses("git push", "Reject", {"reason": "We are in a freeze."})
    assert await session.wait() == 0, session.lines
    assert "We are in a freeze." in model.results[-1]
    assert not (stage.repository / "out").exists()


@pytest.mark.parametrize("broken", ["service", "rules", "program"])
async def test_claude_code_runs_nothing_if_the_hook_fails(
    stage: Stage, model: AnthropicScript, slack: LocalSlack, broken: str
) -> None:
    """Fails closed: the service is away, the rules are broken, Countersign is gone."""
    if broken == "service":
        stage.env["COUNTERSIGN_URL"] = f"http://127.0.0.1:{free_port()}"
        stage.rules.write_text(RULES.replace("10m", "2s"))
    elif broken == "rules":
        stage.rules.write_text("version: 2\n")
    else:
        settings = stage.repository.parent / ".claude" / "settings.json"
        settings.write_text(settings.read_text().replace("countersign", "countersign-gone"))
    session = await stage.session(model)
    assert await session.wait() == 0, session.lines
    assert "countersign" in model.results[-1].lower() and not (stage.repository / "out").exists()
    assert cards(slack) == 0
