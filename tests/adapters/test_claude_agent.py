"""Sessions of the Claude Agent SDK, with its real program, whose calls people decide."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.adapters.anthropic_server import ClaudeScript
from tests.adapters.framework_programs import HERE, Program, examples
from tests.adapters.stage import Bob, cards

PYTHON = HERE / ".frameworks" / "claude-agent" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs the Claude Agent SDK: `make frameworks` sets it up"),
]
PROMPT = "Remove the build folder."
PAY = "echo paid 45 >> done; [ -e 'in the call' ] && rm 'in the call' && sleep 10000; echo PAID"
(EXAMPLE,) = examples("adapters.md", "Claude Agent SDK")
LOOK_AT_ONCE = "from countersign.client import executions\nexecutions.LOOKS = 0\n"
Make = Callable[..., Program]


@pytest.fixture
async def claude() -> AsyncIterator[ClaudeScript]:
    script = ClaudeScript()
    application = web.Application(client_max_size=2**25)
    application.router.add_post("/v1/messages", script.messages)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    script.url = site.name
    yield script
    await runner.cleanup()


@pytest.fixture
async def make(claude: ClaudeScript, tmp_path: Path) -> AsyncIterator[Make]:
    """Make a program of the documentation's example, in its own environment and home."""
    made: list[Program] = []

    def program(code: str = EXAMPLE) -> Program:
        env = {
            **os.environ,
            **{"ANTHROPIC_BASE_URL": claude.url, "ANTHROPIC_API_KEY": "sk-ant-local", "HOME": str(tmp_path)},
            **{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
        }
        made.append(Program(tmp_path, LOOK_AT_ONCE + code, "", env, PYTHON))
        made[-1].env["PYTHONPATH"] = str(HERE)
        return made[-1]

    yield program
    for one in made:
        if one.running:
            await one.kill()


def test_documented_example_is_short() -> None:
    assert len([line for line in EXAMPLE.splitlines() if line]) <= 20


@pytest.mark.parametrize(
    ("button", "window", "done", "reads"),
    [
        ("Approve", None, ["paid 45"], "PAID"),
        ("Reject", {"reason": "too much"}, [], "too much"),
        ("Edit", {"Command": "echo paid 40 >> done; echo LESS", "why": "the fee"}, ["paid 40"], "LESS"),
    ],
)
async def test_call_runs_only_as_decided(
    slack: LocalSlack, bob: Bob, claude: ClaudeScript, make: Make, button: str, window: Any, done: list[str], reads: str
) -> None:
    """R13, R16, R19: although the example's `allowed_tools` lets the tool pass."""
    claude.plays(PROMPT, ("Bash", {"command": PAY, "description": "Pay"}))
    program = await make().start()
    card = await bob.card("echo paid 45")
    assert str(program.folder) in text_of(card)
    await bob.presses("echo paid 45", button, window)
    assert reads in await program.ended()
    assert (program.done(), cards(slack)) == (done, 1)


async def test_expired_call_does_not_run(bob: Bob, claude: ClaudeScript, make: Make) -> None:
    """R17, R20."""
    claude.plays(PROMPT, ("Bash", {"command": PAY}))
    program = await make().start()
    await bob.card("echo paid 45")
    await bob.lets_time_run_out()
    assert "NOBODY ANSWERED" in await program.ended()
    assert program.done() == []


async def test_policy_refuses_a_call(slack: LocalSlack, store: Store, claude: ClaudeScript, make: Make) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="Bash", why="Use the till."),)))
    claude.plays(PROMPT, ("Bash", {"command": PAY}))
    program = await make().start()
    assert "Use the till." in await program.ended()
    assert (program.done(), cards(slack)) == ([], 0)


async def test_refused_key_blocks_every_call(bob: Bob, claude: ClaudeScript, make: Make) -> None:
    """A hook that fails lets nothing pass."""
    await bob.loses_its_key()
    claude.plays(PROMPT, ("Bash", {"command": PAY}))
    program = await make().start()
    await program.wait()
    assert program.done() == []


async def test_calls_of_a_sub_agent_ask_people(bob: Bob, claude: ClaudeScript, make: Make) -> None:
    """R19."""
    task = {"description": "pay", "prompt": "Pay 45 EUR.", "subagent_type": "general-purpose"}
    claude.plays("Pay 45 EUR.", ("Bash", {"command": PAY}))
    claude.plays(PROMPT, ("Agent", {**task, "run_in_background": False}))
    program = await make().start()
    assert "general-purpose" in text_of(await bob.card("echo paid 45"))
    await bob.presses("echo paid 45", "Reject", {"reason": "too much"})
    await program.wait()
    assert program.done() == []


async def test_killed_program_finds_its_card(slack: LocalSlack, bob: Bob, claude: ClaudeScript, make: Make) -> None:
    """R8: under the run's name, though the session and the ids are others."""
    claude.plays(PROMPT, ("Bash", {"command": PAY}))
    program = await make().start()
    await bob.card("echo paid 45")
    await program.kill()
    await bob.presses("echo paid 45", "Approve")
    await program.start()
    assert "PAID" in await program.ended()
    await program.start()
    assert "Done before: PAID" in await program.ended()
    assert (program.done(), cards(slack)) == (["paid 45"], 1)


@pytest.mark.parametrize(
    ("answer", "done"), [("1. It was done", 1), ("2. It wasn't done: run it now", 2)], ids=["done", "again"]
)
async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, claude: ClaudeScript, make: Make, answer: str, done: int
) -> None:
    """R8, R10: killed in the call."""
    claude.plays(PROMPT, ("Bash", {"command": PAY}))
    program = make()
    program.stops("in the call")
    await program.start()
    await bob.presses("echo paid 45", "Approve")
    await program.stopped("in the call")
    await program.kill()
    await program.start()
    await bob.presses("” happen?", "Choose", {"options": answer})
    await program.ended()
    assert (program.done(), cards(slack)) == (["paid 45"] * done, 2)
