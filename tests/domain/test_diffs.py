"""What changed, for people to see."""

from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.diffs import Field, changed_fields, changed_lines


def test_changed_lines_have_two_lines_of_context() -> None:
    before = "To: vendor\n\nDear vendor,\nten percent off.\nYours\nAlice\nPS: soon\nend"
    after = before.replace("ten", "five")
    assert changed_lines(before, after) == [
        "…", " ", " Dear vendor,", "-ten percent off.", "+five percent off.", " Yours", " Alice", "…"
    ]  # fmt: skip


def test_equal_texts_have_no_changed_lines() -> None:
    assert changed_lines("same\ntext", "same\ntext") == []


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_added_and_removed_lines_account_for_the_change(old: list[str], new: list[str]) -> None:
    lines = changed_lines("\n".join(old), "\n".join(new))
    removed, added = [line[1:] for line in lines if line[0] == "-"], [line[1:] for line in lines if line[0] == "+"]
    assert len(old) - len(removed) == len(new) - len(added)
    assert bool(lines) == (old != new)
    assert not lines or lines[0] != "…" or old[0] == new[0]


def test_long_unrelated_texts_are_compared_quickly() -> None:
    """Something quadratic would take hours."""
    before, after = ("\n".join(f"{name} {n % 7}" for n in range(100_000)) for name in ("old", "new"))
    assert len(changed_lines(before, after)) == 200_000


def test_changed_arguments_are_listed_by_path() -> None:
    """R18"""
    before = {
        "amount": 20,
        "to": {"iban": "DE02", "name": "Bob"},
        "rows": [1, 2],
        "tags": ["a"],
        "old": 1,
        "same": [{}],
    }
    after = {
        "amount": 15,
        "to": {"iban": "DE03", "name": "Bob"},
        "rows": [1, True],
        "tags": [],
        "new": None,
        "same": [{}],
    }
    assert changed_fields(before, after) == [
        Field("amount", "20", "15"),
        Field("to.iban", '"DE02"', '"DE03"'),
        Field("rows.1", "2", "true"),
        Field("tags", '["a"]', "[]"),
        Field("old", "1", ""),
        Field("new", "", "null"),
    ]


def test_changed_secret_is_listed_but_not_shown() -> None:
    """R15: also if both are of one length."""
    found = changed_fields({"password": "hunter22", "pin": 1234}, {"password": "hunter33", "pin": 9999}, ("pin",))
    mark, number = '"⟦hidden: 8 characters⟧"', '"⟦hidden: 4 characters⟧"'
    assert found == [Field("password", mark, mark), Field("pin", number, number)]
