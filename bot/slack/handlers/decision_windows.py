"""Windows that decide, on the content that they showed (R13).

What was entered is judged when it is sent: who, in time, and what.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.grant_request import Wish
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Verb

from ..views import choice_controls, edit_modal, modal_parts, modals, review_modals
from ..views.card_content import parts
from ..views.card_controls import Handle
from ..views.modal_parts import View
from .attempts import Aimed, aim, decide
from .context import Desk, Reply
from .responses import answer_window, refused

READ_FIRST: Final = "Please read all of it first, and say so here. Nothing was decided."
_NOTHING_CHOSEN: Final = "Please choose what is not asked again, and for how long. Nothing was decided."
_OTHER_PARTS: Final = (
    "The app was updated while you had this open, and now shows it in different parts. Nothing was decided; please "
    "close this and open it again from its card."
)
_TOO_SLOW: Final = "That took too long, and the window closed. Nothing was decided; please open it again."


async def on_reject(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Reject, with a reason or without."""
    await _words(desk, ack, body, Verb.REJECT, modals.REASON)


async def on_respond(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Answer in words."""
    await _words(desk, ack, body, Verb.RESPOND, modals.ANSWER)


async def on_break_glass(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Let the requester decide alone.

    Whether they may is judged here, whoever opened the window.
    """
    await _words(desk, ack, body, Verb.APPROVE, review_modals.REASON, break_glass=True)


async def _words(
    desk: Desk, ack: AsyncAck, body: dict[str, Any], verb: Verb, block: str, *, break_glass: bool = False
) -> None:
    async def work() -> Reply:
        words = modal_parts.value(body["view"], block)
        aimed = await aim(desk, body, _handle(body), verb, words, break_glass=break_glass)
        return await decide(desk, body, aimed)

    await _answer(desk, ack, body, work, "answer", block)


async def on_permit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve and don't ask again: both are stored in one step."""
    try:
        wish: Wish = review_modals.wish_of(body["view"])
    except ValueError:
        await ack(response_action="errors", errors={review_modals.SCOPE: _NOTHING_CHOSEN})
        return

    async def work() -> Reply:
        return await decide(desk, body, await aim(desk, body, _handle(body), Verb.APPROVE, wish=wish))

    await _answer(desk, ack, body, work, "approval", review_modals.SCOPE)


async def on_choose(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Choose options."""

    async def work() -> Reply:
        aimed = await aim(desk, body, _handle(body), Verb.CHOOSE)
        chosen = choice_controls.read(body["view"], aimed.request.question)
        return await decide(desk, body, aimed._replace(attempt=replace(aimed.attempt, chosen=chosen)))

    await _answer(desk, ack, body, work, "choice", choice_controls.OPTIONS)


async def on_edit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve with changes; what cannot be used is told under its input."""
    view = body["view"]

    async def work() -> Reply:
        opened_for, typed = review_modals.opened_for(view), review_modals.typed_word(view)
        aimed = await aim(desk, body, _handle(body), Verb.EDIT, opened_for=opened_for, typed=typed)
        try:
            arguments, words = edit_modal.read(view, aimed.request.question)
        except edit_modal.WrongFields as wrong:
            return Reply(str(wrong), False, errors=wrong.fields)
        attempt = replace(aimed.attempt, arguments=arguments, words=words)
        try:
            return await decide(desk, body, aimed._replace(attempt=attempt))
        except Refused as error:
            if error.refusal is not Refusal.NOT_TYPED:
                raise
            return refused(error, review_modals.WORD)

    await _answer(desk, ack, body, work, "change", edit_modal.first_input(view))


async def on_review(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Approve from the full view."""

    async def work() -> Reply:
        return await decide(desk, body, await aim(desk, body, _handle(body), Verb.APPROVE))

    await _answer(desk, ack, body, work, "approval")


async def on_high_risk(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Go on to the next part of the full view.

    The last part of Edit leads to the form, that of Approve decides.
    """

    async def work() -> Reply:
        return await _after_part(desk, body)

    block = review_modals.WORD if review_modals.asks_for_word(body["view"]) else ""
    await _answer(desk, ack, body, work, "approval", block)


async def _after_part(desk: Desk, body: dict[str, Any]) -> Reply:
    view = body["view"]
    opened, typed, channel = review_modals.opened(view), review_modals.typed_word(view), modal_parts.channel_of(view)
    aimed = await aim(desk, body, _handle(body), opened.verb)
    if (refusal := await usecases.why_no_window(desk.store, desk.queue, *aimed)) is not None:
        return refused(refusal)
    request = aimed.request
    if opened.layout != review_modals.layout(request):
        raise InvalidInput(_OTHER_PARTS)
    if opened.part + 1 < len(parts(request.question)):
        return _next(review_modals.review_part(request, channel, opened.user, opened.verb, opened.part + 1))
    if opened.verb is Verb.EDIT:
        return _next(review_modals.high_risk_edit(edit_modal.edit(request, channel), request, opened.user))
    attempt = replace(aimed.attempt, opened_for=opened.user, typed=typed)
    return await decide(desk, body, Aimed(aimed.seen, attempt))


def _next(view: View) -> Reply:
    return Reply(_TOO_SLOW, counted=False, view=view)


def _handle(body: dict[str, Any]) -> Handle | None:
    return Handle.read(body["view"]["private_metadata"])


async def _answer(
    desk: Desk, ack: AsyncAck, body: dict[str, Any], work: Callable[[], Awaitable[Reply]], deed: str, block: str = ""
) -> None:
    """Do the work, once all was read that had to be."""
    if not modal_parts.has_read(body["view"]):
        await ack(response_action="errors", errors={modal_parts.READ: READ_FIRST})
        return
    await answer_window(desk, ack, body, work, deed=deed, block=block)
