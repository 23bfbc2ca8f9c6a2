"""Sessions that end everywhere: by their person, by an admin, and with the account."""

from collections.abc import AsyncIterator

import pytest

from bot.pages.site import Pages
from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.events import EventType
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from demo.login import Login
from localslack import LocalSlack
from tests.pages.reviewer import Reviewer, form_in, status, text_of
from tests.pages.test_proof_pages import token_in
from tests.sample_requests import BOB, question
from tests.slack.socket_bot import events
from tests.store_fixtures import update_lists


@pytest.fixture
async def thief(pages: Pages, login: Login, bob: Reviewer) -> AsyncIterator[Reviewer]:
    """Somebody who copied Bob's cookie."""
    other = Reviewer(pages, login, "bob")
    for cookie in bob.client.cookies.jar:
        other.client.cookies.jar.set_cookie(cookie)
    async with other.client:
        assert (await other.get("/")).status_code == 200
        yield other


async def ended(store: Store) -> list[tuple[str | None, str, str]]:
    found = [one for one in await events(store) if one.type is EventType.SESSIONS_ENDED]
    return [(one.user, one.data["whose"], one.data["why"]) for one in found]


async def test_sign_out_ends_every_session_of_a_person(
    store: Store, lease: Lease, bob: Reviewer, thief: Reviewer
) -> None:
    """R25: a stolen session decides nothing any more, not even with a form that it had before."""
    request = await usecases.ask(store, lease, question())
    await update_lists(store)
    form = form_in((await thief.get(f"/requests/{request.id}")).text, "approve")
    token = token_in(await bob.get("/passkeys"))
    out = await bob.client.post("/passkeys", data={"token": token, "what": "sign-out"})
    assert out.headers["location"] == "/sign-in?signed-out"
    assert (await thief.client.post(f"/requests/{request.id}", data=form)).status_code == 401
    assert [(await one.get("/")).status_code for one in (bob, thief)] == [303, 303]
    assert await status(store, request) is Status.PENDING
    assert await ended(store) == [("U0BOB", "U0BOB", "they asked for it")]
    assert (await bob.sign_in()).status_code == 303
    assert [(await one.get("/")).status_code for one in (bob, thief)] == [200, 303]


async def test_admin_signs_another_person_out(
    store: Store, bob: Reviewer, alice: Reviewer, visitors: dict[str, Reviewer]
) -> None:
    dave = visitors["dave"]
    await dave.sign_in()
    wanted = {"what": "sign-out", "user": "U0BOB"}
    token = token_in(await bob.get("/passkeys"))
    refused = await bob.client.post("/people", data={**wanted, "token": token, "user": "U0ALICE"})
    assert "Only workspace admins" in text_of(refused)
    assert (await alice.get("/")).status_code == 200
    said = await dave.client.post("/people", data={**wanted, "token": token_in(await dave.get("/people"))})
    assert "@bob is signed out everywhere." in text_of(said)
    assert [(await one.get("/")).status_code for one in (bob, alice, dave)] == [303, 200, 200]
    assert await ended(store) == [("U0DAVE", "U0BOB", "an admin signed them out")]


async def test_deactivated_account_ends_its_sessions(
    store: Store, bot: Services, slack: LocalSlack, bob: Reviewer, thief: Reviewer
) -> None:
    slack.workspace.users["U0BOB"].deleted = True
    bot.directory.lookups.forget(("person", "U0BOB"))
    await store.client.delete(store.keys.person(BOB))
    assert "This account is deactivated" in text_of(await bob.get("/"))
    assert [(await one.get("/")).status_code for one in (bob, thief)] == [303, 303]
    assert await ended(store) == [(None, "U0BOB", "their account was deactivated")]
