"""Approving what a card does not show whole, or what is of high risk (R13): the full view opens, and its button
approves what it showed."""

from dataclasses import replace
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign.domain.errors import InvalidInput
from countersign.domain.ids import AttemptId, short_name
from countersign.domain.requests import Verb

from ..views import edit_modal, modal_parts, review_modals
from ..views.card_content import parts
from ..views.card_controls import Handle
from ..views.modal_parts import View
from . import card_actions, edits
from .responses import Desk, Said, in_plain_text, in_time, said, tell, who

READ_FIRST: Final = "Please read the file in the card's thread, and say so here. Nothing was decided."
_OTHER_PARTS: Final = (
    "The app was updated while you had this open, and shows it in other parts now. Nothing was decided; please close "
    "this and open it again from its card."
)
_TOO_SLOW: Final = Said("That took too long, and the window closed. Nothing was decided; please open it again.", False)


async def on_review_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The full view was approved: identity, time and digest are judged again. What does not count is told in it."""
    view, at = body["view"], who(body)
    if not modal_parts.has_read(view):
        await ack(response_action="errors", errors={modal_parts.READ: READ_FIRST})
        return
    attempt = AttemptId("v" + short_name(view["id"], at.user, length=20))
    channel = modal_parts.channel_of(view)

    async def answer(result: Said | None) -> None:
        if result is None or result.counted:
            await ack()
        else:
            await ack(response_action="update", view=modal_parts.not_counted(result.text))
        if result is not None and result.counted:
            await tell(desk.client, body, result, channel)

    work = said(
        card_actions.count(desk, body, Handle.read(view["private_metadata"]), attempt, Verb.APPROVE, ""), "approval"
    )
    await in_time(work, answer, lambda result: tell(desk.client, body, result, channel))


async def on_high_risk_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """A part of the full view was sent: the next part comes, after the last of Edit the form, and the last of Approve
    is judged. What does not count is told under the word, or in the window."""
    view = body["view"]
    channel, has_word = modal_parts.channel_of(view), review_modals.asks_for_word(view)
    turned: list[View] = []

    async def work() -> Said:
        return await _sent(desk, body, turned)

    async def answer(result: Said | None) -> None:
        if result is None:
            await ack()
        elif turned:
            await ack(response_action="update", view=turned[0])
        elif result.counted:
            await ack()
            await tell(desk.client, body, result, channel)
        elif has_word:
            await ack(response_action="errors", errors={review_modals.WORD: result.text})
        else:
            await ack(response_action="update", view=modal_parts.not_counted(result.text))

    told = said(work(), "approval")
    told = in_plain_text(desk.directory, told) if has_word else told
    await in_time(told, answer, lambda result: tell(desk.client, body, _TOO_SLOW if turned else result, channel))


async def _sent(desk: Desk, body: dict[str, Any], turned: list[View]) -> Said:
    """What the approval comes to, or the view that follows in `turned`."""
    view = body["view"]
    opened, typed, channel = review_modals.opened(view), review_modals.typed_word(view), modal_parts.channel_of(view)
    # What was typed is part of the attempt: after a refusal the same window may be sent with something else.
    name = AttemptId("v" + short_name(view["id"], who(body).user, str(opened.part), typed, length=20))
    handle = Handle.read(view["private_metadata"])
    seen, attempt = await edits.attempt_of(desk, body, handle, name, opened.verb)
    await edits.refuse_for_good(desk, seen, attempt)
    request = seen.value
    if opened.layout != review_modals.layout(request):
        raise InvalidInput(_OTHER_PARTS)
    if opened.part + 1 < len(parts(request.question)):
        turned.append(review_modals.review_part(request, channel, opened.user, opened.verb, opened.part + 1))
    elif opened.verb is Verb.EDIT:
        turned.append(review_modals.high_risk_edit(edit_modal.edit(request, channel), request, opened.user))
    else:
        return await card_actions.decided(desk, seen, replace(attempt, opened_for=opened.user, typed=typed))
    return Said("")
