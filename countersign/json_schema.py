"""JSON Schema for tools' arguments, with a sentence for people if one is wrong.

A thin guard around the library `jsonschema` (draft 2020-12). The form in which people change a call and the gate before
a call both judge by it. Schemas come from tools, values from people and models, so neither may cost much: steps and
depth are bounded, nothing is fetched, formats are not judged, and a pattern, which is a program that may run for ever,
gets a fifth of a second for everything in a call. What the library cannot read is left to the tool, which checks its
arguments itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any, Final, NamedTuple

import regex  # type: ignore[import-untyped]

Schema = Mapping[str, Any]
Errors = Iterator[Any]
Rule = Callable[[Any, Any, Any, Any], Errors]
_LEFT_OUT: Final = ("format", "patternProperties", "unevaluatedProperties")
"""Keywords of which we say nothing."""
_PATTERN_SECONDS: Final = 0.2
_LONGEST_PATTERN: Final = 1000
_END: Final = regex.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\$", regex.DOTALL)
"""A `$` that is neither escaped nor in brackets, behind whatever else there is."""
_STEPS: Final = 20_000
_STEPS_OF_ALL: Final = 100_000
_DEEPEST: Final = 80
"""Parts of a schema within each other, with each `$ref` as one."""
_CHARACTERS_OF_A_STEP: Final = 1000
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
_LATE: Final = "late pattern"
_SENTENCES: Final[Mapping[str | None, Callable[[Any, Any], str]]] = {
    None: lambda *_: "is not one of the arguments",
    "type": lambda kinds, _: (
        f"must be {' or '.join(_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))}"
    ),
    "required": lambda *_: "is missing",
    "const": lambda only, _: f"must be {_listed([only])}",
    "enum": lambda allowed, _: f"must be {_listed(allowed)}",
    "minLength": lambda least, text: f"must have at least {least:,} characters; it has {len(text):,}",
    "maxLength": lambda most, text: f"must have at most {most:,} characters; it has {len(text):,}",
    "pattern": lambda pattern, _: f"must match the pattern {pattern}",
    _LATE: lambda pattern, _: f"took too long to check against the pattern {pattern}; shorten it",
    "minimum": lambda limit, _: f"must be at least {limit}",
    "maximum": lambda limit, _: f"must be at most {limit}",
    "exclusiveMinimum": lambda limit, _: f"must be more than {limit}",
    "exclusiveMaximum": lambda limit, _: f"must be less than {limit}",
    "multipleOf": lambda step, _: f"must be a multiple of {step}",
    "minItems": lambda least, _: f"must have at least {least:,} entries",
    "maxItems": lambda most, _: f"must have at most {most:,} entries",
    "uniqueItems": lambda *_: "must not have the same entry twice",
    "anyOf": lambda *_: "matches none of the types that the tool accepts",
    "oneOf": lambda *_: "must match exactly one of the types that the tool accepts",
}
"""Keyword -> what is wrong, of the keyword's value and the value that does not fit, which is not told."""


class Fault(NamedTuple):
    """Place in a value that does not fit its schema, and what is wrong there."""

    path: tuple[str, ...]
    words: str


def why_not(value: Any, schema: Any, root: Schema, *, whole: bool = False) -> str | None:
    """Explain in a sentence, without the value, why it does not fit the schema.

    None if it fits, or if only the tool can tell. `whole`: a value that would take too long to check does not fit.
    """
    found = fault(value, schema, root, whole=whole)
    return None if found is None else f"{'.'.join(found.path) or 'This'} {found.words}."


def fault(value: Any, schema: Any, root: Schema, *, whole: bool = False) -> Fault | None:
    """Find what does not fit the schema, as `why_not` does."""
    from referencing import Registry

    if not isinstance(schema, bool | Mapping):
        return None
    limits = _Limits(_STEPS_OF_ALL if whole else _STEPS)
    try:
        checker = _checker()(root, registry=Registry(), format_checker=(limits, 0))
        error = next(checker.descend(value, schema), None)
    except (_TooMuch, RecursionError):
        return Fault((), "is too large or too deeply nested to check") if whole else None
    return None if error is None else _fault(error)


def is_type(value: Any, kind: str) -> bool:
    """Tell whether a value is of this JSON type: 1.0 is an integer, true no number."""
    return bool(_checker().TYPE_CHECKER.is_type(value, kind))


def is_same(value: Any, other: Any) -> bool:
    """Tell whether two JSON values are written alike: 1 is neither 1.0 nor true."""
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)


def resolved(schema: Any, root: Schema) -> Schema:
    """Follow `$ref`s in the document, and an `allOf` of one; {} if they lead nowhere."""
    for _ in range(20):
        match schema:
            case {"$ref": str(reference), **own}:
                schema = {**_referred(reference, root), **own}
            case {"allOf": [{**only}], **own}:
                schema = {**only, **own}
            case _:
                return schema if isinstance(schema, Mapping) else {}
    return {}


def without_null(schema: Any, root: Schema) -> tuple[Schema, bool]:
    """Split a schema into that of all values but null, and whether null is one too."""
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


def unnamed(value: Any, schema: Any, root: Schema, at: str = "") -> list[str]:
    """List the paths of values that the schema lets in without describing them."""
    schema = resolved(schema, root)
    if isinstance(value, list):
        inner = schema.get("items", {})
        return [path for number, entry in enumerate(value) for path in unnamed(entry, inner, root, f"{at}{number}.")]
    known = _named(schema, root)
    if not isinstance(value, dict) or not known:
        return []
    others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    unknown = [f"{at}{name}" for name in value if name not in known and others in (True, {})]
    inside = [(name, entry) for name, entry in value.items() if name in known]
    return unknown + [path for name, entry in inside for path in unnamed(entry, known[name], root, f"{at}{name}.")]


def _named(schema: Schema, root: Schema) -> dict[str, Any]:
    """Collect what an object's schema says of its parts, in any of its alternatives."""
    kinds = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word) or ()]
    known: dict[str, Any] = {}
    for part in (*(resolved(kind, root) for kind in kinds), schema):
        if isinstance(own := part.get("properties"), Mapping):
            known |= own
    return known


def _referred(reference: str, root: Schema) -> Schema:
    from referencing import Registry, Specification
    from referencing.exceptions import Unresolvable

    resolver = Registry().resolver_with_root(Specification.OPAQUE.create_resource(root))
    try:
        contents = resolver.lookup(reference).contents
    except (Unresolvable, TypeError, ValueError):
        return {}
    return contents if isinstance(contents, Mapping) else {}


class _TooMuch(Exception):
    """A value or a schema that would take too long to check."""


@dataclass(slots=True)
class _Limits:
    """The steps and seconds left for one check."""

    steps: int
    seconds: float = _PATTERN_SECONDS

    def spend(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise _TooMuch

    def finds(self, pattern: str, text: str) -> bool:
        """Tell whether the text holds the pattern; TimeoutError if that takes too long."""
        if self.seconds <= 0:
            raise TimeoutError
        began = monotonic()
        try:
            return regex.search(_as_python(pattern), text, timeout=self.seconds) is not None
        finally:
            self.seconds -= monotonic() - began


@cache
def _checker() -> Any:
    """Make the library's validator with our rules at its first use: it loads slowly.

    Its `format_checker`, which the library hands to each part and nothing else uses here, holds the limits and the
    depth.
    """
    from fractions import Fraction

    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import create

    def pattern(checker: Any, pattern: Any, value: Any, _: Any) -> Errors:
        if isinstance(value, str) and len(pattern) <= _LONGEST_PATTERN:
            try:
                if not checker.format_checker[0].finds(pattern, value):
                    yield ValidationError("")
            except TimeoutError:
                yield ValidationError("", validator=_LATE)

    def other_properties(checker: Any, others: Any, value: Any, schema: Any) -> Errors:
        if isinstance(value, dict) and "patternProperties" not in schema:
            for name in [name for name in value if name not in schema.get("properties", {})]:
                for error in checker.descend(value[name], others):
                    error.path.appendleft(name)  # where `others` is False, too
                    yield error

    def multiple(_checker: Any, step: Any, value: Any, _: Any) -> Errors:
        if is_type(value, "number") and Fraction(str(value)) % Fraction(str(step)):  # 19.99 is one of 0.01
            yield ValidationError("")

    def unique(_checker: Any, required: Any, value: Any, _: Any) -> Errors:
        entries = value if required is True and isinstance(value, list) else []
        if len({json.dumps(entry, sort_keys=True) for entry in entries}) < len(entries):
            yield ValidationError("")

    def evolve(checker: Any, **changes: Any) -> Any:
        """Return the validator of a part.

        A part that names another dialect gets this one too: that dialect's rules have no guard.
        """
        limits, depth = checker.format_checker
        limits.spend()
        if depth >= _DEEPEST:
            raise _TooMuch
        kept = {"schema": checker.schema, "registry": checker._registry, "_resolver": checker._resolver}
        return made(**{**kept, "format_checker": (limits, depth + 1), **changes})

    # The library's own would match names of properties with patterns that nobody stops.
    own = {"pattern": pattern, "additionalProperties": other_properties, "multipleOf": multiple, "uniqueItems": unique}
    rules = {word: rule for word, rule in Draft202012Validator.VALIDATORS.items() if word not in _LEFT_OUT} | own
    guarded = {word: _guarded(word, rule) for word, rule in rules.items()}
    # Without a meta-schema a schema is one plain document, in which no `$id` and no anchor leads anywhere.
    made: Any = create({}, guarded, type_checker=Draft202012Validator.TYPE_CHECKER)
    made.evolve = evolve
    return made


def _guarded(word: str, rule: Rule) -> Rule:
    """Wrap the rule: count its errors' sizes, be silent on schemas it cannot read."""

    def judge(checker: Any, part: Any, value: Any, schema: Any) -> Errors:
        if isinstance(part, bool) and word.endswith("imum"):
            return  # of draft 4, where it says how to read another limit
        try:
            for error in rule(checker, part, value, schema) or ():
                checker.format_checker[0].spend(1 + len(error.message) // _CHARACTERS_OF_A_STEP)
                error.message = ""  # it holds the value
                yield error
        except (_TooMuch, RecursionError):
            raise
        except Exception:
            return

    return judge


def _fault(error: Any) -> Fault:
    while len({of.schema_path[0] for of in error.context or ()}) == 1:  # of the only kind
        error = error.context[0]
    path, words = [str(step) for step in error.absolute_path], _SENTENCES.get(error.validator)
    if error.validator == "required":
        path.append(str(next(name for name in error.validator_value if name not in error.instance)))
    told = words(error.validator_value, error.instance) if words else f"isn't what the tool accepts ({error.validator})"
    return Fault(tuple(path), told)


def _as_python(pattern: str) -> str:
    """Translate a JavaScript pattern, whose `$` never matches before a last newline."""
    return str(_END.sub(lambda match: match[1] or r"\Z", pattern))


def _listed(values: list[Any]) -> str:
    names = [value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False) for value in values]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ("one of: " if len(names) > 1 else "") + ", ".join(names[:_NAMED]) + more
