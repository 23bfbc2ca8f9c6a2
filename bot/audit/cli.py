"""`python -m bot audit export|verify|receipt|check|key`: the record, looked at from outside."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from bot.audit import export, receipts
from bot.core.chain import START, Head, Problem, Verifier, read_head
from bot.core.errors import CountersignError, NotFound
from bot.core.ids import RequestId
from bot.settings import AuditSettings, read
from bot.store.connecting import connect
from bot.store.ledger import Ledger
from bot.store.store import Store


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
        print(receipts.public_pem(receipts.private_key(read(AuditSettings).audit_key)), end="")
        return 0
    except BrokenPipeError:  # whoever read it has enough
        sys.stderr.close()
        return 0
    except (CountersignError, OSError, ValueError) as wrong:
        print(wrong, file=sys.stderr)
        return 2


async def _export(asked: argparse.Namespace) -> int:
    wanted = export.Wanted(asked.since, asked.until, asked.run, asked.request)
    async with _store() as store:
        ledger = Ledger(store)
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
        seen = await store.request(RequestId(request))
        after = await ledger.before(seen.value.created_at) if seen else 0
        found = [kept async for _, kept in ledger.all(after) if export.Wanted(request=request).has(kept.fields())]
        if not any(kept.fields()["type"] == "request_decided" for kept in found):
            raise NotFound(f"The record tells of no decision on request “{request[:40]}”; nothing was signed.")
        head, now = (await ledger.position()).head, await store.now()
    print(receipts.receipt(request, found, head, now, key))
    return 0


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


@asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    settings = read(AuditSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        yield Store(client, settings.namespace)


def _moment(text: str) -> datetime:
    """`2026-03-06` or `2026-03-06T17:00:00+01:00`; UTC where it does not say."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot audit", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    out = verbs.add_parser("export", help="write the record to standard output")
    out.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", help="jsonl can be verified")
    out.add_argument("--since", type=_moment, help="from this moment on: 2026-03-06 or 2026-03-06T17:00, UTC")
    out.add_argument("--until", type=_moment, help="before this moment")
    out.add_argument("--run", default="", help="only what belongs to this run")
    out.add_argument("--request", default="", help="only what belongs to this request")
    verify = verbs.add_parser("verify", help="find what was changed, removed or moved, in Redis or in exported lines")
    verify.add_argument("file", type=Path, nargs="?", help="exported JSON lines, - for standard input; else Redis")
    verify.add_argument("--head", type=read_head, action="append", default=[], help="a head that was noted, n:hash")
    verify.add_argument("--after", type=read_head, help="what the first entry of the file follows, n:hash")
    verify.add_argument("--extract", action="store_true", help="the file holds only some entries")
    receipt = verbs.add_parser("receipt", help="a signed account of one request's decision")
    receipt.add_argument("request")
    check = verbs.add_parser("check", help="say whether a receipt is to be believed")
    check.add_argument("file", type=Path, help="the receipt, - for standard input")
    check.add_argument("--key", type=Path, required=True, help="the public key, PEM")
    verbs.add_parser("key", help="the public key that receipts are checked with")
    return parser
