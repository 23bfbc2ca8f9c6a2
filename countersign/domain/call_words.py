"""Words for a call: its title as a question, and its arguments as labelled fields.

No two different calls look the same: a text that could pass for a number, for a word of ours or for the next field is
quoted or has a bar before each line, and a name that is no identifier stands as JSON.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_LONGEST_TITLE: Final = 110
_LONGEST_DETAIL: Final = 40
_OURS: Final = frozenset({"yes", "no", "(none)", "(empty)"})
_NUMBER: Final = re.compile(r"[-+]?(\d|\.\d|inf|nan)", re.IGNORECASE)
_FIRST_SENTENCE: Final = re.compile(r"\s*([^\n]+?)(?:\.(?=\s|$)|\n|$)")


def in_words(name: str) -> str:
    """Write a name in code as words: `send_mail` becomes `send mail`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", name.replace("_", " ").replace("-", " ")).strip() or name


def title_of(tool: str, arguments: Mapping[str, Any], description: str = "") -> str:
    """Write the title of a call whose tool brings none, with the short arguments.

    The first sentence of the description counts if it begins with the verb in the tool's name: it is an order then.
    """
    words = in_words(tool)
    title = words[:1].upper() + words[1:]
    first = _FIRST_SENTENCE.match(description)
    if first and len(first[1]) <= _LONGEST_TITLE and first[1].split()[0].lower() == words.split()[0].lower():
        title = first[1]
    details = [
        f"{in_words(name)} {_scalar(value)}"
        for name, value in arguments.items()
        if name.isidentifier() and _is_short(value)
    ]
    for many in range(len(details), 0, -1):
        if len(longer := f"{title}: {', '.join(details[:many])}") <= _LONGEST_TITLE:
            return longer
    return title


def labelled(arguments: Mapping[str, Any]) -> str:
    """Write arguments as fields, a line or an indented part for each."""
    return "\n".join(_fields(arguments)) or "(no arguments)"


def blocks_in(arguments: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Return language and text of each block of code; None if there are none."""
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
    """Draw the blocks of code whole, each below its language; None if there are none."""
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
