"""What is never shown: values that look like secrets, in text and in the arguments of calls (R15)."""

import re
from collections.abc import Collection
from typing import Any, Final

_NAMES: Final = re.compile(
    r"(?i)(^|[_.-])(password|passwd|passphrase|token|api_?key|apikey|secret|authorization|credential|private_?key)s?$"
)
_VALUES: Final = re.compile(
    r"(?:xox[abprs]-[\w-]{10,}|xapp-[\w-]{10,}|sk-[\w-]{16,}|gh[pousr]_\w{20,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}|(?<=Bearer )[\w.~+/-]{12,}=*)"
)


def hide(text: str) -> tuple[str, int]:
    """The text with every secret replaced by how long it is, and how many there were."""
    return _VALUES.subn(lambda found: _mark(found[0]), text)


def hide_in(value: Any, paths: Collection[str] = ()) -> tuple[Any, tuple[str, ...]]:
    """A copy of JSON with secrets replaced: by their keys' names, by what they look like, and those at `paths`
    (`headers.token`, `rows.0.key`); and the paths of all that is hidden."""
    hidden: list[str] = []
    return _hidden_in(value, "", frozenset(paths), hidden), tuple(hidden)


def _hidden_in(value: Any, path: str, paths: frozenset[str], hidden: list[str]) -> Any:
    if path and value is not None and (path in paths or (_NAMES.search(path) and not isinstance(value, bool))):
        hidden.append(path)
        return _mark(value if isinstance(value, str) else str(value))
    if isinstance(value, dict):
        return {key: _hidden_in(inner, f"{path}.{key}" if path else key, paths, hidden) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden_in(inner, f"{path}.{n}" if path else str(n), paths, hidden) for n, inner in enumerate(value)]
    if isinstance(value, str):
        shown, found = hide(value)
        if found:
            hidden.append(path)
        return shown
    return value


def _mark(secret: str) -> str:
    return f"⟦hidden: {len(secret):,} characters⟧"
