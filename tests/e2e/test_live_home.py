"""Homes over real processes: what waits for a reviewer, what a requester waits for, and that both follow."""

import asyncio

import pytest

from localslack import LocalSlack, text_of
from localslack.person import Person
from tests.processes import Deployment


async def shown(person: Person, *words: str) -> None:
    """Returns once the Home has all of the words."""

    def now() -> str:
        return text_of(person.home.json) if person.home else ""

    await person.slack.wait_for(lambda _: all(word in now() for word in words), description=f"{words}")


@pytest.mark.parametrize("http", [False, True], ids=["socket mode", "signed http"])
async def test_home_shows_waiting_requests_and_follows_the_decision(
    there: Deployment, slack: LocalSlack, http: bool
) -> None:
    """R6: two web processes, of which one draws; the Home is opened at either."""
    await asyncio.gather(there.web(http=http), there.web(http=http), there.worker())
    alice, bob = slack.user("alice"), slack.user("bob")
    await asyncio.gather(bob.open_home(), alice.open_home())
    await asyncio.gather(shown(bob, "Nothing is waiting for you"), shown(alice, "No runs in progress"))
    await alice.command("/agent email tell the vendor we need 10% off", "#general")
    await asyncio.gather(
        shown(bob, "Waiting for you (1)", "open the card", "<@U0ALICE>"), shown(alice, "Your runs (1)", "Waiting: ")
    )
    card = await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
    await bob.click(card, "Approve")
    await shown(bob, "Nothing is waiting for you", "Approved", "<@U0BOB>")
    await shown(alice, "No runs in progress", "Approved", "<@U0BOB>")
    assert slack.problems == []
