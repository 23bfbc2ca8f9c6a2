"""Buttons and menus of a card: some count at once, the others open a window.

A click that counts is stored first, then acked; no click is ignored silently (R7).
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, Refused
from countersign.domain.high_risk import is_asked
from countersign.domain.ids import AttemptId, ChannelId, RequestId, digest_of, short_name
from countersign.domain.permission_scopes import PermissionChoice, Scope, Span
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Request, Verb
from countersign.usecases import presence

from ..people.actors import actor_of, admit
from ..views import card_controls, choice_controls, edit_modal, modal_parts, modals, review_modals, window_notices
from ..views.approval_card import is_plain_row
from ..views.card_content import complete
from ..views.card_controls import Handle, MenuItem
from ..views.slack_markup import drawn, when
from .ack_deadline import answer_click, answer_window, refused
from .attempts import Aimed, aim, decide, known, sought
from .context import Reply, Services
from .modal_opening import open_modal
from .payloads import attempt_id, sender

Window = Callable[[Request, ChannelId], modal_parts.View]
_BUTTONS: Final = {
    card_controls.REVIEW: Verb.APPROVE,
    card_controls.REJECT: Verb.REJECT,
    card_controls.RESPOND: Verb.RESPOND,
    card_controls.EDIT: Verb.EDIT,
}
_MENU: Final = {
    MenuItem.REJECT: Verb.REJECT,
    MenuItem.APPROVE: Verb.APPROVE,
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
_FOR_ALL: Final = {card_controls.APPROVE_ALL: Verb.APPROVE, card_controls.REJECT_ALL: Verb.REJECT}
_LEAST: Final = PermissionChoice(Scope.CALL, Span.RUN)
"""The least that can be allowed in advance."""
_UNKNOWN_BUTTON: Final = Reply(window_notices.UNKNOWN_BUTTON, counted=False)
_log = logging.getLogger(__name__)


async def on_click(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Handle a card's button: Approve and options count, others open a window."""
    await answer_click(services, ack, body, _click(services, body))


async def _click(services: Services, body: dict[str, Any]) -> Reply:
    action = body["actions"][0]
    name = action.get("action_id", "")
    if name == card_controls.MORE:
        return await _menu(services, body, str((action.get("selected_option") or {}).get("value")))
    value = str(action.get("value"))
    handle = Handle.read(value)
    if name == card_controls.APPROVE:
        return await _approve(services, body, handle)
    if name in _FOR_ALL:
        return await _decide_all(services, body, card_controls.rows_of(value), _FOR_ALL[name])
    if name == card_controls.VIEW_FULL:
        return await _view_full(services, body, handle)
    if name.startswith(choice_controls.CHOOSE):
        return await _choose(services, body, handle, choice_controls.clicked(value))
    if name in _BUTTONS:
        return await _open(services, body, aim(services, body, handle, _BUTTONS[name]))
    _log.warning("An unknown button was clicked: %s", name)
    return _UNKNOWN_BUTTON


async def _approve(services: Services, body: dict[str, Any], handle: Handle | None) -> Reply:
    seen = await sought(services, body, handle, Verb.APPROVE)
    # A made-up button gets the window too.
    if not complete(seen.value.question) or is_asked(seen.value, Verb.APPROVE):
        return await _open(services, body, aim(services, body, handle, Verb.APPROVE, seen=seen))
    return await decide(services, body, await aim(services, body, handle, Verb.APPROVE, seen=seen))


async def _choose(services: Services, body: dict[str, Any], handle: Handle | None, number: int | None) -> Reply:
    if number is None:
        return await _open(services, body, aim(services, body, handle, Verb.CHOOSE))
    aimed = await aim(services, body, handle, Verb.CHOOSE)
    options = aimed.request.question.options
    chosen = options[number : number + 1] if number >= 0 else ()
    return await decide(services, body, aimed._replace(attempt=replace(aimed.attempt, chosen=chosen)))


async def _view_full(services: Services, body: dict[str, Any], handle: Handle | None) -> Reply:
    return await open_modal(services.client, body, _full(services, body, handle))


async def _menu(services: Services, body: dict[str, Any], value: str) -> Reply:
    if (presence := card_controls.Chosen.read(value)) is not None:
        return await _note_presence(services, body, presence)
    window = await _of_item(services, body, value)
    return _UNKNOWN_BUTTON if window is None else await open_modal(services.client, body, window)


async def on_more(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Do what was chosen in the window that the last item of a full menu opens."""

    async def work() -> Reply:
        value = modal_parts.value(body["view"], modals.ITEM)
        if (presence := card_controls.Chosen.read(value)) is not None:
            return await _note_presence(services, body, presence)
        window = await _of_item(services, body, value)
        if window is None:
            return _UNKNOWN_BUTTON
        view = await window
        return view if isinstance(view, Reply) else Reply("", counted=False, view=view)

    await answer_window(services, ack, body, work, deed="choice", block=modals.ITEM)


async def _of_item(
    services: Services, body: dict[str, Any], value: str
) -> Coroutine[Any, Any, modal_parts.View | Reply] | None:
    """Return what makes the window of a menu's item; None if it is not ours."""
    chosen = card_controls.chosen(value)
    if chosen is None:
        return None
    item, request, digest = chosen
    if digest is None:
        seen = await usecases.admitted(services.store, request)
        digest = seen.value.digest if seen is not None else digest_of()
    handle = Handle(request, digest)
    if item == MenuItem.VIEW_FULL:
        return _full(services, body, handle)
    if item == MenuItem.MORE:
        return _more(services, body, handle)
    wish, alone = _LEAST if item == MenuItem.PERMIT else None, item == MenuItem.BREAK_GLASS
    aiming = aim(services, body, handle, _MENU[item], wish=wish, break_glass=alone)
    return _window(services, body, aiming, _WINDOWS.get(item))


async def _full(services: Services, body: dict[str, Any], handle: Handle | None) -> modal_parts.View:
    await admit(services.directory, sender(body).user)
    return review_modals.full((await known(services, handle)).value)


async def _more(services: Services, body: dict[str, Any], handle: Handle) -> modal_parts.View:
    request = (await known(services, handle)).value
    return modals.more(request, sender(body).channel or request.rules.approvals_channel)


async def _open(
    services: Services, body: dict[str, Any], aiming: Awaitable[Aimed], window: Window | None = None
) -> Reply:
    """Open the window that completes this attempt, or say why it cannot count."""
    return await open_modal(services.client, body, _window(services, body, aiming, window))


async def _window(
    services: Services, body: dict[str, Any], aiming: Awaitable[Aimed], window: Window | None
) -> modal_parts.View | Reply:
    """Draw the window that completes the attempt. Content of high risk is opened and read first."""
    seen, attempt = await aiming
    if (refusal := await usecases.why_no_window(services.store, services.queue, seen, attempt)) is not None:
        return refused(refusal)
    at, request = sender(body), seen.value
    channel = at.channel or request.rules.approvals_channel
    # Built even if it comes later: if it cannot be, nobody reads the whole request for nothing.
    view = (window or _WINDOWS[attempt.verb])(request, channel)
    if is_asked(request, attempt.verb):
        view = review_modals.review_part(request, channel, at.user, attempt.verb)
    return view


async def _note_presence(services: Services, body: dict[str, Any], chosen: card_controls.Chosen) -> Reply:
    """Look at, or snooze, all requests of the card.

    A refusal is told only if no request takes it.
    """
    at, name = sender(body), attempt_id(body)
    changed, refusals, now = [], [], None
    for request in chosen.requests:
        seen = await known(services, Handle(request, digest_of()))
        now = seen.now
        actor = await actor_of(services.store, services.directory, at.user, seen.value.rules.reviewers)
        attempt = AttemptId(short_name(name, request, length=20)) if len(chosen.requests) > 1 else name
        try:
            if chosen.snooze is None:
                changed.append(await presence.look(services.store, request, actor, attempt))
            else:
                changed.append(await presence.snooze(services.store, request, actor, chosen.snooze, attempt))
        except Refused as refusal:
            refusals.append(refusal)
    if not changed:
        raise refusals[0]
    if chosen.snooze is None:
        return Reply(window_notices.REVIEWING)
    until = max((request.snoozed_until for request in changed if request.snoozed_until is not None), default=None)
    if until is None:
        return Reply(window_notices.NO_REMINDERS, False)
    return Reply(window_notices.put_off(when(until, now)))


async def _decide_all(services: Services, body: dict[str, Any], rows: tuple[RequestId, ...], verb: Verb) -> Reply:
    """Make the attempt on each row of a card count that its row shows whole.

    Each is a decision of its own, judged by itself; the reply says what did not count.
    """
    counted, refusals = 0, list[CountersignError]()
    for name in rows:
        seen = await sought(services, body, Handle(name, digest_of()), verb)
        if verb is Verb.APPROVE and not is_plain_row(seen.value):
            refusals.append(InvalidInput(window_notices.NOT_WHOLE))
            continue
        aimed = await aim(services, body, Handle(name, seen.value.digest), verb, seen=seen)
        own = AttemptId(short_name(aimed.attempt.id, name, length=20))
        try:
            await decide(services, body, aimed._replace(attempt=replace(aimed.attempt, id=own)))
            counted += 1
        except Refused as refusal:
            refusals.append(refusal)
    if not rows:
        raise NotFound(Refusal.UNKNOWN.value)
    if not refusals:
        return Reply("")
    if not counted:
        raise refusals[0]
    return Reply(window_notices.counted_for(counted, len(rows), drawn(refusals[0].sentence)))
