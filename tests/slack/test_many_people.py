"""A channel of fifty thousand, forty user groups, several `web`: what Slack is asked, and how long it is believed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Literal

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import app
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import FRESH, KEPT, Directory
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.store.slack_facts import RedisSlackFacts
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, User
from localslack.workspace import UserGroup
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, CAROL, HERE, question, rules
from tests.slack.socket_bot import Show
from tests.slack.test_actions import ask, status

APPROVALS = GroupId("C0APPROVALS")
MANY = 50_000


class Clock:
    """Time as the test moves it, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def alone(slack: LocalSlack, clock: Clock) -> AsyncIterator[Directory]:
    """That of one `web`, which shares nothing: Redis has a clock that no test moves."""
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        directory = Directory(clients.reads, HERE, LookupCache(patience=PATIENCE, clock=clock))
        yield directory
        await directory.close()


@pytest.fixture
async def directories(slack: LocalSlack, store: Store, clock: Clock) -> AsyncIterator[list[Directory]]:
    """Those of three `web`, which share what they know."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        facts = RedisSlackFacts(store)
        made = [Directory(clients.reads, HERE, LookupCache(facts, patience=PATIENCE, clock=clock)) for _ in range(3)]
        for one in made:
            stack.push_async_callback(one.close)
        yield made


def crowd(slack: LocalSlack) -> None:
    """Fifty thousand more members of #approvals; Slack lists them before those whom the tests know."""
    people = [User(f"U00{number:05}", f"u{number}", f"Number {number}") for number in range(MANY)]
    slack.workspace.users |= {user.id: user for user in people}
    slack.channel("#approvals").members.update(user.id for user in people)


def calls(slack: LocalSlack) -> dict[str, int]:
    """How often each method that looks people up was called."""
    looked = ("conversations.members", "users.conversations", "usergroups.list", "usergroups.users.list", "users.info")
    made = [call.method for call in slack.calls]
    return {name: made.count(name) for name in looked if name in made}


async def test_decider_among_fifty_thousand_members_costs_two_calls(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, show: Show
) -> None:
    """R9: a page of the members for all, and of who clicks where they are; whoever is not there is refused."""
    crowd(slack)
    await store.set_defaults(rules(reviewers=Reviewers(members=True)))
    slack.calls.clear()
    assert (await slack.user("alice").command("/agent email write to the vendor")).text.startswith("Started")
    assert calls(slack) == {"conversations.members": 1, "users.info": 2}
    asked = await usecases.ask(store, lease, question())
    shown = await show(asked)
    await slack.user("bob").click(shown, "Approve")
    assert await status(store, asked) is Status.APPROVED
    assert calls(slack) == {"conversations.members": 1, "users.conversations": 1, "users.info": 3}
    slack.channel("#approvals").members.remove("U0DAVE")
    assert (await bot.directory.actor(UserId("U0DAVE"), [APPROVALS])).groups == frozenset()


async def test_look_up_of_forty_groups_costs_one_call(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R9: Slack allows twenty a minute of those that list groups."""
    for number in range(40):
        slack.workspace.groups[f"S0G{number}"] = UserGroup(f"S0G{number}", f"g{number}", f"Group {number}", ["U0DAVE"])
    slack.workspace.groups["S0G39"].users.append("U0BOB")
    groups = frozenset(GroupId(f"S0G{number}") for number in range(40))
    asked = await ask(store, lease, reviewers=Reviewers(groups=groups))
    await slack.user("bob").click(await show(asked), "Approve")
    assert await status(store, asked) is Status.APPROVED
    assert calls(slack) == {"usergroups.list": 1, "users.info": 1}


@pytest.mark.parametrize("silence", ["delay", "error"])
async def test_cached_answer_counts_five_minutes_while_slack_is_silent(
    slack: LocalSlack, alone: Directory, clock: Clock, silence: Literal["delay", "error"]
) -> None:
    """R9: somebody who was removed may be taken for a reviewer for so long, and only while Slack does not answer."""
    assert (await alone.actor(BOB, [APPROVALS])).groups == frozenset({APPROVALS})
    slack.channel("#approvals").members.remove(BOB)
    slack.faults.add(silence, seconds=1000.0, error="internal_error", times=None)
    clock.move(KEPT - FRESH)
    assert (await alone.actor(BOB, [APPROVALS])).groups == frozenset({APPROVALS})
    clock.move(FRESH)
    alone.lookups.patience = 0.01
    bob = await alone.actor(BOB, [APPROVALS])
    assert (bob.checked, bob.groups) == (False, None)


async def test_log_names_the_cause_of_a_failed_slack_call(slack: LocalSlack, caplog: pytest.LogCaptureFixture) -> None:
    """R7: a call that took too long raises TimeoutError, whose text is empty."""
    slack.faults.add("delay", seconds=PATIENCE, times=None)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.05)) as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        directory = Directory(client, HERE, LookupCache(patience=PATIENCE))
        assert not (await directory.actor(BOB)).checked
        slack.faults.clear()
        slack.faults.add("delay", on="chat.postMessage", seconds=PATIENCE)
        assert await GatedCalls(client).call("chat.postMessage", {"channel": "C0GENERAL", "text": "late"}) is None
    assert f"Slack cannot be reached (TimeoutError()): ('person', '{BOB}')" in caplog.text
    assert "Slack did not answer chat.postMessage (TimeoutError()); checking whether it took effect." in caplog.text


async def test_newer_refusal_overrides_a_cached_yes(slack: LocalSlack, alone: Directory, clock: Clock) -> None:
    """R9: the older answer is for those moments alone in which Slack says nothing."""
    assert (await alone.actor(BOB, [APPROVALS])).groups == frozenset({APPROVALS})
    slack.channel("#approvals").members.remove(BOB)
    slack.workspace.users[BOB].deleted = True
    clock.move(FRESH)
    bob = await alone.actor(BOB, [APPROVALS])
    assert (bob.groups, bob.is_deactivated) == (frozenset(), True)


async def test_web_processes_share_slacks_answers(
    slack: LocalSlack, store: Store, directories: list[Directory], clock: Clock
) -> None:
    """R9: they know how old it is too, and it is gone from Redis when its time has ended."""
    crowd(slack)
    reviewers = GroupId("S0REVIEWERS")
    first = [await one.actor(BOB, [APPROVALS, reviewers]) for one in directories[:2]]
    assert first[0] == first[1] and first[0].groups == frozenset({APPROVALS, reviewers})
    once = {"conversations.members": 1, "users.conversations": 1, "usergroups.list": 1, "users.info": 1}
    assert calls(slack) == once
    keys = store.keys
    for key in (keys.person(BOB), keys.joined(BOB), keys.members(ChannelId(APPROVALS)), keys.usergroups):
        assert 0 < await store.client.pttl(key) <= KEPT.total_seconds() * 1000
    clock.move(FRESH)  # what a process remembers has grown old, and the clock of Redis did not move
    assert await directories[1].actor(BOB, [APPROVALS, reviewers]) == first[0]
    assert calls(slack) == once


@pytest.mark.parametrize(("age", "counts"), [(KEPT - FRESH, True), (KEPT, False)])
async def test_shared_answer_ages_from_when_slack_was_asked(
    slack: LocalSlack, store: Store, directories: list[Directory], age: timedelta, counts: bool
) -> None:
    """R9: its time begins when Slack was asked, whoever asked it, and not when somebody read it."""
    page = b'[["U0BOB"],true]'
    await RedisSlackFacts(store).put(("members", APPROVALS), page, age, timedelta(minutes=1))
    slack.faults.add("error", on="conversations.members", error="internal_error", times=None)
    bob = await directories[0].actor(BOB, [APPROVALS])
    assert (bob.groups == frozenset({APPROVALS})) is counts and (bob.groups is None) is not counts


@pytest.mark.parametrize("stored", [b"{}", b"1\nnonsense", b"1\n[]", b"1\n\x01", b""])
async def test_damaged_cached_answer_is_fetched_again(
    slack: LocalSlack, store: Store, directories: list[Directory], stored: bytes
) -> None:
    """R4"""
    await store.client.set(store.keys.person(CAROL), stored, px=60_000)
    carol = await directories[0].actor(CAROL)
    assert (carol.checked, carol.is_admin, carol.is_stranger) == (True, False, False)
