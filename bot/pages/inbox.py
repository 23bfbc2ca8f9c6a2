"""Inbox of a person: pending requests, decisions and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countersign.domain.decision_attempts import waits_for
from countersign.domain.ids import RequestId, RunId
from countersign.domain.people import why_nobody
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.text.safe_text import quoted, typed
from countersign.usecases.overview import Listed

from ..slack.views.block_kit import count
from ..slack.views.home import entries
from ..slack.views.request_text import as_matter, decision_sentence, run_state, settled_line
from .block_html import Names, Node, TextPart, names_in, nodes, parts_of
from .desk import Desk, Name, PageReader

MOST_WAITING: Final = 15
MOST_AT_ONCE: Final = 100
"""Requests of a list at first, and if somebody asks for more."""
MOST_DECIDED: Final = 20
MOST_RUNS: Final = 10
MOST_SHOWN: Final = 60
"""Requests that a page shows as waiting, and asks about again."""


@dataclass(frozen=True, slots=True)
class Row:
    """A request in a list.

    `decided` names the decider, if it was decided while the page was open.
    """

    request: RequestId
    head: tuple[TextPart, ...]
    small: tuple[TextPart, ...]
    decided: tuple[TextPart, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of the reader: its state, team, task, and the requests it waits for."""

    run: RunId
    state: tuple[TextPart, ...]
    team: str
    task: str
    waits_for: tuple[RequestId, ...]


@dataclass(frozen=True, slots=True)
class Inbox:
    """All that the page shows; the counts are texts, "" for none."""

    mine: Sequence[Row]
    mine_count: str
    others: Sequence[Row]
    others_count: str
    decided: Sequence[Row]
    runs: Sequence[RunRow]
    batches: Sequence[tuple[RunId, int]]
    names: Names
    problem: str
    more: bool
    """Whether there are more than are listed, and they can be."""


async def read_inbox(
    desk: Desk, reader: PageReader, shown: Sequence[RequestId] = (), most: int = MOST_WAITING
) -> Inbox:
    """Read the inbox of somebody, with at most that many requests in a list.

    `shown` are requests that their page showed as waiting a moment ago.
    """
    actor, overview = reader.actor, desk.overview
    mine: Sequence[Request] = ()
    mine_count = ""
    if reader.actor.checked and why_nobody(actor, desk.workspace) is None:

        def fits(request: Request) -> bool:
            return waits_for(request, actor, reader.now)

        waiting = await overview.waiting(reader.names, actor.user, fits, most)
        mine, mine_count = waiting.requests, count(waiting.total, waiting.whole)
    seen = {request.id for request in mine}
    channels: list[Name] = sorted(reader.channels or ())
    elsewhere = await overview.waiting(
        channels, None, lambda one: not waits_for(one, actor, reader.now), most, beside=reader.names
    )
    decided = await overview.decided(actor.user, MOST_DECIDED)
    runs, _ = await overview.runs(actor.user, MOST_RUNS)
    open_of_runs = await desk.store.readable([name for run in runs for name in run.open.values()])
    here = {*seen, *(one.id for one in elsewhere.requests)}
    meanwhile = await _meanwhile(desk, reader, [one for one in shown[:MOST_SHOWN] if one not in here])
    first = await _rows(desk, mine)
    second = await _rows(desk, elsewhere.requests)
    third = await _settled_rows(desk, decided, reader)
    its_runs = [_run_row(run, open_of_runs, reader) for run in runs]
    mine_rows = [*meanwhile, *first]
    parts = [*mine_rows, *second, *third]
    names = await names_in(desk.directory, *((row.head, row.small, row.decided) for row in parts))
    return Inbox(
        mine_rows,
        mine_count,
        second,
        count(elsewhere.total, elsewhere.whole),
        third,
        its_runs,
        _batches(mine),
        names,
        _problem(reader),
        most == MOST_WAITING <= max(len(mine), len(elsewhere.requests)),
    )


def _problem(reader: PageReader) -> str:
    """Say what may be missing because Slack does not answer."""
    if not reader.actor.checked:
        return (
            "Slack didn't confirm whether you can decide, so nothing is listed for you. Reload this page in a moment."
        )
    if reader.unknown or reader.channels is None:
        return (
            "Slack didn't confirm all of your groups and channels, so some requests may be missing here. Reload this "
            "page in a moment."
        )
    return reader.slack_is_away


async def _rows(desk: Desk, requests: Sequence[Request]) -> list[Row]:
    runs = await desk.store.readable_runs(list(dict.fromkeys(request.run for request in requests)))
    teams = {name: run.team for name, run in runs.items() if run is not None}
    drawn = entries(Listed(requests, {}, len(requests), teams), on_page=True)
    rows = []
    for request, (first, place) in zip(requests, drawn, strict=True):
        head, *small = nodes([first, place])
        rows.append(Row(request.id, head.parts, _joined(small)))
    return rows


async def _settled_rows(desk: Desk, requests: Sequence[Request], reader: PageReader) -> list[Row]:
    runs = await desk.store.readable_runs(list(dict.fromkeys(request.run for request in requests)))
    rows = []
    for request in requests:
        if request.decision is not None:
            line = settled_line(request, request.decision, runs.get(request.run), reader.now)
            rows.append(Row(request.id, (TextPart("bold", as_matter(request.question)),), parts_of(line)))
    return rows


async def _meanwhile(desk: Desk, reader: PageReader, shown: Sequence[RequestId]) -> list[Row]:
    """Read the requests decided in the meantime, so that they do not just vanish."""
    found = await desk.store.readable(shown)
    return [
        Row(
            one.id,
            (TextPart("bold", as_matter(one.question)),),
            (),
            parts_of(decision_sentence(one, one.decision, reader.now)),
        )
        for one in found.values()
        if one is not None and one.decision is not None and reader.may_see(one)
    ]


def _run_row(run: Run, requests: dict[RequestId, Request | None], reader: PageReader) -> RunRow:
    waiting = [one for name in run.open.values() if (one := requests.get(name)) is not None and one.decision is None]
    state = parts_of(run_state(run, waiting, reader.actor.user))
    names = tuple(one.id for one in waiting)
    return RunRow(run.id, state, quoted(run.team, 40), typed(run.task)[:200], names)


def _batches(requests: Sequence[Request]) -> list[tuple[RunId, int]]:
    """Name the runs that ask for several things at once, with their number."""
    runs: dict[RunId, int] = {}
    for request in requests:
        runs[request.run] = runs.get(request.run, 0) + 1
    return [(run, number) for run, number in runs.items() if number > 1]


def _joined(lines: Sequence[Node]) -> tuple[TextPart, ...]:
    parts: list[TextPart] = []
    for line in lines:
        parts += [TextPart("text", " · "), *line.parts] if parts else line.parts
    return tuple(parts)
