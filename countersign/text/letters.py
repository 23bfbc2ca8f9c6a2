"""Letters: what Unicode says of one character, and what it is taken for.

The standard library knows a letter's alphabet by the first word of its name; the twins are data of UTS #39.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any, Final

import regex  # type: ignore[import-untyped]
from confusable_homoglyphs.utils import load  # type: ignore[import-untyped]

LATIN: Final = "LATIN"
STYLED: Final = "STYLED"
EAST: Final = "EAST"
DOTLESS: Final = "\u0131"
_TAKEN_FOR_LATIN: Final = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
_EASTERN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
SIGN: Final = re.compile(r"(?:[^\x00-\x7f\w\s⟦⟧]|[^\W_\x00-\x7f])(?!⟦U\+)")
"""What may be a sign or a digit, is not ASCII, and has no mark yet."""
_SIGNS: Final = frozenset({"Po", "Ps", "Pe", "Pc", "Sm", "Sk"})
_HARMLESS: Final = regex.compile(r"[\p{Dash}\p{Quotation_Mark}\u2032]")
"""Signs of good typography: nothing else happens where one stands for the plain one."""
_DIRECTION: Final = "\u200e\u200f"
"""What the data puts around letters that are written from the right."""


@lru_cache(maxsize=2**16)
def alphabet(c: str) -> str:
    """Name the alphabet: `LATIN`, `CYRILLIC`, …; "" for what is none.

    STYLED are Latin letters in another dress (full-width, mathematical).
    """
    if c.isascii():
        return LATIN if c.isalpha() else ""
    name = unicodedata.name(c, "")
    if name.startswith(("FULLWIDTH LATIN", "MATHEMATICAL", "SMALL ROMAN", "KELVIN")):
        return STYLED if unicodedata.normalize("NFKC", c).isascii() else ""
    first = name.split(" ", 1)[0]
    listed = first in _TAKEN_FOR_LATIN or first == LATIN or twin(c)
    return EAST if first in _EASTERN else first if listed else ""


def is_dressed(c: str) -> bool:
    """Tell Latin letters that pass for ASCII from a language's own variants of them."""
    if c.isascii() or c == DOTLESS or alphabet(c) != LATIN or unicodedata.normalize("NFKD", c)[0].isascii():
        return False
    return bool(twin(c)) or _small_capital(unicodedata.name(c, "")) != ""


@lru_cache(maxsize=2**16)
def is_odd_sign(c: str) -> bool:
    """Tell a sign that is taken for one of ASCII, or a digit of another writing."""
    if not SIGN.match(c):
        return False
    kind = unicodedata.category(c)
    if kind == "Nd":
        return True
    seems = _seems(c)
    is_sign = kind in _SIGNS or writing(c) == LATIN
    return is_sign and seems != "" and not seems.isalnum() and seems not in "'`\"-~" and not _HARMLESS.match(c)


@lru_cache(maxsize=4096)
def writing(c: str) -> str:
    """The alphabet of a letter, digit or sign, by its name."""
    first, _, rest = unicodedata.name(c, "").partition(" ")
    if first in ("FULLWIDTH", "IDEOGRAPHIC", *_EASTERN):
        return EAST
    return "ARABIC" if first in ("ARABIC-INDIC", "EXTENDED") and "DIGIT" in rest else first


@lru_cache(maxsize=4096)
def twin(c: str) -> str:
    """The ASCII letter that a letter is taken for; "" if none."""
    seems = _seems(c)
    return seems if seems.isalpha() and c.isalpha() else ""


@lru_cache(maxsize=4096)
def _seems(c: str) -> str:
    """Return the ASCII character this one is taken for (UTS #39); "" if none."""
    if c.isascii():
        return ""
    like = [(one["c"].strip(_DIRECTION), one["n"]) for one in _confusables().get(c, ())]
    plain = [text for text, _ in like if len(text) == 1 and text.isascii()]
    return next(iter(plain), "") or next((small for _, name in like if (small := _small_capital(name))), "")


def _small_capital(name: str) -> str:
    match = re.fullmatch(r"LATIN LETTER SMALL CAPITAL ([A-Z])", name)
    return match[1].lower() if match else ""


@cache
def _confusables() -> dict[str, list[dict[str, str]]]:
    data: dict[str, Any] = load("confusables.json")
    return {text.strip(_DIRECTION): like for text, like in data.items()}
