"""Plots of the figures: SVG for the page, PNG for a message.

Letters and lines of the SVG have the colour of the text around. Each plot is as wide as a phone, so its letters are
readable there; a desktop shows two beside each other.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from countersign.domain.errors import WrongSettings
from countersign.terminal import printable

from .figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {
    "approved": "#2e7d4f",
    "edited": "#5aa9a0",
    "answered": "#3f74c4",
    "rejected": "#c4483f",
    "expired": "#d99a2b",
    "withdrawn": "#8a8f98",
}
"""Outcome -> colour; any other is grey. They differ in lightness too."""
_BAR: Final = "#3f74c4"
_TAIL: Final = "#a9c3ea"
_INK: Final = "#010203"
"""A colour that nothing else has: in the page it is that of the text around."""
_SIZE: Final = (5.2, 2.9)
_MOST_ROWS: Final = 8
_MOST_DAYS: Final = 35
_TICKS: Final = 6
_LEGEND: Final[Any] = {
    "labelcolor": _INK,
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1.0),
    "handlelength": 1,
    "frameon": False,
}
_SETTINGS: Final[Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "countersign",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.fontsize": 9,
    "text.parse_math": False,
}


def by_day(figures: Figures) -> "Figure":
    """Plot decisions by day and outcome; by week where it is a long time."""
    counts = _grouped(figures)
    figure, axes = _figure()
    days = sorted(counts)
    below = [0] * len(days)
    outcomes = [name for name in COLOURS if any(counts[day].get(name) for day in days)]
    outcomes += sorted({name for day in days for name in counts[day]} - set(outcomes))
    days_wide = 1 if step(figures) == "day" else 7
    for name in outcomes:
        heights = [counts[day].get(name, 0) for day in days]
        axes.bar(days, heights, 0.85 * days_wide, below, color=COLOURS.get(name, "#8a8f98"), label=name)  # type: ignore[arg-type]
        below = [a + b for a, b in zip(below, heights, strict=True)]
    if days:
        every = days_wide * math.ceil(((days[-1] - days[0]).days // days_wide + 1) / _TICKS)
        shown = [days[0] + timedelta(days=n) for n in range(0, (days[-1] - days[0]).days + 1, every)]
        axes.set_xticks(shown, [f"{day:%-d %b}" for day in shown])  # type: ignore[arg-type]
        axes.legend(ncols=4, columnspacing=1, **_LEGEND)
    axes.locator_params("y", integer=True)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def waits(figures: Figures, called: Mapping[str, str]) -> "Figure":
    """Plot the median and 95th percentile of the time to a decision, by channel."""
    channels = sorted(figures.channels.items(), key=lambda entry: -entry[1].waits.count)[:_MOST_ROWS]
    rows = [
        (called.get(name, name), channel.waits.quantile(0.5), channel.waits.quantile(0.95))
        for name, channel in channels
        if channel.waits.count
    ]
    figure, axes = _figure(len(rows))
    places = _named(axes, [row[0] for row in rows])
    axes.barh(places, [row[2].total_seconds() / 60 for row in rows], 0.6, color=_TAIL, label="95 % within")
    axes.barh(places, [row[1].total_seconds() / 60 for row in rows], 0.3, color=_BAR, label="median")
    axes.set_xlabel("minutes")
    if rows:
        axes.legend(ncols=2, **_LEGEND)
    return figure


def bars(rows: Sequence[tuple[str, int]], label: str) -> "Figure":
    """Plot numbers by name, the first ones."""
    figure, axes = _figure(min(len(rows), _MOST_ROWS))
    places = _named(axes, [name for name, _ in rows[:_MOST_ROWS]])
    axes.barh(places, [number for _, number in rows[:_MOST_ROWS]], 0.6, color=_BAR)
    axes.set_xlabel(label)
    axes.locator_params("x", integer=True, nbins=4)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _named(axes: "Axes", names: Sequence[str]) -> range:
    """Write the names beside the rows, and return the rows' positions.

    The first name is on top, and long names are cut.
    """
    places = range(len(names))
    axes.set_yticks(places, [printable(name if len(name) < 25 else f"{name[:23]}…") for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    return places


def svg(figure: "Figure", describes: str) -> str:
    """Write it for a page: as wide as there is room, in the colour of its text."""
    file = io.StringIO()
    with _look():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<svg ([^>]*?)\bwidth="[^"]*"', r"<svg \1", re.sub(r'(<svg [^>]*?)height="[^"]*" ', r"\1", text))
    # Each plot's names of its parts are its own: in one page they would meet.
    mark = f"p{crc32(describes.encode())}"
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{mark}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{describes}" ', 1)


def png(figure: "Figure") -> bytes:
    """Write it as a picture on white."""
    file = io.BytesIO()
    with _look():
        figure.savefig(file, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def step(figures: Figures) -> str:
    """Name the span of a bar of decisions."""
    return "week" if figures.days and (max(figures.days) - min(figures.days)).days >= _MOST_DAYS else "day"


def _grouped(figures: Figures) -> dict[date, Mapping[str, int]]:
    if step(figures) == "day":
        return dict(figures.days)
    weeks: dict[date, dict[str, int]] = {}
    for day, outcomes in figures.days.items():
        week = weeks.setdefault(day - timedelta(days=day.weekday()), {})
        for name, count in outcomes.items():
            week[name] = week.get(name, 0) + count
    return dict(weeks)


def _figure(rows: int = _MOST_ROWS) -> tuple["Figure", "Axes"]:
    with _look():
        from matplotlib.figure import Figure  # without pyplot: nothing global, and no window

        height = _SIZE[1] if rows >= _MOST_ROWS else 0.9 + 0.32 * max(rows, 1)
        figure = Figure((_SIZE[0], height), layout="constrained")
        return figure, figure.subplots()


def _look() -> AbstractContextManager[None]:
    try:
        import matplotlib
    except ImportError:
        raise WrongSettings(
            ["The page needs a package that is not installed: pip install 'countersign-slack[report]'. "
             "`--json`, or no -o at all, works without it."]
        ) from None  # fmt: skip
    return matplotlib.rc_context(_SETTINGS)
