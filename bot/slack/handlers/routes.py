"""Which payload goes where: registered once, statically; every button is routed by what it carries (R1)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncAck, AsyncApp

from ..views import choice_controls, edit_modal, home, modals, review_modals, settings_modal
from . import (
    agent_command,
    approvals_command,
    card_actions,
    edits,
    grants,
    modal_opening,
    payload_shapes,
    review,
    settings_changes,
    settings_proposals,
)
from .responses import Desk, Said, tell

Listener = Callable[[Desk, AsyncAck, dict[str, Any]], Awaitable[None]]

COMMANDS: Final[dict[str, Listener]] = {"/agent": agent_command.on_agent, "/approvals": approvals_command.on_approvals}
ACTIONS: Final[dict[str, Listener]] = {
    modals.TEAM: agent_command.on_team_chosen,
    home.REVOKE: grants.on_revoke,
    settings_proposals.CONFIRM: settings_changes.on_confirm,
}
SUBMITS: Final[dict[str, Listener]] = {
    modals.START: agent_command.on_start_submit,
    settings_modal.SETTINGS: approvals_command.on_settings_submit,
    review_modals.APPROVE: review.on_review_submit,
    review_modals.HIGH_RISK: review.on_high_risk_submit,
    review_modals.PERMIT: grants.on_permit_submit,
    review_modals.BREAK_GLASS: grants.on_break_glass_submit,
    edit_modal.EDIT: edits.on_edit_submit,
    choice_controls.SUBMIT: edits.on_choose_submit,
    modals.REJECT: card_actions.on_submit,
    modals.RESPOND: card_actions.on_submit,
}
EVENTS: Final[dict[str, Listener]] = {"app_home_opened": modal_opening.on_home}
_SORRY: Final = (
    "Something went wrong on our side, and the log says what. What was stored before is kept; please try again."
)
_log = logging.getLogger(__name__)


def register(app: AsyncApp, desk: Desk) -> None:
    """Every payload that Slack can send us finds somebody here."""

    async def failed(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        return await _failed(desk, error, body, response)

    app.error(failed)
    # First, because Bolt tries them in turn, and a click is what people wait for.
    app.action(re.compile(rf"^(?!(?:{'|'.join(ACTIONS)})$)"))(bound(desk, card_actions.on_click))
    for action, listener in ACTIONS.items():
        app.action(action)(bound(desk, listener))
    for command, listener in COMMANDS.items():
        app.command(command)(bound(desk, listener))
    for callback, listener in SUBMITS.items():
        app.view_submission(callback)(bound(desk, listener))
    for event, listener in EVENTS.items():
        app.event(event)(bound(desk, listener))
    app.view_submission(re.compile(r""))(bound(desk, card_actions.on_unknown_submit))


def bound(desk: Desk, listener: Listener) -> Callable[..., Awaitable[None]]:
    """The listener for Bolt: returns as soon as it has acked; the desk holds what is left to do.

    By itself Bolt would look every 10 ms whether there is an ack, and drop its task after it.
    """

    async def handled(ack: AsyncAck, body: dict[str, Any]) -> None:
        if not payload_shapes.fits(body):
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
    """Bolt's, and tells that it was called."""

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
    """A bug of ours: the log gets it all, the person a sentence, Slack an ack; a payload that is none is refused."""
    if not payload_shapes.fits(body):
        _log.warning("A payload that has not the shape of any of Slack's was refused (%s).", type(error).__name__)
        return BoltResponse(status=400, body="") if response is not None else None
    _log.error(
        "A listener failed for %s: %r", (body.get("user") or {}).get("id") or body.get("user_id"), error, exc_info=error
    )
    view = body.get("view") or {}
    inputs = [block["block_id"] for block in view.get("blocks", ()) if block["type"] == "input"]
    if response is not None and body.get("type") == "view_submission" and inputs:
        return BoltResponse(status=200, body={"response_action": "errors", "errors": {inputs[0]: _SORRY}})
    try:
        await tell(desk.client, body, Said(_SORRY, False))
    except Exception:
        _log.exception("Nor could they be told.")
    return BoltResponse(status=200, body="") if response is not None else None
