"""Redaction: records as plain JSON, without secrets, and read back.

What the record does not hold, because it was hidden or too long, is read back as `Unrecorded`, never as a value.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, time, timedelta
from enum import Enum
from typing import Any, Final

from countersign.domain.json_comparison import Unrecorded
from countersign.domain.redaction import MARK, TYPED, hide, hide_in

LONGEST: Final = 3000
"""Characters of arguments in the record of a call that nobody was asked about; the digest is that of all of them."""


def plain(value: Any) -> Any:
    """Write a record as JSON, without secrets.

    Sets are sorted, spans are in seconds, times in ISO 8601; anything else is text, because nothing stops the record.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(inner) for inner in value)
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, bool | int | float):
        return value
    return hide(str(value))[0]


def without_secrets(arguments: str, paths: tuple[str, ...] = ()) -> str:
    """Hide secrets in a call's arguments, or in another text.

    `paths` are hidden besides what looks secret.
    """
    try:
        return json.dumps(hide_in(json.loads(arguments), paths)[0], sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return hide(arguments)[0]


def told_apart(value: Any, *, names: bool = True) -> Any:
    """Copy a JSON value or a text, with foreign marks of secrets told from ours.

    Call it before secrets are hidden, and only for what is shown; marks that follow are ours. `names`: in names too.
    """
    if isinstance(value, str):
        return MARK.sub(lambda mark: f"{TYPED}{mark[0][1:]}", value)
    if isinstance(value, dict):
        return {told_apart(key) if names else key: told_apart(inner, names=names) for key, inner in value.items()}
    return [told_apart(inner, names=names) for inner in value] if isinstance(value, list) else value


def shortened(text: str) -> str:
    """Cut it to `LONGEST` characters, and say how many there were."""
    return f"{text[:LONGEST]}… ({len(text):,} characters)" if len(text) > LONGEST else text


def read_arguments(recorded: str) -> dict[str, Any] | Unrecorded:
    """Read the arguments in an entry of the record.

    What was hidden in them, or all of them if they were cut, is Unrecorded.
    """
    try:
        arguments = _with_gaps(json.loads(recorded))
    except (ValueError, RecursionError):
        return Unrecorded()
    return arguments if isinstance(arguments, dict) else Unrecorded()


def _with_gaps(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_gaps(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_gaps(inner) for inner in value]
    return Unrecorded() if isinstance(value, str) and MARK.search(value) else value
