"""Bounds on the structure of a JSON text, checked before anything is built of it.

The cost of parsing and validating follows the number of parts, not of bytes: 400,000 names in 4 MiB stopped `web` for
3 s. The scan ends at the first part too many, so its own cost is bounded for any text.
"""

import json
import re
from typing import Final

MOST_PARTS: Final = 50_000
"""Names, values, and both ends of objects and lists, of a body together."""
DEEPEST: Final = 110
"""Levels of a body, a little more than an object in it may have."""
LONGEST_NAME: Final = 1_000
"""Characters of a name, however they are written: as twelve bytes, if a client escapes them."""
LONGEST_NUMBER: Final = 1_000
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
