"""Journals and leases in a file, as programs that run a team themselves share it."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from countersign.domain.errors import LeaseLost, StoreUnavailable
from countersign.domain.ids import Digest, RunId
from countersign.runs.journal_file import JournalFile
from countersign.usecases.ports import Lease

RUN = RunId("r1")
LONG, OVER = timedelta(hours=1), timedelta(0)
QUESTION = Digest("0" * 64)
_PROGRAM = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from countersign.domain.ids import RunId
from countersign.runs.journal_file import JournalFile

async def main(path, owner, count):
    async with JournalFile(Path(path)) as file:
        shared = await file.claim(RunId("rshared"), owner, timedelta(hours=1))
        print("shared", shared is not None, flush=True)
        lease = await file.claim(RunId("r" + owner), owner, timedelta(hours=1))
        for number in range(count):
            await file.record(lease, f"entry {number}", b"%d" % number * 1000)
            print(number, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
"""A program that writes entries and says which of them are recorded."""
MANY = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "runs.sqlite"


@pytest.fixture
async def file(path: Path) -> AsyncIterator[JournalFile]:
    async with JournalFile(path) as file:
        yield file


async def held(file: JournalFile, owner: str = "one", ttl: timedelta = LONG, run: RunId = RUN) -> Lease:
    lease = await file.claim(run, owner, ttl)
    assert lease is not None
    return lease


async def program(path: Path, owner: str, count: int) -> asyncio.subprocess.Process:
    """Another program that uses the file."""
    command = (sys.executable, "-c", _PROGRAM, str(path), owner, str(count))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def test_second_program_is_refused_while_a_run_is_held(file: JournalFile, path: Path) -> None:
    """R4: as two programs, each with the file open."""
    async with JournalFile(path) as other:
        first = await held(file)
        assert await other.claim(RUN, "two", LONG) is None
        assert await file.renew(first, LONG)
        await file.release(first)
        second = await held(other, "two")
        assert second.fence > first.fence
        assert not await file.renew(first, LONG)
        await file.release(first)
        assert await file.claim(RUN, "one", LONG) is None, "who lost it releases nothing"


async def test_journal_fences_only_grow(file: JournalFile, path: Path) -> None:
    """R4: through releases, ends, claims of the same owner, other programs, and a clock that was set back."""
    fences = []
    for owner, ttl in (("one", OVER), ("two", OVER), ("one", LONG), ("one", LONG)):
        fences.append((await held(file, owner, ttl)).fence)
    async with JournalFile(path) as again:
        fences.append((await held(again, "one")).fence)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE lease SET fence = fence + 1000000, until = 0")
    fences.append((await held(file, "two")).fence)
    assert fences == sorted(set(fences))
    assert fences[-1] > fences[0] + 1_000_000


async def test_fence_grows_after_its_row_is_deleted(file: JournalFile, path: Path) -> None:
    """R4: somebody deleted the file."""
    first = await held(file)
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM lease")
    while (again := await held(file)).fence == first.fence:
        pass
    assert again.fence > first.fence


async def test_entry_is_written_once_unless_it_is_replaced(file: JournalFile) -> None:
    lease = await held(file)
    assert await file.record(lease, "model", b"first") == b"first"
    assert await file.record(lease, "model", b"second", on_disk=True) == b"first"
    assert await file.record(lease, "model", b"third", replace=True) == b"third"
    assert await file.entries(RUN) == {"model": b"third"}
    assert await file.entries(RunId("r2")) == {}


async def test_entry_under_a_lost_lease_is_refused(file: JournalFile, path: Path) -> None:
    """R4: whoever slept while another program took the run writes nothing."""
    with pytest.raises(LeaseLost):
        await file.record(Lease(RUN, 1, "one"), "model", b"never claimed")
    slept = await held(file, ttl=OVER)
    async with JournalFile(path) as other:
        taken = await held(other, "two")
        with pytest.raises(LeaseLost, match="Another program"):
            await file.record(slept, "model", b"late", replace=True)
        assert await other.record(taken, "model", b"said") == b"said"
    assert await file.entries(RUN) == {"model": b"said"}


async def test_dropped_journal_leaves_the_journals_of_others(file: JournalFile) -> None:
    for run in (RUN, RunId("r2")):
        await file.record(await held(file, run=run), "model", b"said")
    await file.drop(RUN)
    assert await file.entries(RUN) == {}
    assert await file.entries(RunId("r2")) == {"model": b"said"}


async def test_kept_model_answer_expires(file: JournalFile, path: Path) -> None:
    other = Digest("1" * 64)
    await file.put(QUESTION, b"said", LONG)
    await file.put(other, b"over", OVER)
    assert await file.get(QUESTION) == b"said"
    assert await file.get(other) is None
    await file.put(QUESTION, b"said again", LONG)
    assert await file.get(QUESTION) == b"said again"
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM answer").fetchone() == (1,), "the other one has left the file"


async def test_journal_file_is_readable_by_its_owner_only(file: JournalFile, path: Path) -> None:
    """What models and people said is in it."""
    await file.record(await held(file), "model", b"said")
    modes = {one.name: oct(one.stat().st_mode & 0o777) for one in path.parent.iterdir()}
    assert path.name in modes and set(modes.values()) == {"0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"


async def test_cancelled_write_leaves_the_file_usable(file: JournalFile, path: Path) -> None:
    """R4: a run that is stopped in the middle of a write disturbs no write of another run."""
    lease = await held(file)
    for number in range(10):
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(file.record(lease, f"entry {number}", b"x" * 1_000_000))
            await asyncio.sleep(0)
            writing.cancel()
            following = [asyncio.create_task(file.record(lease, "model", b"said")) for _ in range(3)]
            await asyncio.sleep(0)
            other.execute("ROLLBACK")
        await asyncio.gather(writing, return_exceptions=True)
        assert await asyncio.gather(*following) == [b"said"] * 3


@pytest.fixture
def no_database(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(b"no database " * 100)
    return path


async def test_invalid_database_file_is_named(no_database: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"journal runs\.sqlite cannot be used: file is not a database"):
        await JournalFile(no_database).__aenter__()


async def test_write_blocked_by_another_program_can_be_retried(file: JournalFile, path: Path) -> None:
    """R4: it says so, and nothing of it stays behind."""
    lease = await held(file)
    await file._do(lambda database: database.execute("PRAGMA busy_timeout=1"))
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await file.record(lease, "model", b"said")
        other.execute("ROLLBACK")
    assert await file.record(lease, "model", b"said") == b"said"


async def test_recorded_entries_survive_kill_9_during_writes(path: Path) -> None:
    """R4: kill -9; each entry that was said to be recorded is there, whole, and the run is still the killed one's."""
    for kill in range(3):
        killed = await program(path, "one", MANY)
        assert killed.stdout is not None
        told: list[str] = []
        while len(told) < 20 * (kill + 1):
            told.append((await killed.stdout.readline()).decode().strip())
        killed.kill()
        rest = (await killed.communicate())[0].decode().split("\n")
        recorded = [int(line) for line in [*told, *rest[:-1]] if line.isdecimal()]
        async with JournalFile(path) as file:
            entries = await file.entries(RunId("rone"))
            assert {number: entries[f"entry {number}"] for number in recorded} == {
                number: b"%d" % number * 1000 for number in recorded
            }
            assert await file.claim(RunId("rone"), "two", LONG) is None
            assert await file.record(await held(file, "one", run=RunId("rone")), "entry 0", b"other") == b"0" * 1000
            assert await file._do(lambda database: database.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


async def test_concurrent_programs_lose_no_write(path: Path) -> None:
    """R4: four that open a new file together: one gets the shared run, and each writes its own."""
    owners = ["one", "two", "three", "four"]
    programs = await asyncio.gather(*(program(path, owner, 25) for owner in owners))
    told = [(await one.communicate())[0].decode().split("\n") for one in programs]
    assert [one.returncode for one in programs] == [0] * len(owners)
    assert sorted(lines[0] for lines in told) == [*["shared False"] * 3, "shared True"]
    async with JournalFile(path) as file:
        for owner in owners:
            assert len(await file.entries(RunId(f"r{owner}"))) == 25
