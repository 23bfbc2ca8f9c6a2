"""Homoglyphs: a word that mixes alphabets is marked, and named in a warning (R15).

The rule is that of Unicode's UTS #39 (mixed-script and whole-script confusables), and its data says which character
is taken for which; narrowed to what is taken for ASCII, and to what the writing around it does not use, so that
ordinary Russian, Greek, Turkish or Japanese is left alone.

A megabyte of words has few patterns: each letter becomes the sign of its kind, and each word is judged by these signs.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from countersign.text.letters import (
    DOTLESS,
    EAST,
    LATIN,
    SIGN,
    STYLED,
    alphabet,
    is_dressed,
    is_odd_sign,
    twin,
    writing,
)

_OURS: Final = r"⟦(?:U\+|hidden: |[0-9,]+ )[A-Za-z0-9+, ]{1,60}⟧"
"""A mark of ours is no word."""
_WORD: Final = re.compile(rf"{_OURS}|[^\W\d_](?:[^\W\d_]|[\u0300-\u036f]|⟦U\+[A-Za-z0-9+, ]{{4,60}}⟧)*")
_OF_A_WORD: Final = re.compile(r"[^\W\d_]|[\u0300-\u036f]")
_FOREIGN: Final = re.compile(r"[^\W\d_\x00-\x7f]")
"""A letter that is not ASCII."""
_MARK: Final = re.compile(r"⟦U\+[A-Za-z0-9+, ]{4,60}⟧")
_CLASSIC: Final = ("CYRILLIC", "GREEK")
"""Alphabets of which a whole word may pass for Latin; another Greek letter beside Latin ones is a formula (Δt, kΩ)."""
_TURKISH: Final = frozenset("ğşİĞŞ")
"""Letters beside which a dotless i is ordinary."""
_DOTS: Final = "\u3002\uff0e\uff61"
"""What browsers take for the dot in the name of a host."""
_MINUSES: Final = "\u2212\u2796\u02d7\u2043\u207b\u208b\u1806\u058a"
"""Dashes that are no typography: hyphens, en and em dashes are left alone."""
_OTHERS: Final = "\u3001\u201a\u060c\u066c\u2e41\u02d0\u1400\u2e40\ua78a\u2223\u2795\u2053\u223c"
_BETWEEN: Final = r"(?<=[0-9A-Za-z])[{}](?=[0-9A-Za-z])"
_DOT: Final = re.compile(_BETWEEN.format(_DOTS))
_SEPARATOR: Final = re.compile(
    _BETWEEN.format(rf"{_DOTS}{_OTHERS}\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufe50-\ufe6b")
    + rf"|(?<=[A-Za-z])[{_MINUSES}](?=[0-9A-Za-z])|(?<=[0-9])[{_MINUSES}](?=[A-Za-z])"
)
"""Signs between ASCII letters or digits that look like a separator of ASCII, and are none to a program.

A minus between digits is arithmetic. In a line of Chinese, Japanese or Korean only the dots are strange there.
"""
_NAMED: Final = 4
_Runs = tuple[tuple[int, int], ...]
"""From where to where."""


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
    lines = (line for line in text.split("\n") if not line.isascii())
    return list(dict.fromkeys(line[start:end] for line in lines for start, end, _ in _words(line)))


def odd_signs(text: str) -> list[str]:
    """List the words in which `mark` marks a sign or a digit, each once."""
    if text.isascii():
        return []
    found = dict[str, None]()
    for line in text.split("\n"):
        if line.isascii():
            continue
        bare = re.sub(_OURS, "", line)
        signs = _signs_in(bare)
        if signs or _SEPARATOR.search(bare):
            separator, words = _separator_in(bare), bare.split()
            found |= dict.fromkeys(word for word in words if separator.search(word) or not signs.isdisjoint(word))
    return list(found)


def _marked(line: str) -> str:
    parts: list[str] = []
    at = 0
    for word, _, runs in _words(line):
        for first, last in runs:
            start, end = word + first, word + last
            parts += line[at:end], _codes(line[start : min(end, start + _NAMED)], end - start)
            at = end
    return _with_signs("".join(parts) + line[at:] if parts else line)


def _with_signs(line: str) -> str:
    """Mark signs and digits of a writing that the line does not use, and look-alike separators."""
    if _SEPARATOR.search(line):
        line = _separator_in(line).sub(lambda c: c[0] + _codes(c[0], 1), line)
    odd = _signs_in(line)
    return SIGN.sub(lambda c: c[0] + _codes(c[0], 1) if c[0] in odd else c[0], line) if odd else line


def _separator_in(line: str) -> re.Pattern[str]:
    """Return what finds the separators that look strange in this line."""
    eastern = any(writing(c) == EAST for c in set(line) if c.isalpha() and not c.isascii())
    return _DOT if eastern else _SEPARATOR


def _signs_in(line: str) -> set[str]:
    """Return the signs and digits of a writing that the line does not use."""
    signs = {c for c in set(line) if is_odd_sign(c)}
    if not signs:
        return signs
    writings = {writing(c) for c in set(line) if not c.isascii() and c.isalpha() and alphabet(c) != STYLED}
    return {c for c in signs if writing(c) not in writings}


@lru_cache(maxsize=4096)
def _codes(letters: str, count: int) -> str:
    """Write the mark of so many letters, of which these are the first."""
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return f"⟦{' '.join(f'U+{ord(c):04X}' for c in letters)}{more}⟧"


class _Fact(NamedTuple):
    """Classify a letter by what matters in a word; like letters share a kind."""

    alphabet: str
    twin: bool
    dressed: bool
    dotless: bool


class _Kinds(dict[int, str]):
    """Map letters to the signs of their kinds, all else to a blank."""

    def __missing__(self, code: int) -> str:
        if len(self) > _CACHED:
            self.clear()
        c, kind = chr(code), " "
        if _OF_A_WORD.match(c):
            fact = _Fact(alphabet(c), twin(c) != "", is_dressed(c), c == DOTLESS)
            kind = _SIGNS_OF.setdefault(fact, chr(0x100 + len(_SIGNS_OF)))
            _FACTS[kind] = fact
        self[code] = kind
        return kind


_CACHED: Final = 2**16
_LONG: Final = 40
"""Letters of a word whose kinds are not remembered."""
_SIGNS_OF: Final[dict[_Fact, str]] = {}
_FACTS: Final[dict[str, _Fact]] = {}
_KINDS: Final = _Kinds()


def _words(line: str) -> Iterator[tuple[int, int, _Runs]]:
    """Each odd word, from where to where, and the same of the odd letters in it."""
    if not _FOREIGN.search(line):
        return
    bare = re.sub(_OURS, lambda mark: " " * len(mark[0]), line) if "⟦" in line else line
    kinds = bare.translate(_KINDS)
    alphabets, strange, dotless, whole = _of_line(frozenset(kinds))
    turkish = not _TURKISH.isdisjoint(line)
    if not strange and (turkish or not dotless) and len(alphabets - {EAST}) < 2:
        return
    genuine = frozenset[str]()
    if whole is not None:
        genuine = genuine.union(*map(_genuine, set(whole.findall(_without_marks(line).translate(_KINDS)))))
    around = (LATIN in alphabets, EAST in alphabets, turkish, genuine)
    judged: dict[str, _Runs] = {}
    for word in _WORD.finditer(line):
        start, end = word.span()
        kind = kinds[start:end]
        if " " in kind and (line[start] == "⟦" or _is_marked(word[0])):
            continue
        runs = judged.get(kind)
        if runs is None:
            runs = judged[kind] = (_runs if end - start <= _LONG else _runs.__wrapped__)(kind, *around)
        if runs:
            yield start, end, runs


def _without_marks(line: str) -> str:
    """Leave out the marks of letters, so that a marked word is still one; other marks part words."""
    if "⟦" not in line:
        return line
    return re.sub(_OURS, lambda mark: "" if any(c.isalpha() for c in _letters_of(mark[0])) else " ", line)


def _letters_of(mark: str) -> str:
    """The letters that a mark names; empty if it names none."""
    return "".join(chr(min(int(code, 16), 0x10FFFF)) for code in re.findall(r"U\+([0-9A-F]{4,6})", mark))


def _is_marked(word: str) -> bool:
    """Tell whether a mark is true: what it names stands before it, or is invisible."""
    for mark in _MARK.finditer(word):
        letters = _letters_of(mark[0])
        more = re.search(r" and ([0-9]{1,6}) more", mark[0])
        at = mark.start() - len(letters) - (int(more[1]) if more else 0)
        if at >= 0 and word.startswith(letters, at):
            return True
        if not any(c.isalnum() or c in "⟦⟧" for c in letters):
            return True
    return False


@lru_cache(maxsize=1024)
def _of_line(kinds: frozenset[str]) -> tuple[frozenset[str], bool, bool, re.Pattern[str] | None]:
    """Summarise the kinds of letters in a line.

    Its alphabets, whether any letter is strange by itself, and whether one is dotless.

    Last, what finds words without Latin letters, if other words of the line are Latin.
    """
    facts = {kind: _FACTS[kind] for kind in kinds if kind != " "}
    alphabets = frozenset(fact.alphabet for fact in facts.values()) - {""}
    strange = STYLED in alphabets or any(fact.dressed for fact in facts.values())
    whole = None
    if LATIN in alphabets and not alphabets.isdisjoint(_CLASSIC):
        latin = "".join(kind for kind, fact in facts.items() if fact.alphabet == LATIN)
        whole = re.compile(rf"(?<![^ ])[^ {latin}]+(?![^ ])")
    return alphabets, strange, any(fact.dotless for fact in facts.values()), whole


@lru_cache(maxsize=8192)
def _runs(kinds: str, latin: bool, east: bool, turkish: bool, genuine: frozenset[str]) -> _Runs:
    """Find the odd letters of a word of these kinds; a blank stands for a mark."""
    counts = tuple((kind, kinds.count(kind)) for kind in dict.fromkeys(kinds) if kind != " ")
    odd = _odd(counts, latin, east, turkish, genuine)
    runs, at = [], 0
    for is_odd, run in groupby(kinds, odd.__contains__) if odd else ():
        end = at + sum(1 for _ in run)
        if is_odd:
            runs.append((at, end))
        at = end
    return tuple(runs)


@lru_cache(maxsize=2048)
def _odd(
    kinds: tuple[tuple[str, int], ...], latin: bool, east: bool, turkish: bool, genuine: frozenset[str]
) -> frozenset[str]:
    """The odd kinds of a word that has so many letters of each."""
    facts, count = {kind: _FACTS[kind] for kind, _ in kinds}, Counter[str]()
    for kind, letters in kinds:
        count[facts[kind].alphabet] += letters
    same = {fact.alphabet for fact in facts.values() if fact.twin}
    mixed = [a for a in count if a not in ("", LATIN, STYLED, EAST) and (a != "GREEK" or a in same)]
    dressed = frozenset(kind for kind, fact in facts.items() if fact.dressed or (fact.dotless and not turkish))
    if count[STYLED] and not east:
        mixed.append(STYLED)
    if len(mixed) + bool(count[LATIN]) > 1 or STYLED in mixed:
        main = max([LATIN, *mixed], key=lambda a: (count[a], a == LATIN))
        others = {*mixed, LATIN} - ({main} if main != STYLED else set())
        return dressed | frozenset(kind for kind, fact in facts.items() if fact.alphabet in others)
    spoof = latin and any(
        all(fact.alphabet == a and fact.twin for fact in facts.values())
        and a not in genuine
        and (a != "GREEK" or count.total() > 1)
        for a in mixed
        if a in _CLASSIC
    )
    return frozenset(facts) if spoof else dressed


def _genuine(kinds: str) -> frozenset[str]:
    """The alphabets that a word without Latin letters is of, unless it looks Latin."""
    facts = [_FACTS[kind] for kind in kinds]
    count = Counter(fact.alphabet for fact in facts)
    return frozenset(
        fact.alphabet for fact in facts if fact.alphabet in _CLASSIC and not fact.twin and count[fact.alphabet] > 1
    )
