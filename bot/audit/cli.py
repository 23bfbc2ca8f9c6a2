"""Run `countersign audit export | verify | receipt | check | key | replay`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from countersign.domain.errors import CountersignError, InvalidInput, NotFound, WrongSettings
from countersign.domain.hash_chain import START, Head, Kept, Problem, Verifier, read_head
from countersign.domain.ids import RequestId
from countersign.policy import file, simulation
from countersign.settings import read
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.store import Store

from ..settings import AuditSettings
from . import export, policy_replay, receipts
from .card_links import meant

_MONTH: Final = timedelta(days=30)


def main(arguments: list[str]) -> int:
    """The exit status: 0 if all is well, 1 if what was checked is not to be believed, 2 if it could not be done."""
    asked = _parser().parse_args(arguments)
    try:
        match asked.verb:
            case "export":
                return asyncio.run(_export(asked))
            case "verify" if asked.file is not None:
                return _verify_file(asked)
            case "verify":
                return asyncio.run(_verify_redis(asked))
            case "receipt":
                return asyncio.run(_receipt(asked.request))
            case "check":
                return _check(asked)
            case "replay":
                return asyncio.run(_replay(asked))
        print(receipts.public_pem(receipts.private_key(read(AuditSettings).audit_key)), end="")
        return 0
    except BrokenPipeError:  # whoever read it has enough
        sys.stderr.close()
        return 0
    except WrongSettings as wrong:
        print("\n".join(wrong.problems), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or 'The file'}: it cannot be read ({error.strerror}).", file=sys.stderr)
        return 2
    except (CountersignError, ValueError, OverflowError) as wrong:
        print(wrong, file=sys.stderr)
        return 2


async def _export(asked: argparse.Namespace) -> int:
    async with _store() as store:
        requests = await meant(store, asked.request) if asked.request else ()
        wanted, ledger = export.Wanted(asked.since, asked.until, asked.run, requests), Ledger(store)
        if asked.format == "csv":
            print(export.heading(), end="")
        async for kept in export.chosen(ledger, wanted):
            print(export.row(kept) if asked.format == "csv" else kept.line() + "\n", end="")
        checkpoint = (await ledger.position()).checkpoint
    if checkpoint.n and wanted == export.Wanted():
        print(f"The record begins after entry {checkpoint.n}: verify it with --after {checkpoint}", file=sys.stderr)
    return 0


async def _verify_redis(asked: argparse.Namespace) -> int:
    async with _store() as store:
        ledger = Ledger(store)
        while True:
            try:
                start = await ledger.position()
            except ValueError as wrong:
                print(f"The head of the record was changed: {wrong}")
                return 1
            verifier = Verifier(start.checkpoint, [start.head, *asked.head])
            async for n, kept in ledger.all():
                verifier.take(kept, n)
            end = await ledger.position()
            if end.checkpoint == start.checkpoint:  # nothing was trimmed meanwhile
                break
    problems = verifier.end()
    if verifier.last > end.head.n:
        problems.append(Problem(end.head.n + 1, f"stands after the head, {end.head}."))
    for head in asked.head:
        if head.n < start.checkpoint.n:
            print(f"Head {head.n} cannot be compared: the record begins after entry {start.checkpoint.n}.")
    return _say(problems, verifier, start.checkpoint, end.head)


def _verify_file(asked: argparse.Namespace) -> int:
    after = asked.after or START
    verifier = Verifier(after, asked.head, extract=asked.extract)
    last = after
    with sys.stdin.buffer if str(asked.file) == "-" else asked.file.open("rb") as lines:
        for kept in export.read_lines(lines):
            verifier.take(kept)
            if not isinstance(kept, ValueError):
                last = Head(verifier.last, kept.hash)
    return _say(verifier.end(), verifier, after, last, extract=asked.extract, noted=bool(asked.head))


def _say(
    problems: list[Problem], verifier: Verifier, after: Head, head: Head, *, extract: bool = False, noted: bool = True
) -> int:
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {_entries(verifier)}.")
        return 1
    if extract:
        print(f"{_entries(verifier)}, as they were written. Whether others are missing, an extract cannot tell.")
        return 0
    begins = f" after {after}" if after.n else ""
    print(f"{_entries(verifier)}{begins}, nothing changed, removed or moved. Head {head}")
    if not noted:
        print("Whether entries are missing at the end, only a head noted elsewhere tells: --head <number>:<hash>.")
    return 0


def _entries(verifier: Verifier) -> str:
    return f"{verifier.count:,} entr{'y' if verifier.count == 1 else 'ies'}"


async def _receipt(request: str) -> int:
    settings = read(AuditSettings)
    key = receipts.private_key(settings.audit_key)
    async with _store() as store:
        ledger = Ledger(store)
        request, *others = await meant(store, request)
        if others:
            every = ", ".join([request, *others])
            raise InvalidInput(f"A receipt is about one request, and on that card are {every}. Name one of them.")
        seen = await store.request(RequestId(request))
        after = await ledger.before(seen.value.created_at) if seen else 0
        found = [kept async for n, kept in ledger.all(after) if _read(n, kept).get("request") == request]
        if not any(kept.fields().get("type") == "request_decided" for kept in found):
            raise NotFound(f"The record tells of no decision on request “{request[:40]}”; nothing was signed.")
        head, now = (await ledger.position()).head, await store.now()
    print(receipts.receipt(request, found, head, now, key))
    return 0


def _read(n: int, kept: Kept) -> dict[str, Any]:
    try:
        return kept.fields()
    except ValueError:
        raise ValueError(
            f"Entry {n} of the record cannot be read, so nothing was signed. `countersign audit verify` says more."
        ) from None


def _check(asked: argparse.Namespace) -> int:
    text = sys.stdin.read() if str(asked.file) == "-" else asked.file.read_text(encoding="utf-8", errors="replace")
    said, wrong = receipts.check(text, asked.key.read_bytes())
    if wrong is not None:
        print(f"Not to be believed. {wrong}")
        return 1
    print(f"Request {said['request']}, as signed at {said['written']} with the record at {said['head']}:")
    for part in said["entries"]:
        entry = part["entry"]
        by = " ".join(entry.get("decision", {}).get("by", ())) or entry.get("user", "")
        print(f"  {entry['n']} {entry['at']} {entry['type']}: {entry['outcome']}{' by ' + by if by else ''}")
    return 0


async def _replay(asked: argparse.Namespace) -> int:
    book = file.read(asked.policy)
    since = asked.since or (asked.until or datetime.now(UTC)) - _MONTH
    replayed, unread = [], 0
    async for kept in _entries_of(asked.file, export.Wanted(since, asked.until)):
        try:
            if (was := policy_replay.recorded(kept)) is not None:
                replayed.append(simulation.replay(book, was))
        except ValueError:
            unread += 1
    if asked.format == "jsonl":
        print("".join(policy_replay.line(one) + "\n" for one in replayed), end="")
    else:
        span = f"from {_said(since)} to {_said(asked.until) if asked.until else 'now'}"
        many = f"{len(replayed):,} action{'' if len(replayed) == 1 else 's'}" if replayed else "No action"
        print(f"{many} on record {span}{f', under {asked.policy}:' if replayed else ': nothing to replay.'}")
        print("".join(line + "\n" for line in policy_replay.table(replayed, everything=asked.all)), end="")
    if unread:
        print(f"Entries that cannot be read, left out: {unread:,}. `audit verify` names them.", file=sys.stderr)
    return 2 if unread and not replayed else 0


async def _entries_of(file: Path | None, wanted: export.Wanted) -> AsyncIterator[Kept | ValueError]:
    if file is None:
        async with _store() as store:
            async for kept in export.chosen(Ledger(store), wanted):
                yield kept
        return
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines:
        for one in export.read_lines(lines):
            if isinstance(one, ValueError) or export.fits(one, wanted):
                yield one


@asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    settings = read(AuditSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        yield Store(client, settings.namespace)


def _said(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _moment(text: str) -> datetime:
    """`2026-03-06` or `2026-03-06T17:00:00+01:00`; UTC where it does not say."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text[:40]}” is no moment. Write 2026-03-06 or 2026-03-06T17:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _head(text: str) -> Head:
    try:
        return read_head(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="countersign audit", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    out = verbs.add_parser("export", help="write the record to standard output")
    out.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", help="jsonl can be verified")
    out.add_argument("--since", type=_moment, help="from this moment on: 2026-03-06 or 2026-03-06T17:00, UTC")
    out.add_argument("--until", type=_moment, help="before this moment")
    out.add_argument("--run", default="", help="only what belongs to this run")
    out.add_argument("--request", default="", help="only what belongs to this request, or to the card of this link")
    verify = verbs.add_parser("verify", help="find what was changed, removed or moved, in Redis or in exported lines")
    verify.add_argument("file", type=Path, nargs="?", help="exported JSON lines, - for standard input; else Redis")
    verify.add_argument("--head", type=_head, action="append", default=[], help="a head that was noted, n:hash")
    verify.add_argument("--after", type=_head, help="what the first entry of the file follows, n:hash")
    verify.add_argument("--extract", action="store_true", help="the file holds only some entries")
    receipt = verbs.add_parser("receipt", help="a signed account of one request's decision")
    receipt.add_argument("request", help="its id, or the link of its card")
    check = verbs.add_parser("check", help="say whether a receipt is to be believed")
    check.add_argument("file", type=Path, help="the receipt, - for standard input")
    check.add_argument("--key", type=Path, required=True, help="the public key, PEM")
    verbs.add_parser("key", help="the public key that receipts are checked with")
    again = verbs.add_parser("replay", help="what another policy would have done to what is on record")
    again.add_argument("--policy", type=Path, required=True, help="the other approvals.yaml")
    again.add_argument("--since", type=_moment, help="from this moment on; left out: 30 days before the end")
    again.add_argument("--until", type=_moment, help="before this moment; left out: now")
    again.add_argument("--file", type=Path, help="exported JSON lines, - for standard input; else Redis")
    again.add_argument("--format", choices=["table", "jsonl"], default="table", help="jsonl is for programs")
    again.add_argument("--all", action="store_true", help="in the table also what comes out as before")
    return parser
