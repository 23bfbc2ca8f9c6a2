"""Tool calls that wait for consent: their arguments, titles and fields.

The approved call runs unchanged, byte for byte (R13). A title's template names arguments, `Refund {euros:.2f} EUR for
order {order}`. The filled-in values are data: a text is cut, stays on one line, and is quoted unless it is one plain
word, so it cannot pass for the template's own text. As labelled fields, no two different calls look the same: a text
that could pass for a number, for one of our own labels or for the next field is quoted or has a bar before each line,
and a name that is not an identifier is written as JSON.
"""

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from string import Formatter
from typing import Any, Final

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
LONGEST_ARGUMENTS: Final = 1_000_000
"""Most characters of one call's arguments; nobody could judge more."""
LONGEST_CONTENT: Final = 2 * LONGEST_ARGUMENTS
"""Most characters of the content that people judge; leaves room for a renderer that shows all arguments."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, as it would be made.

    `arguments` are the complete canonical JSON, secrets included, because they are what runs. `schema` is the JSON
    schema of the arguments; empty means that people cannot change them. `hidden` are the paths (`headers.token`,
    `rows.*.key`) at and below which the team hides values; values that look like secrets are hidden too
    (`countersign.domain.redaction`).
    """

    tool: str
    arguments: str
    schema: str = ""
    hidden: tuple[str, ...] = ()


def canonical(arguments: Mapping[str, Any]) -> str:
    """Write arguments as canonical JSON: keys sorted, no spaces, no NaN.

    ValueError if JSON cannot hold them.
    """
    try:
        return json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as wrong:
        raise ValueError(f"The arguments cannot be written as JSON: {wrong}.") from None


def is_canonical(arguments: str) -> bool:
    """Tell whether the text is the canonical JSON of some arguments."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    try:
        return canonical(value) == arguments
    except ValueError:
        return False


LONGEST_TITLE: Final = 200
_LONGEST_TITLE_TEXT: Final = 60
_WORD: Final = re.compile(r"[\w.@:/#+-]*[\w#+-]")
_SAMPLES: Final[dict[str, tuple[float | str, ...]]] = {
    "integer": (7,),
    "number": (7, 7.5),
    "string": ("text",),
    "boolean": (True,),
}
_SHOWN: Final = "only text, numbers, and yes or no can appear in a title"


def why_not_title(template: str, schema: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Return why this template does not fit a tool's arguments; "" if it does.

    `schema` is the JSON schema of the arguments, `hidden` are the paths that nobody may see.
    """
    properties = schema.get("properties")
    names = properties if isinstance(properties, Mapping) else {}
    try:
        parts = list(Formatter().parse(template))
    except ValueError as wrong:
        return f"it can't be read: {wrong}."
    if not template.strip() or "\n" in template or sum(len(text) for text, *_ in parts) > LONGEST_TITLE // 2:
        return f"it must be one line of 1 to {LONGEST_TITLE // 2} characters."
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in names:
            return f"it names {{{name}}}, and the tool takes {', '.join(names) or 'no arguments'}."
        if any(path.split(".")[0] == name for path in hidden):
            return f"it names {{{name}}}, which is hidden."
        if conversion or "{" in (spec or ""):
            return f"{{{name}}} has a conversion or a format in a format; give it a plain one, like {{{name}:.2f}}."
        if problem := _why_not_shown(name, spec or "", _resolved(names[name], schema)):
            return problem
    return ""


def _why_not_shown(name: str, spec: str, argument: Any) -> str:
    kinds = _kinds(argument)
    if not kinds:
        return f"{{{name}}} is a list, an object or of unknown type, and {_SHOWN}."
    for kind in kinds:
        for sample in _SAMPLES[kind]:
            try:
                _filled_value(sample, spec)
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


def filled_title(template: str, arguments: Mapping[str, Any]) -> str:
    """Fill the template. ValueError or KeyError if a value does not fit."""
    parts = []
    for text, name, spec, _ in Formatter().parse(template):
        parts += [text, "" if name is None else _filled_value(arguments[name], spec or "")]
    title = " ".join("".join(parts).split())
    if not title or len(title) > LONGEST_TITLE:
        raise ValueError("The title is empty or too long.")
    return title


def _filled_value(value: Any, spec: str) -> str:
    if isinstance(value, bool) and not spec:
        return "yes" if value else "no"
    if isinstance(value, int | float | Decimal):
        return format(value, spec)
    if not isinstance(value, str):
        raise ValueError(_SHOWN)
    if spec:
        raise ValueError("a text takes no format")
    line = " ".join(value.replace("“", '"').replace("”", '"').split())
    line = line if len(line) <= _LONGEST_TITLE_TEXT else line[: _LONGEST_TITLE_TEXT - 1] + "…"
    return line if _WORD.fullmatch(line) else f"“{line}”"


COUNT: Final = "count"
"""Placeholder for the number of calls in a batch's title."""


def why_not_batch(template: str, schema: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Return why this template does not fit several calls of a tool; "" if it does.

    Each placeholder is filled with the sum of an argument, so each argument must be a number.
    """
    properties = schema.get("properties")
    known = {**(properties if isinstance(properties, Mapping) else {}), COUNT: {"type": "integer"}}
    if problem := why_not_title(template, {**schema, "properties": known}, hidden):
        return problem
    for _, name, _, _ in Formatter().parse(template):
        if name is not None and not set(_kinds(_resolved(known[name], schema))) <= {"integer", "number"}:
            return f"it names {{{name}}}, which has no sum."
    return ""


def batch_title(tool: str, calls: Sequence[Mapping[str, Any]], template: str) -> str:
    """Write what several calls of one tool would do: `Pay 4 invoices (2,619.25 EUR)`.

    `calls` are their arguments as people may see them. Without a template, the sum follows the tool's name.
    """
    names = [name for name in calls[0] if all(_is_number(one.get(name)) for one in calls)]
    sums = {name: sum((Decimal(repr(one[name])) for one in calls), Decimal()) for name in names}
    if template:
        try:
            return filled_title(template, {**sums, COUNT: len(calls)})
        except (LookupError, ValueError):
            pass
    words = in_words(tool)
    title = f"{words[:1].upper() + words[1:]} ×{len(calls)}"
    found = [(total, _CURRENCIES.get(in_words(name).split()[-1].lower())) for name, total in sums.items()]
    money = [f"{total:,.2f} {code}" for total, code in found if code and total == round(total, 2)]
    return f"{title} ({money[0]})" if len(money) == 1 else title


_ASKS: Final = ("question", "prompt", "title", "message", "instructions", "action", "task")
"""Names of fields that hold the question of an object."""
_LONGEST_OWN_TITLE: Final = 110
_LONGEST_DETAIL: Final = 40
_HIDDEN: Final = "⟦"
"""Begins the mark that stands for a secret."""
_CURRENCIES: Final = {"eur": "EUR", "euro": "EUR", "euros": "EUR", "usd": "USD", "gbp": "GBP", "chf": "CHF"}
_SUMS: Final = frozenset({"amount", "price", "total", "sum"})
_RUN: Final = frozenset({"command", "commands", "cmd", "argv", "code", "script", "query", "sql", "statement"})
"""Last words in names of arguments that a call executes; they come first in a title, even if long."""
_ARGV: Final = frozenset({"command", "cmd", "argv"})
_MANNERS: Final = frozenset({"timeout", "retries", "attempts", "limit", "max", "offset", "encoding", "cwd", "workdir"})
"""Words in the names of arguments that only say how a call runs: last in a title."""
_CODE: Final = re.compile(r"[A-Z]{3}")
_OURS: Final = frozenset({"yes", "no", "(none)", "(empty)"})
_NUMBER: Final = re.compile(r"[-+]?(\d|\.\d|inf|nan)", re.IGNORECASE)
_FIRST_SENTENCE: Final = re.compile(r"\s*([^\n]+?)(?:\.(?=\s|$)|\n|$)")


def in_words(name: str) -> str:
    """Write a name in code as words: `send_mail` becomes `send mail`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", name.replace("_", " ").replace("-", " ")).strip() or name


def title_of(tool: str, arguments: Mapping[str, Any], description: str = "") -> str:
    """Write a title, with the short arguments, for a tool that has no template.

    The first sentence of the description is used if it begins with the verb in the tool's name, because it is then an
    imperative.
    """
    words = in_words(tool)
    title = words[:1].upper() + words[1:]
    first = _FIRST_SENTENCE.match(description)
    if first and len(first[1]) <= _LONGEST_OWN_TITLE and first[1].split()[0].lower() == words.split()[0].lower():
        title = first[1]
    return with_details(title, arguments, texts=True)


def with_details(title: str, arguments: Mapping[str, Any], *, texts: bool = False) -> str:
    """Add the short arguments to a title that has none of them.

    `Refund?` becomes `Refund: order 17, 45.00 EUR`; `arguments` are as people may see them. `texts`: if no argument is
    short, the beginning of a text is used. Timeouts and limits come last, and never for an argument that is left out.
    """
    if any(_says(title, _only(value)) for value in arguments.values()):
        return title
    manners = {name: value for name, value in arguments.items() if not _MANNERS.isdisjoint(_words_of(name))}
    matter = {name: value for name, value in arguments.items() if name not in manners}
    head, details = title.rstrip(" ?"), _details(matter)
    if not details and texts:
        details = _beginning(matter or arguments)
    if details or not any(value and value is not True for value in matter.values()):
        details += _details(manners)
    for many in range(len(details), 0, -1):
        if len(longer := f"{head}: {', '.join(details[:many])}") <= _LONGEST_OWN_TITLE:
            return longer
    return title


def in_order(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in the order that the tool declares, others last."""
    declared = schema.get("properties")
    names = [name for name in declared if name in arguments] if isinstance(declared, Mapping) else []
    return {name: arguments[name] for name in dict.fromkeys([*names, *arguments])}


def as_declared(arguments: Mapping[str, Any], schema: str) -> dict[str, Any]:
    """Return the arguments in the order of a call's schema, which may be empty."""
    return in_order(arguments, json.loads(schema or "{}"))


def _details(arguments: Mapping[str, Any]) -> list[str]:
    named = {name: value for name, value in arguments.items() if name.isidentifier()}
    currency = named.get("currency")
    currency = currency if isinstance(currency, str) and _CODE.fullmatch(currency) else ""
    if currency and not any(name in _SUMS and _is_number(value) for name, value in named.items()):
        currency = ""
    if currency:
        del named["currency"]
    runs = [detail for name, value in named.items() if (detail := _what_runs(name, value))]
    others = {name: value for name, value in named.items() if _words_of(name)[-1] not in _RUN}
    return [*runs, *(detail for name, value in others.items() if (detail := _detail(name, value, currency)))]


def _what_runs(name: str, value: Any) -> str:
    """Write an executed argument, or its beginning; "" for other arguments."""
    last = _words_of(name)[-1]
    if last not in _RUN:
        return ""
    if last in _ARGV and isinstance(value, list) and len(value) > 1 and all(isinstance(word, str) for word in value):
        value = shlex.join(value)
    return _detail(name, value, "") or "".join(_beginning({name: value}))


def _words_of(name: str) -> list[str]:
    return in_words(name).lower().split() or [name]


def _beginning(arguments: Mapping[str, Any]) -> list[str]:
    """Write the beginning of the first text, unless part of it is hidden."""
    for name, given in arguments.items():
        value = _only(given)
        if name.isidentifier() and isinstance(value, str) and value.strip() and _HIDDEN not in value:
            line = " ".join(value.split())
            return [f"{in_words(name)} {_filled_value(line[: _LONGEST_DETAIL - 1].rstrip() + '…', '')}"]
    return []


def _detail(name: str, value: Any, currency: str) -> str:
    """Write one argument for a title; "" if it is long, hidden, or not a single value."""
    *before, last = in_words(name).split()
    if _is_number(value) and (code := currency if name in _SUMS else _CURRENCIES.get(last.lower(), "")):
        return " ".join([*before, f"{_money(value)} {code}"])
    if isinstance(value, list) and len(value) > 1:
        first = _short(value[0]) if isinstance(value[0], str) else ""
        return f"{len(value)} {in_words(name)}{f' ({first}, …)' if first else ''}"
    shown = _short(_only(value))
    return f"{in_words(name)} {shown}" if shown else ""


def _only(value: Any) -> Any:
    """Return the text of a list that is one text; any other value as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value


def _short(value: Any) -> str:
    """Write a value that is short and not hidden; "" for any other."""
    if not _is_short(value) or (isinstance(value, str) and _HIDDEN in value):
        return ""
    scalar = _scalar(value)
    return scalar if not isinstance(value, str) or scalar.startswith("“") else _filled_value(value, "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _money(value: float) -> str:
    """Write a sum with its cents; never rounded."""
    exact = Decimal(repr(value))
    return f"{exact:,.2f}" if exact == round(exact, 2) and abs(exact) < 10**12 else json.dumps(value)


def _says(title: str, value: Any) -> bool:
    """Tell whether a title already contains this value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    texts = [" ".join(str(value).split())]
    if not isinstance(value, str):
        texts.append(f"{value:,.2f}")  # in the format of a template for money
    return any(text and re.search(rf"(?<![\w.]){re.escape(text)}(?!\w)", title) for text in texts)


def labelled(arguments: Mapping[str, Any]) -> str:
    """Write arguments as fields, a line or an indented part for each."""
    return "\n".join(_fields(arguments)) or "(no arguments)"


def asked_in(value: Mapping[str, Any]) -> str:
    """Find the question in a program's own object; "" if it has none."""
    return next((str(value[name]) for name in _ASKS if isinstance(value.get(name), str) and value[name].strip()), "")


def question_text(value: Any) -> str:
    """Write what an object asks: its sentence first, the rest as fields."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, indent=2, ensure_ascii=False)
    asked = asked_in(value)
    rest = {name: inner for name, inner in value.items() if not asked or inner != asked}
    return "\n\n".join([text for text in (asked, labelled(rest) if rest else "") if text])


def blocks_in(arguments: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Return language and text of each block of code; None without blocks."""
    blocks = arguments.get("blocks")
    if set(arguments) != {"blocks"} or not isinstance(blocks, list) or not blocks:
        return None
    pairs = []
    for block in blocks:
        if not isinstance(block, Mapping) or set(block) != {"language", "code"}:
            return None
        if not isinstance(block["language"], str) or not isinstance(block["code"], str):
            return None
        pairs.append((block["language"], block["code"]))
    return pairs


def code_in(arguments: Mapping[str, Any]) -> str | None:
    """Write the blocks of code in full, each below its language; None without blocks."""
    blocks = blocks_in(arguments)
    if blocks is None:
        return None
    many = len(blocks)
    names = [f"{language or 'code'}:" for language, _ in blocks]
    heads = [f"Block {n} of {many}, {name}" if many > 1 else name for n, name in enumerate(names, 1)]
    return "\n\n".join(f"{head}\n\n{text}" for head, (_, text) in zip(heads, blocks, strict=True))


def _fields(values: Mapping[str, Any]) -> list[str]:
    labels = {name: _label(name) for name in values}
    if len({label.casefold() for label in labels.values()}) < len(labels):
        labels = {name: json.dumps(name, ensure_ascii=False) for name in values}
    return [line for name, value in values.items() for line in _entry(f"{labels[name]}:", value)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        return [head, *(f"  │ {line}" for line in value.split("\n"))]
    if isinstance(value, Mapping) and value:
        return [head, *(f"  {line}" for line in _fields(value))]
    if isinstance(value, list) and value:
        return [head, *(f"  {line}" for inner in value for line in _entry("-", inner))]
    return [f"{head} {_scalar(value)}"]


def _label(name: str) -> str:
    words = in_words(name)
    return words[:1].upper() + words[1:] if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def _scalar(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping | list):  # an empty one
        return "(no fields)" if isinstance(value, Mapping) else "(no entries)"
    if not isinstance(value, str):
        return json.dumps(value)
    looks_else = value in _OURS or value.startswith(("(no ", "“")) or _NUMBER.match(value) is not None
    return f"“{value}”" if looks_else or value != value.strip() or not value else value


def _is_short(value: Any) -> bool:
    if isinstance(value, bool) or value is None or isinstance(value, Mapping | list):
        return False
    return not isinstance(value, str) or (0 < len(value) <= _LONGEST_DETAIL and "\n" not in value)


def schema_of(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Derive a schema from the values, so that people may change them.

    For callers that have no schema. None if a value has no JSON type.
    """
    if not all(type(value) in _TYPES for value in arguments.values()):
        return None
    types = {name: {"type": _TYPES[type(value)]} for name, value in arguments.items()}
    return {"type": "object", "properties": types, "required": [*types], "additionalProperties": False}
