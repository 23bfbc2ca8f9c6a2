"""Comparison of JSON values for a policy's conditions: yes, no, or CannotTell.

Nothing is guessed (R28). Values of different kinds, and texts that differ only in spelling (capitals, width,
surrounding blanks, invisible characters), are neither the same nor different, because the tool that reads them may
treat them as equal.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from math import isnan
from typing import Any, Final

from countersign.domain.errors import CannotTell, NotRecorded
from countersign.domain.text_checks import EMPTY

_SELECTS: Final = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FULL_STOP: Final = "\u3002"


class Unrecorded:
    """Placeholder for a value that the record does not hold.

    Any access to it raises NotRecorded, at any depth.
    """

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise NotRecorded("the record does not hold a part of what it looks at")


def decided(by: bool, parts: Iterable[Callable[[], bool]]) -> bool:
    """Return `by` if any part equals `by`, else the opposite.

    Raises the CannotTell of a part, unless another part decides.
    """
    doubt: CannotTell | NotRecorded | None = None
    for part in parts:
        try:
            if part() is by:
                return by
        except (CannotTell, NotRecorded) as unknown:
            doubt = unknown if doubt is None or isinstance(unknown, NotRecorded) else doubt
    if doubt is not None:
        raise doubt
    return not by


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are the same: true is not 1, but 1.0 is."""
    kinds = kind(left), kind(right)
    if kinds[0] != kinds[1]:
        raise CannotTell(f"{kinds[0]} and {kinds[1]} cannot be compared")
    if isinstance(left, str):
        return left == right or _doubted(_folded(left) == _folded(right))
    if isinstance(left, list):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and decided(False, (partial(same, *pair) for pair in pairs))
    if isinstance(left, dict):
        names = left.keys() | right.keys()
        if left.keys() != right.keys():
            return _doubted(len({_folded(name) for name in names}) < len(names))
        return decided(False, (partial(same, left[name], right[name]) for name in names))
    return bool(left == right)


def _doubted(alike: bool) -> bool:
    """Return False; CannotTell if the texts are easily mistaken for each other."""
    if alike:
        raise CannotTell("texts differ only in how they are written")
    return False


def kind(value: Any) -> str:
    """Name the JSON kind of a value."""
    match value:
        case None:
            return "none"
        case bool():
            return "true or false"
        case float() if isnan(value):
            return "no number"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case Unrecorded():
            raise NotRecorded("the record does not hold a part of what it looks at")
    return "an object"


@lru_cache(maxsize=32)
def _folded(text: str) -> str:
    """Map texts that a person or a tool may take for the same to one text."""
    if text.isascii() and text.isprintable():
        return text.lower().strip()
    shown = (_digit(char) for char in unicodedata.normalize("NFKC", text) if not _unseen(char))
    return unicodedata.normalize("NFKC", "".join(shown).casefold()).strip()


def _digit(char: str) -> str:
    """Map digits of other scripts to ASCII, and the ideographic full stop to a dot.

    `int` accepts such digits, and such a full stop separates the parts of a host name.
    """
    return "." if char == _FULL_STOP else str(unicodedata.decimal(char, char))


def _unseen(char: str) -> bool:
    """Recognise invisible characters: control, format, and letters without a shape."""
    if unicodedata.category(char) in ("Cc", "Cf"):
        return not char.isspace()
    return char in EMPTY or _SELECTS.match(char) is not None


def within(part: Any, whole: Any) -> bool:
    """Tell whether a text contains a text, a list a value, or an object a name."""
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole or _doubted(_folded(part) in _folded(whole))
    if isinstance(whole, list | dict):
        # A comparison with none always has an answer.
        others = (entry for entry in whole if (entry is None) is (part is None))
        return decided(True, (partial(same, part, entry) for entry in others))
    raise CannotTell(f"nothing can be in {kind(whole)}")


def like(text: str, pattern: str) -> bool:
    """Tell whether a text fits a pattern, in which `*` stands for anything."""
    return _fits(text, pattern) or _doubted(_fits(_folded(text), _folded(pattern)))


def _fits(text: str, pattern: str) -> bool:
    """Match `*` with anything, piece by piece, in time linear in the text."""
    pieces = pattern.split("*")
    if len(pieces) == 1:
        return text == pieces[0]
    if not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    at, end = len(pieces[0]), len(text) - len(pieces[-1])
    for piece in pieces[1:-1]:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end


def ordered(left: Any, right: Any) -> bool:
    """Tell whether the two values can be ordered."""
    kinds = {kind(left), kind(right)}
    return kinds in ({"a number"}, {"a text"})


def matches(name: str, pattern: str, *, exactly: bool = False) -> bool:
    """Tell whether a name matches a pattern, in which `*` stands for anything.

    Unless `exactly`, another spelling of the name matches too.
    """
    return _fits(name, pattern) or (not exactly and _fits(_folded(name), _folded(pattern)))
