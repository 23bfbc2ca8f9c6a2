"""Whether a text says anything: blanks and what nobody sees are no reason, no answer and no task."""

import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Mn", "Zl", "Zp", "Zs"})
"""Categories of characters that show nothing by themselves."""
EMPTY: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\U0001d159")
"""Letters and signs that show nothing all the same."""


def is_legible(text: str) -> bool:
    """Whether at least one character of it can be seen."""
    return any(unicodedata.category(c) not in _UNSEEN and c not in EMPTY for c in text)


def legible(text: str) -> str:
    """The text without the blanks around it; "" if it says nothing."""
    return text.strip() if is_legible(text) else ""
