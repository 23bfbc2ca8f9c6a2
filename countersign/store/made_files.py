"""Files that approved code made, for the thread of its run.

The worker that ran it has no Slack token, so the bytes wait in Redis until `web` has uploaded them.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any, Final

import redis.asyncio
from redis.exceptions import ResponseError

from countersign.domain.ids import RunId
from countersign.domain.made_files import LARGEST, MOST, MadeFile, clean, numbered
from countersign.store.keys import Keys
from countersign.store.reads import reaching

KEPT: Final = timedelta(days=7)
_DIGITS: Final = 16


class MadeFiles:
    """Implements `countersign.usecases.made_files.MadeFiles`."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def keep(self, run: RunId, files: Sequence[MadeFile]) -> int:
        """Add the files; return how many have no room.

        Each version has a name of its own.
        """
        key, left = self._keys.made(run), 0
        async with reaching():
            for file in files:
                left += not await self._put(key, file)
            await self._client.pexpire(key, KEPT)
        return left

    async def _put(self, key: str, file: MadeFile) -> bool:
        there = dict(_parted(field) for field in await self._fields(key))
        digest = hashlib.sha256(file.content).hexdigest()[:_DIGITS]
        if digest in there:
            return True
        if len(there) >= MOST:
            return False
        name = next(one for n in count(1) if (one := numbered(file.name, n)) not in there.values())
        await self._client.hset(key, f"{digest}/{name}", file.content)
        return True

    async def names(self, run: RunId) -> dict[str, str]:
        """Return the keys of the files, each with its name.

        None of a run with too many, or of what is no hash.
        """
        key = self._keys.made(run)
        async with reaching():
            with suppress(ResponseError):
                if 0 < await self._client.hlen(key) <= 2 * MOST:  # agents that are done at once may pass the limit
                    found = {field: _parted(field)[1] for field in sorted(await self._fields(key))}
                    return {field: name for field, name in found.items() if name and name == clean(name)}
        return {}

    async def content(self, run: RunId, field: str) -> bytes | None:
        """Return the bytes of a file; None if it is gone or too large."""
        key = self._keys.made(run)
        async with reaching():
            with suppress(ResponseError):
                if 0 < await self._client.hstrlen(key, field) <= LARGEST:
                    content: Any = await self._client.hget(key, field)
                    return bytes(content) if content is not None else None
        return None

    async def _fields(self, key: str) -> list[str]:
        fields: Any = await self._client.hkeys(key)
        return [field.decode(errors="replace") for field in fields]


def _parted(field: str) -> tuple[str, str]:
    """Part the digest of a file's content from its name."""
    digest, _, name = field.partition("/")
    return digest, name
