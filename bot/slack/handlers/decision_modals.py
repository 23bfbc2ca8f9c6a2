"""Handle windows that decide on the content they show (R13).

The person, the time and the input are judged when a window is sent.
"""

from dataclasses import replace
from typing import Any

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.requests import Verb

from ..views import answer_modals, confirmation_text, edit_modal, modal_parts, review_modals
from ..views.control_values import Handle
from ..views.modal_parts import View
from ..views.reviewed_content import parts
from .ack_deadline import refused
from .attempts import decide, prepare, replace_card
from .context import Reply, Services


async def reject(services: Services, body: dict[str, Any]) -> Reply:
    """Reject, with a reason or without."""
    reason = modal_parts.value(body["view"], answer_modals.REASON)
    return await decide(services, body, await prepare(services, body, _handle(body), Verb.REJECT, reason))


async def respond(services: Services, body: dict[str, Any]) -> Reply:
    """Answer with a text."""
    answer = modal_parts.value(body["view"], answer_modals.ANSWER)
    return await decide(services, body, await prepare(services, body, _handle(body), Verb.RESPOND, answer))


async def approve(services: Services, body: dict[str, Any]) -> Reply:
    """Approve from the full view."""
    return await decide(services, body, await prepare(services, body, _handle(body), Verb.APPROVE))


async def break_glass(services: Services, body: dict[str, Any]) -> Reply:
    """Let the requester decide alone, if permitted; the sender counts, not the opener."""
    reason = modal_parts.value(body["view"], review_modals.REASON)
    return await decide(
        services, body, await prepare(services, body, _handle(body), Verb.APPROVE, reason, break_glass=True)
    )


async def permit(services: Services, body: dict[str, Any]) -> Reply:
    """Approve and don't ask again: both are stored in one step."""
    try:
        wish = review_modals.wish_of(body["view"])
    except ValueError:
        raise InvalidInput(confirmation_text.NOTHING_CHOSEN) from None
    return await decide(services, body, await prepare(services, body, _handle(body), Verb.APPROVE, wish=wish))


async def choose(services: Services, body: dict[str, Any]) -> Reply:
    """Choose options."""
    prepared = await prepare(services, body, _handle(body), Verb.CHOOSE)
    chosen = answer_modals.chosen_options(body["view"], prepared.request.question)
    return await decide(services, body, prepared._replace(attempt=replace(prepared.attempt, chosen=chosen)))


async def edit(services: Services, body: dict[str, Any]) -> Reply:
    """Approve with changes; a problem is shown under its input."""
    view = body["view"]
    prepared = await prepare(services, body, _handle(body), Verb.EDIT)
    try:
        changed = edit_modal.read(view, prepared.request.question)
    except edit_modal.WrongFields as wrong:
        return Reply(str(wrong), False, errors=wrong.fields)
    opened_for, typed = review_modals.opened_for(view), review_modals.typed_word(view)
    attempt = replace(prepared.attempt, opened_for=opened_for, typed=typed, **changed._asdict())
    try:
        return await decide(services, body, prepared._replace(attempt=attempt))
    except Refused as error:
        if error.refusal is not Refusal.NOT_TYPED:
            raise
        return refused(error, review_modals.WORD)


async def next_part(services: Services, body: dict[str, Any]) -> Reply:
    """Show the next part of the full view.

    After the last part, Edit opens the form, and Approve decides.
    """
    view = body["view"]
    opened, channel = review_modals.opened(view), modal_parts.channel_of(view)
    prepared = await prepare(services, body, _handle(body), opened.verb)
    refusal = await usecases.why_no_window(services.store, services.queue, *prepared, services.cards.held)
    if refusal is not None:
        replace_card(services, prepared.request.id)
        return refused(refusal)
    request = prepared.request
    if opened.layout != review_modals.layout(request):
        raise InvalidInput(confirmation_text.OTHER_PARTS)
    if opened.part + 1 < len(parts(request.question)):
        view = review_modals.review_part(request, channel, opened.user, opened.verb, opened.part + 1)
        return _next(services.cards.carrying(view, body))
    if opened.verb is Verb.EDIT:
        view = review_modals.high_risk_edit(edit_modal.edit(request, channel), request, opened.user)
        return _next(services.cards.carrying(view, body))
    attempt = replace(prepared.attempt, opened_for=opened.user, typed=review_modals.typed_word(view))
    return await decide(services, body, prepared._replace(attempt=attempt))


def _next(view: View) -> Reply:
    return Reply(confirmation_text.DECISION_TOO_LATE, counted=False, view=view)


def _handle(body: dict[str, Any]) -> Handle | None:
    return Handle.read(body["view"]["private_metadata"])
