"""Route Slack's payloads to their handlers.

A button's action selects the handler; its value names the request (R1).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncAck, AsyncApp

from countersign.domain.slash_commands import NAMES

from .handlers import (
    agent_command,
    app_events,
    approvals_command,
    away_command,
    card_buttons,
    decision_modals,
    payloads,
    settings_changes,
    thread_replies,
)
from .handlers.ack_deadline import Listener, click, command, tell, window
from .handlers.acks import Ack
from .handlers.context import Reply, Services, Subcommand
from .views import (
    answer_modals,
    button_labels,
    commands_text,
    confirmation_text,
    edit_modal,
    home,
    review_modals,
    settings_modal,
    settings_text,
    start_modal,
    thread_notes,
)

APPROVALS: Final[dict[str, Subcommand]] = {
    **settings_changes.SUBCOMMANDS,
    **away_command.SUBCOMMANDS,
    **approvals_command.LISTS,
}
ACTIONS: Final[dict[str, Listener]] = {
    start_modal.TEAM: agent_command.on_team_chosen,
    button_labels.STOP_RUN: click(agent_command.stop),
    thread_notes.TRY_AGAIN: click(agent_command.try_again),
    commands_text.REVOKE: click(approvals_command.revoke),
    button_labels.START_TASK: click(agent_command.open_window),
    settings_text.OPEN_SETTINGS: click(settings_changes.open_window),
    settings_text.CONFIRM_PROPOSAL: click(settings_changes.confirm_proposal),
}
SHORTCUTS: Final[dict[str, Listener]] = {
    start_modal.SHORTCUT: click(agent_command.open_window),
    home.WAITING: click(approvals_command.waiting_for_me),
}
SUBMITS: Final[dict[str, Listener]] = {
    start_modal.START: window(agent_command.start_from_window, "task", start_modal.TASK, tells_what_counted=False),
    settings_modal.WINDOW: window(settings_changes.save, "change", settings_modal.USERS),
    settings_text.CONFIRM: window(settings_changes.confirm_loosening, "change"),
    review_modals.APPROVE: window(decision_modals.approve, "approval"),
    review_modals.HIGH_RISK: window(decision_modals.next_part, "approval", review_modals.WORD),
    review_modals.PERMIT: window(decision_modals.permit, "approval", review_modals.SCOPE),
    review_modals.BREAK_GLASS: window(decision_modals.break_glass, "answer", review_modals.REASON),
    edit_modal.EDIT: window(decision_modals.edit, "change", edit_modal.first_input),
    answer_modals.MORE: window(card_buttons.more, "choice", answer_modals.ITEM),
    answer_modals.CHOOSE: window(decision_modals.choose, "choice", answer_modals.OPTIONS),
    answer_modals.REJECT: window(decision_modals.reject, "answer", answer_modals.REASON),
    answer_modals.RESPOND: window(decision_modals.respond, "answer", answer_modals.ANSWER),
}
EVENTS: Final[dict[str, Listener]] = {
    "agent_session_stopped": agent_command.on_session_stopped,
    "app_home_opened": app_events.on_home_opened,
    "member_joined_channel": app_events.on_joined,
    "message": thread_replies.on_message,
    "app_uninstalled": app_events.on_removed,
    "tokens_revoked": app_events.on_removed,
}
_log = logging.getLogger(__name__)


def commands() -> dict[str, Listener]:
    """Map each slash command, by its local name, to its handler."""
    return {
        NAMES.agent: command(agent_command.agent),
        NAMES.approvals: command(approvals_command.approvals(APPROVALS)),
    }


def register(app: AsyncApp, services: Services) -> None:
    """Register a handler for every payload that Slack can send."""

    async def failed(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        return await _failed(services, error, body, response)

    app.error(failed)
    # First, because Bolt tries listeners in turn, and people wait for clicks.
    app.action(re.compile(rf"^(?!(?:{'|'.join(ACTIONS)})$)"))(bound(services, click(card_buttons.click)))
    for action, listener in ACTIONS.items():
        app.action(action)(bound(services, listener))
    for name, listener in commands().items():
        app.command(name)(bound(services, listener))
    for shortcut, listener in SHORTCUTS.items():
        app.global_shortcut(shortcut)(bound(services, listener))
    for callback, listener in SUBMITS.items():
        app.view_submission(callback)(bound(services, listener))
    for event, listener in EVENTS.items():
        app.event(event)(bound(services, listener))
    app.view_submission(re.compile(r""))(bound(services, _on_unknown_submit))


async def _on_unknown_submit(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Close a window that this version does not know, and log it."""
    _log.warning("An unknown window was submitted: %s", body["view"].get("callback_id"))
    await ack()


def bound(services: Services, listener: Listener) -> Callable[..., Awaitable[None]]:
    """Make a handler for Bolt, which returns as soon as it has acked.

    The services hold the task with the rest of the work. Without this, Bolt would poll for the ack every 10 ms and drop
    the task afterwards.
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
    """Log our bug, notify the person, and ack; refuse a payload of unknown shape."""
    if not payloads.fits(body):
        _log.warning("A payload of an unknown shape was refused (%s).", type(error).__name__)
        return BoltResponse(status=400, body="") if response is not None else None
    _log.error(
        "A listener failed for %s: %r", (body.get("user") or {}).get("id") or body.get("user_id"), error, exc_info=error
    )
    view = body.get("view") or {}
    inputs = [block["block_id"] for block in view.get("blocks", ()) if block["type"] == "input"]
    if response is not None and body.get("type") == "view_submission" and inputs:
        errors = {inputs[0]: confirmation_text.BROKEN}
        return BoltResponse(status=200, body={"response_action": "errors", "errors": errors})
    try:
        await tell(services.client, body, Reply(confirmation_text.BROKEN, False))
    except Exception:
        _log.exception("The person could not be notified either.")
    return BoltResponse(status=200, body="") if response is not None else None
