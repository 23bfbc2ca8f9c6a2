"""What a worker may write and what is read of it: a decision under the agents' own keys is none."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, time, timedelta
from typing import Any

import pytest

from bot.audit.auditor import Auditor
from countersign import usecases
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, PermissionId, RequestId, RunId, WorkspaceId
from countersign.domain.permission_scopes import Scope, Standing
from countersign.domain.quiet_hours import Quiet
from countersign.domain.requests import Decision, How, Request, Status, Verb, Vote
from countersign.policy import file
from countersign.policy.evaluation import Clause, Effect, Rulebook
from countersign.store.audit_log import Ledger
from countersign.store.outbox import Outbox
from countersign.store.record_codecs import EVENTS, REQUESTS, read_event
from countersign.store.request_lists import Overview
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, worker_claims
from countersign.usecases.ports import Change, Put
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, GENERAL, HERE, NOW, attempt, call, question, request
from tests.store.two_users import Sides, denied, start
from tests.store_fixtures import NoQueue, card_is_there, configure, place_card, start_run, update_lists


async def asked(sides: Sides, age: timedelta = timedelta(0), **terms: Any) -> Request:
    """A request of Alice's run that a worker wrote, with whatever terms it likes."""
    await start(sides)
    made = request(await sides.agents.now() - age, **terms)
    await sides.agents.commit(Change(requests=(Put(made, 0),)))
    return made


def approved(made: Request, how: How = How.REVIEWERS) -> Request:
    decision = Decision(Status.APPROVED, how, made.created_at, (BOB,))
    return replace(made, status=Status.APPROVED, decision=decision)


async def silence_approves(sides: Sides) -> None:
    """The channel says so."""
    await configure(sides.web, on_timeout=OnTimeout.APPROVE)


async def write(sides: Sides, made: Request, version: int) -> None:
    """Past all of our own code, as the worker's user."""
    await sides.agents.client.set(sides.agents.keys.asked(made.id), REQUESTS.write(made, version), px=60_000)
    await sides.agents.client.zrem(sides.agents.keys.pending, made.id)


async def read(sides: Sides, made: Request) -> Request:
    seen = await sides.web.request(made.id)
    assert seen is not None
    assert await sides.agents.requests([made.id]) == [seen.value]
    return seen.value


async def deadline_kept(sides: Sides, over: Request, keeper: Coroutine[Any, Any, None]) -> None:
    """Return once the keeper has settled the request."""
    keeping = asyncio.create_task(keeper)
    async with asyncio.timeout(PATIENCE):
        while (seen := await sides.web.request(over.id)) and seen.value.status is Status.PENDING:  # noqa: ASYNC110 -- a hint would wake the keeper
            await asyncio.sleep(0.05)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.parametrize("how", How)
async def test_an_approval_in_the_agents_record_is_read_as_undecided_and_people_still_decide(
    sides: Sides, how: How
) -> None:
    """R9: who decides is checked where only web writes."""
    made = await asked(sides)
    await write(sides, approved(made, how), 7)
    assert (await read(sides, made)).status is Status.PENDING
    decided = await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, verb=Verb.REJECT))
    assert decided.status is Status.REJECTED
    await write(sides, approved(made), 99)
    assert (await read(sides, made)).status is Status.REJECTED


async def test_votes_in_the_agents_record_do_not_count(sides: Sides) -> None:
    """R11"""
    made = await asked(sides, quorum=2)
    planted = Vote(HERE, made.requester, made.created_at, attempt(made).id)
    await write(sides, replace(made, votes=(planted,)), 3)
    assert (await read(sides, made)).votes == ()
    voted = await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    await write(sides, replace(made, votes=(planted,)), 9)
    assert (await read(sides, made)).votes == voted.votes


async def test_a_decision_cannot_be_taken_back_by_the_agents(sides: Sides) -> None:
    made = await asked(sides)
    await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    gone = Decision(Status.WITHDRAWN, How.RUN, made.created_at)
    await write(sides, replace(made, status=Status.WITHDRAWN, decision=gone), 99)
    assert (await read(sides, made)).status is Status.APPROVED


async def test_words_that_were_changed_after_asking_are_not_read(sides: Sides) -> None:
    """R13: the id of a request is made of its words."""
    made = await asked(sides)
    other = question("To: mallory@example.com")
    await write(sides, replace(made, question=other), 2)
    with pytest.raises(UnknownSchema, match="words that it was asked with"):
        await sides.web.request(made.id)


async def test_the_agents_own_code_refuses_to_write_a_decision(sides: Sides) -> None:
    made = await asked(sides)
    with pytest.raises(ValueError, match="cannot make request"):
        await sides.agents.commit(Change(requests=(Put(approved(made), 1),)))


async def test_a_wake_up_from_a_worker_wakes_nobody_with_an_approval(sides: Sides) -> None:
    async with Wakeups(sides.agents) as wakeups:
        await wakeups.listening()
        made = await asked(sides)
        waiting = asyncio.create_task(wakeups.settled(made.id))
        while made.id not in wakeups._requests.futures:  # noqa: ASYNC110
            await asyncio.sleep(0)
        hint = f"request {made.id}\n".encode() + REQUESTS.write(approved(made), 2)
        await sides.agents.client.publish(sides.agents.keys.hints, hint)
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, verb=Verb.REJECT))
        assert (await waiting).status is Status.REJECTED


async def test_silence_approves_only_where_the_channels_settings_say_so(sides: Sides) -> None:
    """R23: a worker asks with rules of its own making; the channel's settings are not its to write."""
    made = await asked(sides, timedelta(hours=2), on_timeout=OnTimeout.APPROVE)
    await place_card(sides.web, made)
    settled = await usecases.catch_up(sides.web, NoQueue(), made.id, card_is_there)
    assert settled is not None
    assert settled.status is Status.EXPIRED


async def test_where_silence_approves_a_worker_leaves_that_to_web(sides: Sides) -> None:
    """R23"""
    await silence_approves(sides)
    made = await asked(sides, timedelta(hours=2), on_timeout=OnTimeout.APPROVE)
    await place_card(sides.web, made)
    left = await usecases.catch_up(sides.agents, NoQueue(), made.id, card_is_there)
    assert left is not None
    assert left.status is Status.PENDING
    assert (await deadlines._settle_due(sides.agents, NoQueue(), made.id, await sides.web.now())).fate == "left"
    settled = await usecases.catch_up(sides.web, NoQueue(), made.id, card_is_there)
    assert settled is not None
    assert settled.status is Status.APPROVED
    assert (await read(sides, made)).decision == settled.decision


@pytest.mark.parametrize("risk", [Risk.LOW, Risk.HIGH])
async def test_silence_never_approves_what_is_of_high_risk_whatever_channel_and_worker_say(
    sides: Sides, risk: Risk
) -> None:
    """R23: the risk is the policy's to say, and no worker writes that."""
    await silence_approves(sides)
    await sides.web.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH),)))
    made = await asked(sides, timedelta(hours=2), asked=call(), on_timeout=OnTimeout.APPROVE, risk=risk)
    await place_card(sides.web, made)
    settled = await usecases.catch_up(sides.web, NoQueue(), made.id, card_is_there)
    assert settled is not None
    assert settled.status is Status.EXPIRED


async def test_a_report_comes_before_what_web_does_after_it_and_a_forged_one_counts_as_refused(sides: Sides) -> None:
    """R25: the record tells of the attempt, and names nobody who did nothing."""
    now = await sides.agents.now()
    forged = [
        Event(EventType.REQUEST_DECIDED, now, user=BOB, data={"outcome": "approved", "how": "reviewers"}),
        Event(EventType.REQUEST_DECIDED, now, user=BOB, data={"outcome": "expired", "how": "timeout"}),
        Event(EventType.VOTE_CAST, now, user=BOB),
        Event(EventType.SETTINGS_CHANGED, now, user=BOB),
    ]
    true = Event(EventType.REQUEST_DECIDED, now, data={"outcome": "expired", "how": "timeout"})
    for told in (*forged, true):
        await sides.agents.client.rpush(sides.agents.keys.reports, EVENTS.dump(told))
    await sides.agents.client.rpush(sides.agents.keys.reports, "no event")
    mine = Event(EventType.VOTE_CAST, now, user=BOB)
    await sides.web.commit(Change(events=(mine,)))
    outbox = Outbox(sides.web)
    await outbox.open()
    assert await outbox.read(100) == []
    events = [event for _, event in await outbox.read(100)]
    assert [event.type for event in events[:4]] == [EventType.REPORT_REFUSED] * 4
    assert events[4] == true
    assert events[5].type is EventType.REPORT_REFUSED
    assert events[6] == mine
    assert not any(event.user for event in events[:6])
    assert await sides.admin.llen(sides.web.keys.reports) == 0
    await Auditor(sides.web, "web").catch_up()
    chained = [kept.fields() async for _, kept in Ledger(sides.web).all()]
    assert [entry["outcome"] for entry in chained[:4]] == ["refused"] * 4
    assert {entry["type"] for entry in chained[:4]} == {"report_refused"}
    assert not any(entry.get("user") for entry in chained[:6])


async def test_what_a_worker_says_came_of_something_is_the_outcome_of_nothing_else(sides: Sides) -> None:
    """R25"""
    passed = Event(EventType.CALL_PASSED, await sides.agents.now(), data={"outcome": "approved"})
    await sides.agents.client.rpush(sides.agents.keys.reports, EVENTS.dump(passed))
    await sides.web.commit(Change())
    await Auditor(sides.web, "web").catch_up()
    assert [kept.fields()["outcome"] async for _, kept in Ledger(sides.web).all()] == ["passed"]


async def test_what_a_worker_says_passed_is_judged_again_and_a_lie_is_on_record_as_one(sides: Sides) -> None:
    """R19, R25: by web's policy, and by the team and the channel that web knows."""
    rules = """\
version: 1
rules:
  - {name: small, tool: refund, if: amount <= 20, then: pass}
  - {name: never, tool: wire, then: refuse, why: not here}
"""
    await sides.web.set_rulebook(file.understand(rules))
    made = await asked(sides)
    told = {"team": "other", "channel": "C0OTHER", "agent": "clerk", "why": "rule “small”", "clause": "small"}
    reports = [
        {"tool": "refund", "arguments": '{"amount": 20}'},
        {"tool": "refund", "arguments": '{"amount": 21}'},
        {"tool": "wire", "arguments": "{}", "team_says": "pass"},
        {"tool": "look", "arguments": "{}", "team_says": "pass"},
        {"tool": "look", "arguments": "{}", "team_says": "nothing"},
        {"tool": "refund", "arguments": '{"amount": "⟦hidden: 2 characters⟧"}'},
    ]
    for report in reports:
        passed = Event(EventType.CALL_PASSED, await sides.agents.now(), run=made.run, data={**told, **report})
        await sides.agents.client.rpush(sides.agents.keys.reports, EVENTS.dump(passed))
    await sides.web.commit(Change())
    await Auditor(sides.web, "web").catch_up()
    chained = [kept.fields() async for _, kept in Ledger(sides.web).all()]
    entries = [entry for entry in chained if entry["type"] == "call_passed"]
    assert [(entry["outcome"], entry["judged"].get("effect"), entry["judged"].get("rule")) for entry in entries] == [
        ("passed", "pass", "small"),
        ("contradicted", "ask", ""),
        ("contradicted", "refuse", "never"),
        ("passed", "pass", ""),
        ("contradicted", "ask", ""),
        ("passed", None, None),
    ]


async def test_a_call_is_judged_by_the_policy_under_which_it_passed_if_the_run_was_there_then(sides: Sides) -> None:
    """R25: nobody is accused because the policy changed before web read the report; an older policy helps no liar."""
    await sides.web.set_rulebook(Rulebook((Clause("looks", Effect.PASS, 3, tool="look"),)))
    first = (await sides.agents.rulebook()).version
    made = await asked(sides)
    while await sides.web.now() <= made.created_at:
        pass
    never = Rulebook((Clause("never", Effect.REFUSE, 3, tool="look"),))
    for _ in range(2):
        await sides.web.set_rulebook(never)
    late = await start_run(sides.web, "rlate")
    reports = [(made.run, first), (made.run, first + 1), (made.run, first + 2), (made.run, ""), (late.id, first)]
    for run, version in reports:
        data = {"agent": "clerk", "tool": "look", "arguments": "{}", "policy": str(version)}
        passed = Event(EventType.CALL_PASSED, await sides.agents.now(), run=run, data=data)
        await sides.agents.client.rpush(sides.agents.keys.reports, EVENTS.dump(passed))
    await sides.web.commit(Change())
    for _ in range(2):
        await Auditor(sides.web, "web").catch_up()
    chained = [kept.fields() async for _, kept in Ledger(sides.web).all()]
    entries = [entry for entry in chained if entry["type"] == "call_passed"]
    lie = ("contradicted", "refuse", "never", first + 1)
    assert [(e["outcome"], *(e["judged"][of] for of in ("effect", "rule", "policy"))) for e in entries] == [
        ("passed", "pass", "looks", first),
        *[lie] * 4,
    ]
    assert await Overview(sides.web).contradicted() == 4


def test_under_a_policy_that_is_not_kept_any_more_nobody_can_tell() -> None:
    """R25: only so many are kept; who names one of before them is no liar for that."""
    kept = [(NOW + timedelta(hours=n), Rulebook(version=n + 7)) for n in range(worker_claims.KEPT_POLICIES)]
    begun = NOW - timedelta(minutes=1)
    assert worker_claims.policy_of({"policy": "6"}, kept, begun) is None
    assert worker_claims.policy_of({"policy": "6"}, kept, NOW) is kept[-1][1]
    assert worker_claims.policy_of({"policy": "6"}, kept[1:], begun) is kept[-1][1]
    assert worker_claims.policy_of({"policy": "9"}, kept, begun) is kept[2][1]


@pytest.mark.parametrize("record", ["as web wrote it", "gone"])
async def test_what_a_worker_says_of_a_run_that_web_started_is_on_record_as_its_word(sides: Sides, record: str) -> None:
    """R25: whose a run is, where and of which team is web's to say; what a worker says otherwise is told as a claim."""
    await start(sides)
    now, eve, others = await sides.agents.now(), ChannelId("C0EVE"), RunId("sown")
    made = replace(request(now), channel=eve, requester=BOB)
    await write(sides, made, 1)
    data = {"team": "other", "channel": eve, "agent": "clerk", "tool": "look", "arguments": "{}", "team_says": "pass"}
    for told in (
        Event(EventType.RUN_QUEUED, now, run=made.run, workspace=HERE, user=BOB, data={"team": "other"}),
        Event(EventType.REQUEST_ASKED, now, run=others, request=made.id, workspace=WorkspaceId("T0EVE")),
        Event(EventType.CALL_PASSED, now, run=made.run, workspace=HERE, data=data),
        Event(EventType.RUN_STARTED, now, run=made.run, workspace=HERE, data={"owner": "w"}),
        Event(EventType.RUN_QUEUED, now, run=others, workspace=HERE, user=BOB, data={"team": "own"}),
    ):
        await sides.agents.client.rpush(sides.agents.keys.reports, EVENTS.dump(told))
    if record == "gone":
        await sides.agents.client.delete(sides.agents.keys.run(made.run))
    await sides.web.commit(Change())
    await Auditor(sides.web, "web").catch_up()
    queued, first, asked, passed, begun, own = [kept.fields() async for _, kept in Ledger(sides.web).all()]
    assert (queued["type"], queued["user"], queued.get("by")) == ("run_queued", ALICE, None)
    for entry in (first, asked, passed, begun, own):
        assert (entry["by"], entry.get("user")) == ("worker", None)
    assert (first["type"], first["outcome"], first["run"]) == ("report_refused", "refused", made.run)
    assert first["claimed"] == {"requester": BOB, "team": "other"}
    assert (asked["run"], asked["workspace"]) == (made.run, HERE)
    assert (asked["what"]["requester"], asked["what"]["channel"]) == (ALICE, GENERAL)
    assert asked["claimed"] == {"run": others, "requester": BOB, "channel": eve, "workspace": "T0EVE"}
    assert (passed["data"]["team"], passed["data"]["channel"]) == ("email", GENERAL)
    assert passed["claimed"] == {"team": "other", "channel": eve}
    assert passed["judged"]["effect"] == "pass"
    assert "claimed" not in begun
    assert (own["type"], own["data"]) == ("run_queued", {"requester": BOB, "team": "own"})


async def test_nobody_is_shown_a_run_of_another_that_a_worker_lists_as_theirs(sides: Sides) -> None:
    """R25: whose a run is stands where web wrote it."""
    await start(sides)
    for name in (ALICE, BOB):
        await sides.agents.client.zadd(sides.agents.keys.runs(name), {"rtest": 1})
    assert [run.id for run in (await Overview(sides.web).runs(ALICE, 5))[0]] == ["rtest"]
    assert (await Overview(sides.web).runs(BOB, 5))[0] == []


async def test_an_ending_by_the_agents_names_nobody_and_nothing_that_was_allowed(sides: Sides) -> None:
    """R9"""
    made = await asked(sides)
    standing = Standing(PermissionId("pforged"), Scope.TOOL, made.created_at + timedelta(days=1))
    gone = Decision(Status.WITHDRAWN, How.RUN, made.created_at, instead_of=(BOB,), standing=standing)
    await write(sides, replace(made, status=Status.WITHDRAWN, decision=gone), 9)
    assert (await read(sides, made)).decision == Decision(Status.WITHDRAWN, How.RUN, made.created_at)


async def test_a_report_of_an_ending_says_what_ended_and_nothing_else(sides: Sides) -> None:
    """R9, R25"""
    now = await sides.agents.now()
    ended = {"outcome": "withdrawn", "how": "run", "words": "", "digest": "d", "waited": "1.250"}
    forged = {"instead_of": str(BOB), "permission": "pforged", "edited": "x", "chosen": "y"}
    assert worker_claims.reported(Event(EventType.REQUEST_DECIDED, now, data={**ended, **forged})).data == ended
    late = worker_claims.reported(Event(EventType.REQUEST_DECIDED, now, data={**ended, "late": "x"}))
    assert late.type is EventType.REPORT_REFUSED


@pytest.mark.parametrize("forged", ["hours that never end", "hours with a zone each", "a deadline without a zone"])
async def test_a_record_that_cannot_be_dated_stops_nobody(sides: Sides, forged: str) -> None:
    """R4: web would end, and at each start again."""
    made = await asked(sides, timedelta(minutes=1), remind_after=timedelta(minutes=5))
    assert made.deadline is not None
    without_end = Quiet("UTC", None, None, frozenset(range(7)))
    zoned = Quiet("UTC", time(19, tzinfo=UTC), time(8))
    hours = zoned if "each" in forged else without_end
    wrong = (
        replace(made, deadline=made.deadline.replace(tzinfo=None))
        if "deadline" in forged
        else replace(made, rules=replace(made.rules, quiet=hours))
    )
    await write(sides, wrong, 9)
    await sides.agents.client.zadd(sides.agents.keys.pending, {made.id: 1})
    assert (await deadlines._settle_due(sides.web, NoQueue(), made.id, await sides.web.now())).fate == "unreadable"
    with pytest.raises(UnknownSchema, match=r"says nothing of when|should have timezone"):
        await sides.web.request(made.id)


async def test_reminders_that_only_web_may_send_keep_no_worker_from_a_deadline(sides: Sides, wakeups: Wakeups) -> None:
    """R4: while web is away a hundred of them are due before it."""
    now = await sides.agents.now()
    for number in range(100):
        waits = question(f"Draft {number}", asked=number)
        forgotten = request(
            now - timedelta(minutes=30), asked=waits, remind_after=timedelta(minutes=5), on_timeout=OnTimeout.WAIT
        )
        await sides.agents.commit(Change(requests=(Put(forgotten, 0),)))
    over = await asked(sides, timedelta(minutes=65))
    await sides.agents.client.zadd(sides.agents.keys.pending, {over.id: (now.timestamp() - 60) * 1000})
    await deadline_kept(sides, over, deadlines.keep(sides.agents, NoQueue(), wakeups))


async def test_a_record_under_the_name_of_another_request_undoes_no_decision(sides: Sides) -> None:
    """R3, R9: web would settle the other one a second time, and silence approve what people refused."""
    await silence_approves(sides)
    made = await asked(sides, on_timeout=OnTimeout.APPROVE)
    await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, verb=Verb.REJECT))
    seen, name = await sides.web.request(made.id), RequestId("qother")
    assert seen is not None
    over = request(made.created_at - timedelta(hours=2), on_timeout=OnTimeout.APPROVE)
    raw = REQUESTS.write(over, seen.version)
    await sides.agents.client.set(sides.agents.keys.asked(name), raw, px=60_000)
    assert (await deadlines._settle_due(sides.web, NoQueue(), name, await sides.web.now())).fate == "unreadable"
    assert (await read(sides, made)).status is Status.REJECTED


async def test_a_version_that_cannot_be_counted_further_makes_no_second_decision(sides: Sides) -> None:
    """R3: of two clicks at once the later would not find that somebody was faster."""
    made = await asked(sides)
    await write(sides, made, 10**15 - 1)
    with pytest.raises(UnknownSchema, match="version"):
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))


@pytest.mark.parametrize("version", [b"x", b"", b"9" * 5000])
async def test_a_record_without_a_version_is_refused_by_name(sides: Sides, version: bytes) -> None:
    """R4: what is not foreseen ends a process, and again at each start."""
    made = await asked(sides)
    raw = REQUESTS.write(made, 1).replace(b"1", version, 1)
    await sides.agents.client.set(sides.agents.keys.asked(made.id), raw, px=60_000)
    with pytest.raises(UnknownSchema, match="has no version"):
        await sides.web.request(made.id)


@pytest.mark.parametrize("what", ["no names", "unknown", "decided before", "decided in the year 3000"])
async def test_names_in_the_index_that_nothing_is_due_to_keep_nobody_from_a_deadline(
    sides: Sides, wakeups: Wakeups, what: str
) -> None:
    """R4: a worker may write that index; web would go through the same hundred for ever, without a pause."""
    over = await asked(sides, timedelta(minutes=65))
    decided = [request(over.created_at, asked=question(f"Draft {number}", asked=number)) for number in range(1, 101)]
    if what.startswith("decided"):
        for made in decided:
            at = made.created_at if "before" in what else made.created_at.replace(year=3000)
            gone = Decision(Status.WITHDRAWN, How.RUN, at)
            await write(sides, replace(made, status=Status.WITHDRAWN, decision=gone), 1)
    names = [f"a\nb\n{number}" if what == "no names" else made.id for number, made in enumerate(decided)]
    await sides.agents.client.zadd(sides.agents.keys.pending, dict.fromkeys(names, 1))
    await deadline_kept(sides, over, deadlines.keep(sides.web, NoQueue(), wakeups))


async def test_no_report_goes_away_and_none_is_shut_out_by_a_worker(sides: Sides) -> None:
    """R3, R4: who adds to a stream may cut it in the same command, or use up its ids, so that nobody reports again."""
    made = await asked(sides)
    told = [Event(EventType.RUN_PROGRESSED, made.created_at, run=made.run, data={"words": word}) for word in "ab"]
    await sides.agents.commit(Change(events=(told[0],)))
    for cuts in (("MAXLEN", 0, "*"), ("18446744073709551615-18446744073709551615",)):
        await denied(sides.agents, "XADD", sides.agents.keys.reports, *cuts, "event", "x")
    await sides.agents.commit(Change(events=(told[1],)))
    await sides.web.commit(Change())
    entries = await sides.web.client.xrange(sides.web.keys.events)
    assert [read_event(fields, entry) for entry, fields in entries][-2:] == told


async def test_what_a_workers_script_sets_for_all_scripts_keeps_nobody_from_deciding(sides: Sides) -> None:
    """R4: the server's reader of JSON is one for all users, and keeps what a script sets until the server ends."""
    made = await asked(sides)
    for setting in ("decode_max_depth(1)", "decode_invalid_numbers(false)", "encode_max_depth(1)"):
        await sides.agents.client.eval(f"return cjson.{setting} and 1", 1, sides.agents.keys.pending)
    assert (await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))).status is Status.APPROVED
    await update_lists(sides.web)
