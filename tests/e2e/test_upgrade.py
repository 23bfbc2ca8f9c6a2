"""The last release beside this version, under load, forwards and back: docs/upgrading.md promises it.

The release is the newest tag before this commit, or the commit that UPGRADE_FROM names. It runs with today's packages:

    UPGRADE_FROM=HEAD~20 .venv/bin/pytest tests/e2e/test_upgrade.py
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.e2e.test_main_job import mails, settled
from tests.processes import Deployment, Process, hear_interrupts

HERE = Path(__file__).resolve().parents[2]
FIELDS = "tests/data/fields.json"
ROUND = 4
"""Tasks before each step of the upgrade."""


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=HERE, capture_output=True)


def stored_otherwise(commit: str) -> set[str]:
    """Records that had other fields under the same schema number, as there may be before the first release."""
    then, now = json.loads(git("show", f"{commit}:{FIELDS}").stdout or b"{}"), json.loads((HERE / FIELDS).read_text())
    return {name for name, kind in then.items() if not _within(kind, now.get(name, kind))}


def _within(then: Any, now: Any) -> bool:
    """Say whether nothing is gone; a new field is left out as long as nothing uses it."""
    if isinstance(then, dict) and isinstance(now, dict):
        names = {name.partition(" = ")[0]: inner for name, inner in now.items()}
        return all(_within(inner, names.get(name.partition(" = ")[0])) for name, inner in then.items())
    return set(then) <= set(now) if isinstance(then, list) and isinstance(now, list) else bool(then == now)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The tree of the last release."""
    found = git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^")
    commit = os.environ.get("UPGRADE_FROM") or found.stdout.decode().strip()
    if not commit:
        pytest.skip("needs an earlier release: a tag v… before this commit, or a commit in UPGRADE_FROM (say, HEAD~20)")
    if not found.stdout and (other := sorted(stored_otherwise(commit))):
        pytest.skip(f"{commit} stores {other} with other fields under the same number; name a later commit")
    archive = git("archive", commit)
    assert archive.returncode == 0, f"git has no {commit} (a shallow clone?): {archive.stderr.decode()}"
    folder = tmp_path / "release"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


class Older(Process):
    """A process of the release."""

    def __init__(self, module: str, env: dict[str, str], folder: Path) -> None:
        super().__init__(module, env)
        self._folder = folder

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module),
            cwd=self._folder,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=hear_interrupts,
        )


class Upgrade:
    """Tasks that people start and approve while processes come and go."""

    def __init__(self, there: Deployment, slack: LocalSlack, release: Path) -> None:
        self.there = there
        self.slack = slack
        self._release = release
        self._tasks = 0
        self._seen: tuple[str, ...] = ()

    async def older(self) -> tuple[Process, Process]:
        """`web` and a worker of the release."""
        own = {
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_APP_TOKEN": self.slack.app_token,
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_PACE": str(self.slack.config.hurry),
            "REVIEWERS": "S0REVIEWERS",
            "PORT": "0",
        }
        web = Older("bot", {**self.there.common, **own}, self._release)
        worker = Older("agents", {**self.there.agents, "DATA_DIR": str(self.there.data), "LEASE": "5s"}, self._release)
        self.there.processes += [web, worker]
        for process in (web, worker):
            await process.start()
            await process.ready()
        return web, worker

    async def ask(self) -> list[Message]:
        """Start tasks, and return their cards."""
        cards = []
        for _ in range(ROUND):
            self._tasks += 1
            text = f"/agent email tell vendor {self._tasks} we need 10% off"
            assert (await self.slack.user("alice").command(text, channel="#general")).ok
        for _ in range(ROUND):
            found = await self.slack.wait_message(
                "#approvals", lambda m: "Approve" in m.buttons and m.ts not in self._seen
            )
            self._seen += (found.ts,)
            cards.append(found)
        return cards

    async def approve(self, cards: list[Message]) -> None:
        for card in cards:
            assert (await self.slack.user("bob").click(card, "Approve")).ok
        for card in cards:
            assert "Approved" in text_of(await settled(self.slack, card.ts))

    async def all_done(self) -> None:
        """Each task was done, and none twice."""

        def outcomes() -> list[str]:
            ours = [m for m in self.slack.channel("#general").messages if m.user == "U0BOT"]
            threads = [" ".join(text_of(r) for r in self.slack.channel("#general").thread(m.ts)) for m in ours]
            return [text for text in threads if "Put in a folder" in text]

        await self.slack.wait_for(lambda _: len(outcomes()) == self._tasks)
        sent = [mail.get_payload() for mail in mails(self.there)]
        assert len(sent) == self._tasks


async def test_release_and_this_version_run_side_by_side(there: Deployment, slack: LocalSlack, release: Path) -> None:
    """Cards of one version are approved and carried out by the other, and no task is lost or done twice."""
    upgrade = Upgrade(there, slack, release)
    old_web, old_worker = await upgrade.older()
    before = await upgrade.ask()

    new_web, new_worker = await asyncio.gather(there.web(), there.worker())
    await slack.wait_connected(2)
    beside = await upgrade.ask()
    await upgrade.approve(before[:2] + beside[:2])

    assert await old_web.kill(signal.SIGTERM) == 0
    await upgrade.approve(before[2:3] + beside[2:3])
    assert await old_worker.kill(signal.SIGTERM) == 0
    after = await upgrade.ask()
    await upgrade.approve(before[3:] + beside[3:] + after[:2])

    await upgrade.older()  # and back
    assert await new_web.kill(signal.SIGTERM) == 0
    assert await new_worker.kill(signal.SIGTERM) == 0
    back = await upgrade.ask()
    await upgrade.approve(after[2:] + back)
    await upgrade.all_done()
