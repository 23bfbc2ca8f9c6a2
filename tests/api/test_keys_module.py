"""The command of keys, as the demo starts it and as people do; and what Redis has of a key."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from typing import Any

import httpx
import pytest

from countersign.domain import api_keys
from countersign.store.store import Store

pytestmark = pytest.mark.slow


def test_the_module_makes_a_key_and_prints_it_alone(redis_url: str, namespace: str) -> None:
    command = (sys.executable, "-m", "bot.api.keys_cli", "create", "--name", "demo", "--channel", "#general")
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


async def test_a_key_is_listed_and_revoked_and_redis_has_no_secret_of_it(
    store: Store, url: str, namespace: str, redis_url: str
) -> None:
    """R9: by its name; what opens the interface is in no value of Redis, before and after."""

    async def keys(*arguments: str) -> str:
        command = (sys.executable, "-m", "countersign", "keys", *arguments)
        env = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace, "COLUMNS": "200"}
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=PIPE)
        words, problem = await process.communicate()
        return words.decode() if process.returncode == 0 else f"{process.returncode}: {problem.decode()}"

    token = (await keys("create", "--name", "nightly", "--channel", "#general")).strip()
    name, secret = api_keys.parts_of(token) or ("", "")

    async def opens() -> int:
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
            return (await client.get("/v1/requests")).status_code

    assert await opens() == 200
    (row,) = [line for line in (await keys("list")).splitlines() if name in line]
    assert "nightly" in row and "#general" in row and "made" in row
    assert secret not in row
    assert (await keys("revoke", "nobody")).startswith("2: There is no key “nobody”")
    assert await keys("revoke", "nightly") == f"Revoked key {name} (nightly).\n"
    (row,) = [line for line in (await keys("list")).splitlines() if name in line]
    assert "revoked" in row
    assert await opens() == 401
    values = [str(await content(store, key)) async for key in store.client.scan_iter()]
    assert any(name in value for value in values), "this reads what is stored"
    assert not any(secret in value for value in values)
