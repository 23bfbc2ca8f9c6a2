"""`/agent`: what is started, said, listed and stopped, and what is refused in words."""

from datetime import timedelta

import pytest

from bot import flows
from bot.core.people import Reviewers
from bot.core.policy import ChannelSettings
from bot.core.ports import Change, Lease, Put, TeamInfo
from bot.core.runs import Run, Status
from bot.slack.answering import Desk
from bot.store.store import Store
from localslack import LocalSlack
from tests.making import GENERAL, question
from tests.slack.botting import away


async def runs(store: Store) -> list[Run]:
    return await store.active_runs(100)


async def test_a_command_starts_a_run(slack: LocalSlack, store: Store, bot: Desk) -> None:
    reply = await slack.user("alice").command("/agent email tell R&D <b> we need 10% off")
    assert reply.ok
    (run,) = await runs(store)
    assert (run.team, run.task) == ("email", "tell R&D <b> we need 10% off")
    assert (run.requester, run.channel, run.workspace) == ("U0ALICE", "C0GENERAL", "T0LOCAL")
    assert run.id in reply.text


async def test_a_command_delivered_twice_is_one_run(slack: LocalSlack, store: Store, bot: Desk) -> None:
    """R8"""
    slack.faults.add("deliver_twice", on="slash_commands")
    await slack.user("alice").command("/agent email once")
    await bot.drain()
    assert len(await runs(store)) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/agent emial hello", "There is no team “emial”"),
        ("/agent email", "There is no task"),
        ("/agent email     ", "There is no task"),
        (f"/agent email {'x' * 10_001}", "at most 10,000"),
        ("/agent stop", "Which run?"),
        ("/agent stop rnothing", "There is no run"),
        ("/agent help", "/agent status"),
        ("/agent status", "Nothing goes on here"),
    ],
)
async def test_what_cannot_be_done_is_said_and_nothing_starts(
    slack: LocalSlack, store: Store, bot: Desk, text: str, sentence: str
) -> None:
    reply = await slack.user("alice").command(text)
    assert sentence in reply.text
    assert await runs(store) == []


async def test_without_a_worker_people_are_told(slack: LocalSlack, store: Store, bot: Desk) -> None:
    await store.retire("worker")
    assert "No worker is running" in (await slack.user("alice").command("/agent email hello")).text
    assert "No worker is running" in (await slack.user("alice").command("/agent")).text
    assert slack.user("alice").modal is None


async def configured(store: Store, **settings: object) -> None:
    seen = await store.settings(GENERAL)
    own = ChannelSettings(**settings)  # type: ignore[arg-type]
    await store.commit(Change(settings={GENERAL: Put(own, seen.version)}))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reviewers": Reviewers(frozenset({"U0ALICE"}))}, "you started it and may not decide"),  # type: ignore[arg-type]
        ({"reviewers": Reviewers(frozenset({"U0DORA"}))}, "<@U0DORA> left"),  # type: ignore[arg-type]
        ({"reviewers": Reviewers(groups=frozenset({"S0NONE"}))}, "There is nobody in"),  # type: ignore[arg-type]
        ({"quorum": 3}, "3 approvals needed, 2 people"),
        ({"approvals_channel": "C0RANDOM"}, "The app is not in <#C0RANDOM>"),
        ({"approvals_channel": "C0NOWHERE"}, "does not see the channel"),
    ],
)
async def test_a_run_whose_requests_nobody_could_decide_does_not_start(
    slack: LocalSlack, store: Store, bot: Desk, settings: dict[str, object], sentence: str
) -> None:
    """R10: found out now, not when a request waits for nobody."""
    await configured(store, **settings)
    reply = await slack.user("alice").command("/agent email hello")
    assert sentence in reply.text
    assert "othing was started" in reply.text
    assert await runs(store) == []


async def test_while_slack_says_nothing_about_reviewers_nothing_starts(
    slack: LocalSlack, store: Store, bot: Desk
) -> None:
    """R9: a failed look-up refuses, in time for the ack."""
    slack.faults.add("delay", on="users.info", seconds=20, times=None)
    reply = await slack.user("alice").command("/agent email hello")
    assert "Slack did not answer in time" in reply.text
    assert await runs(store) == []


async def test_the_window_starts_a_run(slack: LocalSlack, store: Store, bot: Desk) -> None:
    await store.announce("two", [TeamInfo("other", "does other things")], timedelta(minutes=1))
    alice = slack.user("alice")
    assert (await alice.command("/agent")).text == ""
    await alice.wait_modal("Start a task")
    assert "There is no task" in (await alice.submit({"team": "email", "task": "  "}))["task"]
    assert await alice.submit({"team": "email", "task": "tell the vendor\nplease"}) == {}
    (run,) = await runs(store)
    assert (run.team, run.task, run.channel) == ("email", "tell the vendor\nplease", "C0GENERAL")


async def test_a_window_submitted_twice_is_one_run(slack: LocalSlack, store: Store, bot: Desk) -> None:
    """R8"""
    alice = slack.user("alice")
    await alice.command("/agent")
    await alice.wait_modal()
    slack.faults.add("deliver_twice", on="view_submission")
    assert await alice.submit({"team": "email", "task": "once"}) == {}
    await bot.drain()
    assert len(await runs(store)) == 1


async def test_status_lists_what_goes_on(slack: LocalSlack, store: Store, lease: Lease, bot: Desk) -> None:
    """R15: the task of a person is shown as it is."""
    await slack.user("bob").command("/agent email <!channel> *bold*")
    await flows.ask(store, lease, question())
    reply = await slack.user("alice").command("/agent status")
    assert "2 runs go on" in reply.text
    words = str(reply.blocks)
    assert "rtest" in words and "Waiting for a decision" in words
    literal = [e for b in reply.blocks if b["type"] == "context" for e in b["elements"]]
    assert "<!channel> *bold*" in [e["text"] for e in literal]
    assert {e["type"] for e in literal} == {"plain_text"}
    elsewhere = await slack.user("alice").command("/agent status", channel="#approvals")
    assert "1 run goes on" in elsewhere.text


async def test_the_requester_stops_a_run_and_strangers_do_not(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk
) -> None:
    asked = await flows.ask(store, lease, question())
    carol, alice = slack.user("carol"), slack.user("alice")
    await configured(store, reviewers=Reviewers(frozenset({"U0BOB"})))  # type: ignore[arg-type]
    assert "may stop it; it goes on" in (await carol.command("/agent stop rtest")).text
    assert "is stopped" in (await alice.command("/agent stop `rtest`")).text
    seen, request = await store.run(lease.run), await store.request(asked.id)
    assert seen is not None and request is not None
    assert (seen.value.status, request.value.status.value) == (Status.STOPPED, "withdrawn")
    assert "has ended already" in (await alice.command("/agent stop rtest")).text


async def test_a_store_that_is_away_is_told(slack: LocalSlack, store: Store, bot: Desk) -> None:
    async with away(store):
        reply = await slack.user("alice").command("/agent email hello")
    assert "The store cannot be reached" in reply.text
