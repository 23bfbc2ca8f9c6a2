"""`/approvals`: its subcommands, and those that list something.

Refusals are recorded. The subcommands for settings and absences are in `settings_changes` and `away_command`.
"""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from typing import Any, Final

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import PermissionId, UserId
from countersign.usecases import permission_use
from countersign.usecases.overview import with_links

from ..people.actors import admit
from ..views import commands_text, home, settings_text
from ..views.modal_parts import View
from ..views.slack_markup import drawn, unescape
from .ack_deadline import Work, change_on_record
from .context import Reply, Services, Subcommand
from .modal_opening import open_modal
from .payloads import delivery, sender

_PENDING: Final = 15
_DECIDED: Final = 10


class _Unclear(InvalidInput):
    """Error: an unclear command, explained to its sender and not recorded."""

    def __init__(self, sentence: str, usage: str) -> None:
        self.usage = usage
        super().__init__(sentence)


def approvals(words: Mapping[str, Subcommand]) -> Work:
    """Return the handler of `/approvals` with these subcommands.

    The subcommand "" is the bare command.
    """

    async def run(services: Services, body: dict[str, Any]) -> Reply:
        text = str(body.get("text") or "").strip()
        name, rest = (*text.split(maxsplit=1), "", "")[:2]
        name = name.lower()
        if name == "help":
            return Reply(
                "\n".join(settings_text.usage(typed, word.example, word.help) for typed, word in words.items())
            )
        word = words.get(name)
        recorded = word is None or word.on_record
        try:
            if not recorded:  # it only shows something
                await admit(services.directory, sender(body).user)
            async with change_on_record(services, body, sender(body).here, text) if recorded else nullcontext():
                if word is None:
                    alike = get_close_matches(name, filter(None, words), 1)
                    raise _Unclear(*settings_text.unknown_setting(unescape(name)[:40], alike[0] if alike else None))
                if word.empty is not None and not rest:
                    raise _Unclear(*await word.empty(services, body))
                if word.alone and rest:
                    raise InvalidInput(commands_text.with_nothing_after(name))
                return await word.run(services, body, rest)
        except _Unclear as unclear:
            return Reply(f"{drawn(unclear.sentence)}{unclear.usage}", False)

    return run


async def _pending(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the pending requests of this channel.

    They come from runs started here, or have their cards here.
    """
    page = await services.homes.overview.waiting([sender(body).here], None, lambda request: True, _PENDING)
    listed = await with_links(services.store, services.homes.overview, services.link, page.requests)
    entries = home.entries(listed, reader=sender(body).user)
    return Reply.of(commands_text.pending_requests(entries, page.total, page.whole))


async def _history(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the last decisions here; `rest` is their number, at most 25."""
    if rest and not (re.fullmatch(r"[0-9]{1,4}", rest) and 1 <= int(rest) <= commands_text.MOST_DECIDED):
        raise InvalidInput(commands_text.not_a_number())
    requests = await services.homes.overview.decided(sender(body).here, int(rest or _DECIDED))
    listed = await with_links(services.store, services.homes.overview, services.link, requests)
    return Reply.of(commands_text.last_decisions(home.outcomes(listed, await services.store.now())))


async def _permissions(services: Services, body: dict[str, Any], rest: str) -> Reply:
    """List the permissions of this channel.

    They belong to runs started here or, in an approvals channel, to all runs whose cards go there.
    """
    channel, here = sender(body).channel, []
    for permission in await permission_use.in_force(services.store):
        if permission.workspace != services.directory.workspace:
            continue
        rules = await usecases.rules_of(services.store, permission.channel)
        if channel in (permission.channel, rules.approvals_channel):
            here.append(permission)
    return Reply.of(commands_text.standing_permissions(here))


async def waiting_for_me(services: Services, body: dict[str, Any]) -> Reply:
    """List in a window the requests that wait for the user of the shortcut."""
    return await open_modal(services.client, body, _waiting_window(services, sender(body).user))


async def _waiting_window(services: Services, user: UserId) -> View:
    await admit(services.directory, user)
    return home.window(await services.homes.waiting_for(user))


LISTS: Final = {
    "pending": Subcommand(_pending, commands_text.PENDING_HELP, on_record=False, alone=True),
    "history": Subcommand(_history, commands_text.HISTORY_HELP, on_record=False),
    "permissions": Subcommand(_permissions, commands_text.PERMISSIONS_HELP, on_record=False, alone=True),
}
"""Subcommands of `/approvals` that list something."""


async def revoke(services: Services, body: dict[str, Any]) -> Reply:
    """Revoke the standing permission whose button was clicked (R24)."""
    user, permission = sender(body).user, PermissionId(str(body["actions"][0].get("value")))
    seen = await services.store.permission(permission)
    groups = (await usecases.rules_of(services.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await services.directory.actor(user, groups)
    ended = await permission_use.revoke(services.store, permission, actor, services.admins, delivery(body))
    return Reply(commands_text.permission_revoked(ended, ended.revoked_by or user))
