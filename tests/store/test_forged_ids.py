"""A worker names runs, requests and people: what does not have the form of an id is nowhere taken for one (R27)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.audit.auditor import Auditor
from countersign import usecases
from countersign.domain import runs
from countersign.domain.errors import InvalidInput, UnknownSchema
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, PermissionId, RequestId, RunId, UserId
from countersign.domain.permission_scopes import PermissionChoice, Scope, Span
from countersign.domain.standing_permissions import given_with
from countersign.store.audit_log import Ledger
from countersign.store.codec import decompress, ms
from countersign.store.outbox import Outbox
from countersign.store.record_codecs import PERMISSIONS, REQUESTS, RUNS
from countersign.store.request_lists import Overview
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Change
from tests.sample_requests import ALICE, BOB, GENERAL, HERE, attempt, call
from tests.slack.socket_bot import events
from tests.store.test_forgery import asked
from tests.store.two_users import Sides, start
from tests.store_fixtures import NoQueue, new_run

FALSE = "U0ALICE> <!channel> *Approved* by <@U0BOB"
IN_A_RUN = {"requester": ALICE, "channel": GENERAL, "workspace": HERE, "id": "rtest", "team": "email"}
IN_A_REQUEST = {"requester": ALICE, "channel": GENERAL, "workspace": HERE, "run": "rtest"}
JUNK = [b"qx}:asked:1", b"a\nb", b"", b"\xff\xfe", b"*", b"{other}:a", b"q1\n"]


def forged(plain: bytes, field: str, was: str, false: str) -> bytes:
    """A record as a worker writes it past our own code."""
    before = f'"{field}":"{was}"'.encode()
    assert before in plain
    return b"5 2\n" + plain.replace(before, f'"{field}":"{false}"'.encode(), 1)


async def test_a_run_with_what_is_no_id_is_not_read_and_others_are(sides: Sides, subtests: pytest.Subtests) -> None:
    """R15, R27: a card mentioned whom its "requester" named, and said that they had approved."""
    await start(sides)
    other = await new_run(sides.web, "rother", worker=sides.agents)
    seen = await sides.agents.run(RunId("rtest"))
    assert seen is not None
    for field in IN_A_RUN:
        for false in [FALSE, "qx}:asked:1", "", "r*", "rtest\\n"]:
            with subtests.test(field=field, false=false):
                raw = forged(decompress(RUNS.dump(seen.value)), field, IN_A_RUN[field], false)
                await sides.agents.client.set(sides.agents.keys.run(RunId("rtest")), raw, px=60_000)
                with pytest.raises(UnknownSchema, match="was left as it is"):
                    await sides.web.run(RunId("rtest"))
                assert [run.id for run in await sides.web.indexes.active_runs(9)] == [other.run]


@pytest.mark.parametrize("field", IN_A_REQUEST)
async def test_a_request_with_what_is_no_id_is_not_read_and_not_decided(sides: Sides, field: str) -> None:
    made = await asked(sides)
    raw = forged(decompress(REQUESTS.dump(made)), field, IN_A_REQUEST[field], FALSE)
    await sides.agents.client.set(sides.agents.keys.asked(made.id), raw, px=60_000)
    with pytest.raises(UnknownSchema, match="was left as it is"):
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    assert await sides.web.indexes.waiting(9) == []


async def test_a_report_of_what_is_no_id_is_on_record_as_refused(sides: Sides) -> None:
    """R25, R27: the run was queued by a program that said who asks."""
    await start(sides)
    before = await events(sides.web)
    for false in (FALSE, "U0ALICE|bob", ""):
        for field in ("user", "workspace", "run", "request"):
            event = {"type": "run_queued", "at": "2026-03-06T17:00:00Z", "data": {"team": "email"}, field: false}
            await sides.agents.client.rpush(sides.agents.keys.reports, str(event).replace("'", '"'))
    await sides.web.commit(Change())
    outbox = Outbox(sides.web)
    await outbox.open()
    await outbox.read(100)
    told = [event for _, event in await outbox.read(100)][len(before) :]
    assert {event.type for event in told} == {EventType.REPORT_REFUSED} and len(told) == 12
    await Auditor(sides.web, "web").catch_up()
    chained = [kept.fields() async for _, kept in Ledger(sides.web).all()][-12:]
    assert {entry["type"] for entry in chained} == {"report_refused"} and "<!channel>" not in str(chained)


async def test_what_web_wrote_counts_only_under_its_own_name(sides: Sides) -> None:
    """R3, R27: each record of web says whose it is, and is nobody else's."""
    made = await asked(sides, asked=call())
    wish = PermissionChoice(Scope.TOOL, Span.HOUR)
    decided = await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, permission=wish))
    permission = given_with(decided, "email")
    assert permission is not None
    run = await sides.web.run(made.run)
    assert run is not None
    names = sides.web.keys
    for key, raw in {
        names.request(RequestId("qother")): REQUESTS.write(decided, 9),
        names.run(RunId("rother")): RUNS.write(run.value, 9),
        names.permission(PermissionId("pother")): PERMISSIONS.write(permission, 9),
    }.items():
        await sides.admin.set(key, raw, px=60_000)
    for read in (
        sides.web.request(RequestId("qother")),
        sides.web.run(RunId("rother")),
        sides.web.permission(PermissionId("pother")),
    ):
        with pytest.raises(UnknownSchema, match="kept under another name"):
            await read


async def test_what_is_no_id_in_an_index_names_nothing_and_raises_nothing(
    sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    """R4: a worker may write these; what stands first in one that is looked at in order leaves it."""
    made = await asked(sides)
    names, web, now = sides.agents.keys, sides.web, await sides.web.now()
    for index in (
        names.pending,
        names.active,
        names.undelivered,
        names.workers,
        names.runs(ALICE),
        names.ended("agents"),
    ):
        later = ms(now + timedelta(minutes=1)) if index == names.workers else 1
        await sides.agents.client.zadd(index, dict.fromkeys(JUNK, later))
    await sides.agents.client.sadd(names.settled(made.run), *JUNK)
    assert [request.id for request in await web.indexes.waiting(9)] == [made.id]
    assert (await web.indexes.due(3))[0] == []
    assert await sides.agents.indexes.unheld(99, timedelta(0)) == [made.run]
    assert await web.indexes.undelivered(99, timedelta(0)) == []
    assert [team.name for team in await web.workers.teams()] == ["email"]
    assert [run.id for run in (await Overview(web).runs(ALICE, 99))[0]] == [made.run]
    assert await web.put_away(99) == 0
    for index in (names.pending, names.active, names.undelivered, names.ended("agents")):
        assert not {*await sides.admin.zrange(index, 0, -1)} & {*JUNK}
    assert "belong to nothing" in caplog.text


async def test_hints_that_name_nothing_are_not_heard_and_the_next_one_is(sides: Sides) -> None:
    """R4: whoever waits for a decision waits on."""
    made = await asked(sides)
    async with Wakeups(sides.web) as hints:
        await hints.listening()
        waiting = asyncio.create_task(hints.settled(made.id))
        for junk in (*JUNK, b"rtest"):
            for kind in (b"request ", b"run ", b""):
                await sides.agents.client.publish(sides.agents.keys.hints, kind + junk)
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
        assert (await waiting).id == made.id


@pytest.mark.parametrize("claims", [{"requester": FALSE}, {"channel": "#general"}, {"run": "x:1"}, {"team": "<!here>"}])
async def test_a_program_that_says_what_is_no_id_starts_nothing(sides: Sides, claims: dict[str, str]) -> None:
    await sides.web.set_workspace(HERE)
    told: dict[str, Any] = {"run": "stest", "channel": GENERAL, "requester": BOB, "team": "script"} | claims
    with pytest.raises(InvalidInput, match="so nothing was done with it"):
        await usecases.start_by_script(
            sides.agents,
            run=RunId(told["run"]),
            channel=ChannelId(told["channel"]),
            requester=UserId(told["requester"]),
            team=told["team"],
            task="ask",
        )
    assert await sides.web.indexes.active_runs(9) == []


async def test_a_program_is_told_that_the_app_is_not_in_its_channel(sides: Sides) -> None:
    """R21: its run would be told of nowhere."""
    await sides.web.set_workspace(HERE)
    program: dict[str, Any] = {"requester": ALICE, "team": "script", "task": "ask"}
    await sides.web.set_channels({"general": GENERAL})
    with pytest.raises(InvalidInput, match="The app isn't in channel C0NOWHERE"):
        await usecases.start_by_script(sides.agents, run=RunId("sone"), channel=ChannelId("C0NOWHERE"), **program)
    assert await sides.web.indexes.active_runs(9) == []
    started = await usecases.start_by_script(sides.agents, run=RunId("stwo"), channel=GENERAL, **program)
    assert await sides.web.indexes.active_runs(9) == [started]


async def test_the_stop_of_a_run_is_not_a_workers_to_tell(sides: Sides) -> None:
    """R9: people stop runs, and web knows who; the record said of somebody else's run that it was stopped."""
    await start(sides)
    seen = await sides.agents.run(RunId("rtest"))
    assert seen is not None
    step = runs.end(seen.value, runs.Verb.STOP, seen.now, result="Stopped.")
    await sides.agents.commit(Change(events=step.events))
    await sides.web.commit(Change())
    outbox = Outbox(sides.web)
    await outbox.open()
    await outbox.read(100)
    told = [event for _, event in await outbox.read(100)]
    assert told[-1].type is EventType.REPORT_REFUSED and told[-1].data["claimed"] == EventType.RUN_STOPPED
    run = await sides.web.run(RunId("rtest"))
    assert run is not None and not run.value.over


async def test_what_is_no_list_of_a_run_keeps_no_other_run_from_its_end(sides: Sides) -> None:
    """R4: records of web stayed for ever, of all runs that ended after that one."""
    ended = [await new_run(sides.web, name, worker=sides.agents) for name in ("rbroken", "rwhole")]
    names = sides.agents.keys
    await sides.agents.client.set(names.settled(ended[0].run), "no set", px=60_000)
    for lease in ended:
        await usecases.finish(sides.agents, lease, runs.Verb.FINISH, result="Done.")
    assert await sides.web.put_away(9) == 2
    for lease in ended:
        assert await sides.admin.ttl(names.origin(lease.run)) > 0
