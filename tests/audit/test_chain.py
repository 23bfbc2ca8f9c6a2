"""No entry of the record is changed, removed, added or moved unseen."""

import io
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.audit.export_formats import read_lines
from countersign.domain.hash_chain import START, ChainProblem, Head, Kept, Verifier, hash_of, read_head, seal, write
from tests.repetitions import times


def a_chain(length: int, words: str = "approved") -> list[Kept]:
    """Entries as small as they come, so that a thousand are looked at quickly."""
    head, chain = START, []
    for n in range(1, length + 1):
        event = f"{1772816400000 + n}-0"
        kept = seal(
            head, {"event": event, "at": f"2026-03-06T17:00:{n % 60:02}+00:00", "type": words, "user": f"U0{n}"}
        )
        head = Head(n, kept.hash)
        chain.append(kept)
    return chain


def exported(chain: Iterable[Kept]) -> bytes:
    return b"".join(kept.line().encode() + b"\n" for kept in chain)


def problems(chain: Iterable[Kept | ValueError], after: Head = START, known: Iterable[Head] = ()) -> list[ChainProblem]:
    verifier = Verifier(after, known)
    for kept in chain:
        verifier.take(kept)
    return verifier.end()


def problems_of_file(raw: bytes) -> list[ChainProblem]:
    return problems(read_lines(io.BytesIO(raw)))


LONG = a_chain(1000)
LINES = [kept.line().encode() + b"\n" for kept in LONG]
STARTS = [0]
for line in LINES:
    STARTS.append(STARTS[-1] + len(line))
HEAD = Head(1000, LONG[-1].hash)
quick = settings(max_examples=times(10, 40))


def test_whole_chain_has_no_problem() -> None:
    assert problems(LONG, known=[HEAD, Head(17, LONG[16].hash)]) == []
    assert problems_of_file(b"".join(LINES)) == []


@quick
@given(st.integers(0, STARTS[-1] - 1), st.integers(1, 255))
def test_any_changed_byte_is_found_and_its_entry_named(at: int, by: int) -> None:
    """R25: in the exported file, whichever byte it is."""
    place = next(n for n in range(len(LINES), 0, -1) if STARTS[n - 1] <= at)
    line = bytearray(LINES[place - 1])
    line[at - STARTS[place - 1]] ^= by
    found = problems_of_file(b"".join([*LINES[: place - 1], bytes(line), *LINES[place:]]))
    assert place in {problem.n for problem in found}, found


@quick
@given(st.integers(1, 1000), st.integers(1, 10))
def test_removed_entries_are_found_and_named(n: int, many: int) -> None:
    """R25: at the end by the head that somebody noted."""
    last = min(n + many - 1, 1000)
    found = problems([*LONG[: n - 1], *LONG[last:]], known=[HEAD])
    which = f"entry {n}: is missing" + (f", with all up to entry {last}" if last > n else "")
    assert any(which in str(problem) for problem in found), found


@quick
@given(st.integers(1, 1000), st.integers(1, 1000))
def test_swapped_entries_are_found_and_named(one: int, other: int) -> None:
    """R25: both of them."""
    swapped = list(LONG)
    swapped[one - 1], swapped[other - 1] = swapped[other - 1], swapped[one - 1]
    assert {problem.n for problem in problems(swapped)} == ({one, other} if one != other else set())


def test_any_changed_byte_of_a_small_chain_is_found() -> None:
    """R25: each byte, each to another digit, a space and a quote; entries are in the file as they were hashed."""
    chain = a_chain(4)
    raw = exported(chain)
    for at in range(len(raw)):
        place = raw[:at].count(b"\n") + 1
        for byte in b'0 "\n':
            if raw[at] != byte:
                found = problems_of_file(raw[:at] + bytes([byte]) + raw[at + 1 :])
                assert place in {p.n for p in found}, (at, byte, found)


def test_truncated_file_is_found() -> None:
    chain = a_chain(5)
    raw = exported(chain)
    for end in range(1, len(raw)):
        cut = raw[:end]
        known = Verifier(START, [Head(5, chain[-1].hash)])
        for kept in read_lines(io.BytesIO(cut)):
            known.take(kept)
        assert known.end(), end
        if not cut.endswith(b"\n"):
            assert problems_of_file(cut), end


def test_rewritten_entry_breaks_the_link_of_the_next() -> None:
    """R25: although its own hash fits."""
    chain = a_chain(5)
    forged = write({**chain[2].fields(), "user": "U0MALLORY"})
    found = problems([*chain[:2], Kept(forged, hash_of(forged)), *chain[3:]])
    assert [str(p) for p in found] == ["entry 4: does not follow entry 3: one of the two was replaced."]


def test_rewritten_chain_does_not_match_a_noted_head() -> None:
    """R25: only who noted a head can know; that is why it is posted, signed and copied."""
    true, forged = a_chain(5), a_chain(5, "rejected")
    assert problems(forged) == []
    (found,) = problems(forged, known=[Head(3, true[2].hash)])
    assert str(found) == f"entry 3: was replaced: its hash was noted as {true[2].hash}."


def test_repeated_or_early_entry_is_named() -> None:
    """R25: an entry that stands twice, or before the beginning."""
    chain = a_chain(5)
    assert "entry 3: appears twice." in map(str, problems([*chain[:3], chain[2], *chain[3:]]))
    after = Head(2, chain[1].hash)
    assert problems(chain[2:], after) == []
    assert "entry 2: comes before the beginning." in map(str, problems(chain[1:], after))


def test_repeated_event_is_found() -> None:
    first = seal(START, {"event": "7-0", "type": "x"})
    again = seal(Head(1, first.hash), {"event": "7-0", "type": "x"})
    assert [p.n for p in problems([first, again])] == [2]


def test_extract_is_checked_for_entries_and_order() -> None:
    """R25: gaps are allowed there."""
    chain = a_chain(9)

    def of(entries: list[Kept]) -> list[int]:
        verifier = Verifier(extract=True)
        for kept in entries:
            verifier.take(kept)
        return [problem.n for problem in verifier.end()]

    assert of([chain[1], chain[2], chain[6]]) == []
    assert of([chain[1], chain[6], chain[2]]) == [3]
    assert of([chain[1], Kept(chain[2].entry.replace("approved", "rejected"), chain[2].hash)]) == [3]


def test_entry_with_equal_content_in_other_bytes_is_refused() -> None:
    """R25: even with a hash that fits."""
    (first,) = a_chain(1)
    spaced = first.entry.replace(",", ", ", 1)
    (found,) = problems([Kept(spaced, hash_of(spaced))])
    assert str(found) == "entry 1: was changed: it is not written as entries are."


def test_entry_of_a_later_schema_is_refused_by_name() -> None:
    entry = write({"event": "7-0", "n": 1, "previous": START.hash, "schema": 99})
    (found,) = problems([Kept(entry, hash_of(entry))])
    assert "has schema 99; this program reads 1" in str(found)


def test_audit_head_round_trips_as_text() -> None:
    assert read_head(str(HEAD)) == HEAD
    with pytest.raises(ValueError, match="is no head"):
        read_head("17:abc")
