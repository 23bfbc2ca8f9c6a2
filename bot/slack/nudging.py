"""Tells people again of a request that waits: a reminder in its card's thread, a card for those it goes to next.

All of them are messages of the request, and are settled with it (R6): cards lose their buttons, words say how it ended.
"""

import logging
from collections.abc import Iterable, Sequence

from bot.core import schedule
from bot.core.absence import Absence
from bot.core.events import Event, EventType
from bot.core.people import Reviewers
from bot.core.ports import Change, Message, Store
from bot.core.requests import Raised, Request, Status
from bot.slack import content
from bot.slack.blocks import context, link, mrkdwn, plain, words
from bot.slack.cards import Drawing, expiry
from bot.slack.content import TITLE
from bot.slack.meanwhile import stand_ins
from bot.slack.outcomes import named, sentence
from bot.slack.poster import CannotPost, Place, Poster
from bot.slack.text import escape, one_line

_log = logging.getLogger(__name__)


async def nudge(
    poster: Poster, store: Store, request: Request, card: Message, drawing: Drawing, away: Sequence[Absence]
) -> None:
    """Post what is new of the reminders and the escalation, and bring what stands up to date."""
    shown = {request.rules.approvals_channel}
    for raised in request.raised:
        channel = schedule.place_of(request, raised)
        has_card = channel not in shown and await _raised_card(poster, store, request, raised, drawing)
        if not has_card or request.status is not Status.PENDING:  # the reply may stand since Slack refused the card
            await _reply(
                poster,
                request,
                card,
                f"raised/{request.id}/{raised.number}",
                raised_note(request, raised, poster.link(card)),
            )
        shown.add(channel)
    pending = request.status is Status.PENDING
    for number in range(1, request.reminded + 1):
        if not pending or number == request.reminded:
            note = reminder_note(request, poster.link(card), away)
            await _reply(poster, request, card, f"reminder/{request.id}/{number}", note)


def reminder_note(request: Request, card_link: str, away: Iterable[Absence] = ()) -> Drawing:
    """In the card's thread: those who may decide and have not voted, or who stands in for them; or how it ended."""
    voted = {vote.seat or vote.user for vote in request.votes}
    gone = {a.user: a.stand_in for a in stand_ins(request, away)}
    users = frozenset(gone.get(user, user) for user in request.rules.reviewers.users - voted)
    whom = named(Reviewers(users, request.rules.reviewers.groups))
    at = link(card_link, "the card")
    return _note(request, f":bell: {whom}: this still waits for a decision, see {at}.", "Still waiting for a decision")


def raised_note(request: Request, raised: Raised, card_link: str) -> Drawing:
    """In the card's thread: the next people may decide too, told where the card stands; or how it ended."""
    whom = named(request.rules.escalation[raised.number].reviewers)
    at = link(card_link, "the card")
    text = f":arrow_up: {whom}: nobody has decided on this yet, and you may now too, see {at}."
    return _note(request, text, "Goes to the next people, because nobody has decided")


def _note(request: Request, text: str, said: str) -> Drawing:
    title = one_line(request.question.title, TITLE)
    if request.decision is not None:
        over = sentence(request, request.decision)
        return Drawing(over, [words(over), context(plain(title, TITLE))])
    return Drawing(f"{said}: {escape(title)}", [words(text), context(plain(title, TITLE), mrkdwn(expiry(request)))])


async def _reply(poster: Poster, request: Request, card: Message, name: str, note: Drawing) -> None:
    thread = Place(card.channel, card.thread or card.ts)
    await poster.show(name, thread, note, request=request.id, post=request.status is Status.PENDING)


async def _raised_card(poster: Poster, store: Store, request: Request, raised: Raised, drawing: Drawing) -> bool:
    """Whether the request has a card of its own where it went; if Slack will not take one, that is on record (R21)."""
    name, channel = f"card/{request.id}/{raised.number}", schedule.place_of(request, raised)
    pending = request.status is Status.PENDING
    try:
        card = await poster.show(name, Place(channel), drawing, request=request.id, post=pending)
    except CannotPost as refused:
        if await store.message(f"raised/{request.id}/{raised.number}") is None:
            _log.error("Request %s cannot be shown in %s: %s", request.id, channel, refused)
            event = Event(
                EventType.CARD_NOT_POSTED,
                await store.now(),
                run=request.run,
                request=request.id,
                workspace=request.workspace,
                data={"problem": str(refused), "channel": channel},
            )
            await store.commit(Change(events=(event,)))
        return False
    if card is not None and pending and content.needs_file(request):
        filename, whole = content.file_of(request)
        place = Place(card.channel, card.ts)
        await poster.attach(f"file/{request.id}/{raised.number}", place, filename, whole, "Everything that is asked")
    return True
