"""A Redis that is out of memory or disk says so, in words that tell what to do."""

import asyncio
import resource
import sys
from pathlib import Path

import pytest

from bot.slack import health
from countersign.domain.errors import StoreFull
from countersign.domain.ids import WorkspaceId
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import connect
from countersign.store.store import Store


async def test_redis_out_of_memory_is_reported_as_that(tmp_path: Path) -> None:
    """R7: it answers, so nobody should look for it."""
    async with (
        EmbeddedRedis(tmp_path / "redis", namespace="t") as server,
        connect(server.url) as admin,
        connect(server.url_of("web")) as client,
    ):
        store = Store(client, "t")
        assert (await health.problem_of(store))[0] == ""
        await admin.config_set("maxmemory", "1mb")
        assert "maxmemory" in (await health.problem_of(store))[0]
        with pytest.raises(StoreFull, match="more memory"):
            await store.set_workspace(WorkspaceId("T1"))
        await admin.config_set("maxmemory", "0")
        assert (await health.problem_of(store))[0] == ""


def write_no_file() -> None:
    """As with `ulimit -f 0`: what this process begins may write into pipes alone."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


async def test_embedded_redis_without_space_says_what_to_do(tmp_path: Path) -> None:
    """R49: also in a folder whose name no shell takes as one word."""
    command = (sys.executable, "-m", "countersign.store.embedded_server", str(tmp_path / "my redis"))
    stderr = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stderr=stderr, preexec_fn=write_no_file)
    said = (await process.communicate())[1].decode()
    assert process.returncode == 1
    assert "cannot run in" in said and "Free some space" in said and "Traceback" not in said


async def test_embedded_redis_reports_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What its server wrote last is read as a person would."""
    async with EmbeddedRedis(tmp_path / "redis", namespace="t") as server:
        with (server.folder / "valkey.log").open("a") as log:
            log.write("1:M # Short write while writing to the AOF file: (nwritten=976, expected=10033)\n")
            log.write("1:M # Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...\n")
        assert "its disk is full or broken" in server._last_words() and "is kept" in server._last_words()
