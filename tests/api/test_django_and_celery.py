"""`@requires_approval` in a view of the real Django and in a task of a real Celery worker.

The programs are those of docs/adapters.md.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery  # type: ignore[import-untyped]

from countersign.client.idempotency_keys import key_in_celery_task
from localslack import LocalSlack, text_of
from tests.adapters.framework_programs import HERE, cards, environment, examples
from tests.longest_wait import PATIENCE
from tests.slack.test_projector import card_of
from tests.test_wheel import Installed

pytestmark = pytest.mark.slow
VIEW, TASK = examples("adapters.md", "Django views and Celery tasks")
PAID = "45.00 EUR of order 17 were paid back."
DONE = '    open("done", "a").write(f"{order} {euros}\\n")\n    return f"{euros'
ASYNC = {"\ndef ": "\nasync def ", 'done": refund(': 'done": await refund('}
SETTINGS = """
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = "x"
USE_TZ = True
"""
URLS = """
import views
from django.urls import path

urlpatterns = [path("orders/<int:order>/refund", views.refund_order)]
"""
SERVERS = {
    "wsgi": ("django", "runserver", "--noreload", "127.0.0.1:0"),
    "asgi": ("uvicorn", "--factory", "django.core.asgi:get_asgi_application", "--port", "0"),
}
CONFIG = """
import os

broker_url = "filesystem://"
broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
result_backend = f"file://{os.getcwd()}/results"
worker_redirect_stdouts = False
"""
CHILD = """
import os
from celery.signals import worker_process_init

app.config_from_object("celeryconfig")

@worker_process_init.connect
def begin(**_):
    print(f"child {os.getpid()} began", flush=True)
"""


@asynccontextmanager
async def running(folder: Path, env: dict[str, str], *command: str) -> AsyncIterator[Installed]:
    program = Installed([sys.executable, "-m", *command], folder, {**env, "PYTHONPATH": str(HERE)})
    await program.start()
    try:
        yield program
    except BaseException:
        print("\n".join(program.lines))
        raise
    finally:
        await program.kill(signal.SIGTERM)


def done(folder: Path) -> list[str]:
    """What was really paid back."""
    path = folder / "done"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(params=SERVERS)
async def view(request: pytest.FixtureRequest, url: str, token: str, tmp_path: Path) -> AsyncIterator[str]:
    """The view's address: in Django's own server, and as a coroutine under ASGI."""
    code = VIEW.replace('    return f"{euros', DONE)
    if request.param == "asgi":
        for old, new in ASYNC.items():
            code = code.replace(old, new)
    (tmp_path / "views.py").write_text(code)
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "urls.py").write_text(URLS)
    env = environment(url, token, DJANGO_SETTINGS_MODULE="settings")
    async with running(tmp_path, env, *SERVERS[request.param]) as site:
        yield (await site.said(r"http://127\.0\.0\.1:\d+"))[0] + "/orders/17/refund"


@pytest.mark.parametrize(("button", "status"), [("Approve", 200), ("Reject", 403)])
async def test_django_view_answers_as_people_decided(
    slack: LocalSlack, view: str, tmp_path: Path, button: str, status: int
) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE) as browser:
        asking = asyncio.create_task(browser.post(view, data={"euros": "45"}))
        card, bob = await card_of(slack), slack.user("bob")
        assert "Refund 45.00 EUR?" in text_of(card)
        await bob.click(card, button)
        if button == "Reject":
            await bob.wait_modal("Reject")
            await bob.submit({"reason": "She kept the goods."})
        answer = await asking
    assert answer.status_code == status
    if button == "Approve":
        assert (answer.json(), done(tmp_path)) == ({"done": PAID}, ["17 45.0"])
    else:
        assert "She kept the goods." in answer.json()["why"]
        assert done(tmp_path) == []


class Shop:
    """A folder with the task, a queue and results, and workers for it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        for name in ("queue", "control", "results"):
            (folder / name).mkdir()
        (folder / "tasks.py").write_text(TASK.replace('    return f"{euros', DONE) + CHILD)
        (folder / "celeryconfig.py").write_text(CONFIG)

    def worker(self) -> Any:
        return running(self.folder, self.env, "celery", "-A", "tasks", "worker", "--concurrency", "1")

    async def call(self, words: str) -> str:
        """What a program of the shop prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"import tasks; print({words})"),
            cwd=self.folder,
            env={**os.environ, **self.env},
            stdout=asyncio.subprocess.PIPE,
        )
        return (await process.communicate())[0].decode().strip()


@pytest.fixture
def shop(url: str, token: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path, {**environment(url, token), "PYTHONPATH": str(HERE)})


def test_celery_redelivery_keeps_the_key_of_a_call() -> None:
    """R8: only where Celery delivers again; equal calls of one task are two, and a retry is another one."""
    app = Celery("shop")

    def keys() -> list[str | None]:
        return [key_in_celery_task("refund", {"order": order}) for order in (17, 17, 18)]

    late, early = app.task(keys, acks_late=True, name="late"), app.task(keys, name="early")

    def delivered(task: Any, **how: Any) -> set[str | None]:
        return set(task.apply(**how).get())

    first = delivered(late, task_id="t1")
    assert (len(first), None in first) == (3, False)
    assert delivered(late, task_id="t1") == first
    assert not first & (delivered(late, task_id="t2") | delivered(late, task_id="t1", retries=1))
    assert delivered(early, task_id="t1") == {*keys()} == {None}


async def test_celery_task_runs_with_edited_arguments(slack: LocalSlack, shop: Shop) -> None:
    """R13: the worker forked after the function was decorated."""
    async with shop.worker():
        task = await shop.call("tasks.refund.delay(17, 45.0).id")
        bob = slack.user("bob")
        await bob.click(await card_of(slack), "Edit")
        await bob.wait_modal()
        assert await bob.submit({"Euros": "40", "why": "Less the fee."}) == {}
        result = await shop.call(f"tasks.refund.AsyncResult({task!r}).get()")
    assert result == "40.00 EUR of order 17 were paid back."
    assert done(shop.folder) == ["17 40.0"]


async def test_rejected_celery_task_fails(slack: LocalSlack, shop: Shop) -> None:
    async with shop.worker():
        task = await shop.call("tasks.refund.delay(17, 45.0).id")
        bob = slack.user("bob")
        await bob.click(await card_of(slack), "Reject")
        await bob.wait_modal("Reject")
        assert await bob.submit({"reason": "She kept the goods."}) == {}
        result = await shop.call(f"repr(tasks.refund.AsyncResult({task!r}).get(propagate=False))")
    assert "NotApproved" in result
    assert "She kept the goods." in result
    assert done(shop.folder) == []


async def test_killed_celery_task_finds_its_card_again(slack: LocalSlack, shop: Shop) -> None:
    """R8: Celery delivers it again, and it finds the same card."""
    async with shop.worker() as worker:
        task = await shop.call("tasks.refund.delay(17, 45.0).id")
        card = await card_of(slack)
        child = (await worker.said(r"child (\d+) began"))[1]
        os.kill(int(child), signal.SIGKILL)
        await worker.said(rf"child (?!{child} )\d+ began")
        await slack.user("bob").click(card, "Approve")
        assert await shop.call(f"tasks.refund.AsyncResult({task!r}).get()") == PAID
    assert (done(shop.folder), cards(slack, "Refund 45.00 EUR")) == (["17 45.0"], 1)
