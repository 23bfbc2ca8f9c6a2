"""One figure of the benchmark, and the table of all of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

UNPACED: Final = 100.0
"""Of Slack's rates, where our own work is measured: what they leave is another question, see `slack_rates`."""


@dataclass(frozen=True)
class Figure:
    """A measured ratio beside the limit that was measured in the same run.

    `ratio` is what `aim` is about, in `unit`; `at_least`: the aim is a lower bound. `last`: the ratio of the version
    before, "" if it was not measured. A figure without an aim is for information.
    """

    question: str
    limit: str
    ours: str
    ratio: float
    unit: str = "×"
    aim: float | None = None
    at_least: bool = False
    last: str = ""

    @property
    def verdict(self) -> str:
        """Check whether the aim is met, by the digits that are shown."""
        if self.aim is None:
            return ""
        shown = float(self._number(self.ratio))
        return "met" if (shown >= self.aim if self.at_least else shown <= self.aim) else "MISSED"

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the table's cells.

        They are question, limit, ours, ratio, aim, last version and verdict.
        """
        bound = "" if self.aim is None else f"{'≥' if self.at_least else '≤'} {self._shown(self.aim)}"
        return self.question, self.limit, self.ours, self._shown(self.ratio), bound, self.last or "–", self.verdict

    def _shown(self, value: float) -> str:
        if self.unit == "×":
            return f"× {self._number(value)}"
        return f"{float(self._number(value)):,g} {self.unit}"

    def _number(self, value: float) -> str:
        return f"{value:.2f}" if self.unit == "×" else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


_HEADS = ("question", "limit", "ours", "ratio", "aim", "last version", "")


def table(figures: Sequence[Figure]) -> str:
    """All figures, a line each, in columns as wide as their widest cell."""
    rows = [_HEADS, *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that this percentage does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
