"""The state of a team that keeps its own: what the worker keeps, and what comes back."""

import asyncio
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from agent_framework import Agent, tool

from agents import registry
from countersign.domain import runs
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.agent_framework.team import AgentTeam
from countersign.frameworks.autogen import running_team
from countersign.frameworks.autogen.team import Teams
from countersign.teams import Run, Team
from tests.adapters.framework_programs import STOPS, examples
from tests.adapters.test_agent_framework import MODELS
from tests.autogen.harness import House
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
TEAMS = registry.find(Path(__file__).parent / "teams")


@pytest.fixture(autouse=True)
def at_once(house: House) -> None:
    house.park_after = timedelta(0)


async def advanced(house: House, found: Teams = TEAMS) -> runs.Run:
    """The run after a worker of its own has taken it as far as it goes."""
    async with house.worker(found=found) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    return await house.run()


async def test_equal_successive_questions_are_two_requests(house: House) -> None:
    """R4: each worker begins with the state of the one before, and takes no decision for another's."""
    await house.start(team="refunds_af", task="two in a row", found=TEAMS)
    asked = None
    for _ in range(2):
        assert (await advanced(house)).status is Status.PARKED
        asked = await house.asked(not_this=asked)
        await house.decide(asked, Verb.APPROVE)
    assert (await advanced(house)).status is Status.FINISHED
    assert (house.folder / "paid").read_text().splitlines() == ["17 45.0"] * 2
    assert (house.folder / "asked").read_text().splitlines() == ["0", "1", "2"]


async def test_repeated_question_gets_its_own_answer(house: House) -> None:
    """R4: also in another worker, which has not seen the first one."""
    await house.start(team="refunds_af", task="twice", found=TEAMS)
    asked = None
    for choice in ("eu", "us"):
        assert (await advanced(house)).status is Status.PARKED
        asked = await house.asked(not_this=asked)
        await house.decide(asked, Verb.CHOOSE, chosen=(choice,))
    run = await advanced(house)
    assert run.status is Status.FINISHED
    assert run.words.index("eu") < run.words.index("us")


async def test_documented_team_example_runs(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = examples("adapters.md", "Teams in the worker")
    assert len([line for line in code.splitlines() if line]) <= 20
    with_script = code.replace('OpenAIChatClient("gpt-5-mini")', "client").replace(
        "from agent_framework.openai import OpenAIChatClient", "from my_models import client"
    )
    (tmp_path / "refunds.py").write_text(with_script)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "my_models.py").write_text(STOPS + MODELS)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    found = registry.find(tmp_path)
    await house.start(team="refunds", task="Refund order 17: 45 euros.", found=found)
    assert (await advanced(house, found)).status is Status.PARKED
    await house.decide(await house.asked(), Verb.APPROVE)
    assert "45.00 EUR were paid back." in (await advanced(house, found)).words


async def test_workflow_continues_from_its_checkpoint(house: House) -> None:
    """R22: what it requests is a choice or an approval, each from a worker of its own."""
    await house.start(team="deploys_af", task="2.1", found=TEAMS)
    assert (await advanced(house)).status is Status.PARKED
    place = await house.asked()
    assert place.question.options == ("staging", "production")
    await house.decide(place, Verb.CHOOSE, chosen=("staging",))
    assert (await advanced(house)).status is Status.PARKED
    await house.decide(await house.asked(not_this=place), Verb.APPROVE)
    run = await advanced(house)
    assert (run.status, run.words) == (Status.FINISHED, "Deploy to staging? Deployed.")


async def test_too_large_state_ends_the_run_before_asking(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29: nobody decides for a run that could not continue."""
    monkeypatch.setattr(running_team, "LONGEST_STATE", 100)
    await house.start(team="refunds_af", task="one", found=TEAMS)
    run = await advanced(house)
    assert run.status is Status.FAILED
    assert "at most 100 can be kept" in run.result
    assert [event["type"] for event in await house.events() if event["type"] == "request_asked"] == []


def test_team_without_its_framework_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others work; in a checkout the name of OpenAI's package is taken."""
    assert TEAMS.broken["refunds_oa"] == (
        "its file refunds_oa.py needs the OpenAI Agents SDK (pip install 'countersign-slack[openai-agents]'; not in a "
        "checkout, whose own folder has the name of its package)."
    )
    monkeypatch.setitem(sys.modules, "agent_framework", None)
    (tmp_path / "t.py").write_text("import agent_framework")
    needs = "needs Microsoft Agent Framework (pip install 'countersign-slack[agent-framework]')."
    assert registry.find(tmp_path).broken == {"t": f"its file t.py {needs}"}


def test_example_teams_load_without_one_teams_framework(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what to install, and shows no error of ours."""
    for path in registry.EXAMPLES.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setitem(sys.modules, "agent_framework", None)
    found = registry.find(tmp_path)
    assert list(found.broken) == ["access"]
    assert "pip install 'countersign-slack[agent-framework]'" in found.broken["access"]
    assert len(found.working) == len(registry.files(registry.EXAMPLES)) - 1
    (line,) = caplog.records
    assert "needs Microsoft Agent Framework" in line.getMessage()
    assert line.exc_info is None


async def test_tool_past_the_gate_is_refused_before_any_action(house: House) -> None:
    """R19"""

    @tool
    def refund(order: int) -> str:
        raise AssertionError("nobody was asked")

    def build(run: Run) -> AgentTeam:
        return AgentTeam(run, Agent(None, name="clerk", tools=[refund]))  # type: ignore[arg-type]

    found = Teams({"t": Team("t", "", build)}, {})
    await house.start(team="t", found=found)
    run = await advanced(house, found)
    assert run.status is Status.FAILED
    assert "“clerk” has “refund” in a list of its own" in run.result
