"""The command of keys, as the demo starts it and as people do; and what Redis has of a key."""

import asyncio
import os
import re
import subprocess
import sys
from asyncio.subprocess import PIPE
from typing import Any

import httpx
import pytest

from countersign.domain import api_keys
from countersign.store.store import Store
from tests.api.test_requests import ask
from tests.sample_requests import GENERAL

pytestmark = pytest.mark.slow


def test_keys_command_prints_only_the_new_key(redis_url: str, namespace: str) -> None:
    command = (sys.executable, "-m", "bot.api.keys_cli", "create", "--name", "demo", "--channel", "C0GENERAL")
    environment = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace}
    made = subprocess.run(command, env=environment, check=True, text=True, capture_output=True)
    assert api_keys.parts_of(made.stdout.strip()) is not None


async def content(store: Store, key: bytes) -> Any:
    """All that a key of Redis holds."""
    client: Any = store.client
    kind = await client.type(key)
    reads = {
        "string": lambda: client.get(key),
        "set": lambda: client.smembers(key),
        "hash": lambda: client.hgetall(key),
        "zset": lambda: client.zrange(key, 0, -1),
        "list": lambda: client.lrange(key, 0, -1),
        "stream": lambda: client.xrange(key),
    }
    return await reads[kind.decode() if isinstance(kind, bytes) else kind]()


async def test_keys_command_stores_no_secret(store: Store, url: str, namespace: str, redis_url: str) -> None:
    """R9, R43, R48: by the program's name, in a channel by its id; no value of Redis opens the interface."""

    async def keys(*arguments: str) -> str:
        command = (sys.executable, "-m", "countersign", "keys", *arguments)
        env = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace, "COLUMNS": "200"}
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=PIPE)
        words, problem = await process.communicate()
        return words.decode() if process.returncode == 0 else f"{process.returncode}: {problem.decode()}"

    assert "`web` has not said lately" in await keys("create", "--name", "nightly", "--channel", "#general")
    await store.set_channels({"general": GENERAL})
    for other in ("#other", "other"):  # an unquoted # begins a comment of the shell
        assert "in no channel #other" in await keys("create", "--name", "nightly", "--channel", other)
    limits = ("--most-open", "7", "--per-minute", "8", "--most-waiting", "9")
    token = (await keys("create", "--name", "nightly", "--channel", "general", *limits)).strip()
    name, secret = api_keys.parts_of(token) or ("", "")

    async def opens() -> int:
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
            return (await client.get("/v1/requests")).status_code

    async def listed() -> list[str]:
        """The cells of its row, below those of the head."""
        head, *rows = [
            [cell.strip() for cell in re.split(r"\s{2,}", line)] for line in (await keys("list")).splitlines()
        ]
        assert head == ["key", "name", "channels", "open", "a minute", "polls", "made", "rotated", "revoked"]
        (row,) = [row for row in rows if row[0] == name]
        return row

    assert await opens() == 200
    today = f"{await store.now():%Y-%m-%d}"
    assert await listed() == [name, "nightly", "#general", "0 of 7", "8", "9", today]
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
        assert (await ask(client)).status_code == 201
    assert (await listed())[3] == "1 of 7"
    assert (await keys("create", "--name", "nightly", "--channel", "#general")).startswith("2: The program nightly has")
    assert (await keys("revoke", "nobody")).startswith("2: There is no key “nobody”")
    assert (await keys("rotate", "nightly", "--overlap", "soon")).startswith("2: ")
    before, token = token, (await keys("rotate", "nightly", "--overlap", "1h")).strip()
    assert (api_keys.parts_of(token) or ("",))[0] == name and token != before
    assert await opens() == 200
    assert await keys("revoke", "nightly") == f"Revoked key {name} (nightly).\n"
    assert (await listed())[6:] == [today, today, today]
    assert await opens() == 401
    values = [str(await content(store, key)) async for key in store.client.scan_iter()]
    assert any(name in value for value in values), "this reads what is stored"
    secrets = [secret, (api_keys.parts_of(token) or ("", ""))[1]]
    assert not any(secret in value for value in values for secret in secrets)
