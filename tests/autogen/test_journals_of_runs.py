"""Journals and leases in one file: one program at a time advances a run, and only that one records."""

from datetime import timedelta
from pathlib import Path

import pytest

from countersign.domain.errors import LeaseLost
from countersign.domain.ids import RunId
from countersign.runs.journal_file import JournalFile

RUN, HOUR = RunId("s1"), timedelta(hours=1)


async def test_journal_lease_has_one_owner_until_released(tmp_path: Path) -> None:
    async with JournalFile(tmp_path / "runs.sqlite") as first, JournalFile(tmp_path / "runs.sqlite") as second:
        lease = await first.claim(RUN, "first", HOUR)
        assert lease is not None
        assert await second.claim(RUN, "second", HOUR) is None
        await first.release(lease)
        assert await second.claim(RUN, "second", HOUR) is not None


async def test_program_without_the_lease_records_nothing(tmp_path: Path) -> None:
    """R4: the fence of the second claim is greater, and the entries of the first holder stay."""
    async with JournalFile(tmp_path / "runs.sqlite") as file:
        lost = await file.claim(RUN, "first", timedelta(0))
        assert lost is not None
        assert await file.record(lost, "a", b"1") == b"1"
        lease = await file.claim(RUN, "second", HOUR)
        assert lease is not None and lease.fence > lost.fence
        with pytest.raises(LeaseLost, match="Another program"):
            await file.record(lost, "b", b"2")
        assert not await file.renew(lost, HOUR)
        assert await file.record(lease, "a", b"3") == b"1"
        assert await file.entries(RUN) == {"a": b"1"}


async def test_journal_outlives_its_program_until_dropped(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "runs.sqlite"
    async with JournalFile(path) as file:
        lease = await file.claim(RUN, "first", HOUR)
        assert lease is not None
        await file.record(lease, "a", b"1")
        await file.record(lease, "a", b"2", replace=True)
    assert path.stat().st_mode & 0o077 == 0
    async with JournalFile(path) as file:
        assert await file.entries(RUN) == {"a": b"2"}
        await file.drop(RUN)
        assert await file.entries(RUN) == {}
