"""Standing permissions (R24): they answer requests until they are revoked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.grants import Permission
from countersign.domain.ids import PermissionId, RequestId
from countersign.domain.people import Actor
from countersign.usecases import grant_changes
from countersign.usecases.ports import Queue, Store

from ..people import settings_check
from ..people.actors import actor_of
from ..people.directory import Directory
from ..views.slack_markup import mention
from .context import Desk, Reply
from .payloads import delivery, sender
from .responses import answer_click

_log = logging.getLogger(__name__)


def allowing(store: Store, queue: Queue, directory: Directory) -> Callable[[RequestId], Awaitable[None]]:
    """Return what is done with a new request before people are asked.

    A standing permission may answer it, one request at a time, because each use is counted; and a request that nobody
    could decide is turned down (R10).
    """
    turn = asyncio.Lock()

    async def whose(permission: Permission, rules: Rules) -> Actor:
        return await actor_of(store, directory, permission.workspace, permission.by, rules.reviewers)

    async def allow(request: RequestId) -> None:
        async with turn:
            try:
                await grant_changes.allow(store, queue, request, whose)
            except StoreUnavailable:
                raise
            except CountersignError as wrong:
                _log.error("Permissions were not looked at for request %s, so people are asked: %s", request, wrong)
        asked = await store.request(request)
        if asked is not None and asked.value.rules.reviewers.groups:
            seen = await usecases.admitted(store, request)
            if seen is not None and (why := await settings_check.why_nobody_could(directory, seen.value)) is not None:
                await usecases.turn_down(store, queue, request, why)

    return allow


async def on_revoke(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Revoke the permission whose button was clicked."""
    await answer_click(desk, ack, body, _revoke(desk, body))


async def _revoke(desk: Desk, body: dict[str, Any]) -> Reply:
    at, permission = sender(body), PermissionId(str(body["actions"][0].get("value")))
    seen = await desk.store.permission(permission)
    groups = (await usecases.rules_of(desk.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await desk.directory.actor(at.workspace, at.user, groups)
    ended = await grant_changes.revoke(desk.store, permission, actor, desk.admins, delivery(body))
    by, revoked_by = mention(ended.by), mention(ended.revoked_by or at.user)
    return Reply(
        f"Permission `{ended.id}`, given by {by}, is revoked by {revoked_by}; from now on people are asked again. "
        "What it allowed before stays as it is."
    )
