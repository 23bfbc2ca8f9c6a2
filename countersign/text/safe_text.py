"""Safe text: nothing from models or people acts, hides, or crowds out (R15)."""

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import regex  # type: ignore[import-untyped]

from countersign.domain.redaction import MARK, TYPED, hide
from countersign.text import homoglyphs

_IGNORED: Final = regex.compile(r"\p{Default_Ignorable_Code_Point}|\p{Noncharacter_Code_Point}")
_BLANK: Final = frozenset("\u2800\U0001d159\ufffc")
"""Symbols that are drawn as nothing, which no property of Unicode says: Braille without dots, a note without a head,
what stands for an object."""
_OF_ANY_WRITING: Final = regex.compile(r"[\p{Script=Inherited}\p{Script=Common}]")
_UNUSUAL: Final = re.compile(r"[^\n\t -~]")
_NEVER: Final = re.compile(r"(?!)")
_FEW: Final = 1000
"""Characters of one class that is made for a text."""
_REPEATED: Final = re.compile(r"(⟦U\+[0-9A-F]{4,6}⟧)\1{3,}")
_BLANKS: Final = re.compile(r"[^\S\n]{11,}")
_EMPTY_LINES: Final = re.compile(r"(\A|\n)((?:[^\S\n]*\n){6,})")
_WIDEST: Final = 40
"""Columns that blanks in one line may take, a tab for four; more is no indentation and no table."""
_FOREIGN: Final = re.compile(rf"(?!{MARK.pattern}|{TYPED})⟦")
_JOINER: Final = "\u200d"
_EMOJI_STYLE: Final = "\ufe0f"
_MARKS: Final = ("Mn", "Me")
_PILE: Final = 5
"""Marks above and below one letter; more are no writing, and cover the lines beside it."""


class Room(NamedTuple):
    """Room for text: characters, bytes as escaped JSON, and lines."""

    characters: int
    size: int
    lines: int


def typed(text: str, *, hidden: bool = False) -> str:
    """Write each `⟦` of the text as ⟦U+27E6⟧: nothing passes for a mark of ours.

    Call it before `visible`, once. `hidden`: secrets in it were hidden where it came from (`escape_marks`); those marks
    stay.
    """
    if "⟦" not in text:
        return text
    return text.replace("⟦", TYPED) if not hidden else _FOREIGN.sub(TYPED, text)


def visible(text: str) -> str:
    """Spell out everything in the text that hides, and take secrets out.

    Control, bidi and invisible characters become ⟦U+202E⟧, long runs of blanks ⟦9,998 spaces⟧, many empty lines
    ⟦200 empty lines⟧; letters of another alphabet in a word get their number, а⟦U+0430⟧; secrets become
    ⟦hidden: 40 characters⟧. Line feeds, tabs and indentation stay, and what holds one emoji together does. What is
    visible already stays as it is.
    """
    text = homoglyphs.mark(hide(text.replace("\r\n", "\n"))[0])
    spelled = _unusual(text).sub(lambda c: c[0] if _shows(text, c.start()) else f"⟦U+{ord(c[0]):04X}⟧", text)
    text = _REPEATED.sub(lambda many: f"{many[1][:-1]}, {len(many[0]) // len(many[1]):,} times⟧", spelled)
    return _EMPTY_LINES.sub(_counted_lines, _BLANKS.sub(_counted_blanks, text))


def quoted(text: str, most: int) -> str:
    """Quote people, models or tools on one line, their marks told from ours."""
    return one_line(typed(text), most)


def one_line(text: str, most: int) -> str:
    """Make the text visible, on one line, and at most so long."""
    line = re.sub(r"\s+", " ", visible(text)).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def size_of(value: object) -> int:
    """Count the bytes as JSON escaped to ASCII: never less than Slack counts."""
    return len(json.dumps(value))


def fits(text: str, room: Room) -> bool:
    """Tell whether all of the text has room."""
    return len(text) <= room.characters and len(_head(text, room)) == len(text)


def shorten(text: str, room: Room) -> tuple[str, int, str]:
    """Return the beginning, how many characters are left out, and the end.

    All of the text and 0 if it fits.
    """
    if fits(text, room):
        return text, 0, ""
    beginning = _head(text, _share(room, 2 / 3))
    end = _head(text[: len(beginning) - len(text) - 1 : -1], _share(room, 1 / 3))[::-1]
    return beginning, len(text) - len(beginning) - len(end), end


def pieces(text: str, most: int) -> Iterator[str]:
    """Cut the text into parts of at most so many characters, after lines if possible.

    Joined they are the text.
    """
    while len(text) > most:
        cut = text.rfind("\n", most // 2, most) + 1 or most
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


def _counted_blanks(match: re.Match[str]) -> str:
    """One blank at each end stays, so that words do not run together."""
    run = match[0]
    if len(run) + 3 * run.count("\t") <= _WIDEST:
        return run
    inner = run[1:-1]
    name = "spaces" if not inner.strip(" ") else "tabs" if not inner.strip("\t") else "blanks"
    return f"{run[0]}⟦{len(inner):,} {name}⟧{run[-1]}"


def _counted_lines(match: re.Match[str]) -> str:
    return f"{match[1]}⟦{match[2].count(chr(10)):,} empty lines⟧\n"


def _unusual(text: str) -> re.Pattern[str]:
    """Match the characters of the text that may not be drawn as themselves."""
    unusual = "".join(c for c in set(text) if not _is_plain(c))
    return re.compile(f"[{re.escape(unusual)}]") if 0 < len(unusual) <= _FEW else _UNUSUAL if unusual else _NEVER


@lru_cache(maxsize=2**16)
def _is_plain(c: str) -> bool:
    """Tell a character that is drawn as itself wherever it stands."""
    return c in "\n\t" or (c != _EMOJI_STYLE and unicodedata.category(c) not in _MARKS and _shows(c, 0))


def _shows(text: str, at: int) -> bool:
    """Tell whether the character there is drawn as itself."""
    c, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if c == _JOINER:
        return _is_emoji(before) and _is_emoji(after)
    if c == _EMOJI_STYLE:
        return _is_emoji(before) or before in tuple("0123456789#*©®‼⁉™↔")
    if unicodedata.category(c) in _MARKS and _is_pile(text[max(0, at - _PILE) : at]):
        return False
    if c in _BLANK or _IGNORED.match(c):
        return False
    if unicodedata.category(c) == "Mn" and not _OF_ANY_WRITING.match(c) and not _is_of_its_writing(c, before):
        return False
    return unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _is_of_its_writing(mark: str, before: str) -> bool:
    """Tell whether a mark stands on a letter or mark of its own alphabet.

    Elsewhere fonts draw nothing.
    """
    return bool(before) and unicodedata.name(mark, "?").split()[0] == unicodedata.name(before, "!").split()[0]


def _is_pile(before: str) -> bool:
    return len(before) == _PILE and all(unicodedata.category(c) in _MARKS for c in before)


def _is_emoji(c: str) -> bool:
    if not c:
        return False
    return c == _EMOJI_STYLE or unicodedata.category(c) == "So" or "\U0001f3fb" <= c <= "\U0001f3ff" or c in "♀♂"


def _head(text: str, room: Room) -> str:
    text = text[: room.characters]
    if text.count("\n") >= room.lines:
        text = "\n".join(text.split("\n", room.lines)[: room.lines])
    if size_of(text) - 2 <= room.size:
        return text
    return text[: bisect_right(range(len(text)), room.size, key=lambda cut: size_of(text[:cut]) - 2) - 1]


def _share(room: Room, part: float) -> Room:
    return Room(int(room.characters * part), int(room.size * part), max(1, int(room.lines * part)))
