"""A team that talks with whoever started it: asked in the run's own thread, answered there by them alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck

from bot.slack.handlers import thread_replies
from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain import request_endings
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.events import EventType
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Verb as RunVerb
from countersign.policy import file
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack, text_of
from localslack.fixtures import UNHURRIED
from localslack.workspace import Message
from tests.sample_requests import ALICE, BOB, call, question, rules
from tests.slack.socket_bot import connected_bot, events, newest_ephemeral, redis_away
from tests.slack.test_home_publisher import shown
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.store_fixtures import NoQueue, configure, update_lists

HOUR = timedelta(hours=1)
REFUSED = "This question is for <@U0ALICE>, who started the run. Your click changed nothing."


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    """A workspace whose app hears what is written in channels."""
    async with LocalSlack(**UNHURRIED, bot_events=frozenset({"app_home_opened", "message.channels"})) as running:
        yield running


def step(content: str = "Step 1 of 2: find a date.", **changes: object) -> Question:
    """The team's assistant has finished a step."""
    offers = (Verb.APPROVE, Verb.RESPOND, Verb.REJECT)
    title = "The assistant finished a step. Continue?"
    return question(content, agent="assistant", kind=Kind.TURN, title=title, offers=offers, **changes)


@asynccontextmanager
async def drawn(slack: LocalSlack, store: Store, bot: Services) -> AsyncIterator[None]:
    async with running_projector(slack, store, directory=bot.directory):
        await all_drawn(slack, store)
        yield
        await all_drawn(slack, store)


def thread(slack: LocalSlack) -> list[Message]:
    """The head of the run, and what stands below it."""
    head = next(m for m in slack.channel("#general").messages if m.user == "U0BOT")
    return slack.channel("#general").thread(head.ts)


def asked_there(slack: LocalSlack, *, pending: bool = True) -> Message:
    """The newest question in the thread."""
    return [m for m in thread(slack)[1:] if (("Continue" in m.buttons) if pending else m.buttons == ["Details"])][-1]


async def reply(slack: LocalSlack, who: str, words: str) -> None:
    await slack.user(who).say(words, "#general", thread(slack)[0].ts)


async def refused(store: Store) -> list[str]:
    return [event.data["refusal"] for event in await events(store) if event.type is EventType.ATTEMPT_REFUSED]


async def test_requester_is_asked_in_the_thread_and_answers_there(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R6, R9: nothing in the approvals channel; a reviewer who clicks is told whom it is for."""
    asked = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        head, card = thread(slack)
        assert "Waiting for <@U0ALICE>'s answer in this thread" in text_of(head)
        assert card.buttons == ["Continue", "Reply"] and "Reviewers" not in text_of(card)
        assert card.text.startswith("<@U0ALICE>") and "answer with a button or reply in" in text_of(card)
        assert "a reply counts once this card shows it" in text_of(card)
        bob = slack.user("bob")
        await bob.click(card, "Continue")
        assert await newest_ephemeral(bob, 1) == REFUSED
        await slack.user("alice").click(card, "Continue")
        decided = await wakeups.settled(asked.id)
    assert decided.decision is not None
    assert (decided.status, decided.decision.by) == (Status.APPROVED, (ALICE,))
    assert "Continued* by <@U0ALICE>" in text_of(asked_there(slack, pending=False))
    assert await refused(store) == ["for_the_requester"]
    assert slack.channel("#approvals").messages == []


async def test_lists_link_the_requester_to_the_waiting_question(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """Nobody is told to wait for a decision of reviewers that were not asked."""
    await usecases.ask(store, lease, step())
    alice, bob = slack.user("alice"), slack.user("bob")
    async with drawn(slack, store, bot):
        await update_lists(store)
        card = f"p{asked_there(slack).ts.replace('.', '')}"
        for command in ("/agent status", "/approvals pending"):
            to_alice, to_bob = [str((await who.command(command)).blocks) for who in (alice, bob)]
            assert "Waiting for your answer" in to_alice and card in to_alice and "open the question" in to_alice
            assert "Waiting for <@U0ALICE>'s answer" in to_bob and "your answer" not in to_bob
            assert "decision" not in to_alice + to_bob and "Reviewers" not in to_alice + to_bob
        await alice.open_home()
        home = await shown(alice, "Your runs (1)", "Waiting for your answer", "open the question")
        assert "Waiting for a decision" not in home and card in home


async def test_requester_answers_in_the_reply_window(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    asked, alice = await usecases.ask(store, lease, step()), slack.user("alice")
    async with drawn(slack, store, bot):
        await alice.click(asked_there(slack), "Reply")
        assert await alice.submit({"answer": "Ask Ann first."}, await alice.wait_modal("next message")) == {}
        decided = await wakeups.settled(asked.id)
    assert decided.decision is not None
    assert (decided.status, decided.decision.words) == (Status.ANSWERED, "Ask Ann first.")


async def test_only_the_requesters_thread_reply_answers_a_conversation(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R8, R9, R12: as it was typed, by whom the record says; others may talk there, and the requester elsewhere."""
    asked = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        slack.faults.add("deliver_twice", on="message", times=None)
        await reply(slack, "bob", "Stop it, please.")
        await reply(slack, "carol", "approve")
        await slack.user("alice").say("Stop it, please.")
        await reply(slack, "alice", "Approved? Not yet: <b> & @bob first.")
        decided = await wakeups.settled(asked.id)
        await all_drawn(slack, store)
        card = asked_there(slack, pending=False)
    await bot.drain()
    assert decided.decision is not None
    assert (decided.status, decided.decision.by) == (Status.ANSWERED, (ALICE,))
    assert decided.decision.words == "Approved? Not yet: <b> & @bob first."
    assert "Replied* by <@U0ALICE>" in text_of(card) and "find a date" in text_of(card)
    (record,) = [event for event in await events(store) if event.type is EventType.REQUEST_DECIDED]
    assert (record.user, record.data["outcome"]) == (ALICE, "answered")
    assert await refused(store) == [] and slack.user("alice").ephemerals == []


@pytest.mark.parametrize("early", [False, True])
async def test_thread_of_a_conversation_shows_each_step_once(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups, early: bool
) -> None:
    """Its cards stand there, so no list repeats them, not even a list posted `early`; nor does the outcome."""
    first, last = "Step 1 of 2: find a date.", "All steps are done."
    for number, content in enumerate((first, last)):
        await usecases.note_progress(store, lease, "assistant", content, await store.now())
        if early:
            async with drawn(slack, store, bot):
                pass
        asked = await usecases.ask(store, lease, replace(step(content), asked=number))
        async with drawn(slack, store, bot):
            await slack.user("alice").click(asked_there(slack), "Continue")
            await wakeups.settled(asked.id)
            await usecases.note_delivery(store, lease, asked.id)
    await usecases.finish(store, lease, Finish(RunVerb.FINISH, last, last))
    async with drawn(slack, store, bot):
        pass
    head, *texts = [text_of(message) for message in thread(slack)]
    assert last in head, "the channel reads the answer"
    assert [sum(words in text for text in texts) for words in (first, last)] == [1, 1]
    assert "Finished" in texts[-1] and "No result" not in texts[-1]
    assert [text.splitlines() for text in texts if "Activity" in text] == [
        ["*Activity*", "• Each step has a card in this thread, with its answer."]
    ] * early


async def test_thread_reply_never_approves_an_action(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R12: in the run's thread and in the card's; actions of a team that talks go to the reviewers."""
    await configure(store, own_requests=True, reviewers=replace(rules().reviewers, users=frozenset({ALICE, BOB})))
    action = await usecases.ask(store, lease, call())
    async with drawn(slack, store, bot):
        card = await card_of(slack)
        for who in ("alice", "bob"):
            await reply(slack, who, "approve")
            await slack.user(who).say("approve", "#approvals", card.ts)
        talk = await usecases.ask(store, lease, step())
        await all_drawn(slack, store)
        assert "Waiting for a decision" in text_of(thread(slack)[0])  # of reviewers too
        await reply(slack, "alice", "approve")
        words = await wakeups.settled(talk.id)
        await bot.drain()
        assert words.decision is not None and words.status is Status.ANSWERED
        seen = await store.request(action.id)
        assert seen is not None and seen.value.status is Status.PENDING
        await slack.user("bob").click(card, "Reject")
    assert await refused(store) == []


async def test_question_from_before_a_restart_is_answered_by_reply(
    slack: LocalSlack, store: Store, lease: Lease, wakeups: Wakeups
) -> None:
    """R4: what a reply answers is known to the store alone."""
    asked = await usecases.ask(store, lease, step())
    async with connected_bot(slack, store) as bot, drawn(slack, store, bot):
        asked_there(slack)
    async with connected_bot(slack, store) as bot, drawn(slack, store, bot):
        await reply(slack, "alice", "Go on with the second one.")
        decided = await wakeups.settled(asked.id)
    assert decided.decision is not None and decided.decision.words == "Go on with the second one."
    assert asked_there(slack, pending=False).buttons == ["Details"]


async def test_reply_after_the_deadline_is_ignored(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R17: the channel's time and what it means hold for a conversation."""
    await configure(store, timeout=timedelta(minutes=5))
    asked = await usecases.ask(store, lease, step())
    assert asked.deadline == asked.created_at + timedelta(minutes=5)
    async with drawn(slack, store, bot):
        await passed(store, asked)
        assert (await usecases.catch_up(store, NoQueue(), asked.id)).status is Status.EXPIRED  # type: ignore[union-attr]
        await all_drawn(slack, store)
        assert "Expired" in text_of(asked_there(slack, pending=False))
        await reply(slack, "alice", "Here I am.")
        following = await usecases.ask(store, lease, step("Step 2 of 2: call Ann.", asked=1))
        await all_drawn(slack, store)
        await reply(slack, "alice", "Yes, call her.")
        decided = await wakeups.settled(following.id)
    assert decided.decision is not None and decided.decision.words == "Yes, call her."
    assert await refused(store) == []


async def passed(store: Store, asked: Request) -> None:
    """All of its time is over, and its card stood for as long."""
    seen, card = await store.request(asked.id), await store.message(f"card/{asked.id}")
    assert seen is not None and card is not None
    old = replace(seen.value, created_at=seen.now - seen.value.rules.timeout, deadline=seen.now)
    stood = replace(card.value, stands_since=card.value.stands_since and old.created_at)
    await store.commit(Change(requests=(Put(old, seen.version),), messages=(Put(stood, card.version),)))


@pytest.mark.parametrize("deleted", [False, True])
async def test_silence_continues_a_conversation_where_the_channel_allows_it(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, deleted: bool
) -> None:
    """R23, R32: if the question stood in the thread all the time."""
    await configure(store, on_timeout=OnTimeout.APPROVE)
    asked = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        card = asked_there(slack)
        await passed(store, asked)
        if deleted:
            slack.user("alice").delete(card)
        over = await usecases.catch_up(store, NoQueue(), asked.id, bot.directory.still_there)
    assert over is not None and over.decision is not None
    assert over.decision.words == (request_endings.UNSEEN if deleted else "")
    assert over.status is (Status.EXPIRED if deleted else Status.APPROVED)


async def test_conversation_in_shared_channel_moves_to_approvals_channel(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R9: the same people answer, where no other company reads it."""
    slack.channel("#general").is_ext_shared = True
    asked = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        (card,) = slack.channel("#approvals").messages
        assert all("Continue" not in message.buttons for message in thread(slack))
        assert "Waiting for <@U0ALICE>'s answer in <#C0APPROVALS>" in text_of(thread(slack)[-1])
        head = text_of(thread(slack)[0])
        assert "Waiting for <@U0ALICE>'s answer" in head and "in this thread" not in head
        bob = slack.user("bob")
        await bob.click(card, "Continue")
        assert await newest_ephemeral(bob, 1) == REFUSED
        await slack.user("alice").click(card, "Continue")
        assert (await wakeups.settled(asked.id)).status is Status.APPROVED


async def test_conversation_in_closed_thread_moves_to_approvals_channel(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R21: never a silent wait."""
    async with drawn(slack, store, bot):
        slack.faults.add("error", on="chat.postMessage", error="restricted_action_thread_locked")
        await usecases.ask(store, lease, step())
        await all_drawn(slack, store)
        (card,) = slack.channel("#approvals").messages
    assert card.buttons == ["Continue", "Reply"]
    assert [e.data["channel"] for e in await events(store) if e.type is EventType.CARD_NOT_POSTED] == ["C0GENERAL"]


async def test_policy_rule_with_reviewers_applies_to_conversations(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R19: what the workspace wants reviewed is reviewed, whatever the team calls it."""
    rule = "{name: watched, team: email, then: ask, reviewers: [U0CAROL]}"
    await store.set_rulebook(file.understand(f"version: 1\nrules: [{rule}]"))
    asked = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        (card,) = slack.channel("#approvals").messages
        assert "Reviewers: <@U0CAROL>" in text_of(card)
        await reply(slack, "alice", "Go on.")
        await slack.user("carol").click(card, "Continue")
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.decision is not None and seen.value.decision.by == ("U0CAROL",)


async def test_reply_that_cannot_count_is_answered_with_the_reason(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R1, R7: which question, too long, the store away; nothing is decided."""
    alice = slack.user("alice")
    one = await usecases.ask(store, lease, step())
    async with drawn(slack, store, bot):
        await reply(slack, "alice", "x" * 3001)
        assert "longer than 3,000 characters" in await newest_ephemeral(alice, 1)
        async with redis_away(store):
            await reply(slack, "alice", "Go on.")
            assert "your reply didn't go through" in await newest_ephemeral(alice, 2)
        two = await usecases.ask(store, lease, replace(step("And you?"), agent="critic"))
        await all_drawn(slack, store)
        await reply(slack, "alice", "Go on.")
        assert "More than one question waits for you" in await newest_ephemeral(alice, 3)
    for asked in (one, two):
        seen = await store.request(asked.id)
        assert seen is not None and seen.value.status is Status.PENDING
    assert {message.thread_ts for message in alice.ephemerals} == {thread(slack)[0].ts}


async def test_reply_older_than_the_question_does_not_answer_it(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, wakeups: Wakeups
) -> None:
    """R13: nobody answers what they had not read, however late Slack delivers it."""
    async with drawn(slack, store, bot):
        await reply(slack, "alice", "Rather on Monday.")
        early = thread(slack)[-1]
        asked = await usecases.ask(store, lease, step())
        await all_drawn(slack, store)
        place = {"channel": early.channel, "channel_type": "channel", "thread_ts": early.thread_ts}
        slack.platform.event({"type": "message", "user": ALICE, "text": early.text, "ts": early.ts, **place})
        await reply(slack, "alice", "Yes, call her.")
        decided = await wakeups.settled(asked.id)
    assert decided.decision is not None and decided.decision.words == "Yes, call her."


async def test_irrelevant_message_costs_at_most_two_reads(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's replies in all channels of the app come here."""
    async with drawn(slack, store, bot):
        asked = await usecases.ask(store, lease, step())
        await all_drawn(slack, store)
        head = thread(slack)[0].ts
    ack: Any = AsyncAck()  # type: ignore[no-untyped-call]
    pool, looks = store.client.connection_pool, list[object]()
    connect = pool.get_connection

    async def counted(*args: Any, **options: Any) -> Any:
        looks.append(args)
        return await connect(*args, **options)

    monkeypatch.setattr(pool, "get_connection", counted)
    await store.now()
    assert len(looks) == 1, "each look takes a connection"
    for user, ts in (ALICE, "1700000000.000100"), (BOB, "1700000000.000100"), (BOB, head):
        looks.clear()
        event = {"user": user, "channel": "C0GENERAL", "thread_ts": ts, "ts": f"{float(head) + 9:.6f}", "text": "Yes."}
        await thread_replies.on_message(bot, ack, {"event": event})
        assert len(looks) <= 2
    monkeypatch.undo()
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.status is Status.PENDING
