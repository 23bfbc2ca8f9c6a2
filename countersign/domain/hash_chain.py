"""Hash chain of the record, which makes changes to the past visible (R25).

An entry is canonical JSON in ASCII and holds its number `n` and the hash of the entry before, `previous`. Its hash is
the SHA-256 of exactly those bytes, so an entry can be neither changed, removed, added nor moved without breaking the
chain after it. An attacker who can write everything could make a whole new chain, but its head would differ from the
head that was posted or signed.
"""

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

SCHEMA: Final = 1
_LARGEST: Final = 2**53
_HEAD: Final = re.compile(r"([0-9]{1,16}):([0-9a-f]{64})")
_NAMED: Final = 20
"""Most misplaced entries that are listed; the others are only counted."""


class Head(NamedTuple):
    """Number and hash of an entry; the last entry's head covers all entries before it."""

    n: int
    hash: str

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"


START: Final = Head(0, "0" * 64)
"""Head before the first entry."""


class Kept(NamedTuple):
    """An entry: its canonical JSON and its hash."""

    entry: str
    hash: str

    @classmethod
    def of(cls, entry: str) -> Self:
        """Make an entry from its JSON by computing its hash."""
        return cls(entry, hash_of(entry))

    def follows(self, before: str) -> bool:
        """Tell whether `before` is the hash of the preceding entry."""
        try:
            return self.fields().get("previous") == before
        except ValueError:
            return False

    def fields(self) -> dict[str, Any]:
        """Read the entry. ValueError if it is not a JSON object."""
        try:
            fields = json.loads(self.entry)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(fields, dict):
            raise ValueError("no JSON object")
        return fields

    def line(self) -> str:
        """Write the entry as it is exported, without the newline."""
        return f'{{"entry":{self.entry},"hash":"{self.hash}"}}'


class ChainProblem(NamedTuple):
    """A fault of the entry with that number (0: of the whole chain)."""

    n: int
    fault: str

    def __str__(self) -> str:
        return f"entry {self.n}: {self.fault}" if self.n else self.fault


def write(fields: Mapping[str, Any]) -> str:
    """Write fields canonically: keys sorted, no spaces, ASCII, no NaN."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def hash_of(entry: str) -> str:
    """SHA-256 of the entry, in hex."""
    return hashlib.sha256(entry.encode("utf-8", "surrogatepass")).hexdigest()


def seal(after: Head, fields: Mapping[str, Any]) -> Kept:
    """Make the entry with these fields that follows `after`."""
    entry = write({**fields, "n": after.n + 1, "previous": after.hash, "schema": SCHEMA})
    return Kept.of(entry)


def read_head(text: str) -> Head:
    """Read `12:<64 hex digits>`; ValueError for anything else."""
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{ascii(text.strip())[:80]} is no head. It is written as <number>:<64 hex digits>.")
    return Head(int(match[1]), match[2])


def read_line(line: str) -> Kept:
    """Read an exported line; ValueError if it is not exactly as `Kept.line` writes it."""
    kept = Kept(line[len('{"entry":') : -75], line[-66:-2])
    if len(line) < 100 or kept.line() != line:
        raise ValueError("is not written as an exported entry is")
    return kept


class Verifier:
    """Checker of a chain: takes its entries one by one, then lists all faults.

    `after` is what the first entry must follow. `known` are heads noted earlier: the chain must contain each. An
    `extract` (only some entries, in order) gets only the checks that are possible without the rest.
    """

    def __init__(self, after: Head = START, known: Iterable[Head] = (), *, extract: bool = False) -> None:
        self._after = after
        self._noted = {head.n: head.hash for head in known}
        self._extract = extract
        self._numbers = array("Q")
        self._last = after.n
        self._hashes = {after.hash}
        self._event = (0, 0)
        self._problems: list[ChainProblem] = []

    @property
    def count(self) -> int:
        """Entries taken so far."""
        return len(self._numbers)

    @property
    def last(self) -> int:
        """The number of the last entry taken."""
        return self._last

    def take(self, kept: Kept | ValueError, at: int | None = None) -> None:
        """Take the next entry, or the reason why it is unreadable.

        `at` is the number under which the entry is stored.
        """
        place = self._last + 1
        real = hash_of(kept.entry) if isinstance(kept, Kept) else ""
        try:
            if isinstance(kept, ValueError):
                raise kept
            fields = _fields(kept)
        except ValueError as wrong:
            self._problems.append(ChainProblem(place, f"was changed: it {wrong}."))
            self._took(place, {real, kept.hash} if isinstance(kept, Kept) else set())
            return
        n = int(fields["n"])
        if real != kept.hash:
            remark = "" if n == place else f" It says that it is entry {n}."
            fault = f"was changed: its hash is {real}, but {kept.hash} is recorded.{remark}"
            self._problems.append(ChainProblem(place, fault))
            self._took(place, {real, kept.hash})
            return
        if self._noted.get(n, kept.hash) != kept.hash:
            self._problems.append(ChainProblem(n, f"was replaced: its hash was noted as {self._noted[n]}."))
        event = _event(fields)
        if at is not None and n != at:
            self._problems.append(ChainProblem(at, f"says that it is entry {n}."))
        if n == place:
            self._follows(n, fields, event)
        self._event = event
        self._took(n, {kept.hash})

    def _follows(self, n: int, fields: Mapping[str, Any], event: tuple[int, int]) -> None:
        begins = self._extract and not self._numbers
        if self._hashes and not begins and fields["previous"] not in self._hashes:
            self._problems.append(ChainProblem(n, f"does not follow entry {n - 1}: one of the two was replaced."))
        elif event <= self._event:
            self._problems.append(ChainProblem(n, "tells of something that an entry before it tells of already."))

    def _took(self, n: int, hashes: set[str]) -> None:
        self._numbers.append(n)
        self._last, self._hashes = n, hashes

    def end(self) -> list[ChainProblem]:
        """List all problems by number; none if the chain is whole."""
        problems = [*self._problems, *self._out_of_order()]
        if self._noted.get(self._after.n, self._after.hash) != self._after.hash:
            problems.append(
                ChainProblem(self._after.n, f"was replaced: its hash was noted as {self._noted[self._after.n]}.")
            )
        if not self._extract:
            highest = max(self._numbers, default=self._after.n)
            for n in sorted(n for n in self._noted if n > highest):
                problems.append(
                    ChainProblem(highest + 1, f"{_missing(highest + 1, n)} at the end: head {n} was noted.")
                )
                break
        return sorted(problems)

    def _out_of_order(self) -> list[ChainProblem]:
        numbers = self._numbers
        if all(here == place for place, here in enumerate(numbers, self._after.n + 1)) and not self._extract:
            return []
        if self._extract:
            return [ChainProblem(b, f"comes after entry {a}.") for a, b in pairwise(numbers) if b <= a]
        problems, ordered, last = [], sorted(numbers), self._after.n
        for n in ordered:
            if n > last + 1:
                problems.append(ChainProblem(last + 1, f"{_missing(last + 1, n - 1).rstrip(',')}."))
            elif n <= last:
                problems.append(
                    ChainProblem(n, "appears twice." if n > self._after.n else "comes before the beginning.")
                )
            last = max(last, n)
        moved = [(a, b) for a, b in zip(numbers, ordered, strict=True) if a != b]
        problems += [ChainProblem(here, f"is where entry {due} should be.") for here, due in moved[:_NAMED]]
        if len(moved) > _NAMED:
            problems.append(ChainProblem(0, f"{len(moved) - _NAMED} more entries are out of place."))
        return problems


def _fields(kept: Kept) -> dict[str, Any]:
    try:
        fields = kept.fields()
        same = write(fields) == kept.entry
    except (ValueError, RecursionError):
        raise ValueError("is no JSON object") from None
    if not same:
        raise ValueError("is not written as entries are")
    if fields.get("schema") != SCHEMA:
        raise ValueError(f"has schema {ascii(fields.get('schema'))[:80]}; this program reads {SCHEMA}")
    n = fields.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or not 0 < n < _LARGEST:
        raise ValueError("has no number")
    if not isinstance(fields.get("previous"), str) or not isinstance(fields.get("event"), str):
        raise ValueError("does not say what it follows")
    return fields


def _event(fields: Mapping[str, Any]) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", fields["event"])
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _missing(first: int, last: int) -> str:
    return "is missing" if first == last else f"is missing, with all up to entry {last},"
