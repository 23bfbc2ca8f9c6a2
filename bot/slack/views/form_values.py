"""Values read from a form: nothing is rounded, guessed or read in two ways."""

import json
import re
from decimal import Decimal
from typing import Any, Final

from countersign.domain.redaction import MARK
from countersign.json_schema import is_same
from countersign.text.safe_text import one_line

MISSING: Final = object()
"""The value of an argument that is not passed."""
_LOST: Final = "What is hidden can only stay where it was. Please put it back, or close this form and start again."


class WrongValue(Exception):
    """Input that cannot be this argument; the text is the sentence under it."""


def whole(text: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"[+-]?[0-9]{1,300}", text.strip()):
        raise WrongValue(f"{_quoted(text)} isn't a whole number.")
    return int(text)


def number(text: str) -> float:
    """Read a number: 20 stays whole, 20.0 does not become it."""
    text = text.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,300}", text):
        return int(text)
    if not re.fullmatch(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?", text):
        raise WrongValue(f"{_quoted(text)} isn't a number. Write it like 1234.5.")
    return _exact(text)


def _exact(text: str) -> float:
    """Read a number exactly; WrongValue if digits would be lost."""
    number = float(text)
    if number in (float("inf"), float("-inf")) or Decimal(repr(number)) != Decimal(text):
        raise WrongValue(f"{_quoted(text)} has too many digits. Use 15 at most.")
    return number


def _no_number(word: str) -> None:
    raise WrongValue(f"{word} can't be passed on as a number.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise WrongValue(f"{_quoted(next(n for n in names if names.count(n) > 1))} appears twice.")
    return fields


def json_value(text: str, value: Any, shown: Any) -> Any:
    """Read JSON, with the secrets of `value` where their marks stand as in `shown`."""
    try:
        parsed = json.loads(text, parse_constant=_no_number, parse_float=_exact, object_pairs_hook=_once)
    except json.JSONDecodeError as wrong:
        raise WrongValue(f"This is not JSON: {wrong.msg}, line {wrong.lineno}, character {wrong.colno}.") from None
    except (ValueError, RecursionError):
        raise WrongValue("This JSON can't be passed on.") from None
    return _with_secrets(parsed, value, shown)


def _with_secrets(parsed: Any, value: Any, shown: Any) -> Any:
    """Put the secrets of the value where their marks stand."""
    if value is not MISSING and is_same(parsed, shown):
        return value
    if isinstance(parsed, dict) and isinstance(value, dict) and isinstance(shown, dict):
        return {key: _with_secrets(part, value.get(key, MISSING), shown.get(key)) for key, part in parsed.items()}
    if MARK.search(json.dumps(parsed, ensure_ascii=False)):
        raise WrongValue(_LOST)
    return parsed


def _quoted(text: str) -> str:
    return f"“{one_line(text, 40)}”"
