"""Records as bytes: `<version> <schema>`, newline, JSON, packed (`bot.store.packing`).

What was stored once loads for ever or is refused by name.
"""

from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bot.core.errors import NewerSchema, UnknownSchema
from bot.store.packing import pack, unpack

T = TypeVar("T")
_LONGEST_HEAD: Final = 20
"""Bytes; the script that compares versions reads no more of one than 16."""


class Codec(Generic[T]):
    """Writes and reads one kind of record. `schema` grows when old bytes would be misread; then an upgrade is added.

    Schema 1 is plain JSON; of 2 the JSON may be packed. What leaves Redis at once is not worth packing.
    """

    def __init__(self, kind: type[T], schema: int = 2, *, packed: bool = True) -> None:
        self.name = kind.__name__
        self.schema = schema
        self._packed = packed
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def write(self, value: T, version: int) -> bytes:
        return b"%d %d\n" % (version, self.schema) + self.dump(value)

    def read(self, raw: bytes) -> tuple[T, int]:
        """The value and its version. UnknownSchema if another program wrote what this one cannot read."""
        head, _, body = raw.partition(b"\n")
        version, _, schema = head.partition(b" ")
        if not version.isdigit() or len(head) > _LONGEST_HEAD:
            raise UnknownSchema(f"A stored {self.name} has no version that counts. It was left as it is.")
        if not schema.isdigit() or not 1 <= int(schema) <= self.schema:
            newer = schema.isdigit() and int(schema) > self.schema
            raise (NewerSchema if newer else UnknownSchema)(
                f"A stored {self.name} has schema {schema.decode(errors='replace')}, this program reads 1 to "
                f"{self.schema}. It was left as it is; start the program version that wrote it, or a newer one."
            )
        return self.load(body), int(version)

    def dump(self, value: T) -> bytes:
        """JSON alone."""
        plain = self._adapter.dump_json(value)
        return pack(plain) if self._packed else plain

    def load(self, body: bytes) -> T:
        """From JSON alone, packed or plain."""
        try:
            return self._adapter.validate_json(unpack(body))
        except ValidationError as wrong:
            raise UnknownSchema(
                f"A stored {self.name} cannot be read: {_first(wrong)}. It was left as it is."
            ) from wrong


def _first(wrong: ValidationError) -> str:
    error: Any = wrong.errors()[0]
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
