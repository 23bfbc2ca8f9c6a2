"""Buttons and menus of a card: some count at once, the others open a window.

What counts is stored first, then acked; nobody's click is ignored silently (R7).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.errors import Refused
from countersign.domain.grant_request import Scope, Span, Wish
from countersign.domain.high_risk import is_asked
from countersign.domain.ids import AttemptId, ChannelId, digest_of, short_name
from countersign.domain.requests import Request, Verb
from countersign.usecases import presence_changes

from ..people.actors import actor_of
from ..views import card_controls, choice_controls, edit_modal, modal_parts, modals, review_modals
from ..views.card_content import complete
from ..views.card_controls import Handle, MenuItem
from ..views.slack_markup import when
from .attempts import Aimed, aim, decide, known
from .context import Desk, Reply
from .payloads import attempt_id, sender
from .responses import answer_click, open_modal, refused

Window = Callable[[Request, ChannelId], modal_parts.View]
_BUTTONS: Final = {
    card_controls.REVIEW: Verb.APPROVE,
    card_controls.REJECT: Verb.REJECT,
    card_controls.RESPOND: Verb.RESPOND,
    card_controls.EDIT: Verb.EDIT,
}
_MENU: Final = {
    MenuItem.PERMIT: Verb.APPROVE,
    MenuItem.BREAK_GLASS: Verb.APPROVE,
    MenuItem.EDIT: Verb.EDIT,
    MenuItem.RESPOND: Verb.RESPOND,
}
_WINDOWS: Final[Mapping[str, Window]] = {
    Verb.APPROVE: review_modals.review,
    Verb.REJECT: modals.reject,
    Verb.RESPOND: modals.respond,
    Verb.EDIT: edit_modal.edit,
    Verb.CHOOSE: modals.choose,
    MenuItem.PERMIT: review_modals.permit,
    MenuItem.BREAK_GLASS: review_modals.break_glass,
}
"""The window of a verb, or of what the menu adds to one."""
_LEAST: Final = Wish(Scope.CALL, Span.RUN)
"""Where not even this can be allowed in advance, nothing can."""
_UNKNOWN_BUTTON: Final = Reply(
    "This button is of an older or newer version of the app and does nothing here. Nothing was decided; "
    "please use the newest card.",
    counted=False,
)
_log = logging.getLogger(__name__)


async def on_click(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Handle a button of a card: Approve and options count, others open a window."""
    await answer_click(desk, ack, body, _click(desk, body))


async def _click(desk: Desk, body: dict[str, Any]) -> Reply:
    action = body["actions"][0]
    name = action.get("action_id", "")
    if name == card_controls.MORE:
        return await _menu(desk, body, str((action.get("selected_option") or {}).get("value")))
    value = str(action.get("value"))
    handle = Handle.read(value)
    if name == card_controls.APPROVE:
        return await _approve(desk, body, handle)
    if name == card_controls.VIEW_FULL:
        return await _view_full(desk, body, handle)
    if name.startswith(choice_controls.CHOOSE):
        return await _choose(desk, body, handle, choice_controls.clicked(value))
    if name in _BUTTONS:
        return await _open(desk, body, await aim(desk, body, handle, _BUTTONS[name]))
    _log.warning("An unknown button was clicked: %s", name)
    return _UNKNOWN_BUTTON


async def _approve(desk: Desk, body: dict[str, Any], handle: Handle | None) -> Reply:
    aimed = await aim(desk, body, handle, Verb.APPROVE)
    # Whoever makes up a button of their own gets the window too.
    if not complete(aimed.request.question) or is_asked(aimed.request, Verb.APPROVE):
        return await _open(desk, body, aimed)
    return await decide(desk, body, aimed)


async def _choose(desk: Desk, body: dict[str, Any], handle: Handle | None, number: int | None) -> Reply:
    aimed = await aim(desk, body, handle, Verb.CHOOSE)
    if number is None:
        return await _open(desk, body, aimed)
    options = aimed.request.question.options
    chosen = options[number : number + 1] if number >= 0 else ()
    return await decide(desk, body, aimed._replace(attempt=replace(aimed.attempt, chosen=chosen)))


async def _view_full(desk: Desk, body: dict[str, Any], handle: Handle | None) -> Reply:
    return await open_modal(desk.client, body, review_modals.full((await known(desk, handle)).value))


async def _menu(desk: Desk, body: dict[str, Any], value: str) -> Reply:
    if (presence := card_controls.Chosen.read(value)) is not None:
        return await _note_presence(desk, body, presence)
    chosen = card_controls.chosen(value)
    if chosen is None or chosen[0] not in (*_MENU, MenuItem.VIEW_FULL):
        return _UNKNOWN_BUTTON
    item, request, digest = chosen
    if digest is None:
        seen = await usecases.admitted(desk.store, request)
        digest = seen.value.digest if seen is not None else digest_of()
    handle = Handle(request, digest)
    if item == MenuItem.VIEW_FULL:
        return await _view_full(desk, body, handle)
    wish, alone = _LEAST if item == MenuItem.PERMIT else None, item == MenuItem.BREAK_GLASS
    aimed = await aim(desk, body, handle, _MENU[item], wish=wish, break_glass=alone)
    return await _open(desk, body, aimed, _WINDOWS.get(item))


async def _open(desk: Desk, body: dict[str, Any], aimed: Aimed, window: Window | None = None) -> Reply:
    """Open the window that completes this attempt, or say why it cannot count.

    What is of high risk is opened and read first.
    """
    seen, attempt = aimed
    if (refusal := await usecases.why_no_window(desk.store, desk.queue, seen, attempt)) is not None:
        return refused(refusal)
    at, request = sender(body), seen.value
    channel = at.channel or request.rules.approvals_channel
    # Made also where it comes later: if there can be none, nobody reads all of the request for nothing.
    view = (window or _WINDOWS[attempt.verb])(request, channel)
    if is_asked(request, attempt.verb):
        view = review_modals.review_part(request, channel, at.user, attempt.verb)
    return await open_modal(desk.client, body, view)


async def _note_presence(desk: Desk, body: dict[str, Any], chosen: card_controls.Chosen) -> Reply:
    """Look at, or snooze, all requests of the card.

    A refusal is told only if no request takes it.
    """
    at, name = sender(body), attempt_id(body)
    changed, refusals = [], []
    for request in chosen.requests:
        seen = await known(desk, Handle(request, digest_of()))
        actor = await actor_of(desk.store, desk.directory, at.workspace, at.user, seen.value.rules.reviewers)
        attempt = AttemptId(short_name(name, request, length=20)) if len(chosen.requests) > 1 else name
        try:
            if chosen.snooze is None:
                changed.append(await presence_changes.look(desk.store, request, actor, attempt))
            else:
                changed.append(await presence_changes.snooze(desk.store, request, actor, chosen.snooze, attempt))
        except Refused as refusal:
            refusals.append(refusal)
    if not changed:
        raise refusals[0]
    if chosen.snooze is None:
        return Reply("The card says that you are looking at it. It keeps nobody from deciding.")
    until = max((request.snoozed_until for request in changed if request.snoozed_until is not None), default=None)
    if until is None:
        return Reply("This request has no reminders that could be put off; nothing was changed.", False)
    return Reply(f"Nobody is reminded of it before {when(until)}. {card_controls.STAYS}")
