"""Routes of Slack's payloads to their handlers; a button by its value (R1)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncAck, AsyncApp

from countersign.domain.ids import UserId

from .handlers import (
    agent_command,
    approvals_command,
    away_command,
    card_buttons,
    decision_modals,
    grants,
    invitations,
    list_commands,
    payloads,
    settings_changes,
    thread_replies,
)
from .handlers.ack_deadline import tell
from .handlers.acks import Ack
from .handlers.context import Reply, Services, Word
from .views import (
    answer_modals,
    button_labels,
    commands_text,
    edit_modal,
    review_modals,
    settings_modal,
    settings_text,
    start_modal,
    thread_notes,
    window_notices,
)

Listener = Callable[[Services, AsyncAck, dict[str, Any]], Awaitable[None]]

APPROVALS: Final[dict[str, Word]] = {**settings_changes.WORDS, **away_command.WORDS, **list_commands.WORDS}
COMMANDS: Final[dict[str, Listener]] = {
    "/agent": agent_command.on_agent,
    "/approvals": approvals_command.listener(APPROVALS),
}
ACTIONS: Final[dict[str, Listener]] = {
    start_modal.TEAM: agent_command.on_team_chosen,
    button_labels.STOP_RUN: agent_command.on_stop,
    thread_notes.TRY_AGAIN: agent_command.on_try_again,
    commands_text.REVOKE: grants.on_revoke,
    button_labels.START_TASK: agent_command.on_open,
    settings_text.OPEN_SETTINGS: settings_changes.on_open,
    settings_text.CONFIRM_PROPOSAL: settings_changes.on_confirm,
}
SUBMITS: Final[dict[str, Listener]] = {
    start_modal.START: agent_command.on_start_submit,
    settings_modal.WINDOW: settings_changes.on_settings_submit,
    settings_text.CONFIRM: settings_changes.on_confirm_submit,
    review_modals.APPROVE: decision_modals.on_review,
    review_modals.HIGH_RISK: decision_modals.on_high_risk,
    review_modals.PERMIT: decision_modals.on_permit,
    review_modals.BREAK_GLASS: decision_modals.on_break_glass,
    edit_modal.EDIT: decision_modals.on_edit,
    answer_modals.MORE: card_buttons.on_more,
    answer_modals.CHOOSE: decision_modals.on_choose,
    answer_modals.REJECT: decision_modals.on_reject,
    answer_modals.RESPOND: decision_modals.on_respond,
}
_log = logging.getLogger(__name__)


async def _on_home(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Draw the Home that somebody opened.

    The app's other tab holds their direct messages.
    """
    await ack()
    event = body["event"]
    if event.get("tab") == "home":
        await services.homes.opened(UserId(event["user"]))


async def _on_unknown_submit(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Close a window that this version does not know; the log says so."""
    _log.warning("A window that is not known was submitted: %s", body["view"].get("callback_id"))
    await ack()


async def _on_ended(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Say that this service's one token is gone.

    Where workspaces install by OAuth, no such event comes here.
    """
    await ack()
    _log.error(
        "Slack says that the app was uninstalled or its token revoked (%s). Nothing is drawn without it; requests stay "
        "stored and expire by their deadlines. To go on, install the app again and start web with the new token.",
        body["event"]["type"],
    )


EVENTS: Final[dict[str, Listener]] = {
    "agent_session_stopped": agent_command.on_session_stopped,
    "app_home_opened": _on_home,
    "member_joined_channel": invitations.on_joined,
    "message": thread_replies.on_message,
    "app_uninstalled": _on_ended,
    "tokens_revoked": _on_ended,
}


def register(app: AsyncApp, services: Services) -> None:
    """Register a handler for every payload that Slack can send."""

    async def failed(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        return await _failed(services, error, body, response)

    app.error(failed)
    # First, because Bolt tries them in turn, and a click is what people wait for.
    app.action(re.compile(rf"^(?!(?:{'|'.join(ACTIONS)})$)"))(bound(services, card_buttons.on_click))
    for action, listener in ACTIONS.items():
        app.action(action)(bound(services, listener))
    for command, listener in COMMANDS.items():
        app.command(command)(bound(services, listener))
    for callback, listener in SUBMITS.items():
        app.view_submission(callback)(bound(services, listener))
    for event, listener in EVENTS.items():
        app.event(event)(bound(services, listener))
    app.view_submission(re.compile(r""))(bound(services, _on_unknown_submit))


def bound(services: Services, listener: Listener) -> Callable[..., Awaitable[None]]:
    """Make a handler for Bolt, which returns as soon as it has acked.

    The services hold the rest of the work. By itself Bolt would look every 10 ms whether there is an ack, and drop its
    task after it.
    """

    async def handled(ack: AsyncAck, body: dict[str, Any]) -> None:
        if not payloads.fits(body):
            raise ValueError("no payload that Slack sends")
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            try:
                await listener(services, Ack(ack, acked, services, body), body)
            except Exception as error:
                if acked.done():
                    await _failed(services, error, body, None)
                else:
                    acked.set_exception(error)
            finally:
                if not acked.done():
                    acked.set_result(None)

        services.hold(work())
        await acked

    return handled


async def _failed(
    services: Services, error: Exception, body: dict[str, Any], response: BoltResponse | None
) -> BoltResponse | None:
    """Log a bug of ours, tell the person, and ack.

    A payload of an unknown shape is refused.
    """
    if not payloads.fits(body):
        _log.warning("A payload whose shape is none of Slack's was refused (%s).", type(error).__name__)
        return BoltResponse(status=400, body="") if response is not None else None
    _log.error(
        "A listener failed for %s: %r", (body.get("user") or {}).get("id") or body.get("user_id"), error, exc_info=error
    )
    view = body.get("view") or {}
    inputs = [block["block_id"] for block in view.get("blocks", ()) if block["type"] == "input"]
    if response is not None and body.get("type") == "view_submission" and inputs:
        return BoltResponse(
            status=200, body={"response_action": "errors", "errors": {inputs[0]: window_notices.BROKEN}}
        )
    try:
        await tell(services.client, body, Reply(window_notices.BROKEN, False))
    except Exception:
        _log.exception("Nor could they be told.")
    return BoltResponse(status=200, body="") if response is not None else None
