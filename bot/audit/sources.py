"""Inputs of the command line: entries, moments, links of cards."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from countersign.domain.errors import NotFound
from countersign.domain.hash_chain import Head, Kept, read_head
from countersign.domain.ids import ChannelId, RequestId
from countersign.process_settings import read
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.terminal import progress

from ..settings import AuditSettings
from . import export_formats

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_CARD_LINK: Final = re.compile(r"https?://[^/\s]+/archives/([A-Z0-9]+)/p([0-9]{10})([0-9]{6})(?:[?#]\S*)?")


def moment(text: str) -> datetime:
    """Read `2026-03-06`, `2026-03-06T17:00:00+01:00` or an age like `90d`.

    In UTC unless it says so.
    """
    if age := re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text):
        return datetime.now(UTC) - int(age[1]) * _UNITS[age[2]]
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"“{text[:40]}” isn't a point in time. Write 2026-03-06, 2026-03-06T17:00 or 90d."
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def head(text: str) -> Head:
    """Read a head from text."""
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


async def entries(file: Path | None, selection: export_formats.Filter, doing: str) -> AsyncIterator[Kept | ValueError]:
    """Yield the selected entries and the unreadable ones, showing progress."""
    if file is None:
        async with opened() as store:
            ledger = Ledger(store)
            after = await ledger.before(selection.since) if selection.since is not None else 0
            total = (await ledger.position()).head.n - after
            with progress(doing, total) as step:
                async for _, kept in ledger.all(after):
                    step()
                    if selection.narrow and not export_formats.fits(kept, selection):
                        continue
                    yield kept
        return
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines, progress(doing, None) as step:
        for entry in export_formats.read_lines(lines):
            step()
            if isinstance(entry, ValueError) or export_formats.fits(entry, selection):
                yield entry


async def requests_at(store: Store, text: str) -> tuple[RequestId, ...]:
    """Return the request of that id, stored or not, or all on the card of that link.

    A link is what Slack's “Copy link” gives, of a card or of a reminder about one. NotFound if it leads to
    no known card: messages are known for 400 days.
    """
    if not text.startswith(("https:", "http:")):
        return (RequestId(text),)
    link, workspace = _CARD_LINK.fullmatch(text), await store.workspace()
    first = None
    if link is not None and workspace is not None:
        first = await store.message_request(workspace, ChannelId(link[1]), f"{link[2]}.{link[3]}")
    if first is None:
        raise NotFound(
            f"“{text[:120]}” doesn't lead to a known card. Copy the link of the card, or of a reminder about it; after "
            "400 days, use the request's id."
        )
    card = await store.message(f"card/{first}")
    if card is not None and card.value.on:
        card = await store.message(card.value.on)
    return (card.value.rows if card is not None else ()) or (first,)


def count_entries(count: int) -> str:
    """Write a number of entries: `1 entry`, `2,000 entries`."""
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"


def say_unread(count: int) -> None:
    """Print how many entries were left out, if any."""
    if count:
        them = "it" if count == 1 else "them"
        print(f"{count_entries(count)} can't be read, so left out. `audit verify` names {them}.", file=sys.stderr)
