"""`countersign audit report`: the record as figures and as a page."""

import json
import re
import tracemalloc
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bot.audit import plots, recorded_calls
from bot.audit.entries import entry_of
from bot.audit.export_formats import Filter
from bot.audit.figures import Figures, Waits
from bot.audit.report import as_json, figures, page, tables
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import START, Head, Kept, seal
from countersign.domain.ids import RunId
from countersign.store.audit_log import StreamEvent
from countersign.store.record_codecs import EVENTS
from countersign.store.store import Store
from tests.audit.conftest import Audit
from tests.audit.generated_record import entries, fill, samples
from tests.sample_requests import HERE, NOW, call, request


async def test_report_figures_match_the_audit_log(audit: Audit, store: Store) -> None:
    """R25: each sum again, by hand, from the entries."""
    made = list(entries(1500, datetime.now(UTC)))
    await fill(store, made)
    recent = [entry for entry in made if entry["at"] > (datetime.now(UTC) - timedelta(days=40)).isoformat()]
    answer = await audit("report", "--since", "40d", "--json")
    figures = json.loads(answer.out)
    decided = [entry for entry in recent if entry["type"] == "request_decided"]
    by_people = [entry for entry in decided if entry["data"]["how"] == "reviewers"]
    assert (answer.status, figures["unread"]) == (0, 0)
    assert abs(figures["entries"] - len(recent)) <= 1
    assert sum(sum(day.values()) for day in figures["days"].values()) == figures["decided"]
    assert abs(figures["decided"] - len(decided)) <= 1
    people = Counter(entry["decision"]["by"][0] for entry in by_people)
    assert [abs(figures["people"][name]["count"] - count) <= 1 for name, count in people.items()] == [True] * 5
    half = median(float(entry["data"]["waited"]) for entry in by_people)
    assert abs(figures["waited"]["median"] - half) < 0.03 * half
    assert figures["passed"][0]["rule"] == "small refunds"
    assert figures["permissions"][0]["permission"] == "p0123456789"
    assert figures["failures"][0]["why"] == "The model is away."


@pytest.mark.slow
@pytest.mark.usefixtures("audit")
async def test_report_memory_does_not_grow_with_the_log(store: Store) -> None:
    """Entries are read one by one, and nothing of them is kept but sums."""

    async def peak(count: int) -> int:
        await store.client.delete(store.keys.audit)
        await fill(store, entries(count, datetime.now(UTC)))
        tracemalloc.start()
        try:
            assert (await figures(None, Filter())).entries == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = await peak(1_000)  # two pages
    assert await peak(6_000) < 1.5 * few


async def test_report_names_people_as_slack_did(audit: Audit, tmp_path: Path) -> None:
    """By their last decision; a name from `--names` counts more."""
    entry = {**samples()["approved"], "at": datetime.now(UTC).isoformat()}
    entry["decision"] = {**entry["decision"], "names": ["Bob"]}
    record, names = tmp_path / "record.jsonl", tmp_path / "names.csv"
    record.write_text(seal(START, entry).line() + "\n")
    names.write_text("U0BOB,Robert\n")
    shown = await audit("report", "--file", record)
    assert re.search(r"^Bob +1 ", shown.out, re.MULTILINE) and "U0BOB" not in shown.out
    assert "Robert" in (await audit("report", "--file", record, "--names", names)).out


@pytest.mark.slow
async def test_report_page_needs_no_network_and_escapes_text(audit: Audit, tmp_path: Path) -> None:
    """R15: what models and people wrote is data, in the page too."""
    head, lines = START, []
    evil = "<script src=//evil.example></script>"
    for entry in [*samples().values(), {**samples()["failed"], "data": {"result": evil, "team": evil}}]:
        kept = seal(head, {**entry, "at": datetime.now(UTC).isoformat()})
        head = Head(head.n + 1, kept.hash)
        lines.append(kept.line() + "\n")
    record, page, names = tmp_path / "record.jsonl", tmp_path / "report.html", tmp_path / "names.csv"
    record.write_text("".join(lines))
    names.write_text("U0BOB,Bob <b>B</b>\n")
    assert (await audit("report", "--file", record, "-o", page, "--names", names)).status == 0
    text = page.read_text()
    assert "<script" not in text
    assert "Bob &lt;b&gt;B&lt;/b&gt;" in text
    assert text.count("<svg ") == 4
    letters = re.findall(r"<text style=\"([^\"]*)\"", text)
    assert len(letters) > 20 and all("currentColor" in style for style in letters)
    outside = re.findall(r"""(?:src|href)=["'](?!#)([^"']*)|url\((?!#)([^)]*)""", text)
    assert outside == []
    assert "prefers-color-scheme: dark" in text and "@media print" in text


@pytest.mark.parametrize(
    "odd",
    [r"$\frac{$", "$5 and $6", "\x1b[2J\x1b]0;title\x07", "a\u202eb"],
    ids=["TeX", "money", "escapes", "a turned name"],
)
async def test_hostile_names_neither_break_nor_escape_the_report(audit: Audit, tmp_path: Path, odd: str) -> None:
    """R15: a worker says them; what looked like a formula of TeX ended the page, and escapes reached the terminal."""
    (passed,) = [entry for entry in samples().values() if entry["type"] == EventType.CALL_PASSED]
    said = {**passed, "at": datetime.now(UTC).isoformat(), "data": {**passed["data"], "clause": odd, "tool": odd}}
    record, page = tmp_path / "record.jsonl", tmp_path / "report.html"
    record.write_text(seal(START, said).line() + "\n")
    written = await audit("report", "--file", record, "-o", page)
    assert (written.status, written.err) == (0, "")
    assert "<svg " in page.read_text()
    shown = await audit("report", "--file", record)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown.out)


async def test_unreadable_entry_is_counted_and_named(audit: Audit, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text("noise\n")
    answer = await audit("report", "--file", record, "--json")
    assert json.loads(answer.out)["unread"] == 1
    assert "`audit verify` names it" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("name", samples())
def test_entry_with_a_wrong_type_leaves_the_rest_reported(name: str) -> None:
    """R29: of each field, at each level; a table of mixed types ended in a traceback."""
    entry: dict[str, Any] = {"at": NOW.isoformat(), **samples()[name]}
    wrong: list[Any] = [None, 7, 1e300, "x", "1e300", "nan", [], {}, [[]], {"x": {}}, True, [1], [{}]]
    changed = [{**entry, field: value} for field in entry for value in wrong]
    for field, part in entry.items():
        if isinstance(part, dict):
            changed += [{**entry, field: {**part, inner: value}} for inner in part for value in wrong]
    figures = Figures()
    for one in [*samples().values(), *changed]:
        figures.read(seal(START, one))
    figures.read(Kept("[]", ""))
    assert figures.unread > 1
    json.dumps(as_json(figures, Filter(), NOW))
    assert tables(figures, NOW, {})
    assert page(figures, Filter(), NOW, {})
    for one in changed:
        with suppress(ValueError):
            recorded_calls.recorded(seal(START, one))


def test_quantiles_are_within_a_percent_and_permissions_end() -> None:
    waits = Waits()
    for seconds in range(1, 10_001):
        waits.add(seconds)
    assert abs(waits.quantile(0.95).total_seconds() - 9500) <= 100
    figures = Figures()
    given = {"permission": "p1", "tool": "t", "team": "x", "channel": "C0X", "given_by": "U0BOB"}
    for until in ("2026-03-06T17:00:00+00:00", "2026-03-08T17:00:00+00:00"):
        data = {**given, "permission": until, "until": until}
        figures.take({"type": "permission_given", "outcome": "permission_given", "data": data})
    assert [name for name, _ in figures.in_use(datetime(2026, 3, 7, tzinfo=UTC))] == ["2026-03-08T17:00:00+00:00"]


def test_chart_keeps_empty_days_and_readable_labels() -> None:
    """Three days now and three a month later; beyond five weeks a bar is a week."""
    figures = Figures()
    for day in (date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 30)):
        figures.days[day]["approved"] = 5
    axes = plots.by_day(figures).axes[0]
    ticks = sorted(axes.get_xticks())
    assert plots.step(figures) == "day"
    assert {after - before for before, after in pairwise(ticks)} == {5.0}
    assert len(axes.patches) == 3
    figures.days[date(2026, 5, 1)]["rejected"] = 1
    axes = plots.by_day(figures).axes[0]
    assert plots.step(figures) == "week"
    assert len(axes.get_xticks()) <= 6


def test_failed_action_is_reported_with_its_reason() -> None:
    """R25: the entry is made of the event that the run wrote."""
    asked, figures = request(asked=call()), Figures()
    for failed in ("yes", "no"):
        data = {"failed": failed, "words": "The account is closed."}
        told = Event(EventType.ACTION_REPORTED, NOW, RunId("rtest"), asked.id, HERE, data=data)
        entry = entry_of(StreamEvent("1-0", EVENTS.dump(told)), asked)
        assert entry is not None and entry["outcome"] == {"yes": "failed", "no": "done"}[failed]
        figures.take(entry)
    failed_part = next(part for part in tables(figures, NOW, {}) if part.title == "Failures")
    assert failed_part.rows == [["action", "refund", "1", "2026-03-06 17:00", "rtest", "The account is closed."]]


def test_report_draws_calls_of_a_rule_as_one_bar() -> None:
    """Whatever the tools are called."""
    sums = Figures()
    sums.passed.update({("small refunds", "refund"): 3, ("small refunds", "refund_all"): 2, ("", "look_up"): 1})
    shown = page(sums, Filter(), datetime.now(UTC), {})
    plot = shown.partition("Allowed automatically, by rule")[2].partition("</figure>")[0]
    assert (plot.count("small refunds"), plot.count("team's own code")) == (1, 1)
