"""A sealed page: entries of the record in so few bytes that a third of them are hashes; each comes back as it was.

A page is the number of this format, how many digests it holds (4 bytes), the digests (32 bytes each, since nothing
makes them smaller), and deflated text: a line for each entry, in which a mark stands for each digest. Names, rules and
words that entries share cost nearly nothing there.
"""

import json
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final

from bot.core.chain import Kept
from bot.core.errors import UnknownSchema
from bot.store.dictionaries import ENTRIES_2

Numbered = tuple[int, Kept]
"""An entry and the number under which it is kept."""

MOST: Final = 1 << 25
"""Bytes that the text of a page may have, so that nobody's page fills the memory; longer ones are not written."""
_FORMAT: Final = b"\x01"
_COUNT: Final = struct.Struct(">I")
_WINDOW: Final = -15
_DIGEST: Final = re.compile(r"[\"\t][0-9a-f]{64}")
"""With the sign before it: all that matter have one of these, and it is found in half of the time."""
_MARK: Final = re.compile(r"\x01([0-9]+);")
"""0: the next digest of the page. 1: the one that came last, 2: the one before that, and so on."""


def write_page(entries: Sequence[Numbered]) -> bytes | None:
    """The page of these entries, in this order; None if its text would be longer than `MOST`."""
    places: dict[str, int] = {}

    def mark(found: re.Match[str]) -> str:
        before, new = found[0][0], len(places)
        place = places.setdefault(found[0][1:], new)
        return f"{before}\x01{new - place};"

    lines, last = [], 0
    for n, kept in entries:
        line = f"{_plain(kept.entry)}\t{_plain(kept.hash)}" + (f"\t{n}" if n != last + 1 else "")
        lines.append(line)
        last = n
    text = "\n".join(lines)
    if len(text) > MOST:
        return None
    short = _DIGEST.sub(mark, text).encode("ascii")
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9, zlib.Z_DEFAULT_STRATEGY, ENTRIES_2)
    return b"".join(
        (_FORMAT, _COUNT.pack(len(places)), *map(bytes.fromhex, places), packer.compress(short), packer.flush())
    )


def read_page(stored: bytes, last: float) -> list[Numbered]:
    """The entries of the page that ends with number `last`. UnknownSchema if it is none, or was damaged."""
    if stored[:1] != _FORMAT:
        raise UnknownSchema("A page of the record is packed in a way that this program does not know.")
    try:
        entries = _lines(_text(stored))
    except (ValueError, IndexError, struct.error, zlib.error) as wrong:
        raise UnknownSchema(f"A page of the record cannot be unpacked: {wrong}.") from wrong
    numbers = [n for n, _ in entries]
    if numbers != sorted(numbers) or numbers[-1] != last:
        raise UnknownSchema(f"A page of the record does not hold entries in order up to {last:.0f}.")
    return entries


def _text(stored: bytes) -> str:
    (count,) = _COUNT.unpack_from(stored, 1)
    begin = 1 + _COUNT.size
    end = begin + 32 * count
    if end > len(stored):
        raise ValueError("it ends within its digests")
    reader = zlib.decompressobj(_WINDOW, ENTRIES_2)
    short = reader.decompress(stored[end:], MOST + 1)
    if len(short) > MOST or len(short) + 64 * short.count(b"\x01") > 2 * MOST:
        raise ValueError("it is longer than a page may be")
    if not reader.eof or reader.unused_data:
        raise ValueError("it does not end where it should")
    digests = [stored[at : at + 32].hex() for at in range(begin, end, 32)]
    taken = 0

    def digest(found: re.Match[str]) -> str:
        nonlocal taken
        back = int(found[1])
        if back > taken:
            raise ValueError("it names a digest that it does not hold")
        taken += not back
        return digests[taken - (back or 1)]

    return _MARK.sub(digest, short.decode("ascii"))


def _lines(text: str) -> list[Numbered]:
    entries, last = [], 0
    for line in text.split("\n"):
        entry, digest, *number = line.split("\t", 2)
        last = int(number[0]) if number else last + 1
        entries.append((last, Kept(_read(entry), _read(digest))))
    return entries


def _plain(text: str) -> str:
    """As it is, if it can stand in a line; else (somebody changed it) as JSON, which begins with a quotation mark."""
    return text if text.isascii() and text.isprintable() and text[:1] != '"' else json.dumps(text)


def _read(text: str) -> str:
    return str(json.loads(text)) if text[:1] == '"' else text
