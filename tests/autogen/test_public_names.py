"""docs/api.md: every public name with an example that is run, and nothing that is not public."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

import countersign
import countersign.client
import countersign.teams
import countersign.teams.conversation
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Verb
from countersign.domain.runs import Status as RunStatus
from countersign.frameworks.autogen.team import Team, Teams
from tests.autogen.harness import GENERAL, House, fact

pytest_plugins = ["tests.redis_server"]
PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)```python\n(.*?)```\n\nIt ends with: ([^\n]+)$", re.M | re.S)
IMPORT = re.compile(r"^from countersign(?:\.client|\.teams|\.teams\.conversation)? import (\([^)]*\)|.*)$", re.M)
MODULES: Final = (countersign, countersign.client, countersign.teams, countersign.teams.conversation)
PUBLIC: Final = {name for module in MODULES for name in module.__all__}
SECTIONS = SECTION.findall(PAGE)
EXAMPLES = {title: (code, end) for title, _, code, end in SECTIONS}
SCRIPT = "A team in a program of your own"


def names_of(table: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", table, re.M)


def imported(code: str) -> list[str]:
    return [name for names in IMPORT.findall(code) for name in re.findall(r"\w+", names)]


def test_api_page_lists_every_public_name_once() -> None:
    listed = [name for _, table, _, _ in SECTIONS for name in names_of(table)]
    docs = Path(__file__).resolve().parents[2] / "docs"
    programs = "".join((docs / page).read_text() for page in ("ask-from-python.md", "write-an-adapter.md"))
    assert len(countersign.__all__) == 8
    assert sorted({*listed, *names_of(programs)}) == sorted(PUBLIC)
    assert len(SECTIONS) == PAGE.count("\n## ")


@pytest.mark.parametrize(("title", "table", "code"), [section[:3] for section in SECTIONS], ids=lambda v: v[:20])
def test_api_example_uses_every_name_of_its_section(title: str, table: str, code: str) -> None:
    """It imports public names only."""
    assert set(names_of(table)) <= set(imported(code)) <= PUBLIC
    body = IMPORT.sub("", code)
    assert [name for name in imported(code) if not re.search(rf"\b{name}\b", body)] == []
    assert re.findall(r"^from countersign", code, re.M) == ["from countersign"] * len(IMPORT.findall(code))


def test_public_names_have_docstrings(subtests: pytest.Subtests) -> None:
    for module in MODULES:
        for name in module.__all__:
            with subtests.test(name=name):
                value = getattr(module, name)
                assert isinstance(value, str) or value.__doc__


@pytest.mark.parametrize(
    ("module", "most"),
    [("countersign", 200), ("countersign.client", 200)],
)
def test_public_imports_load_no_third_party_packages(module: str, most: int) -> None:
    """Neither AutoGen nor Slack, Redis, pydantic or httpcore, and few modules of Python: that is what imports take."""
    look = (
        "import sys; before = set(sys.modules)\n"
        f"import {module}\n"
        "loaded = set(sys.modules) - before\n"
        "print(len(loaded), *{name.partition('.')[0] for name in loaded} - set(sys.stdlib_module_names))"
    )
    process = subprocess.run([sys.executable, "-c", look], check=True, text=True, stdout=subprocess.PIPE)
    modules, *others = process.stdout.split()
    assert others == ["countersign"]
    assert int(modules) <= most


async def approve_until_over(house: House, run: str) -> None:
    async def approve() -> None:
        last = None
        while True:
            last = await house.asked(run, not_this=last)
            await house.decide(last, Verb.APPROVE)

    approving = asyncio.create_task(approve())
    try:
        await house.over(run)
    finally:
        approving.cancel()
        await asyncio.gather(approving, return_exceptions=True)


@pytest.mark.parametrize("title", [title for title in EXAMPLES if title != SCRIPT])
async def test_documented_team_example_ends_as_stated(house: House, title: str) -> None:
    code, end = EXAMPLES[title]
    example = ModuleType("example")
    exec(compile(code, f"docs/api.md: {title}", "exec", dont_inherit=True), example.__dict__)
    team: Team = example.TEAM
    found = Teams({team.name: team}, {})
    options = {option.name: option.default for option in team.options}
    await house.start(team=team.name, task="play the example", found=found, **options)
    async with house.worker(found=found) as worker:
        worker.advance()
        await approve_until_over(house, "r1")
    run = await house.run()
    assert (run.status, run.result) == (RunStatus.FINISHED, end)


async def test_documented_program_example_ends_as_stated(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has an event loop of its own, in a thread; people decide in this one."""
    code, end = EXAMPLES[SCRIPT]
    monkeypatch.setenv("DATA_DIR", str(house.folder))
    for name, value in (await house.program("script", GENERAL)).items():
        monkeypatch.setenv(name, value)
    example: dict[str, Any] = {}
    program = asyncio.create_task(asyncio.to_thread(exec, compile(code, SCRIPT, "exec", dont_inherit=True), example))

    async def started() -> str | None:
        return next((run.id for run in await house.store.indexes.active_runs(10)), None)

    run = await fact(started)
    asked = await house.asked(run)
    assert (asked.question.title, (await house.run(run)).channel) == ("Shall this go out?", ChannelId("C0GENERAL"))
    await house.decide(asked, Verb.APPROVE)
    await program
    assert example["result"] == end
