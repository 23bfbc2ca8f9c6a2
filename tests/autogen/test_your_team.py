"""docs/write-a-team.md tells the truth: its team file loads as it is, and plays."""

import re
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.base import Team as AutoGenTeam

from agents import registry
from countersign.domain.actions import Action
from countersign.domain.errors import InvalidInput
from countersign.domain.requests import Verb
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.standalone import run_here
from countersign.frameworks.autogen.team import Teams
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "write-a-team.md").read_text()


@pytest.fixture
def found(tmp_path: Path) -> Teams:
    """The teams of a folder that holds the page's file."""
    stock, clear = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    folder = tmp_path / "teams"
    folder.mkdir()
    (folder / "stock.py").write_text(stock)
    (folder / "clear.py").write_text(clear)
    return registry.find(folder)


async def test_documented_team_loads_and_asks_before_ordering(house: House, found: Teams) -> None:
    """`count` passes, `order` asks."""
    assert found.broken == {}
    info = next(one for one in found.infos() if one.name == "stock")
    assert [str(option) for option in info.options] == ["care=usual|special"]
    await house.start(team="stock", task="more pens")
    async with house.worker(found=found) as worker:
        worker.advance()
        request = await house.asked()
        assert request.question.content == "10 × pens"
        assert request.question.notes == ("The stock is handled with usual care.",)
        await house.decide(request, Verb.APPROVE)
        run = await house.over()
    assert run.words.startswith("10 of pens are ordered (order ")
    told = [event for event in await house.events() if event["type"] == "call_passed"]
    assert [event["tool"] for event in told] == ["count"]


async def test_documented_plan_is_ticked_step_by_step(house: House, found: Teams) -> None:
    await house.start(team="clear", task="A B")
    async with house.worker(found=found) as worker:
        worker.advance()
        run = await house.over()
    assert (run.words, [one.title for one in run.plan if one.done_at]) == (
        "Every shelf is empty.",
        ["Clear shelf A", "Clear shelf B"],
    )


def test_every_name_in_the_team_page_exists() -> None:
    for name in re.findall(r"\brun\.(\w+)", PAGE):
        assert hasattr(Run, name) or name in ("run", "task", "options", "outcomes"), name
    for path in re.findall(r"`(agents/\w+/\w+\.py)`", PAGE):
        assert path == "agents/teams/stock.py" or (Path(registry.EXAMPLES).parents[1] / path).exists(), path
    assert {tier for tier in Action if f"Action.{tier.name}" in PAGE} == set(Action)


def never(run: Run) -> AutoGenTeam:
    raise AssertionError(run)


@pytest.mark.parametrize(
    "claims",
    [
        {"requester": "alice"},
        {"requester": "U0… > <!channel> *Approved* by <@U0BOB>"},
        {"name": "email <!here>"},
        {"resume": "x}:request:q1"},
    ],
    ids=str,
)
async def test_invalid_id_is_refused_before_web_is_called(claims: dict[str, Any]) -> None:
    """R27: what is wrong is a sentence at once, not a run that nobody can see."""
    named = {"channel": "C0GENERAL", "requester": "U0ALICE"} | claims
    with pytest.raises(InvalidInput, match="so nothing was done with it"):
        await run_here(never, "ask", **named)
