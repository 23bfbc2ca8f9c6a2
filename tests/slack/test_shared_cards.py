"""Cards that wait for their turn: requests of several runs share one, each with its row (R1, R26)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from bot.slack.handlers.context import Services
from bot.slack.ports import Importance
from bot.slack.projector.message_sync import Poster
from bot.slack.projector.projector import Projector
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain.ids import ChannelId, RunId
from countersign.domain.requests import Request, Status
from countersign.store.outbox import Outbox
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from tests.sample_requests import HERE, OURS, question
from tests.slack.test_batch_card import ids, refund, rows_of, shown
from tests.slack.test_projector import all_drawn, decide
from tests.store_fixtures import configure, new_run

APPROVALS = ChannelId("C0APPROVALS")


class Full(NamedTuple):
    """A channel that takes no more cards until `held` is let go."""

    held: AsyncExitStack
    poster: Poster
    projector: Projector


@asynccontextmanager
async def full(slack: LocalSlack, store: Store, bot: Services, channel: ChannelId) -> AsyncIterator[Full]:
    """A projector at work, and a channel that takes no post before what this yields is closed."""
    calls = GatedCalls(bot.client, HURRY)
    poster = Poster(calls, store, HERE, slack.url, OURS)
    projector = Projector(store, Outbox(store), poster, "web-1")
    async with AsyncExitStack() as held:
        await held.enter_async_context(calls.gate("chat.postMessage").turn(channel, Importance.CARD, -1))
        drawing = asyncio.create_task(projector.run())
        try:
            yield Full(held, poster, projector)
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)


async def given_rows(store: Store, asked: list[Request], rows: int) -> None:
    """Wait until so many of the requests are rows below the first of a card."""
    while True:
        seen = [await store.message(f"card/{one.id}") for one in asked]
        if sum(bool(one and one.value.on) for one in seen) == rows:
            return
        await asyncio.sleep(0.02)


async def waits(there: Full, asked: Request) -> None:
    """Wait until the request waits for its turn, where those that come later find it."""
    while not any(asked.id in cards for cards in there.projector.cards.in_hand.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def ask_each(store: Store, there: Full, count: int) -> list[Request]:
    """Ask for one refund in each of so many runs, one after the other: each finds those before it."""
    asked = list[Request]()
    for n in range(count):
        lease = await new_run(store, RunId(f"rshared{n}"))
        asked.append(await usecases.ask(store, lease, refund(n)))
        await waits(there, asked[-1])
        await given_rows(store, asked, n - n // 5)
    return asked


async def test_queued_requests_share_a_card_of_five_rows(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R1, R26: seven runs, two cards; each row says for whom it is, and its buttons decide on it alone."""
    async with full(slack, store, bot, APPROVALS) as there:
        asked = await ask_each(store, there, 7)
        await given_rows(store, asked, 5)
        await there.held.aclose()
        await all_drawn(slack, store)
        await decided_alone(slack, store, asked)


async def decided_alone(slack: LocalSlack, store: Store, asked: list[Request]) -> None:
    """One row is decided by a click, the others of its card after it."""
    cards = shown(slack)
    assert [len(rows_of(card)) for card in cards] in ([5, 2], [2, 5])
    assert {row for card in cards for row in rows_of(card)} == ids(asked)
    for card in cards:
        assert text_of(card).count("For <@U0ALICE> in <#C0GENERAL>") == len(rows_of(card))
    most = max(cards, key=lambda card: len(rows_of(card)))
    first, second, *_ = rows_of(most)
    await slack.user("bob").click(most, "Approve", block=f"decide {first}")
    await all_drawn(slack, store)
    stored = {one.id: one.status for one in await store.requests([one.id for one in asked]) if one}
    assert [name for name, status in stored.items() if status is Status.APPROVED] == [first]
    await asyncio.gather(*(decide(store, one) for one in asked if one.id in {second, *rows_of(most)} - {first}))
    await all_drawn(slack, store)
    (after,) = [card for card in shown(slack) if card.ts == most.ts]
    assert not rows_of(after) and "All decided · 5 approved" in after.text


async def test_only_requests_with_equal_rules_share_a_card(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R9, R26: another quorum is another card, and words for an agent have their own."""
    async with full(slack, store, bot, APPROVALS) as there:
        plain = await ask_each(store, there, 2)
        await given_rows(store, plain, 1)
        await configure(store, quorum=2)
        strict = list[Request]()
        for n in (0, 1):
            lease = await new_run(store, RunId(f"rstrict{n}"))
            strict.append(await usecases.ask(store, lease, refund(8 + n)))
            await waits(there, strict[-1])
        await given_rows(store, [*plain, *strict], 2)
        worded = await usecases.ask(store, await new_run(store, RunId("rworded")), question())
        await there.held.aclose()
        await all_drawn(slack, store)
    rows = [set(rows_of(card)) for card in shown(slack) if rows_of(card)]
    assert len(shown(slack)) == 3 and sorted(rows, key=sorted) == sorted([ids(plain), ids(strict)], key=sorted)
    assert worded.id not in set().union(*rows)


async def test_runs_in_closed_channels_do_not_share_cards(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R21: each run's thread has a card of its own rows."""
    nowhere = ChannelId("C0RANDOM")
    await configure(store, approvals_channel=nowhere)
    async with full(slack, store, bot, nowhere) as there:
        asked = await ask_each(store, there, 3)
        await given_rows(store, asked, 2)
        await there.held.aclose()
        await all_drawn(slack, store)
    roots = slack.channel("#general").messages
    threads = ["\n".join(text_of(m) for m in slack.channel("#general").thread(root.ts)) for root in roots]
    for one in asked:
        (mine,) = [text for text in threads if one.question.content in text]
        assert not [other for other in asked if other is not one and other.question.content in mine]
