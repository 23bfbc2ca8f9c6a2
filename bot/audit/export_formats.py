"""Export the record as verifiable JSON lines, or as CSV for spreadsheets."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from countersign.domain.hash_chain import Kept, read_line

COLUMNS: Final = (
    *("n", "at", "type", "outcome", "run", "request", "workspace", "user", "by", "how", "refusal", "words"),
    *("kind", "title", "tool", "digest", "policy", "hash", "entry"),
)
_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet takes a cell that begins so for something to compute (CWE-1236); in some languages wide signs too.

Some leave out blanks and what nobody sees before it.
"""
_SEPARATORS: Final = r";|\t\n\v\f\x1c-\x1e\x85\u2028\u2029"
_LATER_FORMULA: Final = re.compile(
    rf"(?<=[{_SEPARATORS}])(?=[^\w{_SEPARATORS}]*?[{re.escape(''.join(sorted(_FORMULA)))}])"
)
"""Where a spreadsheet with another separator, or other line breaks, would begin a cell with a formula.

A comma is not among them: the cell is in quotes then.
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Selection of entries: from `since` on, before `until`, of a run, of requests.

    An empty field selects any.
    """

    since: datetime | None = None
    until: datetime | None = None
    run: str = ""
    requests: tuple[str, ...] = ()

    @property
    def narrow(self) -> bool:
        """Tell whether an entry from `since` on may still not be selected."""
        return self.until is not None or bool(self.run or self.requests)

    def has(self, fields: dict[str, Any]) -> bool:
        """Tell whether an entry with these fields is selected."""
        if self.run and fields.get("run") != self.run:
            return False
        if self.requests and fields.get("request") not in self.requests:
            return False
        if self.since is None and self.until is None:
            return True
        at = datetime.fromisoformat(fields["at"])
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def fits(kept: Kept, selection: Filter) -> bool:
    """Tell whether the entry is selected, or cannot be read."""
    try:
        return selection.has(kept.fields())
    except (ValueError, KeyError, TypeError):
        return True


def read_lines(raw: Iterable[bytes]) -> Iterator[Kept | ValueError]:
    """Read the entries of exported JSON lines; a ValueError for an invalid line."""
    for line in raw:
        if not line.endswith(b"\n"):
            yield ValueError("ends in the middle of a line")
            continue
        try:
            yield read_line(line[:-1].decode("ascii"))
        except ValueError as wrong:
            yield ValueError("is not written in ASCII" if isinstance(wrong, UnicodeDecodeError) else str(wrong))


def heading() -> str:
    """Return the first line of CSV."""
    return _row(COLUMNS)


def row(kept: Kept) -> str:
    """Write an entry as a line of CSV; no cell is a formula."""
    try:
        fields = kept.fields()
    except ValueError:
        fields = {}
    data, question, decision = (_part(fields, name) for name in ("data", "what", "decision"))
    flat = {
        **fields,
        "by": " ".join(map(str, by)) if isinstance(by := decision.get("by"), list) else by,
        "how": decision.get("how") or data.get("how"),
        "refusal": data.get("refusal") or data.get("problems") or data.get("problem"),
        "words": data.get("words") or data.get("why"),
        "kind": question.get("kind"),
        "title": question.get("title") or data.get("title"),
        "tool": question.get("tool") or data.get("tool"),
        "digest": question.get("digest") or data.get("digest"),
        "policy": _part(fields, "rules").get("clause") or data.get("clause"),
        "hash": kept.hash,
        "entry": kept.entry,
    }
    return _row(_cell(flat.get(name)) for name in COLUMNS)


def _part(fields: dict[str, Any], name: str) -> dict[str, Any]:
    part = fields.get(name)
    return part if isinstance(part, dict) else {}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value).replace("\r\n", "\n").replace("\r", "\n")
    at = next((at for at, c in enumerate(text) if c.isprintable() and not c.isspace()), len(text))
    later = text[:at] + _LATER_FORMULA.sub("'", text[at:])
    return "'" + later if text[at : at + 1] in _FORMULA or text.startswith(("\t", "\n")) else later


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
