"""Titles that a team gives its tools: templates, checked and filled.

A template names arguments, `Refund {euros:.2f} EUR for order {order}`. What stands in their places is data: a text is
cut, stays on one line, and has quotes around it unless it is one plain word, so none can pass for the template's own
words.
"""

import re
from collections.abc import Collection, Mapping
from string import Formatter
from typing import Any, Final

LONGEST: Final = 200
_LONGEST_TEXT: Final = 60
_WORD: Final = re.compile(r"[\w.@:/#+-]*[\w#+-]")
_SAMPLES: Final[dict[str, tuple[float | str, ...]]] = {
    "integer": (7,),
    "number": (7, 7.5),
    "string": ("text",),
    "boolean": (True,),
}
_SHOWN: Final = "only text, numbers, and yes or no can appear in a title"


def why_not(template: str, schema: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Return why this is no template for a tool's arguments; "" if it is one.

    `schema` is the JSON schema of the arguments, `hidden` are the paths that nobody may see.
    """
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    try:
        parts = list(Formatter().parse(template))
    except ValueError as wrong:
        return f"it can't be read: {wrong}."
    if not template.strip() or "\n" in template or sum(len(text) for text, *_ in parts) > LONGEST // 2:
        return f"it must be one line of 1 to {LONGEST // 2} characters."
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in known:
            return f"it names {{{name}}}, and the tool takes {', '.join(known) or 'no arguments'}."
        if any(path.split(".")[0] == name for path in hidden):
            return f"it names {{{name}}}, which is hidden."
        if conversion or "{" in (spec or ""):
            return f"{{{name}}} has a conversion or a format in a format; give it a plain one, like {{{name}:.2f}}."
        if problem := _why_not_shown(name, spec or "", _resolved(known[name], schema)):
            return problem
    return ""


def _why_not_shown(name: str, spec: str, argument: Any) -> str:
    kinds = _kinds(argument)
    if not kinds:
        return f"{{{name}}} is a list, an object or of unknown type, and {_SHOWN}."
    for kind in kinds:
        for sample in _SAMPLES[kind]:
            try:
                _filled(sample, spec)
            except ValueError as wrong:
                return f"the format “{spec}” of {{{name}}} doesn't work for type {kind}: {wrong}."
    return ""


def _resolved(argument: Any, schema: Mapping[str, Any]) -> Any:
    reference = argument.get("$ref", "") if isinstance(argument, Mapping) else ""
    definitions = schema.get("$defs", {})
    return definitions.get(str(reference).removeprefix("#/$defs/"), argument) if reference else argument


def _kinds(argument: Any) -> list[str]:
    """List the types of an argument that can be shown; empty if another is possible."""
    if not isinstance(argument, Mapping):
        return []
    if isinstance(argument.get("enum"), list):
        return ["string"] if all(isinstance(value, str) for value in argument["enum"]) else []
    schemas = [inner for either in ("anyOf", "oneOf") for inner in argument.get(either, ())] or [argument]
    kinds = [str(inner.get("type")) if isinstance(inner, Mapping) else "" for inner in schemas]
    return [kind for kind in kinds if kind != "null"] if all(kind in (*_SAMPLES, "null") for kind in kinds) else []


def filled(template: str, arguments: Mapping[str, Any]) -> str:
    """Fill the template. ValueError or KeyError if a value cannot stand in it."""
    parts = []
    for text, name, spec, _ in Formatter().parse(template):
        parts += [text, "" if name is None else _filled(arguments[name], spec or "")]
    title = " ".join("".join(parts).split())
    if not title or len(title) > LONGEST:
        raise ValueError("The title is empty or too long.")
    return title


def _filled(value: Any, spec: str) -> str:
    if isinstance(value, bool) and not spec:
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return format(value, spec)
    if not isinstance(value, str):
        raise ValueError(_SHOWN)
    if spec:
        raise ValueError("a text takes no format")
    line = " ".join(value.replace("“", '"').replace("”", '"').split())
    line = line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
    return line if _WORD.fullmatch(line) else f"“{line}”"
