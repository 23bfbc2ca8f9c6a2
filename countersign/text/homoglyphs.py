"""Homoglyphs: a word that mixes alphabets is marked, and named in a warning (R15).

The rule is that of Unicode's UTS #39 (mixed-script and whole-script confusables), and its data says which character
is taken for which; narrowed to what is taken for ASCII, and to what the writing around it does not use, so that
ordinary Russian, Greek, Turkish or Japanese is left alone. The standard library knows a letter's alphabet by the first
word of its name.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, Final

import regex  # type: ignore[import-untyped]
from confusable_homoglyphs.utils import load  # type: ignore[import-untyped]

_WORD: Final = re.compile(
    r"⟦(?:U\+|hidden: |[0-9,]+ )[A-Za-z0-9+, ]{1,60}⟧"  # a mark of ours is no word
    r"|[^\W\d_](?:[^\W\d_]|[\u0300-\u036f]|⟦U\+[A-Za-z0-9+, ]{4,60}⟧)*"
)
_FOREIGN: Final = re.compile(r"[^\W\d_\x00-\x7f]")
"""A letter that is not ASCII."""
_MARK: Final = re.compile(r"⟦U\+[A-Za-z0-9+, ]{4,60}⟧")
_LATIN: Final = "LATIN"
_STYLED: Final = "STYLED"
_EAST: Final = "EAST"
_TAKEN_FOR_LATIN: Final = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
_EASTERN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
_CLASSIC: Final = ("CYRILLIC", "GREEK")
"""Alphabets of which a whole word may pass for Latin; another Greek letter beside Latin ones is a formula (Δt, kΩ)."""
_DOTLESS: Final = "\u0131"
_TURKISH: Final = frozenset("ğşİĞŞ")
"""Letters beside which a dotless i is ordinary."""
_SIGN: Final = re.compile(r"[^\x00-\x7f\w\s⟦⟧]|[^\W_\x00-\x7f]")
"""What may be a sign or a digit, and has no ASCII."""
_SIGNS: Final = frozenset({"Po", "Ps", "Pe", "Pc", "Sm", "Sk"})
_HARMLESS: Final = regex.compile(r"[\p{Dash}\p{Quotation_Mark}\u2032]")
"""Signs of good typography: nothing else happens where one stands for the plain one."""
_DIRECTION: Final = "\u200e\u200f"
"""What the data puts around letters that are written from the right."""
_NAMED: Final = 4


def mark(text: str) -> str:
    """Put ⟦U+0430⟧ after letters that look like those of another alphabet.

    Marking twice adds nothing.
    """
    if text.isascii():
        return text
    return "\n".join(line if line.isascii() else _marked(line) for line in text.split("\n"))


def odd_words(text: str) -> list[str]:
    """List the words that `mark` marks, in order, each once."""
    if text.isascii():
        return []
    found = (found[0] for line in text.split("\n") if not line.isascii() for found, odd in _words(line) if odd)
    return list(dict.fromkeys(found))


def _marked(line: str) -> str:
    parts, at = [], 0
    for found, odd in _words(line):
        parts.append(line[at : found.start()])
        for is_odd, run in groupby(found[0], odd.__contains__):
            letters = "".join(run)
            parts.append(letters + _codes(letters) if is_odd else letters)
        at = found.end()
    return _with_signs("".join(parts) + line[at:])


def _with_signs(line: str) -> str:
    """Mark signs and digits of a writing that the line does not use."""
    writings = {_writing(c) for c in set(line) if not c.isascii() and c.isalpha() and _alphabet(c) != _STYLED}

    def marked(found: re.Match[str]) -> str:
        c = found[0]
        if not _is_odd_sign(c) or _writing(c) in writings or line.startswith("⟦U+", found.end()):
            return c
        return c + _codes(c)

    return _SIGN.sub(marked, line)


def _codes(letters: str) -> str:
    more = f" and {len(letters) - _NAMED} more" if len(letters) > _NAMED else ""
    return f"⟦{' '.join(f'U+{ord(c):04X}' for c in letters[:_NAMED])}{more}⟧"


def _words(line: str) -> Iterator[tuple[re.Match[str], frozenset[str]]]:
    """Each word with its odd letters; none of a line that has ASCII letters only."""
    if not _FOREIGN.search(line):
        return
    words = [found for found in _WORD.finditer(line) if found[0][0] != "⟦"]
    bare = [_MARK.sub("", found[0]) for found in words]
    kinds = [Counter(map(_alphabet, word)) for word in bare]
    latin = any(count[_LATIN] for count in kinds)
    east = any(count[_EAST] for count in kinds)
    parts = [(part, Counter(map(_alphabet, part))) for found in words for part in _MARK.split(found[0])]
    genuine = {a for a in _CLASSIC if any(_is_genuine(part, a, count) for part, count in parts)}
    turkish = not _TURKISH.isdisjoint(line)
    for found, word, count in zip(words, bare, kinds, strict=True):
        marked = len(word) != len(found[0]) and _is_marked(found[0])
        odd = frozenset[str]() if marked or word.isascii() else _odd(word, count, latin, east, genuine)
        if not marked and not turkish:
            odd |= frozenset(c for c in word if c == _DOTLESS)
        yield found, odd


def _is_marked(word: str) -> bool:
    """Tell whether a mark is true: what it names stands before it, or is invisible."""
    for mark in _MARK.finditer(word):
        letters = "".join(chr(min(int(code, 16), 0x10FFFF)) for code in re.findall(r"U\+([0-9A-F]{4,6})", mark[0]))
        more = re.search(r" and ([0-9]{1,6}) more", mark[0])
        at = mark.start() - len(letters) - (int(more[1]) if more else 0)
        if at >= 0 and word.startswith(letters, at):
            return True
        if not any(c.isalnum() or c in "⟦⟧" for c in letters):
            return True
    return False


def _odd(word: str, count: Counter[str], latin: bool, east: bool, genuine: set[str]) -> frozenset[str]:
    mixed = [a for a in count if a not in ("", _LATIN, _STYLED, _EAST) and (a != "GREEK" or _any_same(word, a))]
    dressed = frozenset(c for c in word if _is_dressed(c))
    if count[_STYLED] and not east:
        mixed.append(_STYLED)
    if len(mixed) + bool(count[_LATIN]) > 1 or _STYLED in mixed:
        main = max([_LATIN, *mixed], key=lambda a: (count[a], a == _LATIN))
        others = {*mixed, _LATIN} - ({main} if main != _STYLED else set())
        return dressed | frozenset(c for c in word if _alphabet(c) in others)
    spoof = latin and any(
        all(_alphabet(c) == a and _twin(c) for c in word) and a not in genuine and (a != "GREEK" or len(word) > 1)
        for a in mixed
        if a in _CLASSIC
    )
    return frozenset(word) if spoof else dressed


def _is_genuine(word: str, alphabet: str, count: Counter[str]) -> bool:
    """Tell whether a word is of that alphabet alone, and does not look Latin."""
    return count[alphabet] > 1 and not count[_LATIN] and any(_alphabet(c) == alphabet and not _twin(c) for c in word)


def _any_same(word: str, alphabet: str) -> bool:
    return any(_alphabet(c) == alphabet and _twin(c) for c in word)


@lru_cache(maxsize=4096)
def _alphabet(c: str) -> str:
    """Name the alphabet: `LATIN`, `CYRILLIC`, …; "" for what is none.

    STYLED are Latin letters in another dress (full-width, mathematical).
    """
    if c.isascii():
        return _LATIN if c.isalpha() else ""
    name = unicodedata.name(c, "")
    if name.startswith(("FULLWIDTH LATIN", "MATHEMATICAL", "SMALL ROMAN", "KELVIN")):
        return _STYLED if unicodedata.normalize("NFKC", c).isascii() else ""
    first = name.split(" ", 1)[0]
    known = first in _TAKEN_FOR_LATIN or first == _LATIN or _twin(c)
    return _EAST if first in _EASTERN else first if known else ""


def _is_dressed(c: str) -> bool:
    """Tell Latin letters that pass for ASCII from a language's own variants of them."""
    if c.isascii() or c == _DOTLESS or _alphabet(c) != _LATIN or unicodedata.normalize("NFKD", c)[0].isascii():
        return False
    return bool(_twin(c)) or _small_capital(unicodedata.name(c, "")) != ""


def _is_odd_sign(c: str) -> bool:
    kind = unicodedata.category(c)
    if kind == "Nd":
        return True
    seems = _seems(c)
    is_sign = kind in _SIGNS or _writing(c) == _LATIN
    return is_sign and seems != "" and not seems.isalnum() and seems not in "'`\"-~" and not _HARMLESS.match(c)


@lru_cache(maxsize=4096)
def _writing(c: str) -> str:
    """The alphabet of a letter, digit or sign, by its name."""
    first, _, rest = unicodedata.name(c, "").partition(" ")
    if first in ("FULLWIDTH", "IDEOGRAPHIC", *_EASTERN):
        return _EAST
    return "ARABIC" if first in ("ARABIC-INDIC", "EXTENDED") and "DIGIT" in rest else first


@lru_cache(maxsize=4096)
def _twin(c: str) -> str:
    """The ASCII letter that a letter is taken for; "" if none."""
    seems = _seems(c)
    return seems if seems.isalpha() and c.isalpha() else ""


@lru_cache(maxsize=4096)
def _seems(c: str) -> str:
    """The ASCII character that this one is taken for, by the data of UTS #39; "" if none."""
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
