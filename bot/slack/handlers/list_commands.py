"""Lists of `/approvals`: requests, decisions and permissions of a channel."""

import re
from typing import Any, Final

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.usecases import grant_changes
from countersign.usecases.listing import with_links

from ..views import home
from ..views.block_kit import Block, context, fitting, mrkdwn
from .context import Reply, Services, Word
from .payloads import sender

_PENDING: Final = 15
_DECIDED: Final = 10
_MOST: Final = 25


async def _pending(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the requests that wait in this channel.

    They are those of runs started here, and those whose cards are posted here.
    """
    if rest:
        raise InvalidInput("Use `/approvals pending` alone: it lists the requests of this channel.")
    page = await services.homes.overview.waiting([sender(body).here], None, lambda request: True, _PENDING)
    if not page.requests:
        return Reply("No requests are pending here.")
    listed = await with_links(services.store, services.homes.overview, services.link, page.requests)
    pending = "pending request" if page.total == 1 else "pending requests"
    head = f"{home.count(page.total, page.whole)} {pending}"
    entries = home.entries(listed, reader=sender(body).user)
    return Reply(head, blocks=_fitting(head, entries, page.total, page.whole))


async def _history(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the last decisions here; `rest` is their number, at most 25."""
    if rest and not (re.fullmatch(r"[0-9]{1,4}", rest) and 1 <= int(rest) <= _MOST):
        raise InvalidInput(f"Give a number from 1 to {_MOST}, like `/approvals history 5`.")
    requests = await services.homes.overview.decided(sender(body).here, int(rest or _DECIDED))
    if not requests:
        return Reply("No decisions here in the last 30 days.")
    listed = await with_links(services.store, services.homes.overview, services.link, requests)
    head = "The last decision here" if len(requests) == 1 else f"The last {len(requests)} decisions here"
    entries = [[block] for block in home.outcomes(listed)]
    return Reply(head, blocks=_fitting(head, entries, len(entries)))


async def _permissions(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the permissions of this channel.

    They are those of runs started here, and in an approvals channel those of all runs whose cards go there.
    """
    at, here = sender(body), []
    for permission in await grant_changes.in_force(services.store):
        if permission.workspace != services.directory.workspace:
            continue
        rules = await usecases.rules_of(services.store, permission.channel)
        if at.channel in (permission.channel, rules.approvals_channel):
            here.append(permission)
    text, blocks = home.permission_list(here)
    return Reply(text, blocks=blocks or None)


def _fitting(head: str, entries: list[list[Block]], total: int, whole: bool = True) -> list[Block]:
    """Draw as many entries as one message holds, and count the others."""
    blocks, shown = fitting(head, entries)
    return [*blocks, context(mrkdwn(f"and {home.count(total - shown, whole)} more"))] if total > shown else blocks


WORDS: Final = {
    "pending": Word(_pending, "*`/approvals pending`* lists the pending requests of this channel", on_record=False),
    "history": Word(
        _history, "*`/approvals history`* (or `history 25`) lists the latest decisions here", on_record=False
    ),
    "permissions": Word(
        _permissions, "*`/approvals permissions`* lists standing permissions, and revokes them", on_record=False
    ),
}
"""The words of `/approvals` that list something."""
