"""Checks of plain text: whether it says anything, and whether it could act."""

import re
import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Mn", "Zl", "Zp", "Zs"})
"""Categories of characters that are invisible on their own."""
EMPTY: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\U0001d159")
"""Invisible letters and signs of other categories."""
_SIGNS: Final = re.compile(r"[\s\x00-\x1f;|&$`<>(){}\[\]\\]")
_PATH: Final = re.compile(r"[@!-]|\.{0,2}/|~|[A-Za-z]:[/\\]|[^/]*/")
_ADDRESS: Final = re.compile(
    r"(?:[^@:/]*@)?(?:[\w-]+\.)+[A-Za-z]{1,12}(?::[0-9]*)?(?:/.*)?|[0-9]+(?:[.:][0-9]*)+(?:/.*)?"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_TURNS: Final = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[0-9])[A-Za-z]|(?<=[A-Z])[0-9]")


def is_legible(text: str) -> bool:
    """Tell whether at least one character can be seen.

    Blanks do not count as a reason, an answer or a task.
    """
    return any(unicodedata.category(c) not in _UNSEEN and c not in EMPTY for c in text)


def is_storable(text: str) -> bool:
    """Tell whether the text has no unpaired surrogate."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def legible(text: str) -> str:
    """Strip the blanks around the text; "" if nothing in it is visible."""
    return text.strip() if is_legible(text) else ""


def could_act(text: str) -> bool:
    """Tell whether this could be a command, a path, an option or an address.

    Such a text is hidden only if its team names it: a guess must not hide it from reviewers (R30).
    """
    if _SIGNS.search(text) or _ADDRESS.fullmatch(text):
        return True
    return bool(_PATH.match(text)) and not _is_base64(text)


def _is_base64(text: str) -> bool:
    """Tell random base64 from a path, which mixes letters and digits less."""
    long_parts = len(text) >= 8 * (text.count("/") + 1)
    return bool(_BASE64.fullmatch(text)) and long_parts and 6 * len(_TURNS.findall(text)) >= len(text)
