"""The form that changes a call: objects and lists of objects."""

import json

import pytest

from bot.slack.views import edit_modal
from bot.slack.views.edit_modal import WrongFields
from countersign.domain.errors import InvalidInput
from countersign.domain.requests import Question
from tests.slack.test_edit_form import (
    DEFINED,
    HIDDEN,
    TEXT,
    Json,
    a_call,
    block_of,
    entered,
    kinds,
    sent,
    shown,
    wrong,
)

ADDRESS = {"type": "object", "properties": {"city": TEXT, "zip_code": TEXT}, "required": ["city"]}
LINE = {
    "type": "object",
    "properties": {"item": TEXT, "count": {"type": "integer", "minimum": 1}, "gift": {"type": "boolean"}},
    "required": ["item"],
}
LINES = {"type": "array", "items": LINE, "maxItems": 3}
ORDER: dict[str, Json] = {
    "address": {"city": "Köln"},
    "lines": [{"item": "cup", "count": 2}, {"item": "tea", "count": 1, "gift": True}],
}


def order(**changes: Json) -> Question:
    return a_call({**ORDER, **changes}, {"address": ADDRESS, "lines": LINES})


def test_nested_objects_have_one_labelled_input_per_field() -> None:
    """No JSON: a part is named by the labels that lead to it, and a list has room for one entry more."""
    view = shown(order())
    labels = [b["label"]["text"] for b in view["blocks"] if b.get("block_id", "").startswith("field_")]
    assert labels == [
        "Address: City",
        "Address: Zip code",
        *(f"Lines {entry}: {field}" for entry in ("1", "2", "3 (new)") for field in ("Item", "Count", "Gift")),
    ]
    assert "{" not in json.dumps([block["element"].get("initial_value", "") for block in map(input_in, labels)])


def input_in(label: str) -> Json:
    return block_of(shown(order()), label)


@pytest.mark.parametrize(
    ("typed", "after"),
    [
        ({"Address: City": "Bonn"}, {"address": {"city": "Bonn"}}),
        ({"Address: Zip code": "53111"}, {"address": {"city": "Köln", "zip_code": "53111"}}),
        ({"Lines 1: Count": "3"}, {"lines": [{"item": "cup", "count": 3}, ORDER["lines"][1]]}),
        ({"Lines 2: Gift": "(left out)"}, {"lines": [ORDER["lines"][0], {"item": "tea", "count": 1}]}),
        ({"Lines 1: Item": "", "Lines 1: Count": ""}, {"lines": ORDER["lines"][1:]}),
        ({"Lines 3 (new): Item": "pot"}, {"lines": [*ORDER["lines"], {"item": "pot"}]}),
    ],
)
def test_edited_field_of_an_object_leaves_the_rest(typed: dict[str, str], after: Json) -> None:
    """R13: an entry whose fields are all emptied is taken out, and a new one is put at the end."""
    assert sent(order(), **typed) == {**ORDER, **after}


@pytest.mark.parametrize(
    ("typed", "label", "sentence"),
    [
        ({"Address: City": ""}, "Address: City", "Fill this in; it is required."),
        ({"Lines 1: Item": ""}, "Lines 1: Item", "Fill this in; it is required."),
        ({"Lines 3 (new): Count": "2"}, "Lines 3 (new): Item", "Fill this in; it is required."),
        ({"Lines 1: Item": "", "Lines 1: Count": "", "Lines 2: Item": ""}, "Lines 2: Item", "Fill this in"),
    ],
)
def test_invalid_object_field_is_reported_under_its_input(typed: dict[str, str], label: str, sentence: str) -> None:
    view = entered(order(), **typed)
    with pytest.raises(WrongFields) as error:
        edit_modal.read(view, order())
    [(block, told)] = error.value.fields.items()
    assert (block, sentence in told) == (block_of(view, label)["block_id"], True)


def test_list_error_names_the_list_by_its_label() -> None:
    unique = {"type": "array", "items": {"type": "object", "properties": {"name": TEXT}}, "uniqueItems": True}
    asked = a_call({"rows": [{"name": "a"}, {"name": "b"}]}, {"rows": unique})
    told = wrong(asked, **{"Rows 2: Name": "a"})
    assert list(told.values()) == ["“Rows” must not have the same entry twice."]


def test_optional_object_with_only_empty_fields_is_left_out() -> None:
    """Also put in anew, whole or not at all."""
    asked = a_call({"address": {"city": "Köln"}, "n": "1"}, {"address": ADDRESS, "n": TEXT}, required=["n"])
    assert "Leave all of it empty to omit it." in block_of(shown(asked), "Address: City")["hint"]["text"]
    assert sent(asked, **{"Address: City": ""}) == {"n": "1"}
    absent = a_call({"n": "1"}, {"address": ADDRESS, "n": TEXT}, required=["n"])
    assert sent(absent) == {"n": "1"}
    assert sent(absent, **{"Address: City": "Bonn"}) == {"n": "1", "address": {"city": "Bonn"}}
    assert "Fill this in" in next(iter(wrong(absent, **{"Address: Zip code": "53111"}).values()))
    null = a_call({"address": None}, {"address": {"anyOf": [ADDRESS, {"type": "null"}]}})
    assert sent(null) == {"address": None}
    assert sent(null, **{"Address: City": "Bonn"}) == {"address": {"city": "Bonn"}}


def test_multi_line_texts_of_a_list_are_numbered_inputs() -> None:
    asked = a_call({"it": ["a\nb", "c"]}, {"it": {"type": "array", "items": TEXT}})
    assert sent(asked, **{"It 1": "a\nd", "It 3 (new)": "e"}) == {"it": ["a\nd", "c", "e"]}
    assert sent(asked, **{"It 2": ""}) == {"it": ["a\nb"]}


@pytest.mark.parametrize("other", ["integer", "number", "boolean"])
@pytest.mark.parametrize("held", [[], ["a"], [1], [True]])
def test_list_of_mixed_types_has_an_input_per_entry(held: list[Json], other: str) -> None:
    """A line can't say of which kind it is; such a form differed from process to process."""
    for pair in ([other, "string"], ["string", other]):
        entries = {"anyOf": [{"type": kind} for kind in pair]}
        inputs = kinds(a_call({"it": held}, {"it": {"type": "array", "items": entries}}))
        assert "it" not in inputs and ("it_1" in inputs or "it_1_(new)" in inputs), inputs


def test_alternative_objects_show_the_current_one() -> None:
    """R13: another kind of payment is never guessed at."""
    card = {"type": "object", "properties": {"kind": {"const": "card"}, "number": TEXT}, "required": ["kind"]}
    bank = {"type": "object", "properties": {"kind": {"const": "bank"}, "iban": TEXT}, "required": ["kind"]}
    asked = a_call({"pay": {"kind": "bank", "iban": "DE1"}}, {"pay": {"anyOf": [card, bank]}})
    assert sent(asked, **{"Pay: Iban": "DE2"}) == {"pay": {"kind": "bank", "iban": "DE2"}}
    assert "Pay: Number" not in json.dumps(shown(asked))


def test_secret_in_object_is_kept_while_the_rest_changes() -> None:
    """R15: by its name or by what the tool says is secret; in an entry of a list it keeps the whole list."""
    login = {"type": "object", "properties": {"user": TEXT, "pin": TEXT, "password": TEXT}}
    asked = a_call({"login": {"user": "ann", "pin": HIDDEN}, "n": "1"}, {"login": login, "n": TEXT}, ("login.pin",))
    view = shown(asked)
    assert HIDDEN not in json.dumps(view) and "Login: Pin (hidden)" in json.dumps(view)
    assert "Login: Password" not in json.dumps(view)
    assert sent(asked, **{"Login: User": "ben"})["login"] == {"user": "ben", "pin": HIDDEN}
    rows = a_call({"rows": [{"user": "a", "password": HIDDEN}], "n": "1"}, {"rows": {"items": login}, "n": TEXT})
    assert "Rows (hidden)" in json.dumps(shown(rows))


def test_undeclared_fields_of_an_object_are_kept() -> None:
    """R13: named below the form, in an entry of a list too, which then can't be emptied away."""
    asked = order(address={"city": "Köln", "door": 2}, lines=[{"item": "cup", "note": "red"}])
    said = json.dumps(shown(asked))
    assert "Address: Door (not described by the tool), Lines 1: Note (not described by the tool)" in said
    assert sent(asked, **{"Address: City": "Bonn"})["address"] == {"city": "Bonn", "door": 2}
    assert "Fill this in" in next(iter(wrong(asked, **{"Lines 1: Item": ""}).values()))


def test_too_deep_or_shapeless_arguments_are_kept_and_named() -> None:
    """R7, R14: the sentence says why; the other arguments are changed as ever."""
    tree: dict[str, Json] = {"a": "end"}
    for _ in range(4):
        tree = {"a": "x", "rows": [tree]}
    rows = [{"item": f"cup {n}", "count": n + 1} for n in range(40)]
    arguments = {"tree": tree, "rows": rows, "free": {"a": {"b": 1}}, "n": "1"}
    properties = {"tree": {"$ref": "#/$defs/tree"}, "rows": {"items": LINE}, "free": {"type": "object"}, "n": TEXT}
    asked = a_call(arguments, properties, **DEFINED)
    said = json.dumps(shown(asked))
    assert "Rows (more fields than a form has room for)" in said
    assert "Free (without fields of its own)" in said
    assert "(nested too deeply for a form)" in said
    assert sent(asked, n="2", **{"Tree: Rows 1: A": "y"})["tree"]["rows"][0]["a"] == "y"
    with pytest.raises(InvalidInput, match="or use Request changes"):
        shown(a_call({"free": {"a": {"b": 1}}}, {"free": {"type": "object"}}))
