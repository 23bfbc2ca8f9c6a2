"""Conditions on the arguments of a call, as a policy writes them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from countersign.domain.errors import CannotTell, InvalidInput
from countersign.domain.json_comparison import matches
from countersign.policy.conditions import check, holds

CALL = {
    "amount": 600,
    "currency": "EUR",
    "to": {"country": "de", "vip": False},
    "rows": [{"id": 7}, {"id": 9}],
    "query": "DROP TABLE users",
    "note": None,
    "said": 'a" like b',
    "headers": {"authorization": "x"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount > 500", True),
        ("amount > 500 and currency == 'usd'", False),
        ("amount <= 600 and not (currency != 'EUR')", True),
        ("amount >= 601 or to.vip", False),
        ("to.country in ['de', 'fr']", True),
        ("to.country not in ['de', 'fr']", False),
        ("rows[1].id == 9 and rows[0].id == 7", True),
        ("len(rows) == 2", True),
        ("query contains 'DROP TABLE'", True),
        ('query like "DROP*users"', True),
        ('query like "DROP*users*orders"', False),
        ("'contains' == 'contains'", True),
        (r'said == "a\" like b"', True),
        (r'said == "a\" true"', False),
        ("headers contains 'authorization'", True),
        ("note == none", True),
        ("currency != none and amount != none", True),
        ("currency in [none, 'EUR']", True),
        ("currency in [none, 'USD']", False),
        ("note in [1, 'x', none]", True),
        ("rows == rows and to == to", True),
        ("missing == 1 and amount > 700", False),
        ("missing == 1 or amount == 600.0", True),
        ("to.vip == false", True),
        ("amount == -1", False),
        ("'country' in to", True),
        ("true", True),
        ("only(amount, currency)", False),
        ("not only(to)", True),
        ("only(amount, currency, to, rows, query, note, said, 'headers', 'x-y')", True),
    ],
)
def test_policy_condition_is_evaluated_on_the_arguments(text: str, expected: bool) -> None:
    assert holds(check(text), CALL) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("missing > 1", "amount > 'x'", "to > 1", "rows[5].id == 1", "len(amount) > 1", "amount", "currency.x == 1"),
        *("missing == 1 and amount > 500", "amount > 700 or missing == 1"),
    ],
)
def test_undecidable_condition_raises_cannot_tell(text: str) -> None:
    """It does not guess."""
    with pytest.raises(CannotTell):
        holds(check(text), CALL)


TAKEN_FOR_THE_SAME: list[tuple[object, str]] = [
    ("4711", "x == 4711"),
    (4711, "x == '4711'"),
    (True, "x == 1"),
    (1, "x == true"),
    ("true", "x == true"),
    (None, "x == 4711"),
    (None, "x == false"),
    ([4711], "x == 4711"),
    ("4711", "x in [4711, 4712]"),
    (["4711"], "x contains 4711"),
    ([True], "x == [1]"),
    ("eur", "x == 'EUR'"),
    (" EUR", "x == 'EUR'"),
    ("ＥＵＲ", "x == 'EUR'"),
    *((f"E{unseen}UR", "x == 'EUR'") for unseen in "\u200b\u034f\u180b\ufe0f\U000e0100\u115f\u3164\u2800\x00\x7f"),
    ("https://evil\u3002com/", "x contains '//evil.com'"),
    ("٤٧١١", "x == '4711'"),
    ("straße", "x in ['STRASSE']"),
    ("eur", "x in ['EUR', 'USD']"),
    ("drop table", "x contains 'DROP'"),
    ("drop table", "x like 'DROP*'"),
    ({"Production": True}, "x contains 'production'"),
    ([["EUR"]], "x == [['eur']]"),
    ("x", "x > 5"),
    *((float("nan"), f"x {how} 5") for how in ("<=", ">", "==")),
]


def test_ambiguous_values_are_neither_equal_nor_different(subtests: pytest.Subtests) -> None:
    """R28: a rule that lets pass lets nothing pass by it, and one that asks or refuses does so, also behind `not`."""
    for value, condition in TAKEN_FOR_THE_SAME:
        for negated in [False, True]:
            with subtests.test(value=value, negated=negated), pytest.raises(CannotTell):
                holds(check(f"not ({condition})" if negated else condition), {"x": value})


def test_argument_too_long_to_examine_is_undecidable() -> None:
    """R29: over 100,000 characters."""
    with pytest.raises(CannotTell, match="too long"):
        holds(check("query contains 'x'"), {"query": "a" * 100_001})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "amount >",
        "amount = 5",
        "__import__('os').system('true')",
        "(lambda: 1)()",
        "amount.__class__ == 1 if true else false",
        "[x for x in rows]",
        "[amount, open('f')] == 1",
        "amount * 9 ** 9 > 1",
        "amount << 5",
        "1 < amount < 9",
        "f'{amount}' == 'x'",
        "amount > 1; amount",
        "rows[0:2] == 1",
        "'x'.upper == 1",
        "a" * 501,
        "not " * 100 + "true",
    ],
)
def test_invalid_condition_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        check(text)
    assert len(str(wrong.value)) > 20


def test_dunder_field_is_an_ordinary_field() -> None:
    """No attribute of Python is reached."""
    with pytest.raises(CannotTell):
        holds(check("amount.__class__ == 1"), CALL)


@given(some.text(max_size=60))
def test_any_text_parses_or_raises_invalid_input(text: str) -> None:
    with contextlib.suppress(InvalidInput, CannotTell):
        holds(check(text), CALL)


def test_hostile_pattern_terminates() -> None:
    """The limit is 500 characters and one look over the text for each piece; with backtracking it takes years."""
    condition = check('query like "' + "*a" * 240 + '*b"')
    assert holds(condition, {"query": "a" * 100_000}) is False


def test_tool_names_match_by_pattern() -> None:
    assert matches("deploy_prod", "deploy*")
    assert matches("a[b]", "a[b]")
    assert not matches("refund", "deploy*")
    assert matches("Deploy_prod", "deploy*")
    assert not matches("Deploy_prod", "deploy*", exactly=True)
