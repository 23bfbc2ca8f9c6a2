"""Lists of `/approvals`: what is pending in a channel, and what was decided."""

from collections.abc import Sequence
from typing import Final

from .block_kit import Block, Drawing, context, fitting, mrkdwn

MOST_DECIDED: Final = 25
"""Decisions that people may ask for at once."""
PENDING_HELP: Final = "*`/approvals pending`* lists this channel's pending requests"
HISTORY_HELP: Final = f"*`/approvals history`* (or `history {MOST_DECIDED}`) lists the latest decisions here"
PENDING_ALONE: Final = "Type `/approvals pending` with nothing after it; it lists this channel's pending requests."
NOT_A_NUMBER: Final = f"Give a number from 1 to {MOST_DECIDED}, like `/approvals history 5`."
_NOTHING_PENDING: Final = "No requests are pending here."
_NO_DECISIONS: Final = "No decisions here in the last 30 days."


def pending(entries: Sequence[list[Block]], total: int, whole: bool = True) -> Drawing:
    """List the pending requests; there are `total`, and even more if not `whole`."""
    if not entries:
        return Drawing(_NOTHING_PENDING, [])
    return _listed(f"{count(total, whole)} pending request{'s' if total != 1 else ''}", entries, total, whole)


def history(outcomes: Sequence[Block]) -> Drawing:
    """List the last decisions, the newest first."""
    if not outcomes:
        return Drawing(_NO_DECISIONS, [])
    many = len(outcomes)
    head = "The last decision here" if many == 1 else f"The last {many} decisions here"
    return _listed(head, [[block] for block in outcomes], many)


def more(total: int, whole: bool = True) -> Block:
    """Count those that are not shown."""
    return context(mrkdwn(f"and {count(total, whole)} more"))


def count(total: int, whole: bool = True) -> str:
    """Write a number, "" for zero; `whole` is False if it was not counted to its end."""
    return "" if total == 0 else f"{total:,}" if whole else f"more than {total:,}"


def _listed(head: str, entries: Sequence[list[Block]], total: int, whole: bool = True) -> Drawing:
    blocks, shown = fitting(head, entries)
    return Drawing(head, [*blocks, more(total - shown, whole)] if total > shown else blocks)
