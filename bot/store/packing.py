"""JSON in fewer bytes: deflated against a dictionary of what every record says, since most of a record is its names.

A waiting run is about ten records of a few hundred bytes each, and three quarters of them are the names of fields.
The first byte of what is packed is the number of its dictionary (`bot.store.dictionaries`); no JSON begins so.
`redis-cli` shows packed ones as they are; `unpack` reads them, and reads plain JSON as it always was.
"""

import zlib
from typing import Final

from bot.core.errors import NewerSchema, UnknownSchema
from bot.store import dictionaries

RECORD: Final = b"\x03"
"""For records, events and what journals hold. Those written before it was have b"\\x01"."""
ENTRY: Final = b"\x04"
"""For entries of the audit record, whose names stand in the order of the alphabet; before it was, b"\\x02"."""
LARGEST: Final = 16 * 2**20
"""Bytes of JSON that are packed, and that a record may have. Whatever else is larger, as a tool's result may be, is
stored as it is."""
ROOM: Final = 2**18
"""Bytes that anything may have when it is unpacked."""
TIMES: Final = 40
"""Whatever is larger than `ROOM` may have so many bytes for each that is stored: a few bytes fill no memory. Texts
of people and programs take a third to a twentieth; what takes less is stored as it is."""
_WINDOW: Final = -13
"""8 kB: a larger one is copied more slowly with each packer than it packs better."""
_LEVEL: Final = 7
"""As small as 9 and faster; 5 is a little faster still, and takes 2% more bytes."""
_MEMORY: Final = 5
_DICTIONARIES: Final = {
    b"\x01": dictionaries.RECORDS_1,
    b"\x02": dictionaries.ENTRIES_2,
    RECORD: dictionaries.RECORDS_3,
    ENTRY: dictionaries.ENTRIES_4,
}
_PACKERS: Final = {
    number: zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARIES[number])
    for number in (RECORD, ENTRY)
}
_READERS: Final = {number: zlib.decompressobj(_WINDOW, words) for number, words in _DICTIONARIES.items()}


def pack(plain: bytes, number: bytes = RECORD) -> bytes:
    """The bytes to store for some JSON: packed with the dictionary of that number, unless that takes more of them."""
    if len(plain) > LARGEST:
        return plain
    packer = _PACKERS[number].copy()
    packed = number + packer.compress(plain) + packer.flush()
    return packed if len(packed) < len(plain) <= _most(packed) else plain


def _most(packed: bytes) -> int:
    return min(LARGEST, max(ROOM, TIMES * len(packed)))


def unpack(stored: bytes) -> bytes:
    """The JSON again. UnknownSchema if the bytes are packed in a way that this program does not know (NewerSchema where
    that is a later one), or broken, or would make more than it may."""
    if stored[:1] >= b" ":
        return stored
    if stored[:1] not in _READERS:
        unknown = NewerSchema if stored[:1] > max(_READERS) else UnknownSchema
        raise unknown("A stored record is packed in a way that this program does not know. It was left as it is.")
    reader, most = _READERS[stored[:1]].copy(), _most(stored)
    try:
        plain = reader.decompress(stored[1:], most + 1)
    except zlib.error as wrong:
        raise UnknownSchema(f"A stored record cannot be unpacked: {wrong}. It was left as it is.") from wrong
    if len(plain) > most:
        raise UnknownSchema(
            f"A stored record would have more than {most:,} bytes when it is unpacked, and no record that this "
            "program packs has. It was left as it is."
        )
    if not reader.eof:
        raise UnknownSchema("A stored record cannot be unpacked: its end is missing. It was left as it is.")
    return plain
