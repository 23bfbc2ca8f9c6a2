"""Handle buttons and menus of a card: some decide at once, others open a window.

A deciding click is stored first, then acked; no click is ignored silently (R7).
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from countersign import usecases
from countersign.domain import schedule
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import (
    CountersignError,
    InvalidInput,
    NotFound,
    NotReplicated,
    Refused,
    StoreUnavailable,
)
from countersign.domain.high_risk import is_asked
from countersign.domain.ids import AttemptId, ChannelId, RequestId, digest_of, short_name
from countersign.domain.requests import Request, Scope, Verb
from countersign.domain.standing_permissions import PermissionChoice, Span
from countersign.usecases import presence

from ..people.actors import actor_of, admit
from ..views import answer_modals, confirmation_text, control_values, edit_modal, modal_parts, review_modals
from ..views.approval_card import is_plain_row
from ..views.control_values import Handle, MenuItem
from ..views.modal_parts import View
from ..views.reviewed_content import complete
from ..views.slack_markup import drawn, when
from .ack_deadline import refused
from .attempts import PreparedAttempt, decide, prepare, read_request, replace_card, request_of_attempt
from .context import Reply, Services
from .modal_opening import open_modal
from .payloads import attempt_id, sender

Window = Callable[[Request, ChannelId], View]
Preparing = Callable[[], Awaitable[PreparedAttempt]]
"""Begins to prepare an attempt, in the task that draws its window."""
_BUTTONS: Final = {
    control_values.REVIEW: Verb.APPROVE,
    control_values.REJECT: Verb.REJECT,
    control_values.RESPOND: Verb.RESPOND,
    control_values.EDIT: Verb.EDIT,
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
    Verb.REJECT: answer_modals.reject,
    Verb.RESPOND: answer_modals.respond,
    Verb.EDIT: edit_modal.edit,
    Verb.CHOOSE: answer_modals.choose,
    MenuItem.PERMIT: review_modals.permit,
    MenuItem.BREAK_GLASS: review_modals.break_glass,
}
"""Windows by verb or by an addition that the menu makes to a verb."""
_FOR_ALL: Final = {control_values.APPROVE_ALL: Verb.APPROVE, control_values.REJECT_ALL: Verb.REJECT}
_LEAST: Final = PermissionChoice(Scope.CALL, Span.RUN)
"""The narrowest permission."""
_UNKNOWN_BUTTON: Final = Reply(confirmation_text.UNKNOWN_BUTTON, counted=False)
_log = logging.getLogger(__name__)


async def click(services: Services, body: dict[str, Any]) -> Reply:
    """Handle a card's button: Approve and options decide, others open a window."""
    action = body["actions"][0]
    name = action.get("action_id", "")
    if name == control_values.MORE:
        return await _menu(services, body, str((action.get("selected_option") or {}).get("value")))
    if name == control_values.OPEN_PAGE:  # following the link decides nothing
        return Reply("")
    value = str(action.get("value"))
    handle = Handle.read(value)
    if name == control_values.APPROVE:
        return await _approve(services, body, handle)
    if name in _FOR_ALL:
        return await _decide_all(services, body, control_values.rows_in(value), _FOR_ALL[name])
    if name == control_values.VIEW_FULL:
        return await open_modal(services.client, body, _full(services, body, handle))
    if name.startswith(control_values.CHOOSE):
        return await _choose(services, body, handle, control_values.option_number(value))
    if name in _BUTTONS:
        return await _open(services, body, partial(prepare, services, body, handle, _BUTTONS[name]))
    _log.warning("An unknown button was clicked: %s", name)
    return _UNKNOWN_BUTTON


async def _approve(services: Services, body: dict[str, Any], handle: Handle | None) -> Reply:
    seen = await request_of_attempt(services, body, handle, Verb.APPROVE)
    # A made-up button gets the window too.
    if not complete(seen.value.question) or is_asked(seen.value, Verb.APPROVE):
        return await _open(services, body, partial(prepare, services, body, handle, Verb.APPROVE, seen=seen))
    return await decide(services, body, await prepare(services, body, handle, Verb.APPROVE, seen=seen))


async def _choose(services: Services, body: dict[str, Any], handle: Handle | None, number: int | None) -> Reply:
    if number is None:
        return await _open(services, body, partial(prepare, services, body, handle, Verb.CHOOSE))
    prepared = await prepare(services, body, handle, Verb.CHOOSE)
    options = prepared.request.question.options
    chosen = options[number : number + 1] if number >= 0 else ()
    return await decide(services, body, prepared._replace(attempt=replace(prepared.attempt, chosen=chosen)))


async def _menu(services: Services, body: dict[str, Any], value: str) -> Reply:
    """Handle an item of a menu; most items open a window."""
    if (item := control_values.PresenceItem.read(value)) is not None:
        return await _note_presence(services, body, item)
    drawing = await _window_of_item(services, body, value)
    return _UNKNOWN_BUTTON if drawing is None else await open_modal(services.client, body, drawing)


async def more(services: Services, body: dict[str, Any]) -> Reply:
    """Handle the choice in the window of a full menu's remaining items."""
    value = modal_parts.value(body["view"], answer_modals.ITEM)
    if (item := control_values.PresenceItem.read(value)) is not None:
        return await _note_presence(services, body, item)
    drawing = await _window_of_item(services, body, value)
    if drawing is None:
        return _UNKNOWN_BUTTON
    view = await drawing
    return view if isinstance(view, Reply) else Reply(confirmation_text.DECISION_TOO_LATE, counted=False, view=view)


async def _window_of_item(
    services: Services, body: dict[str, Any], value: str
) -> Coroutine[Any, Any, View | Reply] | None:
    """Return the function that draws a menu item's window; None if it is not ours."""
    written = control_values.read_item(value)
    if written is None:
        return None
    item, request, digest = written
    if digest is None:
        seen = await services.store.request(request)
        digest = seen.value.digest if seen is not None else digest_of()
    handle = Handle(request, digest)
    if item == MenuItem.VIEW_FULL:
        return _full(services, body, handle)
    if item == MenuItem.MORE:
        return _more(services, body, handle)
    wish, alone = _LEAST if item == MenuItem.PERMIT else None, item == MenuItem.BREAK_GLASS
    preparing = partial(prepare, services, body, handle, _MENU[item], wish=wish, break_glass=alone)
    return _window(services, body, preparing, _WINDOWS.get(item))


async def _full(services: Services, body: dict[str, Any], handle: Handle | None) -> View:
    await admit(services.directory, sender(body).user)
    return review_modals.full((await read_request(services, handle)).value)


async def _more(services: Services, body: dict[str, Any], handle: Handle) -> View:
    request = (await read_request(services, handle)).value
    window = answer_modals.more(request, sender(body).channel or request.rules.approvals_channel)
    return services.cards.carrying(window, body)


async def _open(services: Services, body: dict[str, Any], preparing: Preparing) -> Reply:
    """Open the window that completes this attempt, or say why it cannot count."""
    return await open_modal(services.client, body, _window(services, body, preparing))


async def _window(
    services: Services, body: dict[str, Any], preparing: Preparing, window: Window | None = None
) -> View | Reply:
    """Draw the window that completes the attempt, high-risk content first."""
    seen, attempt = await preparing()
    refusal = await usecases.why_no_window(services.store, services.queue, seen, attempt, services.cards.held)
    if refusal is not None:
        replace_card(services, seen.value.id)
        return refused(refusal)
    at, request = sender(body), seen.value
    channel = at.channel or request.rules.approvals_channel
    # Built even if it is shown later: if it cannot be built, people learn that before they read the whole request.
    view = (window or _WINDOWS[attempt.verb])(request, channel)
    if is_asked(request, attempt.verb):
        view = review_modals.review_part(request, channel, at.user, attempt.verb)
    return services.cards.carrying(view, body)


async def _note_presence(services: Services, body: dict[str, Any], item: control_values.PresenceItem) -> Reply:
    """Look at or snooze all requests of the card; refused only if all of them refuse."""
    user, attempt, one_of_several = sender(body).user, attempt_id(body), len(item.requests) > 1
    changed, now = list[Request](), None

    async def note(name: RequestId) -> None:
        nonlocal now
        seen = await read_request(services, Handle(name, digest_of()))
        now = seen.now
        actor = await actor_of(services.store, services.directory, user, seen.value.rules.reviewers)
        its_attempt = _of_row(attempt, name) if one_of_several else attempt
        if item.snooze is None:
            changed.append(await presence.look(services.store, name, actor, its_attempt))
        else:
            changed.append(await presence.snooze(services.store, name, actor, item.snooze, its_attempt))

    problems = await _each(item.requests, note)
    if not changed:
        raise problems[0]
    if problems and not isinstance(problems[0], Refused):  # a person refused for one row is still noted for the others
        return Reply(_counted_for(len(changed), len(item.requests), problems))
    if item.snooze is None:
        return Reply(confirmation_text.REVIEWING)
    if (next_one := min(filter(None, map(schedule.next_reminder, changed)), default=None)) is not None:
        return Reply(confirmation_text.put_off(when(next_one, now)))
    deadline = min((request.deadline for request in changed if request.deadline is not None), default=None)
    if deadline is None or not any(request.rules.remind_after for request in changed):
        return Reply(confirmation_text.NO_REMINDERS, False)
    return Reply(confirmation_text.no_reminder_before(when(deadline, now)))


def _of_row(attempt: AttemptId, request: RequestId) -> AttemptId:
    """Return the attempt's id for one of the requests that a click decides."""
    return AttemptId(short_name(attempt, request, length=20))


async def _decide_all(services: Services, body: dict[str, Any], rows: tuple[RequestId, ...], verb: Verb) -> Reply:
    """Submit the attempt for each row that the card shows whole.

    Each row is a separate decision, judged separately; the reply lists the refused rows.
    """
    counted = 0

    async def decide_row(name: RequestId) -> None:
        nonlocal counted
        its_attempt = _of_row(attempt_id(body), name)
        seen = await request_of_attempt(services, body, Handle(name, digest_of()), verb, attempt=its_attempt)
        if verb is Verb.APPROVE and not is_plain_row(seen.value):
            raise InvalidInput(confirmation_text.NOT_WHOLE)
        prepared = await prepare(services, body, Handle(name, seen.value.digest), verb, seen=seen)
        await decide(services, body, prepared._replace(attempt=replace(prepared.attempt, id=its_attempt)))
        counted += 1

    problems = await _each(rows, decide_row)
    if not rows:
        raise NotFound(Refusal.UNKNOWN.value)
    if not problems:
        return Reply("")
    if not counted:
        raise problems[0]
    return Reply(_counted_for(counted, len(rows), problems))


async def _each(rows: Sequence[RequestId], act: Callable[[RequestId], Awaitable[None]]) -> list[CountersignError]:
    """Act on each row independently of the others, and return the errors.

    An unavailable store ends the loop and is the first error: the other rows would only wait for it too.
    """
    problems = list[CountersignError]()
    for name in rows:
        try:
            await act(name)
        except StoreUnavailable as away:
            _log.error("%s", away)
            return [away, *problems]
        except CountersignError as problem:
            problems.append(problem)
    return problems


def _counted_for(counted: int, total: int, problems: list[CountersignError]) -> str:
    first = problems[0]
    away = isinstance(first, StoreUnavailable) and not isinstance(first, NotReplicated)
    why_not = confirmation_text.store_away("click on the others") if away else drawn(first.sentence)
    return confirmation_text.counted_for(counted, total, why_not)
