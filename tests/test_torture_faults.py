"""The faults of the torture are those that happen, and no others."""

from pathlib import Path

import redis.asyncio

from bot.store.embedded import EmbeddedRedis
from torture.town import tear


async def test_a_file_torn_twice_before_the_server_mends_it_is_read_again(tmp_path: Path) -> None:
    """R4: two half commands behind each other would be damage that no power cut does, and nothing starts on it."""
    async with EmbeddedRedis(tmp_path) as server, redis.asyncio.Redis.from_url(server.url) as client:
        await client.set("kept", "1")
    for _ in range(2):
        tear(tmp_path / "appendonlydir")
    async with EmbeddedRedis(tmp_path) as server, redis.asyncio.Redis.from_url(server.url) as client:
        assert await client.get("kept") == b"1"
        log = (tmp_path / "valkey.log").read_text()
        assert "loaded anyway because aof-load-truncated" in log
