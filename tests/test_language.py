"""Habits that make our sentences read like a translation, counted by area.

A count may fall, never rise. The aim is zero everywhere.

To see the hits of a habit, and to lower the limits after a sweep:

    .venv/bin/python -m tests.test_language "vague subject" docs
    .venv/bin/python -m tests.test_language

The second command prints today's counts as the literal `LIMITS`: paste it below. Raise no limit: rewrite the sentence.
If a hit is plain English, narrow the habit's expression instead.

Documents are read without code blocks and `code`. Python files are read without a parser, by one expression that finds
strings and comments: parsing the whole tree takes far longer. Neighbouring strings and the lines of one comment are
read as one text, so a habit is also found across a line break.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
AREAS: Final = {
    "docs": (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))),
    "product": tuple(
        path
        for package in ("countersign", "bot", "agents", "localslack", "demo", "bench")
        for path in sorted((ROOT / package).rglob("*.py"))
    ),
    "tests": tuple(
        path
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "mutants" not in path.parts and path != Path(__file__).resolve()  # both quote what they look for
    ),
}
HABITS: Final = {
    "headless clause": r"\b(?:that|those) of which\b"
    r"|\bwhat (?:is|was) not (?!yet|only|known)\w+"
    r"|(?:^|[.;:] )What (?:is|was|has|had) \w+ (?![^.]*\?)"
    r"|\b(?:tells?|told|of|for|by|to|and|as) who (?:asked|clicked|decided|wrote)\b(?! for what)",
    "headless pronoun": r"(?<!the )\b(?:ones?|those) that (?:ended|began|left|is|was|are|were)\b"
    r"|\bthose of others?\b|\bthe ones (?:left|there|of)\b",
    "vague subject": r"\bwhoever\b|\bwhosever\b|\bthose who\b|\b(?:nobody|somebody) else's\b",
    "negated noun": r"(?<!there )\b(?:is|are|was|were) none\b|\bnone such\b|\bno such[.,;:]"
    r"|(?<!there )\b(?:is|was) no (?!longer\b|more\b|less\b|better\b|different\b|such\b|problem\b|reason\b)[a-z]+"
    r"|\bthat there (?:is|are) not\b",
    "filler adverb": r"\b(?:goes|went) on\b|\banew\b|\ball the same\b|\blikewise\b"
    r"|(?<!each )(?<!AutoGen )\bby (?:itself|themselves)\b",
    "dangling comparison": r"\bso many(?:eth)?\b|\bso much\b",
    "circumlocution": r"\bwhat (?:came|comes|becomes|became|has become) of\b",
    "words for text": r"(?<!other )(?<!few )(?<!several )(?<![Nn]ine )(?<!two )(?<!four )(?<!\d )\bwords\b",
    "riddle": r"(?:^|[.;:] )(?:Is|Are|Was|Were|Has|Does) (?:a |an |the )?[a-z]\w+(?: [^.?]*)?\.(?:\s|$)",
}
"""Regular expressions of the habits, by their names in the style guide."""
LONGEST_NAME: Final = 9
"""Words of a test's name, `test` not counted."""
LIMITS: Final[dict[str, dict[str, int]]] = {
    "docs": {
        "headless clause": 17,
        "headless pronoun": 4,
        "vague subject": 43,
        "negated noun": 3,
        "filler adverb": 23,
        "dangling comparison": 3,
        "circumlocution": 6,
        "words for text": 35,
        "riddle": 0,
    },
    "product": {
        "headless clause": 20,
        "headless pronoun": 9,
        "vague subject": 16,
        "negated noun": 28,
        "filler adverb": 47,
        "dangling comparison": 3,
        "circumlocution": 10,
        "words for text": 143,
        "riddle": 0,
    },
    "tests": {
        "headless clause": 38,
        "headless pronoun": 14,
        "vague subject": 78,
        "negated noun": 40,
        "filler adverb": 100,
        "dangling comparison": 18,
        "circumlocution": 29,
        "words for text": 138,
        "riddle": 5,
    },
}

_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""' r"|'''(?:\\.|[^\\])*?'''" r'|"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'" r"|#[^\n]*", re.S
)
_CODE: Final = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
_PLACE: Final = re.compile(r"\{[^{}]*\}")
_TEST: Final = re.compile(r"^ *(?:async )?def test_(\w+)", re.M)


@cache
def texts(area: str) -> tuple[tuple[str, str], ...]:
    """Every text of an area with the name of its file, blanks and code taken out."""
    return tuple(
        (str(path.relative_to(ROOT)), " ".join(_CODE.sub("…", text).split()))
        for path in AREAS[area]
        for text in (_of_python if path.suffix == ".py" else _of_document)(path.read_text())
    )


def _of_document(page: str) -> Iterator[str]:
    yield from re.split(r"\n\n|\n(?=[-|#] ?)|\|", _CODE.sub("…", page))


def _of_python(source: str) -> Iterator[str]:
    """Strings and comments in their order, those that only blanks separate as one text; then the names of tests."""
    text, end, was_comment = "", 0, False
    for token in _TOKEN.finditer(source):
        is_comment = token[0][0] == "#"
        if is_comment != was_comment or source[end : token.start()].strip(" \n" if is_comment else " \nfrb"):
            yield text
            text = ""
        plain = token[0].lstrip("#") if is_comment else _PLACE.sub("…", token[0].strip("\"'"))
        text += " " * is_comment + plain.replace("\\n", "\n")
        end, was_comment = token.end(), is_comment
    yield text
    yield from (name.replace("_", " ") for name in _TEST.findall(source))


def hits(habit: str, area: str) -> list[str]:
    """Each place of a habit in an area, with some of the text around it."""
    expression = re.compile(HABITS[habit], 0 if habit in ("riddle", "headless clause") else re.I)
    return [
        f"{name}: …{text[max(0, hit.start() - 40) : hit.end() + 40]}…"
        for name, text in texts(area)
        if " " in text
        for hit in expression.finditer(text)
        if not re.search(r"\bNone$", hit[0])  # Python's own, not a noun
    ]


@cache
def long_names() -> tuple[str, ...]:
    """The names of tests that have too many words."""
    names = [name for path in AREAS["tests"] for name in _TEST.findall(path.read_text())]
    return tuple(f"test_{name}" for name in names if len(name.split("_")) > LONGEST_NAME)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("habit", HABITS)
def test_language_habits_become_rarer(habit: str, area: str) -> None:
    found, limit = hits(habit, area), LIMITS[area][habit]
    assert len(found) <= limit, f"{len(found)} hits, {limit} allowed:\n" + "\n".join(found)


def test_test_names_have_at_most_nine_words() -> None:
    assert long_names() == ()


@pytest.mark.parametrize(
    ("habit", "text"),
    [
        ("headless clause", "Keep what is not approved."),
        ("headless clause", "Tell who asked."),
        ("headless pronoun", "Runs that wait, and one that ended."),
        ("vague subject", "Whoever comes second."),
        ("negated noun", "A name that is no id."),
        ("negated noun", "A status that is none."),
        ("filler adverb", "The run goes on."),
        ("dangling comparison", "After so many seconds."),
        ("circumlocution", "Report what came of it."),
        ("words for text", "The words of a reviewer."),
        ("riddle", "Is told."),
    ],
)
def test_language_habit_is_recognised(habit: str, text: str) -> None:
    assert re.search(HABITS[habit], text, re.I), text


@pytest.mark.parametrize(
    "text",
    [
        "None if there is none.",
        "The person who asked reads the reason.",
        "The token is no longer valid.",
        "There is no such team here.",
        "What is known? Is it told?",
        "It is None.",
        "Nine words at most, in other words few words.",
    ],
)
def test_plain_english_is_not_counted_as_a_habit(text: str) -> None:
    found = [hit for habit in HABITS for hit in re.finditer(HABITS[habit], text)]
    assert [hit[0] for hit in found if not hit[0].endswith("None")] == []


def main() -> None:
    """Print the hits of one habit in one area, or today's counts."""
    if len(sys.argv) == 3:
        print("\n".join(hits(*sys.argv[1:])))
        return
    print("LIMITS: Final[dict[str, dict[str, int]]] = {")
    for area in AREAS:
        print(f'    "{area}": {{')
        for habit in HABITS:
            print(f'        "{habit}": {len(hits(habit, area))},')
        print("    },")
    print("}")


if __name__ == "__main__":
    main()
