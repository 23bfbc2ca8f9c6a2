"""Routes of Slack's payloads to their handlers, registered once.

A button is routed by what it carries (R1).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncAck, AsyncApp

from countersign.domain.ids import UserId

from ..settings_proposals import CONFIRM
from ..views import choice_controls, edit_modal, home, modals, review_modals, settings_modal
from . import (
    agent_command,
    approvals_command,
    away_command,
    card_buttons,
    decision_windows,
    grants,
    list_commands,
    payloads,
    settings_changes,
)
from .context import Desk, Reply, Word
from .responses import tell

Listener = Callable[[Desk, AsyncAck, dict[str, Any]], Awaitable[None]]

APPROVALS: Final[dict[str, Word]] = {**settings_changes.WORDS, **away_command.WORDS, **list_commands.WORDS}
COMMANDS: Final[dict[str, Listener]] = {
    "/agent": agent_command.on_agent,
    "/approvals": approvals_command.listener(APPROVALS),
}
ACTIONS: Final[dict[str, Listener]] = {
    modals.TEAM: agent_command.on_team_chosen,
    home.REVOKE: grants.on_revoke,
    CONFIRM: settings_changes.on_confirm,
}
SUBMITS: Final[dict[str, Listener]] = {
    modals.START: agent_command.on_start_submit,
    settings_modal.WINDOW: settings_changes.on_settings_submit,
    review_modals.APPROVE: decision_windows.on_review,
    review_modals.HIGH_RISK: decision_windows.on_high_risk,
    review_modals.PERMIT: decision_windows.on_permit,
    review_modals.BREAK_GLASS: decision_windows.on_break_glass,
    edit_modal.EDIT: decision_windows.on_edit,
    choice_controls.SUBMIT: decision_windows.on_choose,
    modals.REJECT: decision_windows.on_reject,
    modals.RESPOND: decision_windows.on_respond,
}
_SORRY: Final = (
    "Something went wrong on our side, and the log says what. What was stored before is kept; please try again."
)
_log = logging.getLogger(__name__)


async def _on_home(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Draw the Home that somebody opened.

    The app's other tab holds their direct messages.
    """
    await ack()
    event = body["event"]
    if event.get("tab") == "home":
        await desk.homes.opened(UserId(event["user"]), payloads.workspace_of(body))


async def _on_unknown_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Close a window that this version does not know; the log says so."""
    _log.warning("A window that is not known was submitted: %s", body["view"].get("callback_id"))
    await ack()


EVENTS: Final[dict[str, Listener]] = {"app_home_opened": _on_home}


def register(app: AsyncApp, desk: Desk) -> None:
    """Register a handler for every payload that Slack can send."""

    async def failed(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        return await _failed(desk, error, body, response)

    app.error(failed)
    # First, because Bolt tries them in turn, and a click is what people wait for.
    app.action(re.compile(rf"^(?!(?:{'|'.join(ACTIONS)})$)"))(bound(desk, card_buttons.on_click))
    for action, listener in ACTIONS.items():
        app.action(action)(bound(desk, listener))
    for command, listener in COMMANDS.items():
        app.command(command)(bound(desk, listener))
    for callback, listener in SUBMITS.items():
        app.view_submission(callback)(bound(desk, listener))
    for event, listener in EVENTS.items():
        app.event(event)(bound(desk, listener))
    app.view_submission(re.compile(r""))(bound(desk, _on_unknown_submit))


def bound(desk: Desk, listener: Listener) -> Callable[..., Awaitable[None]]:
    """Make a handler for Bolt, which returns as soon as it has acked.

    The desk holds what is left to do. By itself Bolt would look every 10 ms whether there is an ack, and drop its task
    after it.
    """

    async def handled(ack: AsyncAck, body: dict[str, Any]) -> None:
        if not payloads.fits(body):
            raise ValueError("no payload that Slack sends")
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            try:
                await listener(desk, _Ack(ack, acked), body)
            except Exception as error:
                if acked.done():
                    await _failed(desk, error, body, None)
                else:
                    acked.set_exception(error)
            finally:
                if not acked.done():
                    acked.set_result(None)

        desk.hold(work())
        await acked

    return handled


class _Ack(AsyncAck):
    """Bolt's ack, with a future that says that it was called."""

    def __init__(self, ack: AsyncAck, acked: "asyncio.Future[None]") -> None:
        self._ack = ack
        self._acked = acked

    async def __call__(self, *args: Any, **kwargs: Any) -> BoltResponse:
        response = await self._ack(*args, **kwargs)
        if not self._acked.done():
            self._acked.set_result(None)
        return response


async def _failed(
    desk: Desk, error: Exception, body: dict[str, Any], response: BoltResponse | None
) -> BoltResponse | None:
    """Log a bug of ours, tell the person, and ack.

    A payload that has no known shape is refused.
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
        return BoltResponse(status=200, body={"response_action": "errors", "errors": {inputs[0]: _SORRY}})
    try:
        await tell(desk.client, body, Reply(_SORRY, False))
    except Exception:
        _log.exception("Nor could they be told.")
    return BoltResponse(status=200, body="") if response is not None else None
