"""The form that changes a call: values come back as they were, and errors are under their inputs."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.schemas import AskBody
from bot.forms.arguments import NoInput
from bot.slack.views import edit_modal
from bot.slack.views.edit_modal import WrongFields
from countersign.domain import decision_attempts
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import Call, canonical, is_canonical
from countersign.domain.errors import InvalidInput
from countersign.domain.requests import Kind, Question, Verb
from localslack.config import Config
from localslack.inputs import filled, refusals, state_of
from localslack.payload_checks import check_view
from localslack.platform import Platform
from tests.sample_requests import GENERAL, NOW, attempt, call, request

Json = Any
SLACK = Platform(Config()).workspace


def a_call(
    arguments: dict[str, Json], properties: dict[str, Json] | None = None, hidden: tuple[str, ...] = (), **schema: Json
) -> Question:
    """Return a call of a tool with this schema; without `required` all properties are."""
    if properties is not None:
        schema = {"type": "object", "properties": properties, "required": list(properties), **schema}
    return replace(call(), call=Call("tool", canonical(arguments), json.dumps(schema), hidden))


def shown(question: Question) -> Json:
    """Return the view as Slack keeps it, with the values of its inputs."""
    view = edit_modal.edit(request(asked=question), GENERAL)
    check_view(view, ("modal",))
    return {**view, "state": {"values": state_of(view["blocks"])}}


def entered(question: Question, **values: Json) -> Json:
    """Fill the form with these values, as Slack's own client lets people do."""
    view = shown(question)
    for name, value in values.items():
        block = block_of(view, name)
        view["state"]["values"][block["block_id"]] = {"value": filled(block["element"], value, SLACK)}
    return view


def block_of(view: Json, label: str) -> Json:
    return next(b for b in view["blocks"] if b["type"] == "input" and label in (named(b), b["label"]["text"]))


def named(block: Json) -> str:
    """Return the argument that the label of the input names."""
    label = str(block["label"]["text"])
    is_argument = block["block_id"].startswith("field_") and label != "All arguments"
    return label.lower().replace(" ", "_") if is_argument else label


def labels_of(question: Question) -> list[str]:
    """Return the options of the argument `it`."""
    return [option["text"]["text"] for option in block_of(shown(question), "it")["element"]["options"]]


def sent(question: Question, **values: Json) -> dict[str, Json]:
    """Return the arguments that the form gives."""
    arguments = edit_modal.read(entered(question, **values), question).arguments
    assert is_canonical(arguments)
    result: dict[str, Json] = json.loads(arguments)
    return result


def wrong(question: Question, **values: Json) -> dict[str, str]:
    """Return the sentences under the inputs, by argument."""
    view = entered(question, **values)
    with pytest.raises(WrongFields) as error:
        edit_modal.read(view, question)
    labels = {b["block_id"]: named(b) for b in view["blocks"] if b["type"] == "input"}
    return {labels[block]: sentence for block, sentence in error.value.fields.items()}


def kinds(question: Question) -> dict[str, str]:
    return {named(b): b["element"]["type"] for b in shown(question)["blocks"] if b["type"] == "input"}


# --- what nobody changed --------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", " a ", "a\r\nb", "\n", "null", "⟦hidden: 3 characters⟧", "a\u202eb"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
SCHEMAS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^a"},
        {"type": "integer", "minimum": 3},
        {"type": "number", "maximum": 3.5},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        {"enum": ["a", "b", 1, True, None]},
        {"enum": [str(n) for n in range(150)]},
        {"const": "a"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "number"}, "minItems": 2},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
        {"type": "array", "items": {"type": ["string", "null"]}},
        {"type": "array", "prefixItems": [{"type": "string"}, {"$ref": "#/$defs/place"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"$ref": "#/$defs/place"}, {"$ref": "#/$defs/row"}, {"type": "null"}]},
        {"type": "object", "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/place"}}}},
        {"$ref": "#/$defs/row"},
        {"$ref": "https://example.com/elsewhere"},
        {},
        True,
    ]
)
PLACE = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "token": {"type": "string"},
        "c": {"enum": ["x", "y"]},
        "d": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["a", "c"],
}
ROW = {"type": "object", "properties": {"a": {"type": "string"}, "next": {"$ref": "#/$defs/row"}}}
TREE = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "rows": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
}
DEFINED: dict[str, Json] = {"$defs": {"row": ROW, "place": PLACE, "tree": TREE}}
PLACES = st.fixed_dictionaries(
    {"a": TEXTS, "c": st.sampled_from(["x", "y", "z"])},
    optional={"b": st.integers(), "token": TEXTS, "d": st.lists(TEXTS, max_size=3), "e": LEAVES},
)
TREES = st.recursive(
    st.fixed_dictionaries({"a": TEXTS}),
    lambda inner: st.fixed_dictionaries({"a": TEXTS, "rows": st.lists(inner, max_size=3)}),
    max_leaves=12,
)
NESTED = st.one_of(
    st.tuples(st.just({"$ref": "#/$defs/place"}), PLACES),
    st.tuples(st.just({"type": "array", "items": {"$ref": "#/$defs/place"}}), st.lists(PLACES, max_size=4)),
    st.tuples(st.just({"$ref": "#/$defs/tree"}), TREES),
    st.tuples(st.just({"type": "object"}), st.dictionaries(TEXTS, LEAVES, max_size=4)),
)
"""Schemas of objects within objects and lists, with values that fit them."""
NAMES = st.text(min_size=1, max_size=10) | st.sampled_from(["a.b", "a", "password", "x" * 300, "why", "value", "read"])


MADE = (st.tuples(SCHEMAS, VALUES) | NESTED).flatmap(
    lambda made: st.tuples(st.just(made[0]), st.just(made[1]), st.booleans(), st.booleans())
)


@given(st.dictionaries(NAMES, MADE, max_size=6), st.data())
def test_unchanged_edit_form_returns_the_same_call(made: dict[str, Json], data: st.DataObject) -> None:
    """R13: for any schema and any arguments; sending it changes nothing."""
    arguments = {name: value for name, (_, value, there, _) in made.items() if there}
    properties = {name: schema for name, (schema, *_) in made.items()}
    required = [name for name, (_, _, there, needed) in made.items() if there and needed]  # Slack asks for others
    hidden = tuple(data.draw(st.lists(st.sampled_from(sorted(made)), max_size=2))) if made else ()
    asked = a_call(arguments, properties, hidden, required=required, **DEFINED)
    try:
        view = shown(asked)
    except InvalidInput as refused:
        assert "Nothing was decided" in str(refused)
        return
    still_open = {b["block_id"] for b in view["blocks"] if b["type"] == "input"}
    assert refusals(view["blocks"], view["state"]["values"], SLACK).keys() <= still_open & {"read"}
    changed = edit_modal.read(view, asked).arguments
    assert asked.call is not None
    assert changed == asked.call.arguments
    of = request(asked=asked)
    step = decision_attempts.decide(of, attempt(of, verb=Verb.EDIT, arguments=changed), NOW)
    assert step.refusal is Refusal.NOTHING_CHANGED


# --- every kind of input, right and wrong ----------------------------------------------------------------------------

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "before", "kind", "typed", "after"),
    [
        (TEXT, "red", "plain_text_input", "blue", "blue"),
        (TEXT, "red", "plain_text_input", " 1 ", " 1 "),
        ({"type": "integer"}, 20, "number_input", "10", 10),
        ({"type": "number"}, 20, "number_input", "10.5", 10.5),
        ({"type": "number"}, 20.0, "number_input", "20", 20.0),
        ({"type": "number"}, 1e-30, "plain_text_input", "2e-30", 2e-30),
        ({"type": "integer"}, 10**40, "plain_text_input", str(10**41), 10**41),
        ({"type": "boolean"}, True, "static_select", "No", False),
        ({"enum": ["eu", "us"]}, "eu", "static_select", "us", "us"),
        ({"enum": [1, True]}, True, "static_select", "1", 1),
        ({"enum": [1, 2.5, None]}, 1, "static_select", "2.5", 2.5),
        ({"enum": [str(n) for n in range(150)]}, "1", "plain_text_input", "149", "149"),
        ({"enum": [*range(150), "149"]}, 1, "plain_text_input", "149", 149),
        ({"enum": [*range(149), "149"]}, 1, "plain_text_input", "149", "149"),
        ({"type": "string", "enum": [str(n) for n in range(150)]}, "1", "plain_text_input", "149", "149"),
        ({"type": "array", "items": TEXT}, ["a", "b"], "plain_text_input", "a\n\n c \n", ["a", "c"]),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], "plain_text_input", "1\n3", [1, 3]),
        ({"type": "array"}, [1, 2.5], "plain_text_input", "1\n3.5", [1, 3.5]),
        ({"type": "array", "items": {"type": ["string", "null"]}}, ["a"], "plain_text_input", "null", ["null"]),
        ({"type": "object"}, {"a": 1, "b": "x"}, "plain_text_input", "a: 2\nb: 3\nc: 4", {"a": 2, "b": "3", "c": "4"}),
        (
            {"type": "object"},
            {"a": True, "b": None},
            "plain_text_input",
            "a: no\nb: (no value)",
            {"a": False, "b": None},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"a": 1},
            "plain_text_input",
            "b:7",
            {"b": 7},
        ),
        ({"type": ["string", "null"]}, "red", "plain_text_input", "", None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "number_input", "7", 7),
        ({"anyOf": [TEXT, {"type": "integer"}]}, "red", "plain_text_input", "7", "7"),
        ({"anyOf": [TEXT, {"type": "integer"}]}, 5, "plain_text_input", "7", 7),
        ({"anyOf": [TEXT, {"type": "integer"}]}, 5, "plain_text_input", "red", "red"),
        ({}, 5, "plain_text_input", "7.5", 7.5),
        ({"$ref": "#/$defs/colour"}, "red", "static_select", "blue", "blue"),
        ({"allOf": [{"$ref": "#/$defs/colour"}]}, "red", "static_select", "blue", "blue"),
        ({"type": "integer"}, "twenty", "plain_text_input", "20", 20),
    ],
)
def test_every_argument_type_has_its_input(schema: Json, before: Json, kind: str, typed: str, after: Json) -> None:
    defs: dict[str, Json] = {"$defs": {"colour": {"enum": ["red", "blue"]}}}
    asked = a_call({"it": before}, {"it": schema}, **defs)
    assert kinds(asked)["it"] == kind
    assert canonical(sent(asked, it=typed)) == canonical({"it": after})


@pytest.mark.parametrize(
    ("schema", "before", "typed", "sentence"),
    [
        ({"type": "integer", "minimum": 1}, 20, "0", "This must be at least 1."),
        ({"type": "integer", "maximum": 30}, 20, "31", "This must be at most 30."),
        ({"type": "number", "exclusiveMinimum": 0}, 20, "0", "This must be more than 0."),
        ({"type": "integer", "multipleOf": 5}, 20, "21", "This must be a multiple of 5."),
        ({"type": "integer"}, 10**20, "ten", "“ten” isn't a whole number."),
        ({"type": "integer"}, 10**20, "1_0", "“1_0” isn't a whole number."),
        ({"type": "number"}, 1e-30, "1,5", "“1,5” isn't a number. Write it like 1234.5."),
        ({"type": "number"}, 1e-30, "1e999", "too many digits"),
        ({"type": "number"}, 1.5, "0.12345678901234567891", "too many digits"),
        ({"type": "string", "minLength": 3}, "abc", "a", "must have at least 3 characters; it has 1"),
        ({"type": "string", "maxLength": 3}, "abc", "abcd", "must have at most 3 characters; it has 4"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc", "A1", "must match the pattern ^[a-z]+$"),
        (
            {"type": "string", "pattern": r"^(a|a)+$"},
            "aa",
            "a" * 100 + "!",
            "took too long to check against",
        ),
        (TEXT, "red", "  ", "Fill this in"),
        ({"type": "string", "enum": [str(n) for n in range(150)]}, "1", "x", "one of: 0, 1, 2, 3, 4, 5, 6, 7 and 142"),
        ({"type": "array", "items": {"type": "integer"}}, [1], "1\nb", "“b” isn't a whole number."),
        ({"type": "array", "items": TEXT, "maxItems": 2}, ["a"], "a\nb\nc", "must have at most 2 entries"),
        ({"type": "array", "items": TEXT, "uniqueItems": True}, ["a"], "a\na", "the same entry twice"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a"], "a\nc", "Entry 2 must be one of: a, b."),
        ({"type": "object"}, {}, "a", "Write each line as “name: value”."),
        ({"type": "object"}, {}, "a: 1\na: 2", "“a” appears twice."),
        ({"type": "object"}, {"a": 1}, "a: x", "“x” isn't a number."),
        ({"type": "object"}, {"a": True}, "a: perhaps", "“perhaps” is neither Yes nor No."),
        ({"type": "object"}, {}, "a: \ud800", "the call can't be made"),
        ({"type": "object", "additionalProperties": {"minimum": 3}}, {"a": 4}, "a: 2", "“a” must be at least 3."),
        ({"type": "object", "required": ["a"]}, {}, "b: 1", "“a” is missing."),
        ({"anyOf": [{"type": "boolean"}, {"type": "integer"}]}, 5, "x", "“x” isn't a whole number."),
    ],
)
def test_invalid_value_is_reported_under_its_input(schema: Json, before: Json, typed: str, sentence: str) -> None:
    """Only that input has an error, and the sentence names the rule that it breaks."""
    asked = a_call({"it": before, "other": "x"}, {"it": schema, "other": TEXT})
    sentences = wrong(asked, it=typed, other="y")
    assert list(sentences) == ["it"]
    assert sentence in sentences["it"]


@pytest.mark.parametrize(
    "schema", [TEXT, {"type": "integer"}, {"enum": ["a", "b"]}, {"type": "array", "items": TEXT}, {"type": "object"}]
)
def test_required_field_is_not_accepted_empty(schema: Json) -> None:
    """R13: Slack asks for it, and what Slack lets pass is refused under its input."""
    asked = a_call({"other": "x"}, {"it": schema, "other": TEXT})
    view = shown(asked)
    block = block_of(view, "it")
    assert not block["optional"] and block["block_id"] in refusals(view["blocks"], view["state"]["values"], SLACK)
    with pytest.raises(WrongFields, match="Fill this in; it is required"):
        edit_modal.read(view, asked)


def test_all_errors_of_a_form_are_reported_together() -> None:
    asked = a_call({"a": "x", "b": "y"}, {key: {"type": "string", "maxLength": 1} for key in "ab"})
    assert set(wrong(asked, a="long", b="long")) == {"a", "b"}


@pytest.mark.parametrize("reference", ["#/properties/it", "#/nowhere", "elsewhere.json", "#/properties/it/allOf/0"])
def test_unresolvable_schema_is_edited_as_lines(reference: str) -> None:
    """A `$ref` in a circle or to nowhere."""
    asked = a_call({"it": {"a": 1}}, {"it": {"$ref": reference}})
    assert sent(asked, it="it: 2\na: 3")["it"] == {"it": "2", "a": 3}


# --- what may be left out --------------------------------------------------------------------------------------------


def test_optional_argument_says_what_an_empty_field_means() -> None:
    """An empty field leaves the argument out; the hint names the default."""
    asked = a_call({"a": "x"}, {"a": TEXT, "b": {**TEXT, "default": "blue", "description": "The colour"}}, required=[])
    view = shown(asked)
    assert block_of(view, "b")["hint"]["text"] == 'The colour. Leave it empty to omit it; the tool then uses "blue".'
    assert block_of(view, "b")["optional"]
    assert "hint" not in block_of(shown(a_call({"a": "x"}, {"a": {**TEXT, "description": "a"}})), "a"), "AutoGen's"
    assert sent(asked, a="y") == {"a": "y"}
    assert sent(asked, a="", b="red") == {"b": "red"}


def test_labels_are_readable_and_mark_optional_arguments() -> None:
    """The schema's title, else the argument's name; names that would read the same stay as they are."""
    properties = {
        "order_number": {"type": "integer"},
        "cents": {"type": "integer", "title": "Amount in cents"},
        "region": {"enum": ["eu", "us"]},
        "why": {**TEXT, "default": ""},
        "to": {**TEXT, "title": "Address"},
        "copy": {**TEXT, "title": "Address"},
    }
    view = shown(a_call({}, properties, required=["order_number", "cents", "region", "to", "copy"]))
    inputs = {b["label"]["text"]: b["optional"] for b in view["blocks"] if b.get("block_id", "").startswith("field_")}
    assert inputs == {
        "Order number": False,
        "Amount in cents": False,
        "Region": False,
        "Why": True,
        "to": False,
        "copy": False,
    }


def test_uneditable_arguments_are_named_by_their_labels() -> None:
    """A name stands only where two labels would read the same, in the form or below it."""
    properties = {
        "order_number": TEXT,
        "pay_pin": {**TEXT, "title": "Code at the till"},
        "api_key": TEXT,
        "to": {**TEXT, "title": "Address"},
        "reply_to": {**TEXT, "title": "Address"},
    }
    arguments = {"order_number": "17", "pay_pin": HIDDEN, "api_key": HIDDEN, "to": "x" * 3001, "reply_to": "a"}
    view = shown(a_call(arguments, properties, ("pay_pin",)))
    assert "as it is: Address" not in json.dumps(view)
    assert "Code at the till (hidden), Api key (hidden), to (too long for a form)" in json.dumps(view)
    assert block_of(view, "reply_to") and block_of(view, "order_number")


def test_empty_text_may_stay_empty() -> None:
    assert block_of(shown(a_call({"a": ""}, {"a": TEXT})), "a")["optional"]
    assert sent(a_call({"a": ""}, {"a": TEXT})) == {"a": ""}


def test_optional_boolean_offers_yes_no_and_left_out() -> None:
    asked = a_call({}, {"it": {"type": "boolean"}}, required=[])
    assert labels_of(asked) == ["Yes", "No", "(left out)"]
    assert (sent(asked), sent(asked, it="No")) == ({}, {"it": False})


def test_value_outside_the_enum_can_be_kept() -> None:
    """A field that nobody changed keeps the value that the agent chose."""
    asked = a_call({"it": "mars", "n": 1}, {"it": {"enum": ["eu", "us"]}, "n": {"type": "integer"}})
    assert sent(asked, n="2") == {"it": "mars", "n": 2}
    assert sent(asked, it="us")["it"] == "us"


def test_options_that_look_alike_are_numbered() -> None:
    asked = a_call({"it": "eu"}, {"it": {"enum": ["eu", "EU"]}})
    assert labels_of(asked) == ["1. eu", "2. EU"]
    assert sent(asked, it="2. EU") == {"it": "EU"}


def test_options_too_long_for_a_menu_are_text_inputs() -> None:
    """R13: what runs is the text in the form, not one with the same first 75 characters; also if only what is held
    would be cut.
    """
    test, live = "/srv/" + "x" * 80 + "/test", "/srv/" + "x" * 80 + "/live"
    asked = a_call({"it": test}, {"it": {**TEXT, "enum": [test, live]}})
    assert block_of(shown(asked), "it")["element"]["initial_value"] == test
    assert sent(asked, it=live) == {"it": live}
    with pytest.raises(WrongFields, match="must be one of"):
        sent(asked, it=live[:-1])
    held = a_call({"it": live}, {"it": {**TEXT, "enum": ["eu", "us"]}})
    assert block_of(shown(held), "it")["element"]["initial_value"] == live
    assert sent(held, it="us") == {"it": "us"}
    left_out = a_call({}, {"it": {**TEXT, "enum": [test, live]}}, required=())
    assert "Leave it empty to omit it." in block_of(shown(left_out), "it")["hint"]["text"]


# --- what is kept ----------------------------------------------------------------------------------------------------

HIDDEN = "hunter2hunter2"


def test_form_hides_secrets_and_keeps_their_values() -> None:
    """R15: by their names, by what they look like, and by what the tool says is secret."""
    arguments = {
        "body": "hello",
        "password": HIDDEN,
        "pin": HIDDEN,
        "command": f"curl -u me:{HIDDEN} https://me:{HIDDEN}@example.com",
        "rows": [{"token": HIDDEN}],
        "headers": {"Accept": "text/html", "token": HIDDEN},
        "extra": HIDDEN,
    }
    properties = {name: TEXT for name in ("body", "password", "pin", "command")}
    properties |= {"rows": {"type": "array"}, "headers": {"type": "object"}, "api_key": TEXT}
    asked = a_call(arguments, properties, ("pin", "extra"), required=["body"])
    view = shown(asked)
    assert HIDDEN not in json.dumps(view)
    assert set(kinds(asked)) == {"body", "headers", "Why you changed it"}
    assert "Password (hidden), Pin (hidden), Command (hidden), Rows (hidden), Extra (not described" in json.dumps(view)
    assert sent(asked, body="bye") == {**arguments, "body": "bye"}
    marked = block_of(view, "headers")["element"]["initial_value"]
    changed = sent(asked, headers=marked.replace("text/html", "text/plain"))
    assert changed["headers"] == {"Accept": "text/plain", "token": HIDDEN}


@pytest.mark.parametrize("change", [("token", "other"), ("14", "15"), ("n:", "new: ⟦hidden: 3 characters⟧\nn:")])
def test_secret_cannot_move_to_another_place(change: tuple[str, str]) -> None:
    """R15: the mark of a secret is put back where it stood, or not taken."""
    asked = a_call({"headers": {"token": HIDDEN, "n": 1}}, {"headers": {"type": "object"}})
    marked = block_of(shown(asked), "headers")["element"]["initial_value"]
    assert "can only stay where it was" in wrong(asked, headers=marked.replace(*change))["headers"]


def test_secret_can_be_removed_or_replaced() -> None:
    asked = a_call({"headers": {"token": HIDDEN, "n": 1}}, {"headers": {"type": "object"}})
    assert sent(asked, headers="n: 1") == {"headers": {"n": 1}}
    assert sent(asked, headers="n: 1\ntoken: another") == {"headers": {"n": 1, "token": "another"}}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * 3001, "too long for a form"),
        ("😀" * 1501, "too long for a form"),
        ("x" * 1_000_000, "too long for a form"),
        ("a\u202eb", "with characters that a form would not show"),
        ("a" + " " * 60 + "b", "with characters that a form would not show"),
    ],
)
def test_arguments_too_large_for_forms_are_named_and_kept(value: str, why: str) -> None:
    """R13, R14: also a call of a million characters opens a form for what can be changed."""
    arguments = {"it": value[:999_000], "n": 1, "unknown": 2}
    asked = a_call(arguments, {"it": TEXT, "n": {"type": "integer"}})
    view = shown(asked)
    assert f"It ({why}" in json.dumps(view, ensure_ascii=False)
    assert "Unknown (not described by the tool)" in json.dumps(view)
    if "read" in {b.get("block_id") for b in view["blocks"]}:
        assert set(kinds(asked)) == {"n", "Why you changed it", "The card has no room for all of it"}
    assert sent(asked, n="2") == {**arguments, "n": 2}


@pytest.mark.parametrize(
    ("arguments", "schema", "sentence"),
    [
        ({"n": 1}, {}, "its tool does not say what it takes"),
        ({"n": "x" * 3001}, {"properties": {"n": TEXT}}, "holds nothing that could be changed in a form (N (too long"),
        ({}, {"type": "object", "properties": {}}, "holds nothing that could be changed"),
        ({}, {"properties": {f"n{n}": TEXT for n in range(91)}}, "has 91 arguments"),
        (
            {f"n{n}": "ä" * 2900 for n in range(20)},
            {"properties": {f"n{n}": TEXT for n in range(20)}},
            "is too large for a form",
        ),
        ({"rows": [{"token": HIDDEN}]}, {"anyOf": [{}]}, "(All arguments (hidden))"),
    ],
)
def test_call_that_cannot_be_edited_says_why(arguments: Json, schema: Json, sentence: str) -> None:
    """R7: and says what can be done instead."""
    with pytest.raises(InvalidInput, match="Nothing was decided") as error:
        shown(a_call(arguments, **schema))
    assert sentence in str(error.value)
    assert "or use Request changes" in str(error.value)


def test_form_has_room_for_ninety_arguments() -> None:
    asked = a_call({f"n{n}": "x" for n in range(90)}, {f"n{n}": TEXT for n in range(90)})
    assert sent(asked, n89="y")["n89"] == "y"


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"required": ["n"]}, {"additionalProperties": {"type": "integer"}}]},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"properties": {"": {}}, "required": [], "additionalProperties": {"type": "integer"}},
    ],
)
def test_undescribed_arguments_are_edited_as_lines(schema: Json) -> None:
    """One input for all arguments, with an error of its own."""
    asked = a_call({"n": 1}, **schema)
    assert sent(asked, **{"All arguments": "n: 2"}) == {"n": 2}
    told = wrong(asked, **{"All arguments": "n: x"})["All arguments"]
    assert "isn't a" in told and "number" in told


def test_alternative_schemas_show_the_fields_of_the_current_value() -> None:
    """`anyOf`: the alternative that the call fits decides which fields there are."""
    kinds = [{"properties": {name: {"type": "integer"}}, "required": [name]} for name in ("order", "n")]
    asked = a_call({"n": 1}, anyOf=kinds)
    assert sent(asked, n="2") == {"n": 2}
    assert "Fill this in" in wrong(asked, n="")["n"]


def test_argument_names_never_collide() -> None:
    """Dots, our own names, and names longer than Slack's ids."""
    names = ["a", "a.b", "why", "value", "read", "field_0", "x" * 300 + "1", "x" * 300 + "2"]
    asked = a_call({name: "old" for name in names}, {name: TEXT for name in names})
    view = shown(asked)
    for at in range(len(names)):
        view["state"]["values"][f"field_{at}"]["value"]["value"] = f"new {at}"
    changed = json.loads(edit_modal.read(view, asked)[0])
    assert changed == {name: f"new {at}" for at, name in enumerate(names)}


def test_form_from_another_version_is_refused() -> None:
    """R13: its third input may be another argument there."""
    asked = a_call({"a": "x"}, {"a": TEXT})
    other = a_call({"a": "x"}, {"a": {"type": "string", "description": "said otherwise", "enum": ["x", "y"]}})
    for kind, label in ((Kind.TOOL, "Edit"), (Kind.FORM, "Fill in")):
        with pytest.raises(WrongFields, match=f"was updated while this form was open.* and click {label} again"):
            edit_modal.read(entered(other, a="y"), replace(asked, kind=kind))


def test_form_for_a_million_characters_is_small() -> None:
    rows = [{"name": f"row {n}", "amount": n} for n in range(28_000)]
    asked = a_call({"rows": rows, "n": 1}, {"rows": {"type": "array"}, "n": {"type": "integer"}})
    assert asked.call is not None and len(asked.call.arguments) > 900_000
    view = shown(asked)
    assert len(json.dumps(view)) < 5_000
    assert NoInput.LONG in json.dumps(view)


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100}, "A whole number. 1–100."),
        ({"type": "number", "minimum": -5, "maximum": 5.5}, "-5 to 5.5."),
        ({"type": "number", "exclusiveMinimum": 0}, "More than 0."),
        ({"type": "string", "minLength": 2, "maxLength": 5}, "2–5 characters."),
        ({"type": "string", "minLength": 1, "maxLength": 10**9}, ""),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 3}, "One per line. At most 3 entries."),
        ({"type": "string", "maxLength": "many"}, ""),
    ],
)
def test_input_hints_state_the_limits(schema: Json, hint: str) -> None:
    call = a_call(
        {"field": [] if schema["type"] == "array" else 5 if schema["type"] != "string" else "abc"}, {"field": schema}
    )
    assert block_of(shown(call), "Field").get("hint", {"text": ""})["text"] == hint


def test_fields_keep_the_order_of_the_schema() -> None:
    """A form, and a call of a program."""
    names = ["to", "subject", "body", "attach"]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    call = {"tool": "mail", "arguments": dict.fromkeys(sorted(names), "x"), "schema": schema}
    form = AskBody.model_validate({"title": "Mail?", "form": schema}).question()
    asked = AskBody.model_validate({"title": "Mail?", "call": call}).question()
    for question in (form, asked):
        inputs = [block["label"]["text"] for block in shown(question)["blocks"] if block["type"] == "input"]
        assert inputs[:4] == ["To", "Subject", "Body", "Attach"]
    assert asked.content.splitlines() == ["To: x", "Subject: x", "Body: x", "Attach: x"]
    assert asked.title == "Mail: to x, subject x, body x, attach x"
