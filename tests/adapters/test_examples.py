"""docs/adapters.md: its programs run, are killed, and run again, with the real frameworks."""

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from demo import scripted_model
from localslack import LocalSlack
from tests.adapters.framework_programs import examples
from tests.adapters.stage import Bob, Script, cards

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[2]
PAGE = (HERE / "docs" / "adapters.md").read_text()
PROGRAMS = {
    name: re.findall(r"```python\n(.*?)```", text, re.S)[0]
    for name, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    if "```python" in text
}
AGENT, WORKFLOW = examples("adapters.md", "Microsoft Agent Framework")
EXAMPLES = {**PROGRAMS, "Microsoft Agent Framework": AGENT, "workflow": WORKFLOW}
REFUND = ("refund", {"order": 17, "euros": 45.0})


@pytest.mark.parametrize(
    ("name", "asks", "prints"),
    [
        ("AG2's classic agents", "Refund:", "PAID 45.00"),
        ("AG2's new agents", "Refund:", "PAID 45.00"),
        ("LangChain and LangGraph", "Refund:", "PAID 45.00"),
        ("pydantic-ai", "Refund:", "PAID 45.00"),
        ("Microsoft Agent Framework", "Refund:", "45.00 EUR were paid back."),
        ("workflow", "Deploy 2.1?", "Deployed."),
    ],
)
async def test_documented_example_runs_with_the_demo_model(
    slack: LocalSlack, bob: Bob, tmp_path: Path, name: str, asks: str, prints: str
) -> None:
    """As it stands on the page."""
    async with scripted_model.served("127.0.0.1", 0) as model:
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-uc", EXAMPLES[name]),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HERE), "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "demo"},
            stdout=PIPE,
        )
        await bob.presses(asks, "Approve")
        if "classic" in name:  # its human is asked after every message, until the model ends the conversation
            await bob.presses("The tool said", "Approve")
            await bob.presses("End the conversation?", "Approve")
        words, _ = await running.communicate()
    assert (running.returncode, prints in words.decode()) == (0, True)


@pytest.mark.parametrize("name", ["AG2's classic agents", "AG2's new agents", "LangChain and LangGraph", "pydantic-ai"])
async def test_twice_killed_program_has_one_card_and_acts_once(
    slack: LocalSlack, bob: Bob, script: Script, tmp_path: Path, name: str
) -> None:
    """R1, R8: killed while people are asked, and after the decision when the action was done."""
    program = PROGRAMS[name]
    assert len(program.splitlines()) <= 20
    script.plays("gpt-5-mini", REFUND, "All is done.")
    script.stops_before(1)
    paid: list[str] = []
    environment = {**os.environ, "PYTHONPATH": str(HERE)}

    async def begun() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-uc", program), cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE
        )

    async def ended(running: asyncio.subprocess.Process) -> None:
        words, _ = await running.communicate()
        paid.extend(re.findall(r"PAID .*", words.decode()))

    first = await begun()
    await bob.card("Refund:")
    first.kill()
    await ended(first)
    second = await begun()
    await bob.presses("Refund:", "Approve")
    await script.stopped.wait()
    second.kill()
    await ended(second)
    script.goes_on()
    third = await begun()
    if "autogen" in program:  # its human is asked after every message
        await bob.presses("All is done.", "Reject", {"reason": "thanks"})
    await ended(third)
    assert third.returncode == 0
    assert paid == ["PAID 45.00"]
    assert cards(slack) == 1 + ("autogen" in program)


async def test_graph_left_waiting_continues_on_another_machine(
    slack: LocalSlack, bob: Bob, script: Script, tmp_path: Path
) -> None:
    """R8: from a checkpointer and a folder that both machines reach, and nothing runs before people decided."""
    program = PROGRAMS["LangChain and LangGraph"].replace('{"refund"}', '{"refund"}, leave="../runs"')
    program = program.replace("agent.db", "../agent.db")
    script.plays("gpt-5-mini", REFUND, "All is done.")
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()

    async def begun(where: str, *command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            cwd=tmp_path / where,
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdout=PIPE,
            stderr=STDOUT,
        )

    why, _ = await (first := await begun("here", "-uc", program)).communicate()
    assert (first.returncode, "Stopped to wait for people." in why.decode()) == (1, True)
    shutil.rmtree(tmp_path / "here")
    nothing, _ = await (await begun("elsewhere", "-m", "countersign", "resume", "empty")).communicate()
    assert "No run in empty is waiting for people." in nothing.decode()
    resuming = await begun("elsewhere", "-m", "countersign", "resume", "../runs")
    await bob.presses("Refund:", "Approve")
    words, _ = await resuming.communicate()
    assert (resuming.returncode, re.findall("PAID .*", words.decode())) == (0, ["PAID 45.00"]), words.decode()
    assert "All is done." in words.decode()
    assert cards(slack) == 1
