"""Calls that wait for consent: byte for byte what was judged runs (R13)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LONGEST_ARGUMENTS: Final = 1_000_000
"""Characters of one call's arguments; more is no request that a person could judge."""
LONGEST_CONTENT: Final = 2 * LONGEST_ARGUMENTS
"""Characters of what people are to judge: a call whose renderer says all of its arguments has room."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, as it would be made.

    `arguments` are canonical JSON, whole, secrets too: they are what runs. `schema` is the JSON schema of the
    arguments; empty means that people cannot change them. `hidden` are the paths (`headers.token`, `rows.*.key`) at and
    below which the team lets no value be shown; what looks like a secret is hidden besides
    (`countersign.domain.redaction`).
    """

    tool: str
    arguments: str
    schema: str = ""
    hidden: tuple[str, ...] = ()


def canonical(arguments: Mapping[str, Any]) -> str:
    """Write these arguments in the one way: keys sorted, no spaces, no NaN.

    ValueError if JSON cannot hold them.
    """
    try:
        return json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as wrong:
        raise ValueError(f"The arguments cannot be written as JSON: {wrong}.") from None


def is_canonical(arguments: str) -> bool:
    """Tell whether the text is the canonical JSON of some arguments."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    try:
        return canonical(value) == arguments
    except ValueError:
        return False
