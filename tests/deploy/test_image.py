"""The image that deploy/build-image makes: small, without privileges, and the main job runs in it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from localslack import LocalSlack, text_of
from tests.e2e.test_main_job import ASK, card, mails, settled, told
from tests.free_ports import free_ports
from tests.processes import Deployment, Process

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[2]
BASE = HERE / "dist" / "base.tar"
CONTAINERFILE = HERE / "deploy" / "Containerfile"
LARGEST = {"runtime": 400, "web": 300}
"""Megabytes."""
MEGABYTE = 1_000_000


class Image(NamedTuple):
    """An image whose root is mounted, and what it says about how it is started."""

    root: Path
    size: int
    config: dict[str, Any]

    @property
    def user(self) -> str:
        user: str = self.config["User"]
        return user

    @property
    def runs_agents(self) -> bool:
        return (self.root / "app" / "autogen_core").exists()

    @property
    def env(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


def why_not() -> str:
    """Why no image can be built here; "" if one can be."""
    if shutil.which("buildah") is None:
        return "buildah is not installed"
    if not BASE.exists():
        return "dist/base.tar is absent, and a test downloads nothing: run deploy/build-base, which needs mmdebstrap"
    if os.geteuid() != 0:
        return "only root can mount the image's root read-only"
    return ""


@pytest.fixture(scope="module", params=["runtime", "web"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built without a network, in a store of its own."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("images")
    env = {**os.environ, "SET": request.param, "STORE": str(folder), "UV_OFFLINE": "1"}
    built = subprocess.run([HERE / "deploy" / "build-image"], env=env, text=True, capture_output=True)
    if "network was disabled" in built.stderr.lower() or "connectivity is disabled" in built.stderr.lower():
        pytest.skip("uv's cache has not all packages of the image: run deploy/build-image once")
    assert built.returncode == 0, built.stderr

    def buildah(*arguments: str) -> str:
        command = ["buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run"), *arguments]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    name = built.stdout.strip()
    container = buildah("from", "--pull-never", name)
    root = Path(buildah("mount", container))
    try:
        size = int(
            subprocess.run(["du", "-sxb", root], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[0]
        )
        yield Image(root, size, json.loads(buildah("inspect", "--type", "image", name))["OCIv1"]["config"])
    finally:
        buildah("umount", container)
        buildah("rm", container)


class Contained(Process):
    """`web` or `worker` in the image: its user, no capability, and nothing to write to but /data and /tmp."""

    def __init__(self, image: Image, command: str, data: Path, env: dict[str, str]) -> None:
        super().__init__({"web": "bot", "worker": "agents"}[command], {})
        self._image = image
        self._command = command
        self._data = data
        self._variables = image.env | env

    async def _spawn(self) -> asyncio.subprocess.Process:
        root = self._image.root
        mounts = " && ".join(
            f"mount {mount}"
            for mount in (
                f"--bind {root} {root}",
                f"-o remount,bind,ro {root}",
                f"-t tmpfs tmpfs {root}/tmp",
                f"--bind {self._data} {root}/data",
                f"--rbind /dev {root}/dev",
                f"-t proc proc {root}/proc",
            )
        )
        start = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        inside = [*start, "--", *self._image.config["Entrypoint"], self._command]
        given = [f"{name}={value}" for name, value in self._variables.items()]
        folder = self._image.config["WorkingDir"]
        return await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", f'{mounts} && exec chroot {root} env -i -C {folder} "$@"', "sh"),
            *(*given, *inside),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


@asynccontextmanager
async def contained(
    image: Image, slack: LocalSlack, redis_url: str, namespace: str, data: Path
) -> AsyncIterator[tuple[Deployment, int]]:
    """`web` and a worker of the image, and the port of the first one's probes."""
    there = Deployment(slack, redis_url, namespace, data)
    ops = free_ports(2)
    os.chown(data, 10001, 10001)
    own = {"HOST": "127.0.0.1", "API_PORT": "0", "STOP_DELAY": "0s"}
    for name, token in (("SLACK_BOT_TOKEN", slack.bot_token), ("SLACK_APP_TOKEN", slack.app_token)):
        own[f"{name}_FILE"] = f"/data/{name}"
        (data / name).write_text(f"{token}\n")
    service = {"SLACK_API_URL": slack.api_url, "REVIEWERS": "S0REVIEWERS", "PORT": "0"}
    web = Contained(image, "web", data, {**there.common, **own, **service, "OPS_PORT": str(ops)})
    there.processes.append(web)
    try:
        await web.start()
        await web.ready()
        if image.runs_agents:
            worker = Contained(image, "worker", data, {**there.agents, **own, "OPS_PORT": str(ops + 1)})
            there.processes.append(worker)
            await worker.start()
            await worker.ready()
        else:
            await there.worker(OPS_PORT=str(ops + 1))
        yield there, ops
    except BaseException:
        for process in there.processes:
            print(f"--- {process.module}", *process.lines, sep="\n")
        raise
    finally:
        await there.end()


def test_image_is_small_and_without_privileges(image: Image) -> None:
    assert image.size < LARGEST["runtime" if image.runs_agents else "web"] * MEGABYTE
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    assert not any((image.root / "app" / name).exists() for name in ("pytest", "playwright", "mypy", "pip"))
    machine = [
        path for path in (image.root / "app").glob("*.dist-info/*") if path.name in ("direct_url.json", "uv_cache.json")
    ]
    machine += [path for path in (image.root / "app").glob("*.dist-info/RECORD") if "\nbin/" in path.read_text()]
    assert machine == [], "these name the machine that built the image, so no two builds are the same"
    data = image.root / "data"
    assert (data.stat().st_uid, list(data.iterdir())) == (10001, [])


async def test_main_job_runs_in_the_image(
    image: Image, slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """S1: with a read-only root, secrets from files and no capability; the processes end at SIGTERM.

    The image for `web` alone works with a worker that runs elsewhere.
    """
    async with contained(image, slack, redis_url, namespace, tmp_path) as (there, ops):
        await slack.wait_connected(1)
        await slack.user("alice").command(ASK, channel="#general")
        asked = await card(slack)
        assert (await slack.user("bob").click(asked, "Approve")).ok
        assert "Approved" in text_of(await settled(slack, asked.ts))
        await told(slack, "Put in a folder")
        assert len(mails(there)) == 1
        for port in (ops, ops + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()
