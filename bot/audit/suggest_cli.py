"""Run `countersign policy suggest`: rules from the record, for people to read."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from countersign.domain.events import EventType
from countersign.domain.hash_chain import Kept
from countersign.domain.requests import How, Status
from countersign.policy import cli
from countersign.policy import file as policy_file
from countersign.policy.suggestion import Suggestion, Suggestions, as_rule
from countersign.terminal import show_table

from . import export_formats, recorded_calls, sources
from .sources import Lines, Since

LEAST: Final = 20
_QUARTER: Final = timedelta(days=90)
_COLUMNS: Final = ("rule", "approved", "only if", "any value")


@cli.app.command()
def suggest(
    file: cli.File,
    since: Since = None,
    record: Lines = None,
    least: Annotated[int, typer.Option(min=2, help="How often people must have approved it.")] = LEAST,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the file with the rules added.")] = None,
) -> None:
    """Propose rules for calls of low risk that people always approved.

    Changes no policy. Looks at 90 days without --since.
    """
    collected = Suggestions(cli.read(file))
    asyncio.run(collect(collected, record, export_formats.Filter(since or datetime.now(UTC) - _QUARTER)))
    suggestions = list(collected.made(least))
    if not suggestions:
        print(f"Nothing to suggest: no low-risk call was approved {least} times and never decided otherwise.")
        return
    rows = [
        [s.clause.name, str(s.asked), s.clause.condition or "–", ", ".join(s.unlimited) or "–"] for s in suggestions
    ]
    show_table(_COLUMNS, rows, title="Calls that people always approved, and a rule that would allow each:")
    if output is None:
        print("\nWrite them into a copy of the policy, and try it on the past: -o suggested.yaml")
        return
    output.write_text(with_rules(file.read_text(encoding="utf-8"), suggestions), encoding="utf-8")
    print(
        f"\nRead {output}, delete what should still be asked, and try it on the past:\n"
        f"  countersign audit replay --policy {output}"
    )


async def collect(collected: Suggestions, file: Path | None, selection: export_formats.Filter) -> None:
    """Give the questions and decisions of the record to the collector."""
    async for kept in sources.entries(file, selection, "Reading"):
        take(collected, kept)


def take(collected: Suggestions, kept: Kept | ValueError) -> None:
    """Give one entry to the collector; unreadable entries are left out."""
    try:
        was = recorded_calls.recorded(kept)
        if was is not None:
            collected.asked(was)
        elif isinstance(kept, Kept) and '"decision":' in kept.entry:
            entry = json.loads(kept.entry)
            if entry["type"] == EventType.REQUEST_DECIDED:
                collected.decided(entry["request"], _approved(entry))
    except (ValueError, KeyError, TypeError, RecursionError):
        return


def _approved(entry: dict[str, Any]) -> bool | None:
    data = entry["data"]
    if entry["outcome"] == Status.WITHDRAWN or data["how"] in (How.PERMISSION, How.POLICY):
        return None
    return entry["outcome"] == Status.APPROVED and data["how"] == How.REVIEWERS and "edited" not in data


def with_rules(text: str, suggestions: list[Suggestion]) -> str:
    """Return the text of a policy with the rules after its own.

    Its comments stay. WrongSettings if the result would not be a valid policy.
    """
    rules = yaml.safe_dump(
        [dict(as_rule(s.clause)) for s in suggestions], sort_keys=False, allow_unicode=True, width=110
    )
    lines = text.splitlines(keepends=True)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    own = next((value for key, value in root.value if key.value == "rules"), None) if root is not None else None
    if own is None or not own.value or own.flow_style:
        plain = {**(yaml.safe_load(text) or {}), "rules": []}
        plain["rules"] = [*((yaml.safe_load(text) or {}).get("rules") or ()), *yaml.safe_load(rules)]
        written = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
    else:
        at, indent = own.end_mark.line, " " * own.start_mark.column
        while lines[at - 1].strip() == "" or lines[at - 1].lstrip().startswith("#"):
            at -= 1
        if own.end_mark.column and at == len(lines) - 1:  # a last line without its end
            at, lines[-1] = len(lines), lines[-1].rstrip("\n") + "\n"
        new = "".join(f"{indent}{line}" for line in rules.splitlines(keepends=True))
        written = "".join(
            [*lines[:at], f"{indent}# Suggested from the record; nobody has applied them.\n", new, *lines[at:]]
        )
    policy_file.understand(written)
    return written
