"""The worker as a process: killed, told to stop, started again, and set up wrongly."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from agents import registry
from agents.__main__ import serve
from countersign.domain.errors import WrongSettings
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.team import try_out
from countersign.runs.journal_storage import RedisJournal
from tests.autogen.harness import HERE, House, Process, fact

pytest_plugins = ["tests.redis_server"]


@pytest.mark.slow
async def test_killed_worker_loses_and_repeats_nothing(
    house: House,
) -> None:
    """R4, R5: kill -9 while asked, and between the decision and its delivery."""
    await house.start()
    async with Process(house) as first:
        asked = await house.asked()
        await first.kill()
    async with Process(house) as second:
        await house.decide(asked, Verb.RESPOND, "make it shorter")
        again = await house.asked(not_this=asked)
        await second.kill()
    await house.decide(again, Verb.APPROVE)
    async with Process(house):
        run = await house.over()
    assert run.status is Status.FINISHED
    types = [e["type"] for e in await house.events()]
    assert types.count("request_asked") == 2
    assert types.count("request_decided") == 2
    assert types.count("decision_delivered") == 2
    assert len(house.mails()) == 1
    said = [e["words"] for e in await house.events() if e["type"] == "run_progressed"]
    assert len(said) == len(set(said)) <= 2


@pytest.mark.slow
async def test_worker_announces_its_teams_and_the_broken_ones(house: House) -> None:
    async with Process(house, HERE / "teams") as worker:
        await fact(lambda: announced(house, 1))
        found = {team.name: team for team in await house.store.workers.teams()}
        assert found["hold"].line == "acts and never ends"
        assert not found["hold"].problem
        assert found["broken"].problem == (
            "its file broken.py does not load (ImportError: No module named 'warehouse')."
        )
        await worker.terminate()
    assert await house.store.workers.teams() == []


def test_broken_team_files_are_announced_with_their_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each with a reason of its own; the rest of the folder is served."""
    hold = (HERE / "teams" / "hold.py").read_text()
    (tmp_path / "a.py").write_text(hold)
    (tmp_path / "b.py").write_text(hold)
    (tmp_path / "c.py").write_text("TEAM = 3")
    (tmp_path / "_d.py").write_text("raise SystemExit")
    (tmp_path / "e.py").write_text("import sys; sys.exit('no warehouse')")
    (tmp_path / "f.py").write_text("def build(:")
    found = registry.find(tmp_path)
    assert list(found.working) == ["hold"]
    for name, problem in found.broken.items():
        reason = problem.removeprefix(f"its file {name}.py ").removesuffix(".")
        assert f"The team “{name}” cannot be started: its file {tmp_path}/{name}.py {reason}." in caplog.text
    assert found.broken == {
        "b": "its file b.py names itself “hold”, as another file does.",
        "c": "its file c.py has no “TEAM = Team(…)”.",
        "e": "its file e.py does not load (SystemExit: no warehouse).",
        "f": "its file f.py does not load (SyntaxError: invalid syntax (f.py, line 1)).",
    }


async def test_team_that_cannot_be_built_is_known_beforehand(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """R13: one with a door past the gate is not started; another may build for other tasks."""
    hold = (HERE / "teams" / "hold.py").read_text()
    writer = 'AssistantAgent("writer", model_client=run.model("writer"'
    (tmp_path / "a.py").write_text(hold)
    past = hold.replace(f"{writer})", f"{writer}), tools=[shell]").replace('Team("hold"', 'Team("past"')
    shell = 'async def shell(command: str) -> str:\n    """Run it."""\n    return command\n\n\ndef build('
    (tmp_path / "b.py").write_text(past.replace("def build(", shell))
    picky = hold.replace('Team("hold"', 'Team("picky"').replace("    writer =", "    int(run.task)\n    writer =")
    (tmp_path / "c.py").write_text(picky)
    found = registry.find(tmp_path)
    assert list(found.working) == ["hold", "past", "picky"]
    journal = RedisJournal(house.area)
    await try_out(found, house.area.leases, house.service, journal, DemoModel(), house.settings())
    infos = {info.name: info for info in found.infos()}
    assert (infos["hold"].line, infos["hold"].problem) == ("acts and never ends", "")
    assert "shell" in infos["past"].problem
    assert infos["picky"].line.startswith("may not build (ValueError: invalid literal for int()")
    assert "The team “past” cannot be started: " in caplog.text
    assert "The team “picky” did not build" in caplog.text
    examples = registry.find()
    await try_out(examples, house.area.leases, house.service, journal, DemoModel(), house.settings())
    assert not examples.broken and not examples.doubtful


def test_example_teams_and_their_copies_load(tmp_path: Path) -> None:
    """Also from a folder of one's own, where files share what a neighbour with `_` first has."""
    copies = [shutil.copy(path, tmp_path) for path in registry.EXAMPLES.glob("*.py")]
    assert len(copies) > len(registry.files(tmp_path)) >= 6
    for found in (registry.find(), registry.find(tmp_path)):
        assert list(found.working) == [path.stem for path in registry.files(tmp_path)]
        assert found.broken == {}


async def test_wrong_worker_settings_are_reported_together_before_starting(house: House) -> None:
    """R15: without a secret."""
    settings = house.settings()
    settings.mail_from = "no address@@"
    settings.smtp_url = type(settings.redis_url)("http://secret@mail")
    settings.teams = house.folder / "nowhere"
    with pytest.raises(WrongSettings) as wrong:
        await serve(settings, asyncio.Event())
    assert len(wrong.value.problems) == 3
    assert f"TEAMS: there is no folder “{settings.teams}”." in wrong.value.problems
    assert "secret" not in str(wrong.value)


async def test_folder_without_a_team_starts_no_worker(house: House, tmp_path: Path) -> None:
    settings = house.settings()
    settings.teams = tmp_path
    (tmp_path / "_shared.py").touch()
    with pytest.raises(WrongSettings, match="has no team file"):
        await serve(settings, asyncio.Event())


@pytest.mark.slow
async def test_worker_command_says_what_to_fix_and_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "LEASE": "soon", "MODEL_CONFIG": str(tmp_path / "none.yaml")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents", env=environment, stderr=asyncio.subprocess.PIPE, cwd=HERE.parents[1]
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "LEASE: “soon” is not a duration" in said.decode()
    assert "Traceback" not in said.decode()


async def announced(house: House, count: int) -> bool | None:
    workers = await house.store.client.zcard(house.store.keys.workers)
    return True if workers == count else None
