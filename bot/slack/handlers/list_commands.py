"""Lists of `/approvals`: requests, decisions and permissions of a channel."""

import re
from typing import Any, Final

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.usecases import grant_changes
from countersign.usecases.listing import with_links

from ..views import commands_text, home
from ..views.block_kit import Drawing
from .context import Reply, Services, Word
from .payloads import sender

_PENDING: Final = 15
_DECIDED: Final = 10


async def _pending(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the requests that wait in this channel.

    They are those of runs started here, and those whose cards are posted here.
    """
    if rest:
        raise InvalidInput(commands_text.PENDING_ALONE)
    page = await services.homes.overview.waiting([sender(body).here], None, lambda request: True, _PENDING)
    listed = await with_links(services.store, services.homes.overview, services.link, page.requests)
    entries = home.entries(listed, reader=sender(body).user)
    return _reply(commands_text.pending_requests(entries, page.total, page.whole))


async def _history(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the last decisions here; `rest` is their number, at most 25."""
    if rest and not (re.fullmatch(r"[0-9]{1,4}", rest) and 1 <= int(rest) <= commands_text.MOST_DECIDED):
        raise InvalidInput(commands_text.NOT_A_NUMBER)
    requests = await services.homes.overview.decided(sender(body).here, int(rest or _DECIDED))
    listed = await with_links(services.store, services.homes.overview, services.link, requests)
    return _reply(commands_text.last_decisions(home.outcomes(listed, await services.store.now())))


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
    return _reply(commands_text.standing_permissions(here))


def _reply(listed: Drawing) -> Reply:
    return Reply(listed.text, blocks=listed.blocks or None)


WORDS: Final = {
    "pending": Word(_pending, commands_text.PENDING_HELP, on_record=False),
    "history": Word(_history, commands_text.HISTORY_HELP, on_record=False),
    "permissions": Word(_permissions, commands_text.PERMISSIONS_HELP, on_record=False),
}
"""The words of `/approvals` that list something."""
