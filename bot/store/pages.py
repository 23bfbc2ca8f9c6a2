"""The older part of the record: sealed pages, each the entries up to the number that is its score.

Entries only ever go from the stream into a page, and a script does that in one step. So who looks for what follows a
number in the pages, then in the stream, and then in the pages once more finds it, whatever is sealed meanwhile.
"""

import asyncio
import contextlib
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.core.chain import Damaged, Kept, read_head
from bot.core.errors import UnknownSchema
from bot.store.packing import unpack
from bot.store.page import Numbered, read_page, write_page
from bot.store.scripts import Script
from bot.store.store import Store, reaching

PAGE: Final = 128
"""Entries of a page; as many or more stay in the stream, so that the last one is always there."""
ROOM: Final = 1 << 20
"""Characters of entries from which on a page takes no more of them."""
_LARGEST: Final = 2**53
_HERE: Final = Path(__file__).parent
Standing = tuple[bytes, dict[bytes, bytes]]
"""An entry as it stands in the stream: its id, and its fields."""


class Pages:
    """Seals, reads and cuts the pages of one namespace."""

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._keys = store.keys
        self._seal = Script(store.client, (_HERE / "seal.lua").read_text())
        self._cut = Script(store.client, (_HERE / "cut.lua").read_text())

    async def read(self, after: int) -> list[Numbered]:
        """What follows number `after` in the page that holds it, or one `Damaged` instead; empty if no page does."""
        found = await self._first(after)
        if found is None:
            return []
        stored, last = found
        try:
            return [(n, kept) for n, kept in read_page(stored, last) if n > after]
        except UnknownSchema:
            upto = max(math.floor(last), after + 1)
            return [(upto, Damaged(f"stands in a page that cannot be read, with all up to entry {upto}", ""))]

    async def seal(self) -> bool:
        """Seal the oldest entries of the stream, if there are enough of them and nobody else did; whether it did."""
        async with reaching():
            if await self._client.xlen(self._keys.audit) < 2 * PAGE:
                return False
            oldest: list[Standing] = await self._client.xrange(self._keys.audit, count=PAGE)
        made = await asyncio.to_thread(_sealed, oldest)
        if made is None:
            return False
        async with reaching():
            return bool(await self._seal(keys=[self._keys.audit, self._keys.audit_pages], args=made))

    async def cut(self, upto: int) -> int | None:
        """Drop the entries up to that number, and answer how many; None if no page holds it or what follows it."""
        found = await self._first(upto - 1)
        if found is None:
            return None
        stored, last = found
        try:
            entries = read_page(stored, last)
            n, kept = [(n, kept) for n, kept in entries if n <= upto][-1]
            checkpoint = read_head(f"{n}:{kept.hash}")
        except (UnknownSchema, IndexError, ValueError):  # damaged, dropped already, or changed: what is left stays
            return 0
        rest = [(n, kept) for n, kept in entries if n > upto]
        stays = await asyncio.to_thread(write_page, rest) if rest else b""
        if stays is None:
            return 0
        keys = [self._keys.audit_pages, self._keys.audit_head]
        args = [entries[-1][0], _sha1(stored), stays, *checkpoint]
        async with reaching():
            return int(await self._cut(keys=keys, args=args))

    async def _first(self, after: int) -> tuple[bytes, float] | None:
        """The page that ends first after that number, and the number it ends with."""
        async with reaching():
            found = await self._client.zrangebyscore(
                self._keys.audit_pages, f"({after}", _LARGEST, start=0, num=1, withscores=True
            )
        return (found[0][0], float(found[0][1])) if found else None


def standing(entry: bytes, fields: dict[bytes, bytes]) -> Numbered:
    """An entry of the stream. What is no text any more is still shown, and does not fit its hash."""
    text, digest = fields.get(b"entry", b""), fields.get(b"hash", b"")
    with contextlib.suppress(UnknownSchema):
        text = unpack(text)
    shown = digest.hex() if len(digest) == 32 else digest.decode("ascii", "replace")
    return int(entry.split(b"-")[0]), Kept(text.decode("ascii", "replace"), shown)


def _sealed(oldest: Sequence[Standing]) -> list[int | str | bytes] | None:
    """How many of them go into the page, what they were, the number of the last, and the page; None if none can."""
    entries: list[Numbered] = []
    room = ROOM
    for entry, fields in oldest:
        n, kept = standing(entry, fields)
        room -= len(kept.entry)
        if entries and room < 0:
            break
        entries.append((n, kept))
    page = write_page(entries)
    if page is None:
        return None
    return [len(entries), _mark(oldest[: len(entries)]), entries[-1][0], page]


def _mark(entries: Sequence[Standing]) -> str:
    """The same as `seal.lua` makes of them."""
    parts = (part for entry, fields in entries for part in (entry, *(x for pair in fields.items() for x in pair)))
    return _sha1(b"".join(b"%d:%s" % (len(part), part) for part in parts))


def _sha1(of: bytes) -> str:
    """The hash that the server has; it says whether something is the same still, and protects nothing."""
    return hashlib.sha1(of, usedforsecurity=False).hexdigest()
