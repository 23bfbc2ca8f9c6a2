"""Records as bytes, and times as milliseconds.

A record is `<version> <schema>`, newline, JSON, compressed if that is shorter. A record that this program cannot read
is refused by name. Compression is zlib: `zlib.decompress(stored[1:], -15)` reads a value that begins with `_DEFLATED`;
any other value is not compressed.
"""

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from countersign import metrics
from countersign.domain.errors import NewerSchema, UnknownSchema

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ms(at: datetime | timedelta) -> int:
    """Convert a moment (since 1970) or a span to milliseconds."""
    span = at if isinstance(at, timedelta) else at - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1000 + round(span.microseconds / 1000)


def from_ms(value: float) -> datetime:
    """Return the moment, in UTC, that many milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=value)


_WINDOW: Final = -13
"""8 kB window and little memory: compresses records of 1 kB as well as the defaults, which take five times as long.
Negative: raw deflate (RFC 1951), 6 bytes less without the header and the checksum."""
_MEMORY: Final = 5
_DEFLATED: Final = b"\x01"
"""Prefix of compressed values; JSON never begins with it."""


def compress(plain: bytes) -> bytes:
    """Compress JSON, unless that takes more bytes."""
    packer = zlib.compressobj(wbits=_WINDOW, memLevel=_MEMORY)
    packed = _DEFLATED + packer.compress(plain) + packer.flush()
    return packed if len(packed) < len(plain) else plain


def decompress(stored: bytes) -> bytes:
    """Undo `compress`. UnknownSchema if the bytes are damaged."""
    if stored[:1] != _DEFLATED:
        return stored
    try:
        return zlib.decompress(stored[1:], _WINDOW)
    except zlib.error as wrong:
        raise UnknownSchema(f"A stored record cannot be decompressed: {wrong}. It was left as it is.") from wrong


T = TypeVar("T")
_NOTHING: Final = frozenset[str]()
_LONGEST_REASON: Final = 300


class Codec(Generic[T]):
    """Reader and writer of one kind of record.

    `schema` grows when old bytes would be misread. Fields with their default values are omitted. Short-lived records
    are not worth compressing.
    """

    def __init__(self, kind: type[T], schema: int = 2, *, compressed: bool = True) -> None:
        self.name = kind.__name__
        self.schema = schema
        self._compressed = compressed
        self.adapter: TypeAdapter[T] = TypeAdapter(kind)

    def write(self, value: T, version: int, left_out: frozenset[str] = _NOTHING) -> bytes:
        """Write the value without the `left_out` fields, which its reader must supply."""
        return b"%d %d\n" % (version, self.schema) + self.dump(value, left_out)

    def read(self, raw: bytes, elsewhere: bytes = b"") -> tuple[T, int]:
        """Read the value and its version. UnknownSchema if another version wrote it.

        `elsewhere` is JSON with the fields that may have been left out; fields in the record take precedence.
        """
        head, _, body = raw.partition(b"\n")
        version, _, schema = head.partition(b" ")
        if not version.isdigit():
            raise UnknownSchema(f"A stored {self.name} has no version that counts. It was left as it is.")
        if schema != b"%d" % self.schema:
            newer = schema.isdigit() and int(schema) > self.schema
            raise (NewerSchema if newer else UnknownSchema)(
                f"A stored {self.name} has schema {ascii(schema.decode(errors='replace'))[1:-1]}, this program reads "
                f"{self.schema}. It was left as it is; start the program version that wrote it, or a newer one."
            )
        return self.load(elsewhere[:-1] + b"," + decompress(body)[1:] if elsewhere else body), int(version)

    def dump(self, value: T, left_out: frozenset[str] = _NOTHING) -> bytes:
        """Write JSON alone."""
        plain = self.adapter.dump_json(value, exclude=set(left_out), exclude_defaults=True)
        return compress(plain) if self._compressed else plain

    def load(self, body: bytes) -> T:
        """Read JSON alone, compressed or plain."""
        try:
            loaded: T = self.adapter.validate_json(decompress(body))
        except UnknownSchema:
            metrics.unreadable(self.name)
            raise
        except ValidationError as wrong:
            metrics.unreadable(self.name)
            raise UnknownSchema(
                f"A stored {self.name} cannot be read: {_first(wrong)}. It was left as it is."
            ) from None
        return loaded


def _first(wrong: ValidationError) -> str:
    """Describe the first error in one line of a log."""
    error: Any = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
    return ascii(f"{'.'.join(map(str, error['loc']))}: {error['msg'].rstrip('.')}")[1:-1][:_LONGEST_REASON]
