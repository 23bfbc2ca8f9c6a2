"""Tools' schemas: what the standard says, and no more work than one call is worth."""

from typing import Any

import pytest

from countersign.json_schema import why_not

Json = Any
ENDLESS = "^(a|a)+$"
SLOW = "a" * 100 + "!"
OLD = {"$schema": "http://json-schema.org/draft-07/schema#"}
TOO_MUCH = "This is too large or too deeply nested to check."
DOUBLING = {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(30)} | {"30": {"type": "string"}}
DEEP: Json = [[]]
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"properties": {"a": {**OLD, "pattern": "^a+$"}}}, {"a": "a\n"}, "a must match the pattern ^a+$."),
        ({**OLD, "properties": {"b": {"pattern": "^a$"}, "a": {"$ref": "#"}}}, {"a": {"b": "a\n"}}, "a.b must match"),
        ({"propertyNames": {"pattern": ENDLESS}}, {SLOW: 1}, f"took too long to check against the pattern {ENDLESS}"),
        ({"patternProperties": {ENDLESS: False}, "unevaluatedProperties": False}, {SLOW: 1}, None),
        ({"patternProperties": {ENDLESS: {}}, "additionalProperties": False}, {SLOW: 1}, None),
        ({"items": {"anyOf": [{"pattern": ENDLESS}, {}]}}, [SLOW] * 1000, None),
        ({"$ref": "#/$defs/0", "$defs": DOUBLING}, 1, TOO_MUCH),
        ({"$ref": "#"}, 1, TOO_MUCH),
        ({"items": {"$ref": "#"}}, DEEP, TOO_MUCH),
        ({"items": {"type": "integer"}}, [1] * 300_000, TOO_MUCH),
        ({"anyOf": [{"type": "integer"}] * 1000}, "x" * 1_000_000, TOO_MUCH),
        ({"uniqueItems": True}, [{"a": n} for n in range(50_000)], None),
        ({"$ref": "http://127.0.0.1:9/x", "type": "string"}, 1, "This must be text."),
        ({"$ref": "file:///etc/passwd", "type": "string"}, 1, "This must be text."),
    ],
)
def test_costly_or_external_schema_cannot_stall_its_check(schema: Json, value: Json, sentence: str | None) -> None:
    """R29: at the gate what costs too much is refused; in a form it is left to the gate."""
    told = why_not(value, schema, schema, whole=True)
    assert told is None if sentence is None else sentence in (told or "")
    if sentence is TOO_MUCH:
        assert why_not(value, schema, schema) is None


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"multipleOf": 0.01}, 19.99, None),
        ({"multipleOf": 0.01}, 19.995, "This must be a multiple of 0.01."),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "b is missing."),
        ({"contains": {"type": "string"}}, [1], "This isn't what the tool accepts (contains)."),
        (
            {"oneOf": [{"minimum": 1}, {"maximum": 3}]},
            2,
            "This must match exactly one of the types that the tool accepts.",
        ),
        ({"anyOf": [{"properties": {"a": {"type": "integer"}}}]}, {"a": "x"}, "a must be a whole number."),
        ({"minimum": 0, "exclusiveMinimum": True}, 1, None),
        ({"type": "odd", "minLength": "x", "$id": 5, "items": [], "required": 7, "maxLength": 1}, "ab", "at most 1"),
        ({"format": "email"}, "nobody", None),
        ([], 1, None),
    ],
)
def test_schema_follows_the_standard_and_invalid_ones_are_ignored(
    schema: Json, value: Json, sentence: str | None
) -> None:
    """R28: the value itself is not told."""
    told = why_not(value, schema, schema, whole=True)
    assert told is None if sentence is None else sentence in (told or "")
