"""Compression of what is stored: zlib where that saves bytes, and a bound on what comes out again.

`zlib.decompress(stored[1:], -15)` reads what begins with `_DEFLATED`; everything else stands there as it is.
"""

import zlib
from typing import Final

from countersign.domain.errors import UnknownSchema
from countersign.store.bounds import LARGEST

ROOM: Final = 2**18
"""Bytes that anything may have when it is decompressed."""
TIMES: Final = 40
"""Whatever is larger than `ROOM` may have so many bytes for each that is stored: a few bytes fill no memory. Texts
of people and programs take a third to a twentieth; what takes less is stored as it is."""
_WINDOW: Final = -13
"""8 kB and little memory: as small for records of 1 kB as the defaults, which take five times as long. Negative: raw
deflate (RFC 1951), 6 bytes less without the header and the checksum."""
_MEMORY: Final = 5
_DEFLATED: Final = b"\x01"
"""Stands before what is compressed; no JSON begins with it."""


def compress(plain: bytes) -> bytes:
    """The bytes to store for some JSON: compressed, unless that takes more of them or is more than is ever read."""
    if len(plain) > LARGEST:
        return plain
    packer = zlib.compressobj(wbits=_WINDOW, memLevel=_MEMORY)
    packed = _DEFLATED + packer.compress(plain) + packer.flush()
    return packed if len(packed) < len(plain) <= _most(packed) else plain


def decompress(stored: bytes) -> bytes:
    """The JSON again. UnknownSchema if the bytes are damaged, or would make more than they may."""
    if stored[:1] != _DEFLATED:
        return stored
    reader, most = zlib.decompressobj(_WINDOW), _most(stored)
    try:
        plain = reader.decompress(stored[1:], most + 1)
    except zlib.error as wrong:
        raise UnknownSchema(f"A stored record cannot be decompressed: {wrong}. It was left as it is.") from wrong
    if len(plain) > most:
        raise UnknownSchema(
            f"A stored record would have more than {most:,} bytes when it is decompressed, and no record that this "
            "program writes has. It was left as it is."
        )
    if not reader.eof:
        raise UnknownSchema("A stored record cannot be decompressed: its end is missing. It was left as it is.")
    return plain


def _most(packed: bytes) -> int:
    return min(LARGEST, max(ROOM, TIMES * len(packed)))
