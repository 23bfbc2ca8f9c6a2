"""Sources of entries for the command line: Redis or exported lines."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from countersign.domain.hash_chain import Head, Kept, read_head
from countersign.process_settings import read
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.terminal import progress

from . import export, messages
from .settings import AuditSettings

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def moment(text: str) -> datetime:
    """Read `2026-03-06`, `2026-03-06T17:00:00+01:00` or an age like `90d`.

    In UTC unless it says so.
    """
    if age := re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text):
        return datetime.now(UTC) - int(age[1]) * _UNITS[age[2]]
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(messages.no_moment(text)) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def head(text: str) -> Head:
    """Read a head that was noted."""
    try:
        return read_head(text)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None


Since = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="WHEN", help="From then on: 2026-03-06 (UTC), or 90d ago.")
]
Until = Annotated[datetime | None, typer.Option(parser=moment, metavar="WHEN", help="Before then.")]
Lines = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Exported JSON lines, - for standard input; else Redis.")
]


@asynccontextmanager
async def opened() -> AsyncIterator[Store]:
    """Open the store of the settings."""
    settings = read(AuditSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        yield Store(client, settings.namespace)


async def entries(file: Path | None, selection: export.Filter, doing: str) -> AsyncIterator[Kept | ValueError]:
    """Yield the selected entries, and what cannot be read; shows how far it is."""
    if file is None:
        async with opened() as store:
            ledger = Ledger(store)
            after = await ledger.before(selection.since) if selection.since is not None else 0
            total = (await ledger.position()).head.n - after
            with progress(doing, total) as step:
                async for _, kept in ledger.all(after):
                    step()
                    if selection.narrow and not export.fits(kept, selection):
                        continue
                    yield kept
        return
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines, progress(doing, None) as step:
        for one in export.read_lines(lines):
            step()
            if isinstance(one, ValueError) or export.fits(one, selection):
                yield one
