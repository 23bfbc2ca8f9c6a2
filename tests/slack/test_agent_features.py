"""Slack's own means for agents: sessions and streams where it has them, ordinary messages where it refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.projector import agent_features, thread_drawing
from bot.slack.projector.agent_features import APPEND, SESSION, START, STOP, AgentFeatures
from bot.slack.projector.message_sync import Poster
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.run_calls import Finish
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, api_agents, text_of
from localslack.errors import CannotDo
from localslack.fixtures import HURRY
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, HERE, OURS, attempt, question
from tests.slack.socket_bot import connected_bot
from tests.store_fixtures import NoQueue, new_run

EVENTS = frozenset({"app_home_opened", "agent_session_stopped"})


@asynccontextmanager
async def agents() -> AsyncIterator[LocalSlack]:
    """A workspace that has agents."""
    async with LocalSlack(agent=True, bot_events=EVENTS, hurry=HURRY) as slack:
        yield slack


def poster(slack: LocalSlack, store: Store) -> Poster:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=int(PATIENCE))
    return Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)


async def drawn_anew(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """Drawn by a process that knows nothing of what was drawn before."""
    one = poster(slack, store)
    await thread_drawing.draw(store, one, lease.run, None, AgentFeatures(one.calls, store))


def methods(slack: LocalSlack) -> list[str]:
    return [call.method for call in slack.calls if call.method in (SESSION, START, APPEND, STOP) and call.ok]


async def play(slack: LocalSlack, store: Store, lease: Lease) -> list[str]:
    """A run that works, asks, is answered and ends; returns the replies in its thread."""
    one = poster(slack, store)
    native = AgentFeatures(one.calls, store)
    for words in ("looked it up", "wrote a draft"):
        await usecases.note_progress(store, lease, "writer", words)
        await thread_drawing.draw(store, one, lease.run, None, native)
    asked = await usecases.ask(store, lease, question())
    await thread_drawing.draw(store, one, lease.run, None, native)
    done = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, name=asked.id))
    await usecases.note_delivery(store, lease, done.id)
    await thread_drawing.draw(store, one, lease.run, None, native)
    await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Sent to the vendor.", ended_as="Sent"))
    await thread_drawing.draw(store, one, lease.run, None, native)
    (root,) = slack.channel("#general").messages
    return [text_of(message) for message in slack.channel("#general").thread(root.ts)[1:]]


def right(replies: list[str]) -> bool:
    """Whether the thread says what happened, in a message for the steps and one for the end."""
    steps, outcome = replies
    return all(part in steps for part in ("looked it up", "wrote a draft", "Approved")) and "Sent" in outcome


async def test_run_is_an_agent_session_and_streams_its_steps(store: Store, lease: Lease) -> None:
    """R6: the stream is the message of the steps, and becomes an ordinary one when people are asked."""
    async with agents() as slack:
        assert right(await play(slack, store, lease))
        assert methods(slack) == [START, SESSION, APPEND, STOP, SESSION, SESSION, SESSION]
        assert [c.args["status"] for c in slack.calls if c.method == SESSION] == [
            "processing",
            "suspended",
            "processing",
            "closed",
        ]
        assert [session for session, _ in slack.platform.sessions.values()] == ["closed"]
        assert all(message.stream is None for message in slack.workspace.channel("#general").posts.values())


async def test_announced_step_is_pending_until_it_is_done(store: Store, lease: Lease) -> None:
    """Slack shows the steps of a run as tasks with a status."""
    async with agents() as slack:
        one = poster(slack, store)
        native = AgentFeatures(one.calls, store)

        async def shown() -> list[tuple[str, str]]:
            await thread_drawing.draw(store, one, lease.run, None, native)
            (root,) = slack.channel("#general").messages
            [steps] = slack.channel("#general").thread(root.ts)[1:]
            assert steps.blocks is not None
            return [(task["title"], task["status"]) for task in steps.blocks[0]["tasks"]]

        await usecases.note_plan(store, lease, 1, ["Run the tests", "Release"])
        assert await shown() == [("Run the tests", "pending"), ("Release", "pending")]
        await usecases.note_step_done(store, lease, 1, 0)
        assert await shown() == [("Run the tests", "complete"), ("Release", "pending")]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        (SESSION, "feature_disabled"),
        (START, "channel_type_not_supported"),
        (APPEND, "message_not_in_streaming_state"),
        (APPEND, "stopped_by_user"),
        (STOP, "message_not_found"),
    ],
)
async def test_agent_feature_that_slack_refuses_becomes_an_ordinary_message(
    store: Store, lease: Lease, method: str, error: str
) -> None:
    """R36: each by itself; what the workspace does not have is asked for once."""
    async with agents() as slack:
        slack.faults.add("error", on=method, error=error, times=1 if method == STOP else None)
        assert right(await play(slack, store, lease))
        refused = [call for call in slack.calls if call.method == method and not call.ok]
        assert len(refused) == 1


async def test_workspace_without_agent_features_is_asked_once(slack: LocalSlack, store: Store, lease: Lease) -> None:
    assert right(await play(slack, store, lease))
    assert [c.method for c in slack.calls if c.method in (SESSION, START, APPEND, STOP)] == [START, SESSION]


async def test_new_process_ends_the_stream_of_its_predecessor(store: Store, lease: Lease) -> None:
    """R4: nothing of a stream is stored but where its message stands."""
    async with agents() as slack:
        for words in ("looked it up", "wrote a draft"):
            await usecases.note_progress(store, lease, "writer", words)
            await drawn_anew(slack, store, lease)
        (root,) = slack.channel("#general").messages
        (steps,) = slack.channel("#general").thread(root.ts)[1:]
        assert "wrote a draft" in text_of(steps) and methods(slack).count(STOP) == 1


async def test_session_status_is_renewed_before_slack_ends_it(store: Store, lease: Lease) -> None:
    """Slack ends `processing` after an hour, while a run may work for days."""
    now = [0.0]
    async with LocalSlack(agent=True, bot_events=EVENTS, clock=lambda: now[0]) as slack:
        one = poster(slack, store)
        native = AgentFeatures(one.calls, store, clock=lambda: now[0])

        def shown() -> set[str]:
            return {slack.platform.session_status(*there) for there in slack.platform.sessions}

        async def drawn() -> set[str]:
            await thread_drawing.draw(store, one, lease.run, None, native)
            return shown()

        await usecases.note_progress(store, lease, "writer", "looked it up")
        assert await drawn() == {"processing"} and not native.overdue()
        now[0] = agent_features.SESSION_FOR
        assert shown() == {"processing"} and {*native.overdue()} == {lease.run}
        await drawn()
        now[0] = 3600.0
        assert shown() == {"processing"} and not native.overdue()
        now[0] += 3600
        assert shown() == {"active"}, "Slack has ended it"
        slack.faults.add("error", on=SESSION, error="feature_disabled", times=None)
        await drawn()
        assert native.overdue() == [], "what Slack refuses is not drawn again and again"


async def test_stream_becomes_an_ordinary_message_before_slacks_limit(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: the message goes on as an ordinary one."""
    assert agent_features.STREAM_BYTES < 0.9 * api_agents.STREAM_BYTES
    monkeypatch.setattr(agent_features, "STREAM_BYTES", 900)
    monkeypatch.setattr(api_agents, "STREAM_BYTES", 1060)
    async with agents() as slack:
        one = poster(slack, store)
        native = AgentFeatures(one.calls, store)
        for number in range(12):
            await usecases.note_progress(store, lease, "writer", f"step {number}: " + "x" * 80)
            await thread_drawing.draw(store, one, lease.run, None, native)
        (root,) = slack.channel("#general").messages
        (steps,) = slack.channel("#general").thread(root.ts)[1:]
        assert "step 11" in text_of(steps) and APPEND in methods(slack) and methods(slack).count(STOP) == 1
        assert [call for call in slack.calls if not call.ok] == []


@pytest.mark.parametrize("error", ["msg_too_long", "external_channel_migrating", "ekm_access_denied"])
async def test_refused_stream_in_one_thread_leaves_others_streaming(store: Store, lease: Lease, error: str) -> None:
    """R36: `msg_too_long` is about one message, and the workspace had no streams for an hour."""
    async with agents() as slack:
        slack.faults.add("error", on=APPEND, error=error)
        one = poster(slack, store)
        native = AgentFeatures(one.calls, store)
        for run in (lease, await new_run(store, "rother")):
            for words in ("looked it up", "wrote a draft"):
                await usecases.note_progress(store, run, "writer", words)
                await thread_drawing.draw(store, one, run.run, None, native)
        assert methods(slack).count(APPEND) == 1


async def test_stop_button_of_slack_needs_the_right_to_stop(store: Store, lease: Lease) -> None:
    """R10: the same people as may by the button of the head; the others are told."""
    async with agents() as slack, connected_bot(slack, store):
        await usecases.note_progress(store, lease, "writer", "looked it up")
        await drawn_anew(slack, store, lease)
        (root,) = slack.channel("#general").messages
        erin, alice = slack.add_user("erin"), slack.user("alice")
        erin.stop_agent(root)
        await erin.wait_ephemeral("can stop it")
        alice.stop_agent(root)
        await slack.wait_for(lambda _: [c for c in slack.calls if c.method == "chat.postEphemeral"])
        async with asyncio.timeout(PATIENCE):
            while (seen := await store.run(lease.run)) is not None and not seen.value.over:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert seen is not None and seen.value.status is runs.Status.STOPPED
        await drawn_anew(slack, store, lease)
        with pytest.raises(CannotDo):
            alice.stop_agent(root)
