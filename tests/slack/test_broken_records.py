"""What Slack shows of the others when a record of one run cannot be read (R4)."""

from dataclasses import replace
from datetime import timedelta

from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector import unreachable_reviewers
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.block_kit import Drawing
from countersign import usecases
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.ids import RunId
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from tests.sample_requests import GENERAL, HERE, OURS, question, request, rules
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.store.test_unreadable import BROKEN
from tests.store.two_users import Sides, start
from tests.store_fixtures import new_run


async def test_the_projector_draws_the_others(slack: LocalSlack, store: Store) -> None:
    both = [await usecases.ask(store, await new_run(store, run), question(content=run)) for run in ("rtest", "rother")]
    await store.client.set(store.keys.request(both[0].id), BROKEN, keepttl=True)
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    assert "rother" in text_of(card)
    assert len(slack.channel("#approvals").messages) == 1


async def test_others_are_told_that_nobody_is_left_who_may_decide(
    slack: LocalSlack, sides: Sides, bot: Services
) -> None:
    await sides.web.set_defaults(rules(on_timeout=OnTimeout.WAIT))
    await start(sides)
    seen = await sides.web.run(RunId("rtest"))
    assert seen is not None
    other = replace(seen.value, id=RunId("rother"))
    await sides.web.commit(Change(runs=(Put(other, 0),)))
    now = await sides.agents.now()
    for run in ("rtest", "rother"):
        made = request(now - timedelta(minutes=5), run, on_timeout=OnTimeout.WAIT)
        await sides.agents.commit(Change(requests=(Put(made, 0),)))
    poster = Poster(GatedCalls(bot.client, HURRY), sides.web, HERE, slack.url, OURS)
    for run in ("rtest", "rother"):
        await poster.show(f"run/{run}", Place(GENERAL), Drawing("a run", []))
    first, second = await sides.web.indexes.waiting(9)
    await sides.agents.client.set(sides.agents.keys.run(first.run), BROKEN, keepttl=True)
    for name in ("U0BOB", "U0CAROL"):
        slack.workspace.users[name].deleted = True
    directory = Directory(bot.client, HERE, LookupCache())
    await unreachable_reviewers.look(sides.web, directory, poster)
    await directory.close()
    root = await sides.web.message(f"run/{second.run}")
    assert root is not None
    thread = slack.channel("#general").thread(root.value.ts)
    assert sum("still pending, but nobody could decide" in text_of(m) for m in thread) == 1
