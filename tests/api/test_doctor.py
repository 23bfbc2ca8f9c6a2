"""`countersign doctor`: what it finds in good and in wrong settings, and what it says to do."""

import asyncio
import sys
from pathlib import Path

import pytest

from bot.settings import WebSettings
from countersign import doctor
from countersign.process_settings import WorkerSettings, variables
from countersign.runs.area import Area
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from localslack import LocalSlack, text_of
from tests.free_ports import free_port
from tests.sample_requests import HERE as WORKSPACE
from tests.test_imports import HERE
from tests.worker_service import served


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*variables(WebSettings), *variables(WorkerSettings), "COUNTERSIGN_URL", "COUNTERSIGN_KEY"):
        monkeypatch.delenv(name, raising=False)


async def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], list[str]]:
    """The exit status, what is as it should be, and what is to be fixed."""
    status = await asyncio.to_thread(doctor.main, arguments)
    return read(status, capsys.readouterr().out.splitlines())


async def said_by_command(*arguments: str) -> tuple[int, list[str], list[str]]:
    """The same, of the command in a process of its own."""
    command = (sys.executable, "-m", "countersign", "doctor", *arguments)
    running = await asyncio.create_subprocess_exec(*command, cwd=HERE, stdout=asyncio.subprocess.PIPE)
    out, _ = await running.communicate()
    return read(running.returncode or 0, out.decode().splitlines())


def read(status: int, lines: list[str]) -> tuple[int, list[str], list[str]]:
    return status, *([line[5:] for line in lines if line[:4] == start] for start in ("ok  ", "FIX "))  # type: ignore[return-value]


async def test_doctor_confirms_a_program_that_reaches_the_service(
    slack: LocalSlack, url: str, token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", url)
    monkeypatch.setenv("COUNTERSIGN_KEY", token)
    status, good, wrong = await found(capsys, "--card", "#general")
    assert (status, wrong) == (0, [])
    assert good == [f"{url} answers and knows the key.", "A test card is on its way to #general."]
    await slack.wait_message("#approvals", lambda m: "A test card of" in text_of(m))
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_kwrongwrong_" + "x" * 43)
    status, good, (wrong_key,) = await found(capsys)
    assert (status, good) == (1, []) and "keys create" in wrong_key


async def test_doctor_tells_programs_without_a_service_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (await found(capsys, "client"))[2][0].startswith("Set COUNTERSIGN_URL and COUNTERSIGN_KEY")
    monkeypatch.setattr(doctor, "_ANSWER_WITHIN", 0.2)
    monkeypatch.setenv("COUNTERSIGN_URL", address := f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_x")
    assert (await found(capsys))[2] == [f"Can't reach the service at {address}: connection refused. Is `web` running?"]


async def test_doctor_reports_all_problems_of_web_together(
    slack: LocalSlack,
    store: Store,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redis and Slack, also where both have something to fix."""
    right = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "REDIS_URL": redis_url,
        "REVIEWERS": "U0BOB",
    }
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    status, good, wrong = await said_by_command()
    assert (status, wrong, len(good)) == (0, [], 6)
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-wrong")
    monkeypatch.setenv("REVIEWERS", "U0TYPO")
    status, good, wrong = await said_by_command("web")
    assert status == 1
    assert ["Redis" in wrong[0], "SLACK_APP_TOKEN" in wrong[1], "U0TYPO" in wrong[2]] == [True] * 3


async def test_doctor_reports_all_problems_of_a_worker_together(
    store: Store,
    wakeups: Wakeups,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("NAMESPACE", store.keys.namespace)
    assert "No `web` has said where it is" in (await found(capsys))[2][0]
    area = Area(store.client, store.keys.namespace)
    async with served(store, wakeups, WORKSPACE) as web:
        (url,) = web.address.urls
        await area.put_address(url, web.address.key)
        status, good, wrong = await found(capsys)
    assert (status, wrong) == (0, []) and "email" in good[-1]
    await area.drop_address(url)
    (tmp_path / "broken.py").write_text("import nowhere")
    monkeypatch.setenv("TEAMS", str(tmp_path))
    monkeypatch.setenv("MODEL_CONFIG", str(tmp_path / "no.yaml"))
    status, good, wrong = await found(capsys, "worker")
    assert status == 1
    assert ["No `web`" in wrong[0], "no.yaml" in wrong[1], "“broken” cannot be started" in wrong[2]] == [True] * 3
