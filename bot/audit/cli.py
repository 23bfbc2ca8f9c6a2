"""Run the verbs of `countersign audit`."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from countersign.domain.errors import InvalidInput, NotFound
from countersign.domain.hash_chain import START, ChainProblem, Head, Kept, Verifier
from countersign.domain.ids import RequestId
from countersign.policy import file as policy_file
from countersign.policy import simulation
from countersign.process_settings import read
from countersign.store.audit_log import Ledger
from countersign.terminal import command_line, progress, run, show_table

from ..settings import AuditSettings
from . import export_formats, receipts, recorded_calls, report, signatures, sources
from .sources import Lines, Since, Until, count_entries, opened, requests_at, say_unread

_MONTH: Final = timedelta(days=30)
_QUARTER: Final = timedelta(days=90)
app = command_line("Export, verify, replay or report on the record.")


def main(arguments: list[str]) -> int:
    """Run a verb of `countersign audit` and return the exit status.

    0 on success, 1 if the checked data must not be believed, 2 if the command could not run.
    """
    return run(app, arguments, "countersign audit")


class Export(StrEnum):
    """Formats of an export; only JSON lines can be verified."""

    JSONL = "jsonl"
    CSV = "csv"


class Replay(StrEnum):
    """Formats of a replay."""

    TABLE = "table"
    JSONL = "jsonl"


@app.command("export")
def export_(
    format: Annotated[Export, typer.Option(help="jsonl can be verified.")] = Export.JSONL,
    since: Since = None,
    until: Until = None,
    run: Annotated[str, typer.Option(help="Only what belongs to this run.")] = "",
    request: Annotated[str, typer.Option(help="Only what belongs to this request, or to the card of this link.")] = "",
) -> None:
    """Write the record to standard output."""
    asyncio.run(_export(format, since, until, run, request))


async def _export(format: Export, since: datetime | None, until: datetime | None, run: str, request: str) -> None:
    async with opened() as store:
        requests = await requests_at(store, request) if request else ()
        checkpoint = (await Ledger(store).position()).checkpoint
    selection = export_formats.Filter(since, until, run, requests)
    if format is Export.CSV:
        print(export_formats.heading(), end="")
    async for kept in sources.entries(None, selection, "Exporting"):
        assert isinstance(kept, Kept), "Redis holds entries only"
        print(export_formats.row(kept) if format is Export.CSV else kept.line() + "\n", end="")
    if checkpoint.n and selection == export_formats.Filter():
        print(f"The record begins after entry {checkpoint.n}: verify it with --after {checkpoint}", file=sys.stderr)


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="Exported JSON lines, - for standard input; else Redis.", show_default=False)
    ] = None,
    head: Annotated[
        list[Head] | None, typer.Option(parser=sources.head, metavar="N:HASH", help="A head that was noted.")
    ] = None,
    after: Annotated[
        Head | None,
        typer.Option(parser=sources.head, metavar="N:HASH", help="What the first entry of the file follows."),
    ] = None,
    extract: Annotated[bool, typer.Option("--extract", help="The file holds only some entries.")] = False,
) -> None:
    """Find entries that were changed, removed or moved."""
    heads = head or []
    status = asyncio.run(_verify_redis(heads)) if file is None else _verify_file(file, heads, after or START, extract)
    raise typer.Exit(status)


async def _verify_redis(heads: list[Head]) -> int:
    async with opened() as store:
        ledger = Ledger(store)
        while True:
            try:
                start = await ledger.position()
            except ValueError as wrong:
                print(f"The head of the record was changed: {wrong}")
                return 1
            verifier = Verifier(start.checkpoint, [start.head, *heads])
            with progress("Verifying", start.head.n - start.checkpoint.n) as step:
                async for n, kept in ledger.all():
                    verifier.take(kept, n)
                    step()
            end = await ledger.position()
            if end.checkpoint == start.checkpoint:  # nothing was trimmed meanwhile
                break
    problems = verifier.end()
    if verifier.last > end.head.n:
        problems.append(ChainProblem(end.head.n + 1, f"comes after the head, {end.head}."))
    for head in heads:
        if head.n < start.checkpoint.n:
            print(f"Head {head.n} can't be compared: the record begins after entry {start.checkpoint.n}.")
    return _print_verdict(problems, verifier, start.checkpoint, end.head)


def _verify_file(file: Path, heads: list[Head], after: Head, extract: bool) -> int:
    verifier = Verifier(after, heads, extract=extract)
    last = after
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines, progress("Verifying", None) as step:
        for kept in export_formats.read_lines(lines):
            verifier.take(kept)
            step()
            if not isinstance(kept, ValueError):
                last = Head(verifier.last, kept.hash)
    return _print_verdict(verifier.end(), verifier, after, last, extract=extract, noted=bool(heads))


def _print_verdict(
    problems: list[ChainProblem],
    verifier: Verifier,
    after: Head,
    head: Head,
    *,
    extract: bool = False,
    noted: bool = True,
) -> int:
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {count_entries(verifier.count)}.")
        return 1
    if extract:
        print(
            f"{count_entries(verifier.count)}, as they were written. An extract can't tell whether others are missing."
        )
        return 0
    begins = f" after {after}" if after.n else ""
    print(f"{count_entries(verifier.count)}{begins}, nothing changed, removed or moved. Head {head}")
    if not noted:
        print("To see whether entries are missing at the end, give a head noted elsewhere: --head <number>:<hash>.")
    return 0


@app.command()
def receipt(request: Annotated[str, typer.Argument(help="Its id, or the link of its card.")]) -> None:
    """Sign a receipt of one request's decision."""
    asyncio.run(_receipt(request))


async def _receipt(request: str) -> None:
    settings = read(AuditSettings)
    key = receipts.private_key(settings.audit_key)
    content, enrolments = None, list[Kept]()
    async with opened() as store:
        ledger = Ledger(store)
        request, *others = requests = await requests_at(store, request)
        if others:
            raise InvalidInput(f"That card shows several requests: {', '.join(requests)}. Name one of them.")
        seen = await store.request(RequestId(request))
        after = await ledger.before(seen.value.created_at) if seen else 0
        entries = [kept async for n, kept in ledger.all(after) if _read(n, kept).get("request") == request]
        if not any(kept.fields().get("type") == "request_decided" for kept in entries):
            raise NotFound(f"The record has no decision on request “{request[:40]}”; nothing was signed.")
        used = signatures.keys_of([kept.fields() for kept in entries])
        if used:
            first = min(map(datetime.fromisoformat, used.values()))
            async for n, kept in ledger.all(await ledger.before(first)):
                fields = _read(n, kept)
                if fields.get("type") == "passkey_enrolled" and fields["data"].get("passkey") in used:
                    enrolments.append(kept)
        if seen is not None:
            content = signatures.content_of(seen.value)
        head, now = (await ledger.position()).head, await store.now()
    print(receipts.receipt(request, entries, head, now, key, enrolments=enrolments, content=content))


def _read(n: int, kept: Kept) -> dict[str, Any]:
    try:
        return kept.fields()
    except ValueError:
        raise ValueError(
            f"Entry {n} of the record can't be read, so nothing was signed. For details, run "
            "`countersign audit verify`."
        ) from None


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The receipt, - for standard input.")],
    key: Annotated[
        Path | None, typer.Option(help="The service's public key, PEM; else the receipt's own.", show_default=False)
    ] = None,
) -> None:
    """Say whether a receipt is to be believed, and what people proved."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8", errors="replace")
    receipt, problem = receipts.check(text, None if key is None else receipts.signer(text, key.read_bytes()))
    verdicts = [] if problem is not None else signatures.verdicts(receipt)
    problem = problem or next((verdict.problem for verdict in verdicts if verdict.problem), None)
    if problem is not None:
        print(f"Do not trust this receipt. {problem}")
        raise typer.Exit(1)
    print(f"Request {receipt['request']}, as signed at {receipt['written']} with the record at {receipt['head']}:")
    for part in receipt["entries"]:
        entry = part["entry"]
        by = " ".join(entry.get("decision", {}).get("by", ())) or entry.get("user", "")
        print(f"  {entry['n']} {entry['at']} {entry['type']}: {entry['outcome']}{' by ' + by if by else ''}")
    for verdict in verdicts:
        if verdict.sentence:
            print(f"  Entry {verdict.n}: {verdict.sentence}")
    if key is None:
        own = receipts.fingerprint(receipt["public_key"].encode())
        print(
            f"The receipt was signed by the service's key {own}, which it carries itself: compare it with the one that "
            "the service publishes, or give that with --key."
        )


@app.command()
def key() -> None:
    """Print the public keys that check receipts, the newest first."""
    print(receipts.public_pems(read(AuditSettings).audit_key), end="")


@app.command()
def replay(
    policy: Annotated[Path, typer.Option(help="The other approvals.yaml.")],
    since: Since = None,
    until: Until = None,
    file: Lines = None,
    format: Annotated[Replay, typer.Option(help="jsonl is for programs.")] = Replay.TABLE,
    all: Annotated[bool, typer.Option("--all", help="List also what comes out as before.")] = False,
) -> None:
    """Show what another policy would have done to recorded actions.

    Without --since, with those of the last 30 days.
    """
    raise typer.Exit(asyncio.run(_replay(policy, export_formats.Filter(since, until), file, format, all)))


async def _replay(
    policy: Path, selection: export_formats.Filter, file: Path | None, format: Replay, everything: bool
) -> int:
    book = policy_file.read(policy)
    since = selection.since or (selection.until or datetime.now(UTC)) - _MONTH
    replayed, unread = [], 0
    async for kept in sources.entries(file, export_formats.Filter(since, selection.until), "Replaying"):
        try:
            if (was := recorded_calls.recorded(kept)) is not None:
                replayed.append(simulation.replay(book, was))
        except ValueError:
            unread += 1
    if format is Replay.JSONL:
        print("".join(recorded_calls.line(action) + "\n" for action in replayed), end="")
    else:
        print(recorded_calls.summary(replayed, policy, since, selection.until), end="")
        if rows := recorded_calls.rows(replayed, everything=everything):
            print()
            show_table(recorded_calls.COLUMNS, rows)
    say_unread(unread)
    return 2 if unread and not replayed else 0


@app.command("report")
def report_(
    since: Since = None,
    until: Until = None,
    file: Lines = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page to write, like report.html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    names: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Names of people and channels: a line U012AB3CD,Bob for each.")
    ] = None,
) -> None:
    """Sum the record up: tables, JSON, or a page with plots.

    Without --since, the last 90 days.
    """
    now = datetime.now(UTC)
    selection = export_formats.Filter(since or now - _QUARTER, until or now)
    figures = asyncio.run(report.figures(file, selection))
    called = figures.names | (report.read_names(names) if names is not None else {})
    if output is not None:
        output.write_text(report.page(figures, selection, now, called), encoding="utf-8")
        done = f"{output}: {figures.entries:,} entries, {figures.decided:,} decisions."
        print(done, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(report.as_json(figures, selection, now), indent=2))
    elif output is None:
        for title, columns, rows in report.tables(figures, now, called):
            show_table(columns, rows, title=f"\n{title}")
    say_unread(figures.unread)
