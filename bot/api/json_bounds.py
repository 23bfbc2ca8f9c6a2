"""Bounds on a JSON text: on its structure before it is parsed, and on values.

The cost of parsing and validating follows the number of parts, not of bytes: 400,000 names in 4 MiB stopped `web` for
3 s. The scan ends at the first part too many, so its own cost is bounded for any text.

Pydantic keeps an error for each wrong item, and takes numbers and times that nothing calculates with. So each sequence
of a worker's call stops at its first error, and a value that no record of ours holds is an error.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

MOST_PARTS: Final = 50_000
"""Names, values, and both ends of objects and lists, of a body together."""
DEEPEST: Final = 110
"""Levels of a body, a little more than an object in it may have."""
LONGEST_NAME: Final = 1_000
"""Characters of a name, however they are written: as twelve bytes, if a client escapes them."""
LONGEST_NUMBER: Final = 1_000
ITEMS: Final = 5000
"""Items of one sequence or mapping: more than the reviewers of any channel or the open questions of any run."""
TEXT: Final = 4_000_000
"""Characters of one text."""
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
# Every byte belongs to a token, also of a string that never ends: the search never tries a place twice.
_TOKEN: Final = re.compile(
    rb"""
    "(?:[^"\\]++|\\.)*+"?(?P<name>\s*+:)?
    | (?P<between>[\s,:]++)
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<bare>[^\s"\[\]{},:]++)
    """,
    re.DOTALL | re.VERBOSE,
)


def check(raw: bytes) -> None:
    """Check the bounds; ValueError says which one is broken.

    Text that is not JSON may pass.
    """
    depth = 0
    parts = 0
    for token in _TOKEN.finditer(raw):
        kind = token.lastgroup
        if kind == "between":
            continue
        if kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
            if depth > DEEPEST:
                raise ValueError("it can be nested at most 100 deep")
        length = token.end() - token.start()
        if kind == "name" and length > LONGEST_NAME and len(_name_in(token[0])) > LONGEST_NAME:
            raise ValueError(f"a name can have at most {LONGEST_NAME:,} characters")
        if kind == "bare" and length > LONGEST_NUMBER:
            raise ValueError(f"a number can have at most {LONGEST_NUMBER:,} digits")
        parts += 1
        if parts > MOST_PARTS:
            raise ValueError(f"it can have at most {MOST_PARTS:,} names and values")


def _name_in(token: bytes) -> str:
    return str(json.loads(str(token, "utf-8").rstrip(": \t\r\n")))


def within(schema: Any) -> Any:
    """Add these bounds to all parts of the schema that have none."""
    if isinstance(schema, dict):
        own = BOUNDS.get(schema["type"], {}) if isinstance(schema.get("type"), str) else {}
        return {**own, **{name: within(part) for name, part in schema.items()}}
    if isinstance(schema, list | tuple):
        return type(schema)(within(part) for part in schema)
    return schema
