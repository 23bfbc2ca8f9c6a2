"""Approving what a card does not show whole (R13): the full view opens, and its button approves what it showed."""

from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from bot.core.ids import AttemptId, short_name
from bot.core.requests import Verb
from bot.slack import clicks, modals
from bot.slack.answering import Desk, Said, in_time, said, tell, who
from bot.slack.cards import Handle

READ_FIRST: Final = "Please read the file in the card's thread, and say so here. Nothing was decided."


async def on_review_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The full view was approved: identity, time and digest are judged again. What does not count is told in it."""
    view, at = body["view"], who(body)
    if not modals.has_read(view):
        await ack(response_action="errors", errors={modals.READ: READ_FIRST})
        return
    attempt = AttemptId("v" + short_name(view["id"], at.user, length=20))
    channel = modals.channel_of(view)

    async def answer(result: Said | None) -> None:
        if result is None or result.counted:
            await ack()
        else:
            await ack(response_action="update", view=modals.not_counted(result.text))
        if result is not None and result.counted:
            await tell(desk.client, body, result, channel)

    work = said(clicks.count(desk, body, Handle.read(view["private_metadata"]), attempt, Verb.APPROVE, ""), "approval")
    await in_time(desk, work, answer, lambda result: tell(desk.client, body, result, channel))
