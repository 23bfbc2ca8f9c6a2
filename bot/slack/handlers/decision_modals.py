"""Windows that decide on the content that they showed (R13).

The person, the time and the input are judged when a window is sent.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.permission_scopes import PermissionChoice
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Verb

from ..views import choice_controls, edit_modal, modal_parts, modals, review_modals, window_notices
from ..views.card_content import parts
from ..views.card_controls import Handle
from ..views.modal_parts import View
from .ack_deadline import answer_window, refused
from .attempts import Aimed, aim, decide
from .context import Reply, Services


async def on_reject(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Reject, with a reason or without."""
    await _words(services, ack, body, Verb.REJECT, modals.REASON)


async def on_respond(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Answer in words."""
    await _words(services, ack, body, Verb.RESPOND, modals.ANSWER)


async def on_break_glass(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Let the requester decide alone.

    Their right to is judged here, whoever opened the window.
    """
    await _words(services, ack, body, Verb.APPROVE, review_modals.REASON, break_glass=True)


async def _words(
    services: Services, ack: AsyncAck, body: dict[str, Any], verb: Verb, block: str, *, break_glass: bool = False
) -> None:
    async def work() -> Reply:
        words = modal_parts.value(body["view"], block)
        aimed = await aim(services, body, _handle(body), verb, words, break_glass=break_glass)
        return await decide(services, body, aimed)

    await _answer(services, ack, body, work, "answer", block)


async def on_permit(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve and don't ask again: both are stored in one step."""
    try:
        wish: PermissionChoice = review_modals.wish_of(body["view"])
    except ValueError:
        await ack(response_action="errors", errors={review_modals.SCOPE: window_notices.NOTHING_CHOSEN})
        return

    async def work() -> Reply:
        return await decide(services, body, await aim(services, body, _handle(body), Verb.APPROVE, wish=wish))

    await _answer(services, ack, body, work, "approval", review_modals.SCOPE)


async def on_choose(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Choose options."""

    async def work() -> Reply:
        aimed = await aim(services, body, _handle(body), Verb.CHOOSE)
        chosen = choice_controls.read(body["view"], aimed.request.question)
        return await decide(services, body, aimed._replace(attempt=replace(aimed.attempt, chosen=chosen)))

    await _answer(services, ack, body, work, "choice", choice_controls.OPTIONS)


async def on_edit(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve with changes; a problem is told under its input."""
    view = body["view"]

    async def work() -> Reply:
        opened_for, typed = review_modals.opened_for(view), review_modals.typed_word(view)
        aimed = await aim(services, body, _handle(body), Verb.EDIT, opened_for=opened_for, typed=typed)
        try:
            changed = edit_modal.read(view, aimed.request.question)
        except edit_modal.WrongFields as wrong:
            return Reply(str(wrong), False, errors=wrong.fields)
        attempt = replace(aimed.attempt, **changed._asdict())
        try:
            return await decide(services, body, aimed._replace(attempt=attempt))
        except Refused as error:
            if error.refusal is not Refusal.NOT_TYPED:
                raise
            return refused(error, review_modals.WORD)

    await _answer(services, ack, body, work, "change", edit_modal.first_input(view))


async def on_review(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve from the full view."""

    async def work() -> Reply:
        return await decide(services, body, await aim(services, body, _handle(body), Verb.APPROVE))

    await _answer(services, ack, body, work, "approval")


async def on_high_risk(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Go on to the next part of the full view.

    The last part of Edit leads to the form, that of Approve decides.
    """

    async def work() -> Reply:
        return await _after_part(services, body)

    block = review_modals.WORD if review_modals.asks_for_word(body["view"]) else ""
    await _answer(services, ack, body, work, "approval", block)


async def _after_part(services: Services, body: dict[str, Any]) -> Reply:
    view = body["view"]
    opened, typed, channel = review_modals.opened(view), review_modals.typed_word(view), modal_parts.channel_of(view)
    aimed = await aim(services, body, _handle(body), opened.verb)
    if (refusal := await usecases.why_no_window(services.store, services.queue, *aimed)) is not None:
        return refused(refusal)
    request = aimed.request
    if opened.layout != review_modals.layout(request):
        raise InvalidInput(window_notices.OTHER_PARTS)
    if opened.part + 1 < len(parts(request.question)):
        return _next(review_modals.review_part(request, channel, opened.user, opened.verb, opened.part + 1))
    if opened.verb is Verb.EDIT:
        return _next(review_modals.high_risk_edit(edit_modal.edit(request, channel), request, opened.user))
    attempt = replace(aimed.attempt, opened_for=opened.user, typed=typed)
    return await decide(services, body, Aimed(aimed.seen, attempt))


def _next(view: View) -> Reply:
    return Reply(window_notices.DECISION_TOO_LATE, counted=False, view=view)


def _handle(body: dict[str, Any]) -> Handle | None:
    return Handle.read(body["view"]["private_metadata"])


async def _answer(
    services: Services,
    ack: AsyncAck,
    body: dict[str, Any],
    work: Callable[[], Awaitable[Reply]],
    deed: str,
    block: str = "",
) -> None:
    """Do the work, provided that the box “read” is checked if there is one."""
    if not modal_parts.has_read(body["view"]):
        await ack(response_action="errors", errors={modal_parts.READ: window_notices.READ_FIRST})
        return
    await answer_window(services, ack, body, work, deed=deed, block=block)
