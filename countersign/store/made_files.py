"""Files that approved code made, for the thread of its run.

The worker that ran it has no Slack token, so the bytes wait in Redis until `web` has uploaded them.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any, Final

import redis.asyncio

from countersign.domain.ids import RunId
from countersign.domain.made_files import MOST, LeftOut, MadeFile, Why, numbered
from countersign.store.keys import Keys
from countersign.usecases.ports import KeptFiles

KEPT: Final = timedelta(days=7)
_DIGITS: Final = 16
_WHYS: Final = frozenset(map(str, Why))
_MOST_LEFT: Final = MOST + 1
"""Most stored names of omitted files; one more than shown, so that the reader knows of others."""


class MadeFiles:
    """Implements `countersign.usecases.ports.MadeFiles`."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def keep(self, run: RunId, files: Sequence[MadeFile], left: Sequence[LeftOut] = ()) -> None:
        """Add the files, and note the files that are left out or do not fit.

        Each version has a name of its own.
        """
        key = self._keys.made(run)
        full = [LeftOut(Why.MANY, file.name) for file in files if not await self._put(key, file)]
        for one in (*left, *full):
            if sum(_parted(field)[0] in _WHYS for field in await self._fields(key)) < _MOST_LEFT:
                await self._client.hset(key, f"{one.why}/{one.name}", "")
        await self._client.pexpire(key, KEPT)

    async def _put(self, key: str, file: MadeFile) -> bool:
        there = {digest: name for digest, name in map(_parted, await self._fields(key)) if digest not in _WHYS}
        digest = hashlib.sha256(file.content).hexdigest()[:_DIGITS]
        if digest in there:
            return True
        if len(there) >= MOST:
            return False
        name = next(one for n in count(1) if (one := numbered(file.name, n)) not in there.values())
        await self._client.hset(key, f"{digest}/{name}", file.content)
        return True

    async def kept(self, run: RunId) -> KeptFiles:
        """Return the stored files."""
        fields = {field: _parted(field) for field in sorted(await self._fields(self._keys.made(run)))}
        files = {field: name for field, (digest, name) in fields.items() if digest not in _WHYS}
        return KeptFiles(files, tuple(LeftOut(Why(why), name) for why, name in fields.values() if why in _WHYS))

    async def content(self, run: RunId, field: str) -> bytes | None:
        """Return the bytes of a file; None if it is gone."""
        content: Any = await self._client.hget(self._keys.made(run), field)
        return None if content is None else bytes(content)

    async def _fields(self, key: str) -> list[str]:
        fields: Any = await self._client.hkeys(key)
        return [field.decode() for field in fields]


def _parted(field: str) -> tuple[str, str]:
    """Split a field into the digest of a file's content and its name."""
    digest, _, name = field.partition("/")
    return digest, name
