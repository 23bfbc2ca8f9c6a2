"""docs/http-api.md: its TypeScript program, with types made of our description, compiles and asks people."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.api.conftest import DOCUMENT
from tests.slack.test_projector import card_of

HERE = Path(__file__).resolve().parents[2]
PACKAGES = HERE / ".frameworks" / "typescript" / "node_modules"
PAGE = (HERE / "docs" / "http-api.md").read_text()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node on the PATH"),
    pytest.mark.skipif(not PACKAGES.exists(), reason="needs packages of npm: `make typescript` installs them"),
]


def compile_program(folder: Path) -> None:
    """Make the types and compile the program with the commands of the page."""
    (program,) = re.findall(r"```ts\n(.*?)```", PAGE, re.S)
    (folder / "refund.ts").write_text(program)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    (folder / "node_modules").symlink_to(PACKAGES)
    commands = re.search(r"```console\n(\$ npm install .*?)```", PAGE, re.S)
    assert commands is not None
    _, make, compile_and_run = (line.removeprefix("$ ") for line in commands[1].strip().splitlines())
    make = make.replace('"$COUNTERSIGN_URL/v1/openapi.json"', "openapi.json")
    for command in (make, compile_and_run.removesuffix(" && node refund.js")):
        done = subprocess.run(command, shell=True, cwd=folder, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


async def test_generated_typescript_client_asks_acts_and_reports(
    slack: LocalSlack, url: str, token: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(compile_program, tmp_path)
    env = {**os.environ, "COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token}
    program = await asyncio.create_subprocess_exec(
        *("node", "refund.js"), cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE
    )
    await slack.user("bob").click(await card_of(slack), "Approve")
    printed, _ = await program.communicate()
    assert (program.returncode, printed) == (0, b"PAID 45\n")
    await slack.wait_message("#approvals", lambda m: "Paid." in str(m.blocks))
