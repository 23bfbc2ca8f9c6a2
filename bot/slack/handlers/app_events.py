"""Handle events about the app: it joins a channel, its Home opens, it is removed."""

import logging
from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import AttemptId, ChannelId, UserId, short_name
from countersign.usecases import recorded_events

from .context import Services

_log = logging.getLogger(__name__)


async def on_joined(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Record the app's own arrival in a channel, once for each delivery (R8)."""
    event = body["event"]
    try:
        if event.get("user") == services.bot_user:
            await recorded_events.invited(
                services.store,
                AttemptId("e" + short_name(str(body.get("event_id")), length=20)),
                workspace=services.directory.workspace,
                channel=ChannelId(str(event.get("channel"))),
                by=UserId.named(str(event.get("inviter") or "")),
                shared_outside=bool(body.get("is_ext_shared_channel")),
            )
    except StoreUnavailable as away:
        _log.warning("%s The channel %s is not greeted.", away, event.get("channel"))
    await ack()


async def on_home_opened(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Draw the Home that somebody opened.

    The event also comes for the app's messages tab, which is ignored.
    """
    await ack()
    event = body["event"]
    if event.get("tab") == "home":
        await services.homes.opened(UserId(event["user"]))


async def on_removed(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Log that this service's only token is gone.

    With installation by OAuth this event is handled elsewhere.
    """
    await ack()
    _log.error(
        "Slack says that the app was uninstalled or its token revoked (%s). Nothing is drawn without it; requests stay "
        "stored and expire by their deadlines. To go on, install the app again and start web with the new token.",
        body["event"]["type"],
    )
