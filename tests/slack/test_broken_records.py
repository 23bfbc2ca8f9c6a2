"""What Slack shows of the others when a record of one run cannot be read (R4)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector import card_grouping, unreachable_reviewers
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.block_kit import Drawing
from countersign import usecases
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.ids import RunId
from countersign.domain.people import Actor
from countersign.domain.requests import Request
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from tests.sample_requests import ALICE, GENERAL, HERE, OURS, question, request, rules
from tests.slack.test_batch_card import ask, rows_of, shown
from tests.slack.test_projector import all_drawn, card_of, decide, running_projector
from tests.store.test_unreadable import BROKEN
from tests.store_fixtures import new_run, start_run


async def test_projector_draws_other_runs_beside_a_broken_record(slack: LocalSlack, store: Store) -> None:
    both = [await usecases.ask(store, await new_run(store, run), question(content=run)) for run in ("rtest", "rother")]
    await store.client.set(store.keys.request(both[0].id), BROKEN, keepttl=True)
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    assert "rother" in text_of(card)
    assert len(slack.channel("#approvals").messages) == 1


async def test_damaged_request_blocks_no_other_card_of_its_run(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: it alone is left out, and what is drawn of the run goes on until it is over."""
    broken, _ = [await usecases.ask(store, lease, question(text, agent=text)) for text in ("one", "two")]
    await store.client.set(store.keys.request(broken.id), BROKEN, keepttl=True)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        (card,) = shown(slack)
        assert "two" in text_of(card) and "Approve" in card.buttons
        await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert card.buttons == ["Details"]
    (root,) = slack.channel("#general").messages
    assert any("Stopped" in text_of(note) for note in slack.channel("#general").thread(root.ts)[1:])


@pytest.mark.parametrize("posted", [True, False])
async def test_card_is_drawn_without_its_damaged_row(
    slack: LocalSlack, store: Store, lease: Lease, posted: bool
) -> None:
    """R6, R26: also one that was about to be posted with it."""
    asked = await ask(store, lease, *range(3))
    run = await store.run(lease.run)
    assert run is not None
    if posted:
        async with running_projector(slack, store):
            await all_drawn(slack, store)
    else:
        await card_grouping.give_rows(store, run.value, [one.id for one in asked])
    await store.client.set(store.keys.request(asked[1].id), BROKEN, keepttl=True)
    await decide(store, asked[0])
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    (card,) = shown(slack)
    assert rows_of(card) == [asked[2].id]


async def test_new_row_leaves_a_card_with_a_damaged_row(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """A burst with an unreadable row takes no more rows; the new one gets another card."""
    first, _ = await ask(store, lease, 0, 1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    await store.client.set(store.keys.request(first.id), BROKEN, keepttl=True)
    await ask(store, lease, 2)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    assert ["Refund order 2" in text_of(card) for card in shown(slack)] == [False, True]


async def damage_run(store: Store, asked: Request) -> None:
    await store.client.set(store.keys.run(asked.run), BROKEN, keepttl=True)


async def damage_head(store: Store, asked: Request) -> None:
    """The thread's, which is to be told."""
    place, name = store.keys.message(f"run/{asked.run}")
    await store.client.hset(place, name, BROKEN)


@pytest.mark.parametrize("damage", [damage_run, damage_head])
async def test_undecidable_requests_are_announced_despite_a_broken_record(
    slack: LocalSlack, store: Store, bot: Services, damage: Callable[[Store, Request], Awaitable[None]]
) -> None:
    """The requesters of the other runs read that nobody is left who may decide."""
    await store.set_defaults(rules(on_timeout=OnTimeout.WAIT))
    other = replace(await start_run(store), id=RunId("rother"))
    await store.commit(Change(runs=(Put(other, 0),)))
    now = await store.now()
    for run in ("rtest", "rother"):
        made = request(now - timedelta(minutes=5), run, on_timeout=OnTimeout.WAIT)
        await store.commit(Change(requests=(Put(made, 0),)))
    poster = Poster(GatedCalls(bot.client, HURRY), store, HERE, slack.url, OURS)
    for run in ("rtest", "rother"):
        await poster.show(f"run/{run}", Place(GENERAL), Drawing("a run", []))
    first, second = await store.indexes.waiting(9)
    await damage(store, first)
    for name in ("U0BOB", "U0CAROL"):
        slack.workspace.users[name].deleted = True
    directory = Directory(bot.client, HERE, LookupCache())
    await unreachable_reviewers.look(store, directory, poster)
    await directory.close()
    root = await store.message(f"run/{second.run}")
    assert root is not None
    thread = slack.channel("#general").thread(root.value.ts)
    assert sum("still pending, but nobody could decide" in text_of(m) for m in thread) == 1
