"""Journals of runs, and answers of models, in the workers' area.

A run's journal is one hash, each entry written once, only under the run's lease. Answers are kept for a while, so that
all workers can reuse them.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from countersign.domain.errors import LeaseLost
from countersign.domain.ids import Digest, RunId
from countersign.runs.area import Area
from countersign.store.codec import compress, decompress, ms
from countersign.usecases.ports import Lease

FSYNC: Final = timedelta(seconds=2)
KEPT: Final = timedelta(days=400)
"""Life of a journal after its last entry: longer than a run can wait for people."""
KEPT_ENDED: Final = timedelta(days=30)
_RECORD: Final = (Path(__file__).parent / "write_journal.lua").read_text()


class RedisJournal:
    """Implements `countersign.usecases.ports.Journal`."""

    def __init__(self, area: Area, fsync: timedelta = FSYNC) -> None:
        """Take the area and the time limit of its disk; 0 does not wait for the disk."""
        self._area = area
        self._fsync = fsync
        self._script = area.writing(_RECORD)

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Return everything recorded for the run, by key."""
        stored = await self._area.client.hgetall(self._area.keys.journal(run))
        return {key.decode(): decompress(value) for key, value in stored.items()}

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry, unless it exists (and not `replace`); return the stored one.

        `on_disk`: return once the disk has it. LeaseLost if another worker holds the run.
        """
        names = self._area.keys
        stands: bytes | None = await self._script(
            keys=[names.lease(lease.run), names.journal(lease.run)],
            args=[lease.fence, key, compress(value), int(replace), ms(KEPT)],
            within=self._fsync if on_disk else timedelta(0),
        )
        if stands is None:
            raise LeaseLost(f"Another worker advances run {lease.run}; nothing was recorded.")
        return decompress(stands)

    async def now(self) -> datetime:
        """Read the clock that the entries use."""
        return await self._area.now()

    async def drop(self, run: RunId) -> None:
        """Let the journal of an ended run expire after a while."""
        await self._area.client.pexpire(self._area.keys.journal(run), ms(KEPT_ENDED))


class RedisAnswers:
    """Implements `countersign.usecases.ports.Answers`."""

    def __init__(self, area: Area) -> None:
        self._area = area

    async def get(self, question: Digest) -> bytes | None:
        """Return the answer, unless it has expired."""
        answer: bytes | None = await self._area.client.get(self._area.keys.answer(question))
        return answer

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
        """Keep the answer for a while."""
        await self._area.client.set(self._area.keys.answer(question), answer, px=ms(kept))
