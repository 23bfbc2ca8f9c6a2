"""Slack is kept equal to the store, whatever fails in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.people.users_and_groups import Directory
from bot.slack.projector.message_sync import Poster
from bot.slack.projector.projector import OVERLOOKED, Projector
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import Refused
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Request, Verb
from countersign.domain.run_calls import Finish
from countersign.metrics import Repair
from countersign.store.outbox import GROUP, Outbox
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Message, Put
from localslack import LocalSlack, text_of
from localslack.faults import Kind as Fault
from localslack.fixtures import HURRY
from localslack.workspace import Message as Seen
from tests.longest_wait import PATIENCE
from tests.metric_counts import count, repaired
from tests.sample_requests import BOB, CAROL, HERE, OURS, attempt, question, rules
from tests.slack.socket_bot import events
from tests.store_fixtures import NoQueue, configure, new_run

RATELIMITED = pytest.param("ratelimited", marks=pytest.mark.slow)
"""Slack says for how many whole seconds."""


@asynccontextmanager
async def running_projector(
    slack: LocalSlack,
    store: Store,
    owner: str = "web-1",
    *,
    overlooked: timedelta = OVERLOOKED,
    directory: Directory | None = None,
    pages: str = "",
) -> AsyncIterator[Projector]:
    """A projector at work."""
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=int(PATIENCE))
    one = Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)
    one.pages = pages
    one.thread_replies = "message.channels" in slack.config.bot_events
    at_once = timedelta(0)
    outbox = Outbox(store)
    projector = Projector(store, outbox, one, owner, overlooked=overlooked, thread_delay=at_once, directory=directory)
    task = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def card_of(slack: LocalSlack, *, pending: bool = True, where: str = "#approvals") -> Seen:
    return await slack.wait_message(where, lambda m: bool({"Approve", "Review…"} & {*m.buttons}) == pending)


async def all_drawn(slack: LocalSlack, store: Store) -> None:
    """Returns when every event was ticked off."""
    async with asyncio.timeout(PATIENCE):
        while True:
            groups = await store.client.xinfo_groups(store.keys.events)
            if groups and groups[0]["pending"] == 0 and groups[0]["lag"] == 0:
                return
            await asyncio.sleep(0.02)


async def decide(store: Store, request: Request, verb: Verb = Verb.APPROVE, words: str = "") -> Request:
    return await usecases.decide(
        store, NoQueue(), request.id, attempt(request, BOB, verb, name=request.id, words=words)
    )


async def test_card_is_posted_once_and_settled_without_buttons(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R2, R6: stored first, found again by (workspace, channel, ts), settled from the store."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
        assert await store.message_request(HERE, ChannelId("C0APPROVALS"), card.ts) == asked.id
        await decide(store, asked, Verb.REJECT, "too dear")
        await all_drawn(slack, store)
    (settled,) = slack.channel("#approvals").messages
    assert settled.ts == card.ts
    assert settled.buttons == ["Details"]
    assert "Rejected" in settled.text
    (root,) = slack.channel("#general").messages
    _, note = slack.channel("#general").thread(root.ts)
    assert "Rejected by" in text_of(note) and "too dear" in text_of(note)


async def test_corrected_mail_makes_three_posts(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: head, steps, outcome. "Waiting" is edited into its outcome; posts and updates are counted."""
    async with running_projector(slack, store):
        for words, verb in (("hello", Verb.RESPOND), ("hello again", Verb.APPROVE)):
            asked = await usecases.ask(store, lease, question(content=words))
            await card_of(slack)
            await all_drawn(slack, store)
            await usecases.note_delivery(store, lease, (await decide(store, asked, verb, "shorter")).id)
            await all_drawn(slack, store)
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Sent to the vendor.", ended_as="Sent"))
        await all_drawn(slack, store)
    (root,) = slack.channel("#general").messages
    assert "Sent" in text_of(root) and "Sent to the vendor." in text_of(root) and root.buttons == []
    steps, outcome = (text_of(m) for m in slack.channel("#general").thread(root.ts)[1:])
    assert steps.index("Changes requested") < steps.index("shorter") < steps.index("Approved")
    assert "Waiting" not in steps and "Sent to the vendor." in outcome
    there = [c.method for c in slack.calls if c.args.get("channel") == "C0GENERAL" and c.ok]
    assert there.count("chat.postMessage") == 3
    assert there.count("chat.update") <= 8  # of the steps 3, of the head 5: waiting and at work, twice, and the end


async def test_pending_request_keeps_the_rules_on_its_card(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R9: new settings change nothing for a pending request."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await card_of(slack)
        await all_drawn(slack, store)
    await store.set_defaults(rules(reviewers=Reviewers(frozenset({CAROL}))))
    assert (await decide(store, asked)).rules == asked.rules


async def test_links_in_messages_are_not_unfurled(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R15: an address leaks what it carries as soon as somebody fetches it, so nothing is unfurled."""
    await usecases.ask(store, lease, question("see https://vendor.example.com/?secret=1"))
    async with running_projector(slack, store):
        await card_of(slack)
        await all_drawn(slack, store)
    posts = [call.args for call in slack.calls if call.method == "chat.postMessage"]
    assert posts
    assert [(post["unfurl_links"], post["unfurl_media"]) for post in posts] == [(False, False)] * len(posts)


async def test_lost_reply_makes_no_second_card(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R21: after an unclear failure the message is looked up and adopted."""
    asked = await usecases.ask(store, lease, question())
    slack.faults.add("lost_reply", on="chat.postMessage", times=3)
    async with running_projector(slack, store):
        await card_of(slack)
        await decide(store, asked)
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert card.buttons == ["Details"]
    assert len([m for m in slack.channel("#general").messages if not m.thread_ts or m.thread_ts == m.ts]) == 1


async def test_run_without_a_usable_channel_is_reported_directly_once(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R6, R21: also if the reply is lost. Only a post takes a user's id; looking and changing take the D… id."""
    slack.channel("#general").members.discard("U0BOT")
    slack.faults.add("lost_reply", on="chat.postMessage", times=1, skip=1)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Done."))
        await all_drawn(slack, store)
    (root,) = slack.workspace.direct("U0ALICE").messages
    assert "Finished" in text_of(root)


@pytest.mark.parametrize("fault", [RATELIMITED, "server_error", "lost_request"])
async def test_card_survives_slacks_failures(slack: LocalSlack, store: Store, lease: Lease, fault: Fault) -> None:
    """R21: tried again on 429, 5xx and cut connections; nothing is lost and nothing is double."""
    asked = await usecases.ask(store, lease, question())
    options = {"ratelimited": {"retry_after": 1}, "server_error": {"status": 503}, "lost_request": {}}[fault]
    slack.faults.add(fault, on="chat.*", times=2, **options)
    async with running_projector(slack, store):
        await card_of(slack)
        slack.faults.add(fault, on="chat.update", times=1, **options)
        await decide(store, asked)
        await all_drawn(slack, store)
    (card,) = slack.channel("#approvals").messages
    assert card.buttons == ["Details"]


async def test_card_posted_but_not_indexed_is_adopted(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R4: the message stands in Slack, the store knows only the intent."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    seen = await store.message(f"card/{asked.id}")
    assert seen is not None
    from dataclasses import replace

    forgotten = replace(seen.value, ts="", drawn="", posting_since=seen.now)
    await store.commit(Change(messages=(Put(forgotten, seen.version),)))
    await decide(store, asked)
    with repaired(Repair.NEVER_INDEXED):
        async with running_projector(slack, store, "web-2"):
            await all_drawn(slack, store)
    (settled,) = slack.channel("#approvals").messages
    assert (settled.ts, settled.buttons) == (card.ts, ["Details"])


async def test_late_card_says_when_silence_approves(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R32: its time counts from when people can see it, and that is what the card says."""
    await configure(store, on_timeout=OnTimeout.APPROVE)
    asked = await usecases.ask(store, lease, question())
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.deadline is not None
    early = replace(seen.value, deadline=seen.value.deadline - timedelta(minutes=10))
    await store.commit(Change(requests=(Put(early, seen.version),)))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    after = await store.request(asked.id)
    assert after is not None and after.value.deadline is not None and after.value.deadline > seen.value.deadline
    (card,) = slack.channel("#approvals").messages
    assert f"<!date^{int(after.value.deadline.timestamp())}^" in json.dumps(card.blocks)


async def test_another_process_continues_drawing_after_a_projector_dies(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4, R5: nothing is ticked off before Slack shows it; what one could not draw is drawn by the next, once."""
    monkeypatch.setattr("bot.slack.projector.projector.GRACE", 1)
    asked = await usecases.ask(store, lease, question())
    slack.faults.add("server_error", on="chat.postMessage", status=503, times=None)
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: any(c.method == "chat.postMessage" for c in slack.calls))
        assert (await store.client.xpending(store.keys.events, GROUP))["pending"] == len(await events(store))
    slack.faults.clear()
    async with running_projector(slack, store, "web-2"):
        await card_of(slack)
        await decide(store, asked)
        await all_drawn(slack, store)
    assert len(slack.channel("#approvals").messages) == 1


async def test_events_of_a_killed_projector_are_drawn_at_once(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R4, R5: long before it would be found as overlooked."""
    await usecases.ask(store, lease, question())
    killed = Outbox(store)
    await killed.open()
    while not await killed.read(100):
        pass
    in_hand = len(await store.client.xrange(store.keys.events))
    with repaired(Repair.PROJECTOR_STOPPED, in_hand):
        async with running_projector(slack, store, "web-2"), asyncio.timeout(PATIENCE):
            await card_of(slack)
            await all_drawn(slack, store)
    assert len(slack.channel("#approvals").messages) == 1


async def test_intended_but_unposted_card_is_posted_and_counted(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R2, R5: the intent was stored, and its process died before the post."""
    asked = await usecases.ask(store, lease, question())
    name = f"card/{asked.id}"
    meant = Message(HERE, asked.rules.approvals_channel, name, request=asked.id, posting_since=await store.now())
    await store.commit(Change(messages=(Put(meant, 0),)))
    with repaired(Repair.NEVER_POSTED, 1):
        async with running_projector(slack, store):
            await card_of(slack)
            await all_drawn(slack, store)
    assert len(slack.channel("#approvals").messages) == 1


async def test_decisions_refusals_and_ends_are_counted_once(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R17: each outcome has a count of its own."""
    asked = await usecases.ask(store, lease, question())
    names = {"outcome": "approved", "how": "reviewers"}
    before = count("countersign_requests_decided_total", **names), count("countersign_runs_ended_total", end="finished")
    times = count("countersign_decision_seconds_count", outcome="approved")
    with pytest.raises(Refused):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, "U0MALLORY"))
    refused = count("countersign_attempts_refused_total", why="not_a_reviewer")
    await decide(store, asked)
    assert await store.indexes.standing() == {"requests": 0, "unposted_requests": 0, "runs": 1, "parked_runs": 0}
    await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="Done."))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    after = count("countersign_requests_decided_total", **names), count("countersign_runs_ended_total", end="finished")
    assert after == (before[0] + 1, before[1] + 1)
    assert count("countersign_decision_seconds_count", outcome="approved") == times + 1
    assert count("countersign_attempts_refused_total", why="not_a_reviewer") == refused + 1


async def test_two_processes_draw_one_card_per_request(slack: LocalSlack, store: Store, lease: Lease) -> None:
    async with running_projector(slack, store, "web-1"), running_projector(slack, store, "web-2"):
        for number in range(5):
            await usecases.ask(store, lease, question(agent=f"agent{number}"))
        await slack.wait_for(lambda _: len(slack.channel("#approvals").messages) == 5)
        await all_drawn(slack, store)
    assert len(slack.channel("#approvals").messages) == 5


async def test_unpostable_card_goes_to_the_thread_and_is_reported(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R21: never an approval, never a silent wait; in the record."""
    await configure(store, approvals_channel=ChannelId("C0RANDOM"))
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        (root,) = await slack.wait_for(lambda _: slack.channel("#general").messages)
        card = await slack.wait_message("#general", lambda m: "Approve" in m.buttons, thread=root.ts)
        await all_drawn(slack, store)
        thread = " ".join(m.text for m in slack.channel("#general").thread(root.ts))
        assert "could not be posted" in thread
        await decide(store, asked)
        await all_drawn(slack, store)
    settled = next(m for m in slack.channel("#general").thread(root.ts) if m.ts == card.ts)
    assert settled.buttons == ["Details"]


async def test_long_request_is_a_file_in_its_cards_thread(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R13, R14: all of it can be seen; too long is a file, never an error; once, also after a lost reply."""
    content = "\n".join(f"line {n}: rm -rf /tmp/{n}" for n in range(2000))
    slack.faults.add("lost_reply", on="files.completeUploadExternal", times=1)
    await usecases.ask(store, lease, question(content))
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
    files = [f for m in slack.channel("#approvals").thread(card.ts) for f in m.files]
    assert len(files) == 1
    assert "Details" in card.buttons


async def test_deleted_pending_card_is_posted_again(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: the store is the truth; somebody deleted its view."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        card = await card_of(slack)
        await all_drawn(slack, store)
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
        await client.chat_delete(channel="C0APPROVALS", ts=card.ts)
        await usecases.note_progress(store, lease, "drafter", "still at it")
        other = await usecases.ask(store, lease, question(agent="second"))
        await all_drawn(slack, store)
        await decide(store, asked)
        await decide(store, other)
        await all_drawn(slack, store)
    assert [m.buttons for m in slack.channel("#approvals").messages] == [["Details"]]


async def test_refused_clicks_draw_nothing(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R3: one decision, one card update that counts."""
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await card_of(slack)
        await decide(store, asked)
        for number in range(20):
            with pytest.raises(Refused):
                await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, name=f"late{number}"))
        await all_drawn(slack, store)
    updates = [c for c in slack.calls if c.method == "chat.update" and c.args["channel"] == "C0APPROVALS"]
    assert len(updates) == 1


async def test_requests_of_one_run_do_not_delay_another(slack: LocalSlack, store: Store, lease: Lease) -> None:
    other = await new_run(store, "rother")
    await usecases.ask(store, lease, question())
    asked = await usecases.ask(store, other, question())
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: len(slack.channel("#approvals").messages) == 2)
        await decide(store, asked)
        await all_drawn(slack, store)
    settled = [m for m in slack.channel("#approvals").messages if "Approve" not in m.buttons]
    assert [await store.message_request(HERE, ChannelId("C0APPROVALS"), m.ts) for m in settled] == [asked.id]
    assert asked.run == "rother" and "Approved" in text_of(settled[0])


async def test_card_moved_after_a_refusal_is_settled_there(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6, R21: also when Slack would take it by then."""
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        slack.faults.add("error", on="chat.postMessage", error="restricted_action", times=1)
        asked = await usecases.ask(store, lease, question())
        await all_drawn(slack, store)
        stands = [m for m in slack.channel("#general").posts.values() if "Approve" in m.buttons]
        assert len(stands) == 1
        await decide(store, asked)
        await all_drawn(slack, store)
        assert not [m for m in slack.channel("#general").posts.values() if "Approve" in m.buttons]
        assert slack.channel("#approvals").messages == []


@pytest.mark.parametrize("span", ["x", "nan", "inf"])
async def test_event_without_a_valid_duration_is_counted(
    slack: LocalSlack, store: Store, lease: Lease, span: str
) -> None:
    """R4: the event is counted without it."""
    data = {"outcome": "withdrawn", "how": "run", "waited": span, "late": span}
    told = Event(EventType.REQUEST_DECIDED, await store.now(), workspace=HERE, data=data)
    before = count("countersign_decision_seconds_count", outcome="withdrawn")
    await store.commit(Change(events=(told,)))
    async with running_projector(slack, store):
        asked = await usecases.ask(store, lease, question())
        await card_of(slack)
        await all_drawn(slack, store)
    assert (await store.request(asked.id)) is not None
    assert count("countersign_decision_seconds_count", outcome="withdrawn") == before


async def test_card_shows_a_decision_made_on_the_web_page(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R6: people decided on its page while Slack was away; the channel reads of it when Slack is back."""
    asked = await usecases.ask(store, lease, question())
    await decide(store, asked)
    expired = await usecases.ask(store, await new_run(store, "rother"), question("another"))
    await let_expire_without_card(store, expired)
    async with running_projector(slack, store):
        shown = await card_of(slack, pending=False)
        await all_drawn(slack, store)
    assert "*Approved*" in shown.text
    assert [m.text for m in slack.channel("#approvals").messages if "Expired" in m.text] == []


async def let_expire_without_card(store: Store, asked: Request) -> None:
    seen = await store.request(asked.id)
    assert seen is not None
    await store.commit(Change(requests=(Put(replace(seen.value, deadline=seen.now), seen.version),)))
    await usecases.catch_up(store, NoQueue(), asked.id)
