"""The windows of "approve and don't ask again" and of break-glass, and the list of standing permissions (R24)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.grants import Permission
from countersign.domain.ids import AttemptId, PermissionId, RequestId, short_name
from countersign.domain.people import Actor
from countersign.domain.requests import Verb
from countersign.usecases import grant_changes
from countersign.usecases.ports import Queue, Store

from ..people import settings_check
from ..people.directory import Directory
from ..views import home, modal_parts, review_modals
from ..views.card_controls import Handle
from ..views.slack_markup import mention
from . import card_actions, review
from .actors import actor_of
from .responses import Desk, Said, Who, answer_click, answer_window, delivered, said, who

_NOTHING_CHOSEN: Final = "Please choose what is not asked again, and for how long. Nothing was decided."
_log = logging.getLogger(__name__)


def allowing(store: Store, queue: Queue, directory: Directory) -> Callable[[RequestId], Awaitable[None]]:
    """What the scribe does before it draws a new request: a standing permission may answer it, one at a time, because
    each counts its use; and one that nobody could decide is turned down (R10)."""
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


async def on_permit_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve, and don't ask again: identity, time and digest are judged again, and both are stored in one step."""
    view, at = body["view"], who(body)
    if not modal_parts.has_read(view):
        await ack(response_action="errors", errors={modal_parts.READ: review.READ_FIRST})
        return
    try:
        wish = review_modals.wish_of(view)
    except ValueError:
        await ack(response_action="errors", errors={review_modals.SCOPE: _NOTHING_CHOSEN})
        return
    # The choice is part of the attempt: after a refusal the same window may be submitted with another.
    attempt = AttemptId("v" + short_name(view["id"], at.user, wish.scope, wish.span, length=20))
    handle, channel = Handle.read(view["private_metadata"]), modal_parts.channel_of(view)
    work = said(card_actions.count(desk, body, handle, attempt, Verb.APPROVE, "", wish=wish), "approval")
    await answer_window(desk, ack, body, work, review_modals.SCOPE, channel)


async def on_break_glass_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The requester decides alone: whether they may is judged here, whoever opened the window."""
    view, at = body["view"], who(body)
    if not modal_parts.has_read(view):
        await ack(response_action="errors", errors={modal_parts.READ: review.READ_FIRST})
        return
    reason = modal_parts.value(view, review_modals.REASON)
    attempt = AttemptId("v" + short_name(view["id"], at.user, reason, length=20))
    handle, channel = Handle.read(view["private_metadata"]), modal_parts.channel_of(view)
    work = said(card_actions.count(desk, body, handle, attempt, Verb.APPROVE, reason, break_glass=True), "approval")
    await answer_window(desk, ack, body, work, review_modals.REASON, channel)


async def on_revoke(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """A permission's button in the list."""
    await answer_click(desk, ack, body, _revoke(desk, body))


async def _revoke(desk: Desk, body: dict[str, Any]) -> Said:
    at, permission = who(body), PermissionId(str(body["actions"][0].get("value")))
    seen = await desk.store.permission(permission)
    groups = (await usecases.rules_of(desk.store, seen.value.channel)).reviewers.groups if seen else frozenset()
    actor = await desk.directory.actor(at.workspace, at.user, groups)
    ended = await grant_changes.revoke(desk.store, permission, actor, desk.admins, delivered(body))
    by, revoked_by = mention(ended.by), mention(ended.revoked_by or at.user)
    return Said(
        f"Permission `{ended.id}`, given by {by}, is revoked by {revoked_by}; from now on people are asked again. "
        "What it allowed before stays as it is."
    )


async def permissions_here(desk: Desk, at: Who) -> Said:
    """`/approvals permissions`: those of runs started in this channel, and in its approvals channel those of all whose
    cards go there."""
    found = []
    for one in await grant_changes.in_force(desk.store):
        if one.workspace != at.workspace:
            continue
        if (
            one.channel == at.channel
            or (await usecases.rules_of(desk.store, one.channel)).approvals_channel == at.channel
        ):
            found.append(one)
    text, blocks = home.permission_list(found)
    return Said(text, blocks=blocks or None)
