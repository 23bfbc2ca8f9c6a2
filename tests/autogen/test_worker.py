"""The worker as a process: killed, told to stop, started again, and set up wrongly."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agents import registry
from agents.__main__ import serve
from countersign.domain.errors import WrongSettings
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from tests.autogen.harness import HERE, House, Process, fact

pytest_plugins = ["tests.redis_server"]


@pytest.mark.slow
async def test_a_worker_killed_while_people_are_asked_and_after_their_decision_loses_and_repeats_nothing(
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
async def test_a_worker_told_to_stop_hands_its_runs_to_another_one(house: House) -> None:
    """SIGTERM: the lease is free at once, and nobody waits for the job to be redelivered."""
    await house.start()
    others = await house.store.client.zcard(house.store.keys.workers)
    async with Process(house) as first:
        asked = await house.asked()
        async with Process(house):
            await fact(lambda: announced(house, others + 2))
            assert await first.terminate() == 0
            assert await announced(house, others + 1)
            await house.decide(asked, Verb.APPROVE)
            run = await house.over()
    assert run.status is Status.FINISHED
    assert len(house.mails()) == 1


@pytest.mark.slow
async def test_a_worker_tells_its_teams_and_what_is_wrong_with_others(house: House) -> None:
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


def test_team_files_without_a_team_or_with_a_name_twice_are_told(tmp_path: Path) -> None:
    hold = (HERE / "teams" / "hold.py").read_text()
    (tmp_path / "a.py").write_text(hold)
    (tmp_path / "b.py").write_text(hold)
    (tmp_path / "c.py").write_text("TEAM = 3")
    (tmp_path / "_d.py").write_text("raise SystemExit")
    (tmp_path / "e.py").write_text("import sys; sys.exit('no warehouse')")
    (tmp_path / "f.py").write_text("def build(:")
    found = registry.find(tmp_path)
    assert list(found.working) == ["hold"]
    assert found.broken == {
        "b": "its file b.py names itself “hold”, as another file does.",
        "c": "its file c.py has no “TEAM = Team(…)”.",
        "e": "its file e.py does not load (SystemExit: no warehouse).",
        "f": "its file f.py does not load (SyntaxError: invalid syntax (f.py, line 1)).",
    }


def test_our_own_teams_load() -> None:
    assert "email" in registry.find().working
    assert registry.find().broken == {}


async def test_a_worker_with_wrong_settings_says_all_of_them_and_starts_nothing(house: House) -> None:
    settings = house.settings()
    settings.mail_from = "no address@@"
    settings.smtp_url = type(settings.redis_url)("http://secret@mail")
    with pytest.raises(WrongSettings) as wrong:
        await serve(settings, asyncio.Event())
    assert len(wrong.value.problems) == 2
    assert "secret" not in str(wrong.value)


@pytest.mark.slow
async def test_the_real_door_says_what_to_fix_and_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "LEASE": "soon", "MODEL_CONFIG": str(tmp_path / "none.yaml")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents", env=environment, stderr=asyncio.subprocess.PIPE, cwd=HERE.parents[1]
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "LEASE: “soon” is not a duration" in said.decode()
    assert "Traceback" not in said.decode()


async def there(path: Path) -> bool | None:
    return True if await asyncio.to_thread(path.exists) else None


async def announced(house: House, count: int) -> bool | None:
    workers = await house.store.client.zcard(house.store.keys.workers)
    return True if workers == count else None
