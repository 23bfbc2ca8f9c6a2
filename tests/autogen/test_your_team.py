"""docs/write-a-team.md tells the truth: its team file loads as it is, and plays."""

import re
from pathlib import Path

import pytest

from agents import registry
from countersign.autogen.run_context import RunContext
from countersign.autogen.team import Teams
from countersign.autogen.tools.policies import Tier
from countersign.domain.requests import Verb
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "write-a-team.md").read_text()


@pytest.fixture
def found(tmp_path: Path) -> Teams:
    """The teams of a folder that holds the page's file."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    folder = tmp_path / "teams"
    folder.mkdir()
    (folder / "stock.py").write_text(code)
    return registry.find(folder)


async def test_the_team_of_the_page_loads_and_asks_before_it_orders(house: House, found: Teams) -> None:
    assert found.broken == {}
    [info] = found.infos()
    assert (info.name, [str(option) for option in info.options]) == ("stock", ["care=usual|special"])
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


def test_everything_that_the_page_names_exists() -> None:
    for name in re.findall(r"\brun\.(\w+)", PAGE):
        assert hasattr(RunContext, name) or name in ("run", "task", "options", "outcomes"), name
    for path in re.findall(r"`(agents/\w+/\w+\.py)`", PAGE):
        assert path == "agents/teams/stock.py" or (Path(registry.HERE).parents[1] / path).exists(), path
    assert {tier for tier in Tier if f"Tier.{tier.name}" in PAGE} == set(Tier)
