"""Bounds on everything in a stored record, whichever its fields are.

Workers write some records, `web` reads all. Pydantic keeps an error for each wrong item, and takes numbers and times
that nothing calculates with. So each sequence stops at its first error, and a value that no record of ours holds is an
error.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

LARGEST: Final = 16 * 2**20
"""Bytes of JSON of one record. Whatever else is larger, as a tool's result may be, is stored as it is."""
ITEMS: Final = 5000
"""Of one sequence or mapping: no channel has so many reviewers, and no run so many questions at once."""
TEXT: Final = 4_000_000
"""Characters of one text."""
PARTS: Final = 100_000
"""Values of one record, together; what is in no field counts too, since it is parsed all the same."""
BOUNDS: Final[dict[str, dict[str, Any]]] = {
    **{kind: {"max_length": ITEMS, "fail_fast": True} for kind in ("list", "tuple", "set", "frozenset")},
    "dict": {"max_length": ITEMS},
    "str": {"max_length": TEXT},
    "int": {"ge": -(2**53), "le": 2**53},
    "float": {"allow_inf_nan": False},
    "datetime": {
        "tz_constraint": "aware",
        "ge": datetime(1970, 1, 1, tzinfo=UTC),
        "le": datetime(3000, 1, 1, tzinfo=UTC),
    },
    "timedelta": {"ge": timedelta(days=-3650), "le": timedelta(days=3650)},
}
"""By the type of a part of pydantic's schema."""
_SIGN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]', re.DOTALL)
"""A whole text, or what stands before another value. Possessive, so that no text makes it look twice."""


def within(schema: Any) -> Any:
    """Add these bounds to all parts of the schema that have none."""
    if isinstance(schema, dict):
        own = BOUNDS.get(schema["type"], {}) if isinstance(schema.get("type"), str) else {}
        return {**own, **{name: within(part) for name, part in schema.items()}}
    if isinstance(schema, list | tuple):
        return type(schema)(within(part) for part in schema)
    return schema


def crowded(plain: bytes) -> bool:
    """Tell whether this JSON has more than about `PARTS` values.

    It is read only so far, and mostly not at all.
    """
    if plain.count(b",") + plain.count(b"[") + plain.count(b"{") <= PARTS:
        return False
    signs = (match for match in _SIGN.finditer(plain) if match[0][:1] != b'"')
    return any(number > PARTS for number, _ in enumerate(signs, 1))
