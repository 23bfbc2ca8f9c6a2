"""The record holds every event once, in order, whoever writes it and whatever ends them."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import time, timedelta
from functools import partial
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.audit.auditor import Auditor, Retention
from bot.audit.recorded_calls import recorded
from bot.audit.weekly_figures import picture, summed
from bot.slack.projector import audit_posts
from bot.slack.projector.message_sync import Poster
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.channel_settings import Escalation
from countersign.domain.errors import InvalidInput, Refused
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import START, Kept, Verifier, seal
from countersign.domain.ids import ChannelId, RequestId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.quiet_hours import Quiet
from countersign.domain.requests import Verb
from countersign.domain.run_calls import Finish
from countersign.policy import file
from countersign.store.audit_log import Ledger
from countersign.store.codec import from_ms
from countersign.store.outbox import GROUP
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, call, question, rules
from tests.store_fixtures import NoQueue, configure
from tests.usecases.test_presence import asked_before

SECRET = "xox" + "b-123456789012-123456789012-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"


async def tell(store: Store, *words: str) -> None:
    """Events that stand for nothing but themselves."""
    now = await store.now()
    for word in words:
        event = Event(EventType.CALL_PASSED, now, workspace=HERE, data={"tool": word, "why": "rule “reads”"})
        await store.commit(Change(events=(event,)))


async def record(store: Store) -> list[dict[str, Any]]:
    return [kept.fields() async for _, kept in Ledger(store).all()]


async def whole(store: Store) -> int:
    """How many entries the record has; it must be whole, and hold each event that is one for it, once and in order."""
    ledger = Ledger(store)
    position = await ledger.position()
    verifier = Verifier(position.checkpoint, [position.head] if position.head.n else [])
    async for n, kept in ledger.all():
        verifier.take(kept, n)
    assert verifier.end() == []
    return verifier.count


async def chained(store: Store) -> list[str]:
    return [entry["event"] for entry in await record(store)]


async def stream(store: Store) -> list[str]:
    return [event.decode() for event, _ in await store.client.xrange(store.keys.events)]


async def test_every_attempt_is_logged_with_rules_and_outcome(store: Store, lease: Lease) -> None:
    """R25, S11: counted, refused and late ones, what passed and what failed."""
    asked = await usecases.ask(store, lease, question(f"Use {SECRET} please"))
    with pytest.raises(Refused):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE))
    decided = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, Verb.REJECT, words=f"no {SECRET}"))
    with pytest.raises(Refused):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, CAROL))
    nobody = Actor(HERE, DAVE)
    with pytest.raises(InvalidInput):
        await usecases.configure(store, GENERAL, nobody, frozenset(), lambda s: replace(s, quorum=2), _no_problem)
    with pytest.raises(InvalidInput):
        await usecases.stop(store, lease.run, nobody, frozenset())
    await tell(store, "search")
    await usecases.finish(store, lease, Finish(runs.Verb.FAIL, result="It broke."))
    await Auditor(store, "web").catch_up()
    assert await whole(store) == len(await stream(store))
    entries = await record(store)
    told = [(e["type"], e.get("user"), e["outcome"]) for e in entries]
    assert told == [
        ("run_queued", ALICE, "run_queued"),
        ("run_started", None, "run_started"),
        ("request_asked", None, "asked"),
        ("attempt_refused", DAVE, "refused"),
        ("request_decided", BOB, "rejected"),
        ("attempt_refused", CAROL, "refused"),
        ("settings_refused", DAVE, "refused"),
        ("stop_refused", DAVE, "refused"),
        ("call_passed", None, "passed"),
        ("run_failed", None, "failed"),
    ]
    _, _, ask, refused, decision, late, *_ = entries
    assert ask["what"]["digest"] == asked.digest == decision["what"]["digest"] == refused["data"]["digest"]
    assert ask["what"]["content"] == f"Use ⟦hidden: {len(SECRET)} characters⟧ please"
    assert ask["what"]["hidden"] == 1
    assert refused["data"]["refusal"] == "not_a_reviewer"
    assert late["data"]["refusal"] == "already_decided"
    assert decision["rules"]["reviewers"]["users"] == [BOB, CAROL]
    assert (decision["rules"]["quorum"], decision["rules"]["timeout"]) == (1, 3600.0)
    assert (decision["decision"]["by"], decision["decision"]["how"]) == ([BOB], "reviewers")
    assert decided.decision is not None
    assert decision["decision"]["at"] == decided.decision.at.isoformat()
    assert all(SECRET not in json.dumps(entry) for entry in entries)


async def test_quiet_hours_are_logged_and_stop_no_auditor(store: Store, lease: Lease) -> None:
    """R4: the rules of a request are written down whatever they hold."""
    await store.set_defaults(rules(quiet=Quiet("Europe/Berlin", time(19), time(8))))
    await usecases.ask(store, lease, question())
    await Auditor(store, "web").catch_up()
    assert (await record(store))[-1]["rules"]["quiet"]["since"] == "19:00:00"


async def test_refused_call_is_logged_with_everything_policies_judge(store: Store, lease: Lease) -> None:
    """R25: so that another policy can be tried on it."""
    text = "version: 1\nrules:\n  - {name: no refunds, tool: refund, then: deny}\n"
    await store.set_rulebook(file.understand(text))
    with pytest.raises(Refused):
        await usecases.ask(store, lease, call(amount=20, password=SECRET), team_says="nothing")
    await Auditor(store, "web").catch_up()
    (entry,) = [entry for entry in await record(store) if entry["type"] == "call_refused"]
    told = {
        name: entry["data"][name] for name in ("team", "channel", "agent", "tool", "team_says", "clause", "refusal")
    }
    assert told == {
        "team": "email",
        "channel": GENERAL,
        "agent": "clerk",
        "tool": "refund",
        "team_says": "nothing",
        "clause": "no refunds",
        "refusal": "by_policy",
    }
    assert json.loads(entry["data"]["arguments"]) == {"amount": 20, "password": f"⟦hidden: {len(SECRET)} characters⟧"}
    was = recorded(Kept(json.dumps(entry), ""))
    assert was is not None
    assert (was.then, was.settings, was.requester) == (Action.DENY, rules(), ALICE)


async def _no_problem(_: object) -> list[Sentence]:
    return []


async def test_logged_call_hides_secrets_and_keeps_the_digest(store: Store, lease: Lease) -> None:
    """R15, R25: also under a name, and in arguments that a person changed."""
    before, after = {"order": 17, "password": "hunter2"}, {"order": 18, "password": "hunter3"}
    asked = await usecases.ask(store, lease, call(**before))
    edited = attempt(asked, BOB, Verb.EDIT, arguments=json.dumps(after, sort_keys=True, separators=(",", ":")))
    await usecases.decide(store, NoQueue(), asked.id, edited)
    await Auditor(store, "web").catch_up()
    ask, decision = (e for e in await record(store) if "what" in e)
    assert json.loads(ask["what"]["arguments"]) == {"order": 17, "password": "⟦hidden: 7 characters⟧"}
    assert json.loads(decision["decision"]["arguments"]) == {"order": 18, "password": "⟦hidden: 7 characters⟧"}
    assert ask["what"]["tool"] == "refund"
    assert ask["what"]["digest"] == asked.digest
    assert "hunter" not in json.dumps(await record(store))


async def test_progress_lines_are_not_logged(store: Store, lease: Lease) -> None:
    await usecases.note_progress(store, lease, "writer", "thinking")
    await tell(store, "search")
    await Auditor(store, "web").catch_up()
    assert [entry["n"] for entry in await record(store)] == [1, 2, 3]
    assert "run_progressed" not in {entry["type"] for entry in await record(store)}
    assert (await Ledger(store).position()).event == (await stream(store))[-1]


async def test_audit_log_beginning_with_other_events_continues(store: Store) -> None:
    """R25: a worker's line of progress may be what a new Redis hears first; its head was taken for a damaged one."""
    line = Event(EventType.RUN_PROGRESSED, await store.now(), data={"agent": "writer", "words": "a line"})
    await store.commit(Change(events=(line,)))
    auditor = Auditor(store, "web")
    await auditor.catch_up()
    assert (await Ledger(store).position()).head == START
    await tell(store, "a")
    await auditor.catch_up()
    assert await whole(store) == 1


async def test_unknown_events_are_logged_as_far_as_readable(store: Store) -> None:
    """R25: a newer worker, and bytes that are no event, do not stop the record."""
    newer = {"type": "vote_moved", "at": "2026-03-06T17:00:00Z", "user": BOB, "data": {"to": SECRET}, "moon": "full"}
    for raw in (json.dumps(newer), "[" * 100_000, "\udcff".encode("utf-8", "surrogatepass")):
        await store.client.xadd(store.keys.events, {"event": raw})
    await store.client.xadd(store.keys.events, {"other": "field"})
    odd = '{"type": "odd", "at": NaN, "run": [1e400], "data": [{"x": "\\ud800"}], "user": {"deep": {}}}'
    await store.client.xadd(store.keys.events, {"event": odd})
    await Auditor(store, "web").catch_up()
    assert await whole(store) == 5
    first, *others, last = await record(store)
    assert (last["type"], last["at"], last["run"]) == ("odd", "NaN", "[Infinity]")
    assert (first["type"], first["user"], first["data"]["moon"]) == ("vote_moved", BOB, "full")
    assert SECRET not in first["data"]["to"]
    assert [entry["type"] for entry in others] == ["unreadable"] * 3


async def test_missing_request_does_not_stop_the_audit_log(store: Store, lease: Lease) -> None:
    """R4: its entries say so, as do those of an unreadable request."""
    asked = await usecases.ask(store, lease, question())
    await store.client.set(store.keys.request(asked.id), b"1 99\n{}", px=60_000)
    gone = Event(EventType.VOTE_CAST, await store.now(), request=RequestId("qgone"), user=BOB)
    await store.commit(Change(events=(gone,)))
    await Auditor(store, "web").catch_up()
    assert [e["what"] for e in await record(store) if e.get("request")] == [
        {"gone": "the request is not stored any more"}
    ] * 2


async def test_two_auditors_at_once_make_one_chain(store: Store) -> None:
    """R3, R25: also when both believe that they are the only one."""
    one, other = Auditor(store, "web-1"), Auditor(store, "web-2")

    async def write() -> None:
        for n in range(150):
            await tell(store, f"tool {n}")

    async def chain(auditor: Auditor) -> None:
        while len(await chained(store)) < 150:
            await auditor.chain()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(write(), chain(one), chain(other))
    assert await whole(store) == 150
    assert await chained(store) == await stream(store)


async def test_append_repeated_after_a_lost_reply_adds_nothing(store: Store) -> None:
    """R4: the script was run, and who asked does not know."""
    await tell(store, "a", "b")
    ledger, auditor = Ledger(store), Auditor(store, "web")
    before = await ledger.position()
    made = await auditor._made(before, await ledger.events(before.event, 20, timedelta(0)))
    assert await ledger.append(before, made) == "done"
    assert await ledger.append(before, made) == "moved"
    assert await whole(store) == 2


async def test_entry_that_does_not_follow_the_last_is_refused(store: Store) -> None:
    """R25: no gap, no fork, no event that never happened."""
    await tell(store, "a", "b", "c")
    ledger, auditor = Ledger(store), Auditor(store, "web")
    before = await ledger.position()
    made = await auditor._made(before, await ledger.events(before.event, 20, timedelta(0)))
    assert await ledger.append(before, [made[0], made[2]]) == "gap"
    assert await ledger.append(before, made[1:]) == "gap"
    invented = ("9999999999999-0", seal(START, {"event": "9999999999999-0", "type": "request_decided"}))
    assert await ledger.append(before, [invented]) == "gap"
    other = replace(before, head=before.head._replace(n=7))
    assert await ledger.append(other, made) == "moved"
    assert await whole(store) == 0


async def test_auditor_ended_at_any_moment_leaves_a_whole_chain(store: Store) -> None:
    """R4: twenty times, in the middle of whatever it does."""
    chance = random.Random(7)
    for n in range(20):
        auditor = asyncio.create_task(Auditor(store, "web").run())
        await tell(store, *(f"tool {n} {i}" for i in range(chance.randrange(1, 30))))
        auditor.cancel()
        await asyncio.gather(auditor, return_exceptions=True)
    await Auditor(store, "web").catch_up()
    assert await chained(store) == await stream(store)
    await whole(store)


async def drawn(store: Store) -> None:
    """The projector has drawn everything there is."""
    await store.client.xreadgroup(GROUP, "projector", {store.keys.events: ">"})
    await store.client.xack(store.keys.events, GROUP, *await stream(store))


class HalfFull:
    """A sink that has got the first four."""

    async def position(self) -> int:
        return 4


async def test_trimmed_audit_log_is_verified_from_its_checkpoint(store: Store) -> None:
    """R25: kept for ever by default; nothing is dropped that is not in the sink."""
    await tell(store, *"abcdefgh")
    await Auditor(store, "web").catch_up()
    await Auditor(store, "web").trim()
    assert await whole(store) == 8
    before = await record(store)
    brief = Retention(entries=timedelta(0))
    await Auditor(store, "web", keep=Retention(entries=timedelta(days=1))).trim()
    assert await whole(store) == 8, "they are young"
    await Auditor(store, "web", keep=brief, sink=HalfFull()).trim()
    assert [entry["n"] for entry in await record(store)] == [5, 6, 7, 8]
    assert await whole(store) == 4
    assert (await Ledger(store).position()).checkpoint.hash == before[4]["previous"]
    await tell(store, "i")
    await Auditor(store, "web").catch_up()
    assert await whole(store) == 5
    await Ledger(store).trim(99)
    assert [entry["n"] for entry in await record(store)] == [9]
    assert await whole(store) == 1


async def test_first_entry_of_a_time_is_found(store: Store) -> None:
    ledger = Ledger(store)
    assert await ledger.before(await store.now()) == 0
    await tell(store, "a", "b")
    await Auditor(store, "web").catch_up()
    between = int((await stream(store))[1].split("-")[0])
    last = [e for e in await stream(store) if int(e.split("-")[0]) < between]
    assert await ledger.before(from_ms(between)) == len(last)
    assert await ledger.before(await store.now() + timedelta(days=1)) == 2
    assert await ledger.before(await store.now() - timedelta(days=1)) == 0


async def test_entries_before_an_escalation_have_the_rules_of_then(store: Store, lease: Lease) -> None:
    """R25: also when the record is behind."""
    step = Escalation(timedelta(hours=2), Reviewers(frozenset({DAVE})))
    await configure(store, timeout=timedelta(days=1), escalation=(step,))
    asked = await usecases.ask(store, lease, question())
    with pytest.raises(Refused):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, DAVE))
    await asked_before(store, asked, timedelta(hours=3))
    await usecases.catch_up(store, NoQueue(), asked.id)
    await Auditor(store, "web").catch_up()
    refused, escalated = (await record(store))[-2:]
    assert (refused["type"], escalated["type"]) == ("attempt_refused", "request_escalated")
    assert DAVE not in refused["rules"]["reviewers"]["users"]
    assert DAVE in escalated["rules"]["reviewers"]["users"]


async def test_damaged_head_stops_the_audit_log_but_not_web(store: Store) -> None:
    """R25: the auditor and its posts keep waiting instead of raising."""
    await store.commit(Change(events=(Event(EventType.CALL_PASSED, await store.now(), workspace=HERE),)))
    await Auditor(store, "web").catch_up()
    await store.client.hset(store.keys.audit_head, "hash", "nonsense")
    ledger, channel = Ledger(store), ChannelId("C0X")
    poster = Poster(GatedCalls(AsyncWebClient()), store, HERE, "https://example.slack.com/", frozenset())
    posting = [
        lambda: audit_posts.keep_checkpoints(ledger, store, poster, channel),
        lambda: audit_posts.keep_digests(partial(summed, ledger), picture, store, poster, channel),
    ]
    task = asyncio.create_task(Auditor(store, "web", beside=posting, lease=timedelta(seconds=1)).run())
    done, _ = await asyncio.wait({task}, timeout=1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not done
