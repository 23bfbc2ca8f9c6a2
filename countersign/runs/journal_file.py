"""Journals and leases in one SQLite file, for `run_here`.

Programs that share a file share its runs: a lease keeps two of them from advancing one run. A lease follows this
machine's clock, and its fence grows with each claim.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self, TypeVar

from countersign.domain.errors import LeaseLost, StoreUnavailable
from countersign.domain.ids import Digest, RunId
from countersign.usecases.ports import Lease

T = TypeVar("T")
_BUSY: Final = 5.0
"""Seconds that a write waits for another program's write."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS lease (run TEXT PRIMARY KEY, fence INTEGER, owner TEXT, until REAL);
CREATE TABLE IF NOT EXISTS journal (run TEXT, entry TEXT, value BLOB, PRIMARY KEY (run, entry));
CREATE TABLE IF NOT EXISTS answer (question TEXT PRIMARY KEY, value BLOB, until REAL);
"""


class JournalFile:
    """The worker's journal, leases and answers in one file, as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "journal")
        """Runs one transaction after another, including those whose caller was cancelled."""
        self._database: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        await self._aside(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._database is not None
        await self._aside(self._database.close)
        self._thread.shutdown()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.touch(mode=0o600)
        self._database = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")  # a recorded entry survives a crash of the machine
        self._database.executescript(_TABLES)

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Return everything recorded for the run, by key."""
        return await self._do(
            lambda database: dict(database.execute("SELECT entry, value FROM journal WHERE run = ?", (run,)).fetchall())
        )

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry, unless it exists (and not `replace`); return the stored one.

        Every entry is on the disk before this returns. LeaseLost if another program holds the run.
        """

        def write(database: sqlite3.Connection) -> bytes | None:
            held = database.execute("SELECT fence FROM lease WHERE run = ?", (lease.run,)).fetchone()
            if held is None or held[0] != lease.fence:
                return None
            verb = "REPLACE" if replace else "IGNORE"
            database.execute(f"INSERT OR {verb} INTO journal VALUES (?, ?, ?)", (lease.run, key, value))
            found = database.execute("SELECT value FROM journal WHERE run = ? AND entry = ?", (lease.run, key))
            return bytes(found.fetchone()[0])

        stands = await self._do(write)
        if stands is None:
            raise LeaseLost(f"Another program advances run {lease.run}; nothing was recorded.")
        return stands

    async def now(self) -> datetime:
        """Return this machine's time."""
        return datetime.now(UTC)

    async def drop(self, run: RunId) -> None:
        """Delete the journal of an ended run."""

        def delete(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM journal WHERE run = ?", (run,))

        await self._do(delete)

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None:
        """Claim the run, with a new fence; None while another owner holds it."""

        def claimed(database: sqlite3.Connection) -> int | None:
            now = datetime.now(UTC).timestamp()
            held = database.execute("SELECT fence, owner, until FROM lease WHERE run = ?", (run,)).fetchone()
            if held is not None and held[1] != owner and held[2] > now:
                return None
            # Also uses the clock: a fence made without the row must be greater than all earlier fences.
            fence = max(0 if held is None else held[0] + 1, int(now * 1000))
            row = (run, fence, owner, now + ttl.total_seconds())
            database.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", row)
            return fence

        fence = await self._do(claimed)
        return None if fence is None else Lease(run, fence, owner)

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Hold the lease for another `ttl`; False if it is no longer ours."""
        return await self._set_end(lease, ttl)

    async def release(self, lease: Lease) -> None:
        """Release the lease at once, if it is still ours."""
        await self._set_end(lease, timedelta(0))

    async def _set_end(self, lease: Lease, ttl: timedelta) -> bool:
        until = datetime.now(UTC).timestamp() + ttl.total_seconds()
        row = (until, lease.run, lease.fence, lease.owner)

        def set_end(database: sqlite3.Connection) -> bool:
            found = database.execute("UPDATE lease SET until = ? WHERE run = ? AND fence = ? AND owner = ?", row)
            return found.rowcount > 0

        return await self._do(set_end)

    async def get(self, question: Digest) -> bytes | None:
        """Return a model's answer, unless it has expired."""
        row = (question, datetime.now(UTC).timestamp())
        query = "SELECT value FROM answer WHERE question = ? AND until > ?"
        found = await self._do(lambda database: database.execute(query, row).fetchone())
        return None if found is None else bytes(found[0])

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
        """Keep a model's answer for a while."""
        row = (question, answer, datetime.now(UTC).timestamp() + kept.total_seconds())

        def write(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM answer WHERE until <= ?", (datetime.now(UTC).timestamp(),))
            database.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", row)

        await self._do(write)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in one transaction. StoreUnavailable if the file cannot be read or written."""
        database = self._database
        assert database is not None

        def done() -> T:
            with database:
                database.execute("BEGIN IMMEDIATE")
                return work(database)

        return await self._aside(done)

    async def _aside(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as wrong:
            raise StoreUnavailable(f"The journal {self._path.name} cannot be used: {wrong}.") from wrong
