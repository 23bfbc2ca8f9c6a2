"""The report as tables, as JSON, and as one page that needs no network."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from countersign.domain.durations import say_roughly

from . import export_formats, plots, sources
from .figures import Figures, Waits

_ZERO: Final = ' class="zero"'
_MOST: Final = 50
"""Rows of a table; the JSON has all."""
_STYLE: Final = (Path(__file__).parent / "report.css").read_text()


class ReportTable(NamedTuple):
    """A table of the report."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]


async def figures(file: Path | None, selection: export_formats.Filter) -> Figures:
    """Sum the selected entries up."""
    sums = Figures()
    async for kept in sources.entries(file, selection, "Reading"):
        sums.read(kept)
    return sums


def read_names(file: Path) -> dict[str, str]:
    """Read names of people and channels: lines of CSV with an id and a name."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return {row[0].strip(): row[1].strip() for row in csv.reader(lines) if len(row) > 1}


def as_json(sums: Figures, selection: export_formats.Filter, now: datetime) -> dict[str, Any]:
    """Return all figures as JSON; spans are in seconds, days and times in UTC."""
    span = {name: at.astimezone(UTC).isoformat() for name in ("since", "until") if (at := getattr(selection, name))}
    return {
        **span,
        "entries": sums.entries,
        "unread": sums.unread,
        "asked": sums.asked,
        "decided": sums.decided,
        "how": dict(sums.hows.most_common()),
        "waited": _spans(sums.waits),
        "days": {day.isoformat(): dict(outcomes) for day, outcomes in sorted(sums.days.items())},
        "channels": {
            name: {
                **_spans(channel.waits),
                "timeouts": channel.timeouts,
                "escalations": channel.escalations,
                "reminders": channel.reminders,
            }
            for name, channel in sorted(sums.channels.items())
        },
        "people": {name: {**_spans(load.waits), "outcomes": dict(load.outcomes)} for name, load in sums.most_loaded()},
        "actions": {name: dict(outcomes) for name, outcomes in sorted(sums.actions.items())},
        "passed": [{"rule": r, "tool": t, "calls": n} for (r, t), n in sums.passed.most_common()],
        "refused": [{"rule": r, "tool": t, "calls": n} for (r, t), n in sums.refused.most_common()],
        "programs": [{"name": n, "key": k, "asked": c} for (n, k), c in sums.programs.most_common()],
        "failures": [
            {"type": kind, "name": name, "count": f.count, "last": f.last, "run": f.run, "why": f.why}
            for (kind, name), f in sums.most_failed()
        ],
        "permissions": [
            {**{k: getattr(use, k) for k in ("tool", "team", "channel", "by", "until", "used")}, "permission": name}
            for name, use in sums.in_use(now)
        ],
    }


def _spans(waits: Waits) -> dict[str, float]:
    return {
        "count": waits.count,
        "median": waits.quantile(0.5).total_seconds(),
        "p95": waits.quantile(0.95).total_seconds(),
    }


def tables(sums: Figures, now: datetime, called: Mapping[str, str]) -> Iterator[ReportTable]:
    """Yield the tables that have rows."""
    for part in _tables(sums, now, called):
        if part.rows:
            yield ReportTable(part.title, part.columns, part.rows[:_MOST])


def _tables(sums: Figures, now: datetime, called: Mapping[str, str]) -> Iterator[ReportTable]:
    yield ReportTable("At a glance", ("figure", "value"), [[label, value] for label, value in _glance(sums)])
    yield ReportTable(
        "Time to decision",
        ("channel", "decided by people", "median", "95 % within", "timeouts", "escalations", "reminders"),
        [
            [
                called.get(name, name),
                f"{channel.waits.count:,}",
                say_roughly(channel.waits.quantile(0.5)) if channel.waits.count else "",
                say_roughly(channel.waits.quantile(0.95)) if channel.waits.count else "",
                f"{channel.timeouts:,}",
                f"{channel.escalations:,}",
                f"{channel.reminders:,}",
            ]
            for name, channel in sorted(sums.channels.items(), key=lambda entry: -entry[1].waits.count)
        ],
    )
    total = sum(load.outcomes.total() for load in sums.people.values())
    yield ReportTable(
        "Who carries the load",
        ("reviewer", "decisions", "share", "rejected", "median"),
        [
            [
                called.get(name, name),
                f"{load.outcomes.total():,}",
                f"{load.outcomes.total() / total:.0%}",
                f"{load.outcomes['rejected']:,}",
                say_roughly(load.waits.quantile(0.5)),
            ]
            for name, load in sums.most_loaded()
        ],
    )
    yield ReportTable(
        "Actions",
        ("action", "asked", "approved", "edited", "answered", "rejected", "expired"),
        [
            [
                name,
                *(f"{outcomes[key]:,}" for key in ("asked", "approved", "edited", "answered", "rejected", "expired")),
            ]
            for name, outcomes in sorted(sums.actions.items(), key=lambda entry: -entry[1]["asked"])
        ],
    )
    yield ReportTable(
        "Allowed automatically, by rule",
        ("rule", "tool", "calls"),
        [[rule or "the team's own code", tool, f"{count:,}"] for (rule, tool), count in sums.passed.most_common()],
    )
    yield ReportTable(
        "Refused by rule",
        ("rule", "tool", "calls"),
        [[rule or "the team's own code", tool, f"{count:,}"] for (rule, tool), count in sums.refused.most_common()],
    )
    yield ReportTable(
        "Programs that asked over HTTP",
        ("program", "key", "requests"),
        [[name, key, f"{count:,}"] for (name, key), count in sums.programs.most_common()],
    )
    yield ReportTable(
        "Standing permissions in use",
        ("tool", "team", "given by", "until", "requests approved"),
        [
            [
                use.tool,
                use.team,
                called.get(use.by, use.by),
                _moment(use.until),
                f"{use.used:,}",
            ]
            for _, use in sums.in_use(now)
        ],
    )
    yield ReportTable(
        "Failures",
        ("failed", "name", "times", "last", "run", "reason of the last"),
        [
            [
                _FAILED.get(kind, kind.replace("_", " ")),
                name,
                f"{failure.count:,}",
                _moment(failure.last),
                failure.run,
                failure.why,
            ]
            for (kind, name), failure in sums.most_failed()
        ],
    )


_FAILED: Final = {"run_failed": "run", "action_reported": "action", "card_not_posted": "card not posted"}


def _glance(sums: Figures) -> list[tuple[str, str]]:
    return [
        ("Requests", f"{sums.asked:,}"),
        ("Decisions", f"{sums.decided:,}"),
        ("Median time to decision", say_roughly(sums.waits.quantile(0.5)) if sums.waits.count else "–"),
        ("95 % decided within", say_roughly(sums.waits.quantile(0.95)) if sums.waits.count else "–"),
        ("Timeouts", f"{sums.timeouts:,}"),
        ("Escalations", f"{sums.escalations:,}"),
        ("Calls allowed automatically", f"{sums.passed.total():,}"),
        ("Failures", f"{sum(failure.count for failure in sums.failures.values()):,}"),
    ]


def page(sums: Figures, selection: export_formats.Filter, now: datetime, called: Mapping[str, str]) -> str:
    """Write the report as one HTML page.

    WrongSettings if the library that plots is not installed.
    """
    since = selection.since.astimezone(UTC) if selection.since else None
    until = (selection.until or now).astimezone(UTC)
    period = f"{f'{since:%-d %B %Y}' if since else 'the beginning'} to {until:%-d %B %Y}"
    people = [(called.get(name, name), load.outcomes.total()) for name, load in sums.most_loaded()]
    by_rule: Counter[str] = Counter()
    for (rule, _), count in sums.passed.items():
        by_rule[rule or "team's own code"] += count
    passed = by_rule.most_common()
    pictures = [
        (f"Decisions by {plots.step(sums)} and outcome", plots.by_day(sums), sums.decided),
        ("Time to decision by channel", plots.waits(sums, called), sums.waits.count),
        ("Who carries the load", plots.bars(people, "decisions"), len(people)),
        ("Allowed automatically, by rule", plots.bars(passed, "calls"), len(passed)),
    ]
    drawn = "".join(
        f"<figure><figcaption>{title}</figcaption>{plots.svg(picture, title)}</figure>"
        for title, picture, count in pictures
        if count
    )
    _, *parts = tables(sums, now, called)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Approvals, {period}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>Approvals</h1><p>{period} · {sums.entries:,} entries of the record · times in UTC</p></header>"
        f'<dl class="glance">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _glance(sums))}'
        f'</dl><section class="plots">{drawn}</section>{"".join(map(_table, parts))}'
        f"<footer>Written {now.astimezone(UTC):%-d %B %Y, %H:%M} UTC by <code>countersign audit report</code>.</footer>"
        "</body></html>\n"
    )


def _table(part: ReportTable) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in part.columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td data-name="{escape(name)}"{_ZERO if cell == "0" else ""}>{escape(cell)}</td>'
            for name, cell in zip(part.columns, row, strict=True)
        )
        + "</tr>"
        for row in part.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<section><h2>{escape(part.title)}</h2>{table}</section>"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if text else ""
