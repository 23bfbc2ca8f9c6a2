"""Clicks on cards, and the windows behind them: stored first, then acked; nobody's click is ignored silently (R7)."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import decision_rules
from countersign.domain.decision_rules import Attempt
from countersign.domain.errors import NotFound, Refused
from countersign.domain.grant_scopes import Scope, Span, Wish
from countersign.domain.high_risk import is_asked
from countersign.domain.ids import AttemptId, ChannelId, digest_of, short_name
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Request, Status, Verb
from countersign.usecases import presence_changes
from countersign.usecases.ports import Admitted

from ..views import card_controls, choice_controls, modal_parts, modals, review_modals
from ..views.card_content import complete
from ..views.card_controls import Handle, MenuItem
from ..views.request_text import no_votes
from ..views.slack_markup import when
from . import edits
from .actors import actor_at, voters_of
from .modal_opening import open_modal
from .responses import Desk, Said, answer_click, answer_window, said, who

_OPENS: Final = {
    card_controls.REVIEW: Verb.APPROVE,
    card_controls.REJECT: Verb.REJECT,
    card_controls.RESPOND: Verb.RESPOND,
}
_WINDOWS: Final = {Verb.APPROVE: review_modals.review, Verb.REJECT: modals.reject, Verb.RESPOND: modals.respond}
_MORE: Final = {
    MenuItem.PERMIT: review_modals.permit,
    MenuItem.BREAK_GLASS: review_modals.break_glass,
}
_IN_MENU: Final = {
    *_MORE,
    MenuItem.EDIT,
    MenuItem.RESPOND,
    MenuItem.VIEW_FULL,
}
_ASKED_IN_THE_WINDOW: Final = (None, Refusal.NO_WORDS, Refusal.NO_REASON, Refusal.NOT_OPENED)
_LEAST: Final = Wish(Scope.CALL, Span.RUN)
"""Where not even this can be allowed in advance, nothing can."""
_SUBMITS: Final = {modals.REJECT: (Verb.REJECT, modals.REASON), modals.RESPOND: (Verb.RESPOND, modals.ANSWER)}
_UNKNOWN_BUTTON: Final = (
    "This button is of an older or newer version of the app and does nothing here. Nothing was decided; "
    "please use the newest card."
)
_log = logging.getLogger(__name__)


async def on_click(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Any button: Approve and options count at once, the others open a window, View full shows everything."""
    await answer_click(desk, ack, body, _click(desk, body))


async def on_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The window of Reject or Respond was submitted: identity and time are judged again."""
    view = body["view"]
    verb, block = _SUBMITS[view["callback_id"]]
    channel = modal_parts.channel_of(view)
    words = modal_parts.value(view, block)
    handle = Handle.read(view["private_metadata"])
    at = who(body)
    # The words are part of the attempt: after a refusal the same window may be submitted with others.
    attempt = AttemptId("v" + short_name(view["id"], at.user, words, length=20))
    work = said(count(desk, body, handle, attempt, verb, words), "answer")
    await answer_window(desk, ack, body, work, block, channel)


async def on_unknown_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """A window that this version does not know; it stays closed and the log says so."""
    _log.warning("A window that is not known was submitted: %s", body["view"].get("callback_id"))
    await ack()


async def _click(desk: Desk, body: dict[str, Any]) -> Said:
    action = body["actions"][0]
    name, handle = action.get("action_id", ""), Handle.read(str(action.get("value")))
    attempt = AttemptId("c" + short_name(str(body["trigger_id"]), who(body).user, length=20))
    if name == card_controls.APPROVE:
        return await _approve(desk, body, handle, attempt)
    if name == card_controls.VIEW_FULL:
        return await open_modal(desk.client, body, review_modals.full((await _known(desk, handle)).value))
    if name == card_controls.EDIT:
        return await edits.on_edit(desk, body, handle, attempt)
    if name.startswith(choice_controls.CHOOSE):
        return await edits.on_choose(desk, body, handle, attempt)
    if name in _OPENS:
        return await _open(desk, body, handle, attempt, _OPENS[name])
    if name == card_controls.MORE:
        return await _more(desk, body, str((action.get("selected_option") or {}).get("value")), attempt)
    _log.warning("A button that is not known was clicked: %s", name)
    return Said(_UNKNOWN_BUTTON, False)


async def _approve(desk: Desk, body: dict[str, Any], handle: Handle | None, name: AttemptId) -> Said:
    seen, attempt = await _attempt(desk, body, handle, name, Verb.APPROVE, "")
    # Whoever makes up a button of their own gets the window too.
    if not complete(seen.value.question) or is_asked(seen.value, Verb.APPROVE):
        return await _open(desk, body, handle, name, Verb.APPROVE)
    return await decided(desk, seen, attempt)


async def _more(desk: Desk, body: dict[str, Any], chosen: str, name: AttemptId) -> Said:
    if (meant := card_controls.Chosen.read(chosen)) is not None:
        return await _attend(desk, body, meant, name)
    found = card_controls.chosen(chosen)
    if found is None or found[0] not in _IN_MENU:
        return Said(_UNKNOWN_BUTTON, False)
    do, request, digest = found
    if digest is None:
        seen = await usecases.admitted(desk.store, request)
        digest = seen.value.digest if seen is not None else digest_of()
    handle = Handle(request, digest)
    if do == MenuItem.VIEW_FULL:
        return await open_modal(desk.client, body, review_modals.full((await _known(desk, handle)).value))
    if do == MenuItem.EDIT:
        return await edits.on_edit(desk, body, handle, name)
    if do == MenuItem.RESPOND:
        return await _open(desk, body, handle, name, Verb.RESPOND)
    alone, wish = do == MenuItem.BREAK_GLASS, _LEAST if do == MenuItem.PERMIT else None
    return await _open(desk, body, handle, name, Verb.APPROVE, _MORE[do], break_glass=alone, wish=wish)


async def _open(
    desk: Desk,
    body: dict[str, Any],
    handle: Handle | None,
    name: AttemptId,
    verb: Verb,
    window: Callable[[Request, ChannelId], modal_parts.View] | None = None,
    *,
    break_glass: bool = False,
    wish: Wish | None = None,
) -> Said:
    seen, attempt = await _attempt(desk, body, handle, name, verb, "")
    attempt = replace(attempt, break_glass=break_glass, wish=wish)
    if decision_rules.why_refused(seen.value, attempt, seen.now) not in _ASKED_IN_THE_WINDOW:
        # Decide says it, and writes it down (R25). Of what was judged here: what somebody may do by now is not counted
        # by a click that was to open a window.
        await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen)
    at = who(body)
    channel = at.channel or seen.value.rules.approvals_channel
    if is_asked(seen.value, verb):
        return await open_modal(desk.client, body, review_modals.review_part(seen.value, channel, at.user))
    return await open_modal(desk.client, body, (window or _WINDOWS[verb])(seen.value, channel))


async def count(
    desk: Desk,
    body: dict[str, Any],
    handle: Handle | None,
    name: AttemptId,
    verb: Verb,
    words: str,
    *,
    wish: Wish | None = None,
    break_glass: bool = False,
) -> Said:
    """Judge the attempt and store what it does; says how many approvals there are if more are needed."""
    seen, attempt = await _attempt(desk, body, handle, name, verb, words)
    return await decided(desk, seen, replace(attempt, wish=wish, break_glass=break_glass))


async def decided(desk: Desk, seen: Admitted, attempt: Attempt) -> Said:
    """Store what the attempt does; says how many approvals there are if more are needed."""
    voters = partial(voters_of, desk.directory)
    after = await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen, voters)
    if after.status is not Status.PENDING:
        return Said("")
    counted = f"Your approval is counted: {len(after.votes)} of {after.rules.quorum} needed."
    return Said(counted + no_votes(seen.value, after))


async def _attempt(
    desk: Desk, body: dict[str, Any], handle: Handle | None, name: AttemptId, verb: Verb, words: str
) -> tuple[Admitted, Attempt]:
    at = who(body)
    try:
        seen = await _known(desk, handle)
    except NotFound:
        about = handle.request if handle else None
        await usecases.unknown_request(
            desk.store, name, request=about, workspace=at.workspace, user=at.user, verb=verb, words=words
        )
        raise
    assert handle is not None, "a request is known by its handle only"
    actor = await actor_at(desk, at, seen.value.rules.reviewers)
    return seen, Attempt(name, actor, verb, handle.digest, words)


async def _attend(desk: Desk, body: dict[str, Any], chosen: card_controls.Chosen, name: AttemptId) -> Said:
    """What was chosen in the card's menu that decides nothing, for all that wait there; what one refuses is said if
    none takes it."""
    after, refused = [], []
    for request in chosen.requests:
        seen = await usecases.admitted(desk.store, request)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        actor = await actor_at(desk, who(body), seen.value.rules.reviewers)
        attempt = AttemptId(short_name(name, request, length=20)) if len(chosen.requests) > 1 else name
        try:
            if chosen.snooze is None:
                after.append(await presence_changes.look(desk.store, request, actor, attempt))
            else:
                after.append(await presence_changes.snooze(desk.store, request, actor, chosen.snooze, attempt))
        except Refused as why:
            refused.append(why)
    if not after:
        raise refused[0]
    if chosen.snooze is None:
        return Said("The card says that you are looking at it. It keeps nobody from deciding.")
    until = max((one.snoozed_until for one in after if one.snoozed_until is not None), default=None)
    if until is None:
        return Said("This request has no reminders that could be put off; nothing was changed.", False)
    return Said(f"Nobody is reminded of it before {when(until)}. {card_controls.STAYS}")


async def _known(desk: Desk, handle: Handle | None) -> Admitted:
    seen = await usecases.admitted(desk.store, handle.request) if handle is not None else None
    if seen is None:
        raise NotFound(Refusal.UNKNOWN.value)
    return seen
