"""Sentences that `countersign audit` and `policy suggest` print."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from countersign.domain.hash_chain import Head

NOT_NOTED: Final = "To see whether entries are missing at the end, give a head noted elsewhere: --head <number>:<hash>."
NOT_A_KEY: Final = "The key isn't a public key in PEM form."
NOT_ED25519: Final = "The key isn't an Ed25519 key."
NOT_SIGNED_SO: Final = "The signature doesn't match: the receipt was changed, or another key signed it."
NOT_A_RECEIPT: Final = "This isn't a receipt."
SUGGESTED: Final = "Calls that people always approved, and a rule that would allow each:"
WHERE_TO_WRITE: Final = "\nWrite them into a copy of the policy, and try it on the past: -o suggested.yaml"


def begins_after(checkpoint: Head) -> str:
    """Say how to verify a record that begins later."""
    return f"The record begins after entry {checkpoint.n}: verify it with --after {checkpoint}"


def head_changed(why: Exception) -> str:
    """Say that the head itself is not to be believed."""
    return f"The head of the record was changed: {why}"


def after_the_head(head: Head) -> str:
    """Say of an entry that nothing can follow."""
    return f"comes after the head, {head}."


def not_compared(head: Head, checkpoint: Head) -> str:
    """Say that a head was noted before the record begins."""
    return f"Head {head.n} can't be compared: the record begins after entry {checkpoint.n}."


def problems(many: int, count: int) -> str:
    """Count the problems."""
    return f"{many} problem{'s' if many > 1 else ''} in {_entries(count)}."


def extract_whole(count: int) -> str:
    """Say that an extract has nothing wrong."""
    return f"{_entries(count)}, as they were written. An extract can't tell whether others are missing."


def whole(count: int, after: Head, head: Head) -> str:
    """Say that nothing is wrong."""
    begins = f" after {after}" if after.n else ""
    return f"{_entries(count)}{begins}, nothing changed, removed or moved. Head {head}"


def unread(count: int) -> str:
    """Count the entries that were left out."""
    return f"{_entries(count)} can't be read, so left out. `audit verify` names {'it' if count == 1 else 'them'}."


def unread_entry(n: int) -> str:
    """Say that a receipt would leave an entry out."""
    return f"Entry {n} of the record can't be read, so nothing was signed. For details, run `countersign audit verify`."


def no_card(link: str) -> str:
    """Say that a link leads to no request."""
    return (
        f"“{link[:120]}” doesn't lead to a known card. Copy the link of the card, or of a reminder about it; after "
        "400 days, use the request's id."
    )


def several_requests(requests: Sequence[str]) -> str:
    """Say that a link leads to several requests."""
    return f"That card shows several requests: {', '.join(requests)}. Name one of them."


def no_decision(request: str) -> str:
    """Say that there is nothing to sign."""
    return f"The record has no decision on request “{request[:40]}”; nothing was signed."


def unusable_key(path: Path, why: Exception) -> str:
    """Say that the file holds no key, or cannot be read."""
    return f"AUDIT_KEY: {path} can't be used as a key ({why})."


def other_key(path: Path) -> str:
    """Say that the file holds a key of another kind."""
    return f"AUDIT_KEY: {path} isn't an Ed25519 key. Make one: openssl genpkey -algorithm ed25519"


def other_schema(schema: int) -> str:
    """Say that the receipt is of another version."""
    return f"This program can't read this receipt; it reads schema {schema}."


def entry_changed(n: object) -> str:
    """Say that an entry of a receipt is not to be believed."""
    return f"Entry {n} doesn't match its hash, or belongs to another request."


def do_not_trust(problem: str) -> str:
    """Say that a receipt is not to be believed."""
    return f"Do not trust this receipt. {problem}"


def signed(request: str, written: str, head: str) -> str:
    """Begin the account of a receipt that is to be believed."""
    return f"Request {request}, as signed at {written} with the record at {head}:"


def replayed(many: int, policy: Path, since: datetime, until: datetime | None) -> str:
    """Count the actions that were replayed under another policy."""
    span = f"from {_in_utc(since)} to {_in_utc(until) if until else 'now'}"
    if not many:
        return f"No actions on record {span}: nothing to replay."
    return f"{many:,} action{'' if many == 1 else 's'} on record {span}, under {policy}:"


def page_written(page: Path, entries: int, decisions: int) -> str:
    """Say what the page of a report sums up."""
    return f"{page}: {entries:,} entries, {decisions:,} decisions."


def no_moment(text: str) -> str:
    """Say that an option names no point in time."""
    return f"“{text[:40]}” isn't a point in time. Write 2026-03-06, 2026-03-06T17:00 or 90d."


def nothing_to_suggest(least: int) -> str:
    """Say that no rule is suggested."""
    return f"Nothing to suggest: no low-risk call was approved {least} times and never decided otherwise."


def try_on_the_past(policy: Path) -> str:
    """Say what to do with a policy that holds suggested rules."""
    return (
        f"\nRead {policy}, delete what should still be asked, and try it on the past:\n"
        f"  countersign audit replay --policy {policy}"
    )


def _entries(count: int) -> str:
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"


def _in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
