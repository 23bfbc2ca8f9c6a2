"""Whether a value is what a tool's JSON schema says, with a sentence if it is not.

The part of https://json-schema.org/draft/2020-12 that tools use; what is not known here is left to the tool, which
checks its arguments itself. The form in which people change a call and the gate before a call both judge by it. A
pattern is a program that runs on what people and models write: it gets a fifth of a second for everything in a call,
because some patterns take for ever on some texts.
"""

import json
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final

import regex  # type: ignore[import-untyped]

Schema = Mapping[str, Any]
_PATTERN_SECONDS: Final = 0.2
_LONGEST_PATTERN: Final = 1000
_END: Final = regex.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\$", regex.DOTALL)
"""A `$` that is neither escaped nor in brackets, behind whatever else there is."""
_STEPS: Final = 20_000
_STEPS_OF_ALL: Final = 200_000
_DEEPEST: Final = 40
_NAMED: Final = 8
_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a JSON object",
    "null": "null",
}


def resolved(schema: Any, root: Schema) -> Schema:
    """The schema behind `$ref`s within the document and behind an `allOf` of one; {} if it cannot be found."""
    for _ in range(20):
        if not isinstance(schema, Mapping):
            return {}
        if isinstance(inner := schema.get("$ref"), str):
            schema = {**_found(inner, root), **{key: part for key, part in schema.items() if key != "$ref"}}
        elif isinstance(parts := schema.get("allOf"), list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            schema = {**parts[0], **{key: part for key, part in schema.items() if key != "allOf"}}
        else:
            return schema
    return {}


def without_null(schema: Any, root: Schema) -> tuple[Schema, bool]:
    """The schema of all values but null, and whether null is one too."""
    schema = resolved(schema, root)
    if isinstance(types := schema.get("type"), list) and "null" in types:
        rest = [kind for kind in types if kind != "null"]
        return {**schema, "type": rest[0] if len(rest) == 1 else rest}, True
    for word in ("anyOf", "oneOf"):
        if not isinstance(parts := schema.get(word), list):
            continue
        others = [part for part in parts if resolved(part, root).get("type") != "null"]
        if len(others) < len(parts):
            own = {key: part for key, part in schema.items() if key != word}
            return resolved({**others[0], **own} if len(others) == 1 else {**own, word: others}, root), True
    return schema, False


def is_type(value: Any, kind: object) -> bool:
    """Whether a JSON value is of this type, as JSON schema means it: true is no number, 1.0 is a whole one."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
    return True


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written in the same way: 1 is neither 1.0 nor true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def why_not(value: Any, schema: Any, root: Schema, *, whole: bool = False) -> str | None:
    """Why the value is not what the schema says, as a sentence; None if it is, or if only the tool can tell.

    The sentence does not tell the value. `whole`: what would take too long to check is not what the schema says.
    """
    return _Check(root, whole).why_not(value, schema, "", 0)


def unnamed(value: Any, schema: Any, root: Schema, at: str = "") -> list[str]:
    """The paths in the value of what the schema lets in without saying what it is."""
    schema = resolved(schema, root)
    if isinstance(value, list):
        inner = schema.get("items", {})
        return [path for number, one in enumerate(value) for path in unnamed(one, inner, root, f"{at}{number}.")]
    known = _named(schema, root)
    if not isinstance(value, dict) or not known:
        return []
    others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    found = [f"{at}{name}" for name in value if name not in known and others in (True, {})]
    inside = [(name, one) for name, one in value.items() if name in known]
    return found + [path for name, one in inside for path in unnamed(one, known[name], root, f"{at}{name}.")]


def _as_python(pattern: str) -> str:
    """In JavaScript, whose patterns these are, `$` is the end and not also the place before a last newline."""
    return str(_END.sub(lambda found: found[1] or r"\Z", pattern))


def _named(schema: Schema, root: Schema) -> dict[str, Any]:
    """What the schema of an object says of its parts, also where it says so of one kind of object among several."""
    kinds = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word) or ()]
    known: dict[str, Any] = {}
    for part in (*(resolved(kind, root) for kind in kinds), schema):
        if isinstance(own := part.get("properties"), Mapping):
            known |= own
    return known


class _Check:
    def __init__(self, root: Schema, whole: bool) -> None:
        self._root = root
        self._whole = whole
        self._steps = _STEPS_OF_ALL if whole else _STEPS
        self._seconds = _PATTERN_SECONDS

    def why_not(self, value: Any, schema: Any, at: str, depth: int) -> str | None:
        self._steps -= 1
        if self._steps < 0 or depth > _DEEPEST:
            return _says(at, "is too much, or nested too deep, to be checked") if self._whole else None
        if schema is False:
            return _says(at, "is not one of the arguments")
        schema = resolved(schema, self._root)
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(is_type(value, kind) for kind in kinds):
            return _says(at, f"must be {' or '.join(_TYPES.get(str(kind), str(kind)) for kind in kinds)}")
        allowed = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(allowed, list) and not any(is_same(value, one) for one in allowed):
            return _says(at, f"must be {_listed(allowed)}")
        match value:
            case bool() | None:
                found = None
            case int() | float():
                found = _number(value, schema)
            case str():
                found = self._text(value, schema)
            case list():
                return self._list(value, schema, at, depth) or self._combined(value, schema, at, depth)
            case dict():
                return self._object(value, schema, at, depth) or self._combined(value, schema, at, depth)
        return _says(at, found) if found else self._combined(value, schema, at, depth)

    def _text(self, value: str, schema: Schema) -> str | None:
        least: Any
        most: Any
        least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
        if _is_count(least) and len(value) < least:
            return f"must have at least {least:,} characters; it has {len(value):,}"
        if _is_count(most) and len(value) > most:
            return f"must have at most {most:,} characters; it has {len(value):,}"
        if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
            return None
        began = monotonic()
        try:
            fits = self._seconds > 0 and regex.search(_as_python(pattern), value, timeout=self._seconds) is not None
        except regex.error:
            return None
        except TimeoutError:
            return f"could not be compared with the pattern {pattern} in time; please write it shorter or otherwise"
        finally:
            self._seconds -= monotonic() - began
        return None if fits else f"must match the pattern {pattern}"

    def _list(self, value: list[Any], schema: Schema, at: str, depth: int) -> str | None:
        least: Any
        most: Any
        least, most = schema.get("minItems"), schema.get("maxItems")
        if _is_count(least) and len(value) < least:
            return _says(at, f"must have at least {least:,} entries")
        if _is_count(most) and len(value) > most:
            return _says(at, f"must have at most {most:,} entries")
        if schema.get("uniqueItems") is True and len({json.dumps(v, sort_keys=True) for v in value}) < len(value):
            return _says(at, "must not have the same entry twice")
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        for number, inner in enumerate(value):
            rule = first[number] if number < len(first) else schema.get("items", True)
            if wrong := self.why_not(inner, rule, f"{at}.{number}" if at else str(number), depth + 1):
                return wrong
        return None

    def _object(self, value: dict[str, Any], schema: Schema, at: str, depth: int) -> str | None:
        known, others = schema.get("properties"), schema.get("additionalProperties", True)
        known = known if isinstance(known, Mapping) else {}
        for name in schema.get("required") or ():
            if name not in value:
                return _says(f"{at}.{name}" if at else str(name), "is missing")
        if "patternProperties" in schema:
            others = True
        for name, inner in value.items():
            if wrong := self.why_not(inner, known.get(name, others), f"{at}.{name}" if at else name, depth + 1):
                return wrong
        return None

    def _combined(self, value: Any, schema: Schema, at: str, depth: int) -> str | None:
        for part in schema.get("allOf") or ():
            if wrong := self.why_not(value, part, at, depth + 1):
                return wrong
        for word in ("anyOf", "oneOf"):
            if parts := schema.get(word):
                found = [self.why_not(value, part, at, depth + 1) for part in parts]
                if None not in found:
                    return found[0] if len(found) == 1 else _says(at, "is none of the kinds that the tool takes")
        return None


def _number(value: float, schema: Schema) -> str | None:
    limits: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("minimum", lambda limit: value >= limit, "must be at least"),
        ("maximum", lambda limit: value <= limit, "must be at most"),
        ("exclusiveMinimum", lambda limit: value > limit, "must be more than"),
        ("exclusiveMaximum", lambda limit: value < limit, "must be less than"),
    )
    for word, holds, says in limits:
        limit = schema.get(word)
        if is_type(limit, "number") and not holds(limit):
            return f"{says} {limit}"
    step = schema.get("multipleOf")
    if isinstance(step, int) and not isinstance(step, bool) and step > 0 and value % step:
        return f"must be a multiple of {step}"
    return None


def _found(reference: str, root: Schema) -> Schema:
    if not reference.startswith("#"):
        return {}
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or part not in found:
            return {}
        found = found[part]
    return found if isinstance(found, Mapping) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _listed(values: list[Any]) -> str:
    names = [value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False) for value in values]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ("one of: " if len(names) > 1 else "") + ", ".join(names[:_NAMED]) + more


def _says(at: str, found: str) -> str:
    return f"{at or 'This'} {found}."
