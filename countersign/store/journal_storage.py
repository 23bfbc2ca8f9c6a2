"""Recorded effects of runs, and answers of models, as bytes.

Only the agents' side understands them. A run's journal is one hash, each entry written once, only under the run's
lease. Answers are kept for a while, so that all workers give them again.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

from countersign.domain.errors import LeaseLost
from countersign.domain.ids import Digest, RunId
from countersign.store.codec import compress, decompress, ms
from countersign.store.records import reaching
from countersign.store.store import Store
from countersign.usecases.ports import Lease

FSYNC: Final = timedelta(seconds=2)
_RECORD: Final = (Path(__file__).parent / "write_journal.lua").read_text()


class RedisJournal:
    """Implements `countersign.usecases.ports.Journal`."""

    def __init__(self, store: Store, fsync: timedelta = FSYNC) -> None:
        """Take the store and the time its disk may take; 0: nothing waits for the disk."""
        self._store = store
        self._fsync = fsync
        self._script = store.writing(_RECORD)

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Return everything recorded for the run, by key."""
        async with reaching():
            stored = await self._store.client.hgetall(self._store.keys.journal(run))
        return {key.decode(): decompress(value) for key, value in stored.items()}

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry, unless it exists or with `replace`; return the one that stands.

        `on_disk`: return once the disk has it. LeaseLost if another worker holds the run.
        """
        names = self._store.keys
        async with reaching():
            stands: bytes | None = await self._script(
                keys=[names.lease(lease.run), names.journal(lease.run)],
                args=[lease.fence, key, compress(value), int(replace), names.run(lease.run)],
                within=self._fsync if on_disk else timedelta(0),
            )
        if stands is None:
            raise LeaseLost(f"Another worker advances run {lease.run}; nothing was recorded.")
        return decompress(stands)


class RedisAnswers:
    """Implements `countersign.usecases.ports.Answers`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, question: Digest) -> bytes | None:
        """Return the answer, if its time has not ended."""
        async with reaching():
            answer: bytes | None = await self._store.client.get(self._store.keys.answer(question))
        return answer

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
        """Keep the answer for a while."""
        async with reaching():
            await self._store.client.set(self._store.keys.answer(question), answer, px=ms(kept))
