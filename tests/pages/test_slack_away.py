"""Review on the pages while Slack is away: who decides, what is said about it, and the cards afterwards."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.pages.desk import Desk
from bot.pages.people_file import PeopleFile
from bot.pages.providers import Provider
from bot.pages.site import Pages
from bot.slack import app
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.workspace import UserGroup
from tests.longest_wait import PATIENCE
from tests.pages.reviewer import PUBLIC, Reviewer, status, text_of
from tests.sample_requests import HERE, LEADS, question
from tests.slack.socket_bot import events
from tests.slack.test_many_people import Clock
from tests.slack.test_projector import all_drawn, running_projector
from tests.store_fixtures import NoQueue, configure, new_run, update_lists

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookups(clock: Clock) -> LookupCache:
    return LookupCache(patience=PATIENCE, longest=HOUR, clock=clock)


@pytest.fixture
async def pages(
    slack: LocalSlack, store: Store, bot: Services, provider: Provider, people_file: Path, lookups: LookupCache
) -> AsyncIterator[Pages]:
    """Pages that take Slack's last answer for an hour, by a clock that the test moves."""
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        directory = Directory(clients.reads, HERE, lookups, last_known=HOUR)
        site = Pages(PUBLIC, [provider], PeopleFile(people_file, (provider,)), SignIns(store), timedelta(0))
        desk = Desk(HERE, store, NoQueue(), bot.homes.overview, directory, bot.link, bot.admins)
        with site.serving(desk):
            yield site
        await directory.close()


@pytest.mark.slow
async def test_five_requests_are_decided_while_slack_is_away(
    slack: LocalSlack, store: Store, bob: Reviewer, clock: Clock, lookups: LookupCache
) -> None:
    """R6, R9, R25: by a member of a group, for ten minutes; then each card stands as decided, once."""
    slack.workspace.groups[LEADS] = UserGroup(LEADS, "leads", "Leads", ["U0BOB"])
    await configure(store, reviewers=Reviewers(groups=frozenset({LEADS})))
    async with running_projector(slack, store):
        asked = [await usecases.ask(store, await new_run(store, f"r{n}"), question(f"Mail {n}")) for n in range(5)]
        await update_lists(store)
        await all_drawn(slack, store)
        assert "Slack doesn't answer" not in text_of(await bob.get("/"))
        slack.faults.add("server_error", times=None)
        lookups.patience = 0.01
        for request in asked:
            clock.move(timedelta(minutes=2))
            page = await bob.get(f"/requests/{request.id}")
            assert page.status_code == 200
            await bob.answer(f"/requests/{request.id}", "approve")
            assert await status(store, request) is Status.APPROVED
        assert "Slack doesn't answer" in text_of(await bob.get("/"))
        decided = [one for one in await events(store) if one.type is EventType.REQUEST_DECIDED]
        assert decided[-1].data["slack_said"] == "10 min before"
        assert "slack_said" not in decided[0].data
        assert len([m for m in slack.channel("#approvals").messages if "Approve" in m.buttons]) == 5
        slack.faults.clear()
        await all_drawn(slack, store)
    cards = slack.channel("#approvals").messages
    assert (len(cards), [m for m in cards if "Approve" in m.buttons]) == (5, [])


async def test_outdated_slack_answers_do_not_count(
    slack: LocalSlack, store: Store, lease: Lease, bob: Reviewer, clock: Clock
) -> None:
    """R9: after the configured age nothing is known, and nobody decides."""
    request = await usecases.ask(store, lease, question())
    await update_lists(store)
    form = await bob.form(f"/requests/{request.id}", "approve")
    slack.faults.add("error", error="internal_error", times=None)
    clock.move(HOUR)
    refused = await bob.client.post(f"/requests/{request.id}", data=form)
    assert refused.status_code >= 400
    assert await status(store, request) is Status.PENDING
