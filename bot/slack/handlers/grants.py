"""Revoke a standing permission by its button (R24)."""

from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.ids import PermissionId
from countersign.usecases import grant_changes

from ..views import commands_text
from .ack_deadline import answer_click
from .context import Reply, Services
from .payloads import delivery, sender


async def on_revoke(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Revoke the permission whose button was clicked."""
    await answer_click(services, ack, body, _revoke(services, body))


async def _revoke(services: Services, body: dict[str, Any]) -> Reply:
    at, permission = sender(body), PermissionId(str(body["actions"][0].get("value")))
    seen = await services.store.permission(permission)
    groups = (await usecases.rules_of(services.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await services.directory.actor(at.user, groups)
    ended = await grant_changes.revoke(services.store, permission, actor, services.admins, delivery(body))
    return Reply(commands_text.permission_revoked(ended, ended.revoked_by or at.user))
