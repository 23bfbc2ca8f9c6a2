"""docs/http-api.md: each of its calls with curl, as a reader would make them one after the other."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from localslack import LocalSlack
from tests.api.conftest import DOCUMENT
from tests.slack.test_projector import card_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http-api.md").read_text()
BLOCKS = re.findall(r"```bash\n(curl .*?)```", PAGE, re.S)
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl on the PATH")


async def shell(block: str, env: dict[str, str]) -> Any:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-ec", block), env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(answer)


@NEEDS_CURL
async def test_documented_curl_calls_ask_act_and_report(slack: LocalSlack, url: str, token: str) -> None:
    ask, wait, listed, begin, outcome, withdraw, described = BLOCKS
    env = {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token}
    env["REQUEST"] = (await shell(ask, env))["id"]
    assert [one["id"] for one in (await shell(listed, env))["requests"]] == [env["REQUEST"]]
    waiting = asyncio.create_task(shell(wait, env))
    await slack.user("bob").click(await card_of(slack), "Approve")
    decided = await waiting
    assert (decided["decision"]["outcome"], decided["decision"]["arguments"]) == (
        *("approved", {"order": 17, "euros": 45.0}),
    )
    begun = await shell(begin, env)
    assert begun["begun_by"] in begin and begun["outcome"] is None
    assert (await shell(outcome, env))["outcome"] == {"succeeded": True, "words": "45.00 EUR were paid back."}
    assert (await shell(withdraw, env))["status"] == "approved"  # it stays as it is
    assert await shell(described, env) == DOCUMENT


@NEEDS_CURL
async def test_documented_curl_calls_withdraw_a_request(slack: LocalSlack, url: str, token: str) -> None:
    env = {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token}
    env["REQUEST"] = (await shell(BLOCKS[0], env))["id"]
    assert (await shell(BLOCKS[5], env))["status"] == "withdrawn"


def test_every_program_call_has_a_curl_example() -> None:
    """Those of workers have clients of their own, and the adapters keep states."""
    ours = {path for path in DOCUMENT["paths"] if path.startswith("/v1/requests") and not path.endswith("/state")}
    shown = {re.sub(r"\$REQUEST", "{id}", path) for path in re.findall(r'\$COUNTERSIGN_URL(/v1/requests[^"?]*)', PAGE)}
    assert ours <= shown
