"""Readable differences of texts and calls, and the changes of a reviewer."""

import difflib
import json
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from countersign.domain.calls import code_in
from countersign.domain.events import escape_marks
from countersign.domain.redaction import hide, hide_in
from countersign.domain.requests import Kind, Request

_COMPARED: Final = 400
"""Lines of either side that are compared one by one; comparing takes their product."""
_AROUND: Final = 2


def changed_lines(before: str, after: str) -> list[str]:
    """Return a unified diff without its header; empty if nothing changed.

    Lines begin with `-`, `+` or a blank; `…` marks omitted lines. In very long texts, the whole changed middle is
    shown.
    """
    old, new = before.splitlines(), after.splitlines()
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    if max(len(old), len(new)) - start - end > _COMPARED:
        middle = [*(f"-{line}" for line in old[start : len(old) - end])]
        middle += [f"+{line}" for line in new[start : len(new) - end]]
        return [*["…"][: start > 0], *middle, *["…"][: end > 0]]
    first = max(0, start - _AROUND)
    stop = max(0, end - _AROUND)
    shown = difflib.unified_diff(old[first : len(old) - stop], new[first : len(new) - stop], lineterm="", n=_AROUND)
    lines = ["…" if line.startswith("@@") else line for line in list(shown)[3:]]
    return [*["…"][: first > 0], *lines, *["…"][: stop > 0]] if lines else []


def _same(old: list[str], new: list[str]) -> int:
    """Count the lines at the beginning that are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))


class Field(NamedTuple):
    """A changed place in a call's arguments (`rows.0.amount`).

    `before` and `after` are JSON; "" for a missing value.
    """

    path: str
    before: str
    after: str


def changed_fields(before: Any, after: Any, hidden: Collection[str] = ()) -> list[Field]:
    """List the places where two JSON values differ, with secrets hidden.

    Two lists of different lengths count as one difference.
    """
    old, new = (hide_in(escape_marks(value, names=False), hidden)[0] for value in (before, after))
    return list(_fields(before, after, old, new, ()))


def _fields(before: Any, after: Any, shown: Any, shown_after: Any, path: tuple[str, ...]) -> Iterator[Field]:
    if _json(before) == _json(after):
        return
    values = (before, after, shown, shown_after)
    if all(isinstance(value, dict) for value in values):
        for key in dict.fromkeys([*before, *after]):
            old, new, *seen = (value.get(key, _NOTHING) for value in values)
            yield from _fields(old, new, seen[0], seen[1], (*path, str(key)))
    elif all(isinstance(value, list) for value in values) and len(before) == len(after):
        for at in range(len(before)):
            yield from _fields(before[at], after[at], shown[at], shown_after[at], (*path, str(at)))
    else:
        yield Field(".".join(path), _json(shown), _json(shown_after))


def _json(value: Any) -> str:
    return "" if value is _NOTHING else json.dumps(value, ensure_ascii=False, sort_keys=True)


_NOTHING: Final = object()


def changed_text(request: Request) -> tuple[str, str] | None:
    """Return a text or code before and after an edit, secrets hidden; else None."""
    call, decision = request.question.call, request.decision
    if decision is None or not (decision.content or decision.arguments):
        return None
    if call is None:
        return hide(request.question.content)[0], hide(decision.content)[0]
    if request.question.kind is not Kind.CODE:
        return None
    before, after = (
        code_in(hide_in(escape_marks(json.loads(arguments)), call.hidden)[0])
        for arguments in (call.arguments, decision.arguments)
    )
    return None if before is None or after is None else (before, after)


def changes(request: Request) -> list[str]:
    """List a reviewer's changes, as fields of a call or as lines, with secrets hidden."""
    if (text := changed_text(request)) is not None:
        return [_short(line) for line in changed_lines(*text)]
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not decision.arguments:
        return []
    fields = changed_fields(json.loads(call.arguments), json.loads(decision.arguments), call.hidden)
    return [f"{path}: {_short(before)} → {_short(after)}" for path, before, after in fields]


def _short(value: str) -> str:
    if not value:
        return "(nothing)"
    return value if len(value) <= LONGEST_CHANGE else f"{value[:LONGEST_CHANGE]}… ({len(value):,} characters)"


LONGEST_CHANGE: Final = 500
"""Most characters of a value in the list of changes."""
