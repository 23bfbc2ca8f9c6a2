"""A connection to a server that forgets all scripts just as one of them is called by its hash."""

from collections.abc import Iterable

import redis
import redis.asyncio


class Forgetting(redis.asyncio.Connection):
    """However often a script was loaded, the call that follows does not find it."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        parts = list(command) if isinstance(command, list | tuple) else [command]
        if any(isinstance(part, bytes) and b"EVALSHA" in part for part in parts):
            with redis.Redis(self.host, int(self.port), username=self.username, password=self.password) as server:
                server.script_flush()
        await super().send_packed_command(command, check_health)
