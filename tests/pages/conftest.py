"""The pages over a real store, a local Slack and a local OpenID Connect provider, and people at their browsers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from bot.pages.desk import Desk
from bot.pages.people_file import PeopleFile
from bot.pages.providers import Provider
from bot.pages.sign_in_pages import CALLBACK
from bot.pages.site import Pages
from bot.slack.handlers.context import Services
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from demo.login import CLIENT, PEOPLE, Login
from localslack import LocalSlack
from tests.pages.reviewer import PUBLIC, Reviewer
from tests.pages.served_pages import served as served
from tests.sample_requests import HERE
from tests.slack.socket_bot import unconnected_bot
from tests.store_fixtures import NoQueue


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    provider = Login(PUBLIC + CALLBACK)
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
def people_file(tmp_path: Path, login: Login) -> Path:
    file = tmp_path / "people.yaml"
    entries = [{"issuer": login.issuer, "subject": f"demo-{name}", "user": user} for name, user in PEOPLE.items()]
    file.write_text(yaml.safe_dump(entries))
    return file


@pytest.fixture
async def bot(slack: LocalSlack, store: Store) -> AsyncIterator[Services]:
    async with unconnected_bot(slack, store) as (services, _, _):
        yield services


@pytest.fixture
def provider(login: Login) -> Provider:
    return Provider(name="Demo", issuer=login.issuer, client_id=CLIENT)


@pytest.fixture
async def pages(store: Store, bot: Services, provider: Provider, people_file: Path) -> AsyncIterator[Pages]:
    people = PeopleFile(people_file, (provider,))
    site = Pages(PUBLIC, [provider], people, SignIns(store), timedelta(0))
    desk = Desk(HERE, store, NoQueue(), bot.homes.overview, bot.directory, bot.link, bot.admins)
    with site.serving(desk):
        yield site


@pytest.fixture
async def visitors(pages: Pages, login: Login) -> AsyncIterator[dict[str, Reviewer]]:
    """People who are not signed in yet."""
    async with AsyncExitStack() as stack:
        reviewers = {name: Reviewer(pages, login, name) for name in PEOPLE}
        for one in reviewers.values():
            await stack.enter_async_context(one.client)
        yield reviewers


@pytest.fixture
async def bob(visitors: dict[str, Reviewer]) -> Reviewer:
    """Somebody who may decide, signed in."""
    assert (await visitors["bob"].sign_in()).status_code == 303
    return visitors["bob"]


@pytest.fixture
async def alice(visitors: dict[str, Reviewer]) -> Reviewer:
    """The person who started the run, signed in."""
    assert (await visitors["alice"].sign_in()).status_code == 303
    return visitors["alice"]
