"""Export the record as JSON lines that can be verified, or as CSV for spreadsheets."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from countersign.domain.hash_chain import Kept, read_line
from countersign.store.audit_log import Ledger

COLUMNS: Final = (
    *("n", "at", "type", "outcome", "run", "request", "workspace", "user", "by", "how", "refusal", "words"),
    *("kind", "title", "tool", "digest", "policy", "hash", "entry"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a cell that begins so for something to compute (CWE-1236); in some languages wide signs too."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A selection of entries: from `since` on, before `until`, of one run, of these requests; if empty, of any."""

    since: datetime | None = None
    until: datetime | None = None
    run: str = ""
    requests: tuple[str, ...] = ()

    def has(self, fields: dict[str, Any]) -> bool:
        """Return whether it is one of them."""
        if self.run and fields.get("run") != self.run:
            return False
        if self.requests and fields.get("request") not in self.requests:
            return False
        if self.since is None and self.until is None:
            return True
        at = datetime.fromisoformat(fields["at"])
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


async def chosen(ledger: Ledger, wanted: Wanted) -> AsyncIterator[Kept]:
    """The entries wanted, in order. What cannot be read is among them: to leave it out would hide it."""
    after = await ledger.before(wanted.since) if wanted.since is not None else 0
    async for _, kept in ledger.all(after):
        if fits(kept, wanted):
            yield kept


def fits(kept: Kept, wanted: Wanted) -> bool:
    """Return whether the entry is wanted, or cannot be read."""
    try:
        return wanted.has(kept.fields())
    except (ValueError, KeyError, TypeError):
        return True


def read_lines(raw: Iterable[bytes]) -> Iterator[Kept | ValueError]:
    """The entries of exported JSON lines, or why a line is none."""
    for line in raw:
        if not line.endswith(b"\n"):
            yield ValueError("ends in the middle of a line")
            continue
        try:
            yield read_line(line[:-1].decode("ascii"))
        except ValueError as wrong:
            what = "is not written in ASCII" if isinstance(wrong, UnicodeDecodeError) else str(wrong)
            yield ValueError(what)


def heading() -> str:
    """The first line of CSV."""
    return _row(COLUMNS)


def row(kept: Kept) -> str:
    """An entry as a line of CSV; no cell is a formula."""
    try:
        fields = kept.fields()
    except ValueError:
        fields = {}
    data, what, decision = (_part(fields, name) for name in ("data", "what", "decision"))
    flat = {
        **fields,
        "by": " ".join(map(str, by)) if isinstance(by := decision.get("by"), list) else by,
        "how": decision.get("how") or data.get("how"),
        "refusal": data.get("refusal") or data.get("problems") or data.get("problem"),
        "words": data.get("words") or data.get("why"),
        "kind": what.get("kind"),
        "title": what.get("title") or data.get("title"),
        "tool": what.get("tool") or data.get("tool"),
        "digest": what.get("digest") or data.get("digest"),
        "policy": _part(fields, "rules").get("clause") or data.get("clause"),
        "hash": kept.hash,
        "entry": kept.entry,
    }
    return _row(_cell(flat.get(name)) for name in COLUMNS)


def _part(fields: dict[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) else text


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
