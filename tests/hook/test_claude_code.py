"""The real Claude Code with the hook as it is installed, and a model that plays a script."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards
from tests.free_ports import free_port
from tests.hook.anthropic_server import AnthropicScript, Line, playing
from tests.hook.conftest import RULES
from tests.hook.real_agents import Session, Stage, program_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        program_of("claude-code") is None, reason="needs Claude Code: npm i -g @anthropic-ai/claude-code"
    ),
]
PUSHED = ("Bash", {"command": "mkdir out && git push 2> out/log", "description": "Push"})
DONE = "All is done."


@pytest.fixture
async def stage(url: str, token: str, tmp_path: Path) -> Stage:
    made = Stage(tmp_path, url, token)
    await made.install("claude-code")
    return made


@pytest.fixture
async def model() -> AsyncIterator[AnthropicScript]:
    lines: tuple[Line, ...] = (PUSHED, DONE)
    async with playing(AnthropicScript(*lines)) as script:
        yield script


async def started(stage: Stage, model: AnthropicScript) -> Session:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    return await stage.session("claude-code", ANTHROPIC_API_KEY="sk-local", ANTHROPIC_BASE_URL=model.url, **quiet)


async def test_claude_code_runs_approved_commands(
    stage: Stage, model: AnthropicScript, bob: Bob, slack: LocalSlack
) -> None:
    """Its own permissions would have refused the command without a person at the terminal."""
    session = await started(stage, model)
    shown = text_of(await bob.card("git push"))
    assert "branch sale" in shown and "mkdir out" in shown
    await bob.presses("git push", "Approve")
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "out" / "log").exists(), model.results
    await slack.wait_message("#approvals", lambda m: "claude-code reports" in str(m.blocks))


async def test_claude_code_runs_the_edited_command(stage: Stage, model: AnthropicScript, bob: Bob) -> None:
    """`updatedInput`."""
    session = await started(stage, model)
    await bob.presses("git push", "Edit", {"field_0": "mkdir other"})
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "other").is_dir() and not (stage.repository / "out").exists()


async def test_claude_code_tells_its_model_why_not(stage: Stage, model: AnthropicScript, bob: Bob) -> None:
    session = await started(stage, model)
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
    session = await started(stage, model)
    assert await session.wait() == 0, session.lines
    assert "countersign" in model.results[-1].lower() and not (stage.repository / "out").exists()
    assert cards(slack) == 0
