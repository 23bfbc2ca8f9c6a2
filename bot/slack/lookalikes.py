"""Letters that look like others (R15): a word that mixes alphabets is marked where it does, and named in a warning.

The rule is that of Unicode's UTS #39 (mixed-script and whole-script confusables), narrowed to the alphabets whose
letters are taken for Latin ones, so that ordinary Russian, Greek or Japanese is left alone. The standard library knows
a letter's alphabet by the first word of its name.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import Final

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
_SAME: Final = {
    "CYRILLIC": frozenset("асеорхуіјѕһԁԛԝӏгпкмтвѵАВЕКМНОРСТХУІЈЅԌԚԜӀ"),
    "GREEK": frozenset("αγικνορτυχωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ"),
}
"""Letters that look like Latin ones; another Greek letter beside Latin ones is a formula (Δt, kΩ)."""
_SIGNS: Final = re.compile(r"[\u2044\u2215\u29f8\u037e\ua789\u01c3](?!⟦U\+)")
"""Signs that look like / ; : and !"""
_NAMED: Final = 4


def mark(text: str) -> str:
    """The text with ⟦U+0430⟧ after letters that are taken for those of another alphabet; twice adds nothing."""
    if text.isascii():
        return text
    return "\n".join(line if line.isascii() else _marked(line) for line in text.split("\n"))


def odd_words(text: str) -> list[str]:
    """The words that `mark` marks, in order, each once."""
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
    return _SIGNS.sub(lambda sign: sign[0] + _codes(sign[0]), "".join(parts) + line[at:])


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
    genuine = {a for a in _SAME if any(_is_genuine(word, a, count) for word, count in zip(bare, kinds, strict=True))}
    for found, word, count in zip(words, bare, kinds, strict=True):
        marked = len(word) != len(found[0])
        yield found, frozenset() if marked or word.isascii() else _odd(word, count, latin, east, genuine)


def _odd(word: str, count: Counter[str], latin: bool, east: bool, genuine: set[str]) -> frozenset[str]:
    mixed = [a for a in count if a in _TAKEN_FOR_LATIN and (a != "GREEK" or _any_same(word, a))]
    if count[_STYLED] and not east:
        mixed.append(_STYLED)
    if len(mixed) + bool(count[_LATIN]) > 1 or _STYLED in mixed:
        main = max([_LATIN, *mixed], key=lambda a: (count[a], a == _LATIN))
        others = {*mixed, _LATIN} - ({main} if main != _STYLED else set())
        return frozenset(c for c in word if _alphabet(c) in others)
    spoof = latin and any(
        all(c in _SAME.get(a, ()) for c in word) and a not in genuine and (a != "GREEK" or len(word) > 1) for a in mixed
    )
    return frozenset(word) if spoof else frozenset()


def _is_genuine(word: str, alphabet: str, count: Counter[str]) -> bool:
    """Whether a word is of that alphabet alone, and does not look like a Latin one."""
    return (
        count[alphabet] > 1
        and not count[_LATIN]
        and any(_alphabet(c) == alphabet and c not in _SAME[alphabet] for c in word)
    )


def _any_same(word: str, alphabet: str) -> bool:
    return any(c in _SAME[alphabet] for c in word)


@lru_cache(maxsize=4096)
def _alphabet(c: str) -> str:
    """`LATIN`, `CYRILLIC`, …; STYLED for Latin letters in another dress (full-width, mathematical); "" for the rest."""
    if c.isascii():
        return _LATIN if c.isalpha() else ""
    name = unicodedata.name(c, "")
    if name.startswith(("FULLWIDTH LATIN", "MATHEMATICAL", "SMALL ROMAN", "KELVIN")):
        return _STYLED if unicodedata.normalize("NFKC", c).isascii() else ""
    first = name.split(" ", 1)[0]
    return _EAST if first in _EASTERN else first if first in _TAKEN_FOR_LATIN or first == _LATIN else ""
