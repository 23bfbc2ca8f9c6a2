"""Lists of `/approvals`: requests, decisions and permissions of a channel."""

import re
from typing import Any, Final

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.usecases import grant_changes

from ..request_links import with_links
from ..views import home
from ..views.block_kit import Block, context, fitting, mrkdwn
from .context import Desk, Reply, Word
from .payloads import sender

_PENDING: Final = 15
_DECIDED: Final = 10
_MOST: Final = 25


async def _pending(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    """List what waits in this channel.

    These are requests of runs started here, and those whose cards are posted here.
    """
    if rest:
        raise InvalidInput("Nothing goes after `/approvals pending`; it lists what waits in this channel.")
    page = await desk.homes.overview.waiting([sender(body).here], None, lambda request: True, _PENDING)
    if not page.requests:
        return Reply("Nothing waits for a decision here.")
    listed = await with_links(desk.store, desk.homes.overview, desk.link, page.requests)
    wait = "request waits" if page.total == 1 else "requests wait"
    head = f"{home.count(page.total, page.whole)} {wait} for a decision here"
    entries = home.entries(listed, who=True)
    return Reply(head, blocks=_fitting(head, entries, page.total, page.whole))


async def _history(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    """List the last decisions here; `rest` is their number, at most 25."""
    if rest and not (re.fullmatch(r"[0-9]{1,4}", rest) and 1 <= int(rest) <= _MOST):
        raise InvalidInput(f"How many? Write a number from 1 to {_MOST}, like `/approvals history 5`.")
    requests = await desk.homes.overview.decided(sender(body).here, int(rest or _DECIDED))
    if not requests:
        return Reply("Nothing was decided here in the last 30 days.")
    listed = await with_links(desk.store, desk.homes.overview, desk.link, requests)
    head = "The last decision here" if len(requests) == 1 else f"The last {len(requests)} decisions here"
    entries = [[block] for block in home.outcomes(listed)]
    return Reply(head, blocks=_fitting(head, entries, len(entries)))


async def _permissions(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    """List the permissions of this channel.

    They are those of runs started here, and in an approvals channel those of all runs whose cards go there.
    """
    at, here = sender(body), []
    for permission in await grant_changes.in_force(desk.store):
        if permission.workspace != at.workspace:
            continue
        rules = await usecases.rules_of(desk.store, permission.channel)
        if at.channel in (permission.channel, rules.approvals_channel):
            here.append(permission)
    text, blocks = home.permission_list(here)
    return Reply(text, blocks=blocks or None)


def _fitting(head: str, entries: list[list[Block]], total: int, whole: bool = True) -> list[Block]:
    """The first entries, as many as one message holds, and how many there are besides."""
    blocks, shown = fitting(head, entries)
    return [*blocks, context(mrkdwn(f"and {home.count(total - shown, whole)} more"))] if total > shown else blocks


WORDS: Final = {
    "pending": Word(
        _pending, "*`/approvals pending`* lists what waits for a decision in this channel", on_record=False
    ),
    "history": Word(
        _history, "*`/approvals history`* (or `history 25`) lists what was decided here last", on_record=False
    ),
    "permissions": Word(
        _permissions, "*`/approvals permissions`* lists what is not asked again, and ends it", on_record=False
    ),
}
"""The words of `/approvals` that list something."""
