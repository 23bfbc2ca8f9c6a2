"""Runs that are kept with their requests: another machine goes on, and no other one does anything twice.

A machine is a folder. The clerk is the smallest agent that there can be; `test_saved_runs.py` has real frameworks.
"""

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from cryptography.fernet import Fernet

from countersign.client.client import AsyncClient
from countersign.client.exchange import ServiceRefused
from countersign.domain import api_keys
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import RequestId
from countersign.domain.program_states import LONGEST_STATE, ProgramState
from countersign.frameworks import resume
from countersign.frameworks.run_files import KEY, LeftToPeople, leave, opened, path_of
from countersign.frameworks.saved_runs import SavedRuns
from countersign.store.programs import ApiKeys
from countersign.store.record_codecs import STATES
from countersign.store.store import Store
from localslack import LocalSlack, Message, text_of
from tests.adapters.stage import row_of
from tests.slack.test_projector import card_of

SECRET = "the customer's birthday is in May"
LOST = -1
"""The next order of a clerk whose machine is lost before it has one."""


class Clerk(SavedRuns):
    """An agent that refunds orders at once, and keeps what it was told."""

    def __init__(self, machine: Path, *, leave: bool = False, dies_in: int | None = None, next: int = 0) -> None:
        super().__init__("#general", folder=machine, leave=leave)
        self.dies_in, self.done, self.next = dies_in, list[int](), next

    async def run(self, *orders: int, told: str = SECRET) -> list[Any]:
        async def refund(arguments: Mapping[str, Any]) -> str:
            if arguments["order"] == self.dies_in:
                raise asyncio.CancelledError
            self.done.append(arguments["order"])
            return "Paid."

        async with self._judging("orders", "clerk", "Refund them.") as at:
            at.run.save(state=at.run.state or told)
            assert at.run.state == told
            calls = [at.run.call(f"c{order}", "refund", {"order": order}, None) for order in orders]
            await at.decide_all(calls)
            results = [await at.perform(call, refund) for call in calls]
            if self.next == LOST:
                raise asyncio.CancelledError
            if self.next:
                call = at.run.call(f"c{self.next}", "refund", {"order": self.next}, None)
                await at.decide_all([call])
                results.append(await at.perform(call, refund))
            return results


@pytest.fixture(autouse=True)
def state_key(monkeypatch: pytest.MonkeyPatch) -> str:
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("COUNTERSIGN_STATE_KEY", key)
    return key


async def kept(program: httpx.AsyncClient) -> list[str]:
    """The requests with which something is kept."""
    return [one["id"] for one in (await program.get("/v1/requests?kept=true")).json()["requests"]]


async def click(slack: LocalSlack, order: int, button: str = "Approve") -> None:
    """Have Bob decide about the order."""

    def asks(message: Message) -> bool:
        return str(order) in text_of(message) and button in message.buttons

    card = await slack.wait_message("#approvals", asks)
    await slack.user("bob").click(card, button, block=row_of(card, str(order)))


async def doubts(slack: LocalSlack, going_on: asyncio.Task[Any], answer: str) -> None:
    """Have Bob say what became of the call, about which the clerk that goes on must ask."""

    def asks(message: Message) -> bool:
        return "Did “refund” happen?" in text_of(message) and "Choose" in message.buttons

    card = asyncio.create_task(slack.wait_message("#approvals", asks))
    await asyncio.wait({card, going_on}, return_when=asyncio.FIRST_COMPLETED)
    assert card.done(), f"Nobody was asked: {going_on.result()}"
    bob = slack.user("bob")
    await bob.click(card.result(), "Choose")
    await bob.wait_modal()
    assert await bob.submit({"options": answer}) == {}


async def left(slack: LocalSlack, machine: Path, *orders: int) -> None:
    """Leave the orders to people, who approve them."""
    with pytest.raises(LeftToPeople):
        await Clerk(machine, leave=True).run(*orders)
    for order in orders:
        await click(slack, order)


async def test_another_machine_goes_on_and_the_first_one_does_no_more(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path
) -> None:
    """R8: what is kept ends with the run."""
    await left(slack, tmp_path / "a", 70017)
    assert len(await kept(program)) == 1
    other = Clerk(tmp_path / "b", leave=True)
    assert (await other.run(70017), other.done) == (["Paid."], [70017])
    assert await kept(program) == []
    late = Clerk(tmp_path / "a", leave=True)
    with pytest.raises(ServiceRefused, match="another program went on with it"):
        await late.run(70017)
    assert late.done == []


async def test_the_service_cannot_read_what_it_keeps(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, tmp_path: Path, state_key: str
) -> None:
    """R15: no word of it is in Redis; and another key gets nothing."""
    await left(slack, tmp_path / "a", 70017)
    (name,) = await kept(program)
    stored = await store.client.get(store.keys.program_state(RequestId(name)))
    sealed = (await program.get(f"/v1/requests/{name}/state")).json()["sealed"]
    assert json.loads(Fernet(state_key).decrypt(sealed))["state"] == SECRET
    assert STATES.read(stored)[0] == ProgramState(RequestId(name), 1, sealed), "and nothing else"
    other = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(other.key)
    program.headers["authorization"] = f"Bearer {other.token}"
    assert (await kept(program), (await program.get(f"/v1/requests/{name}/state")).status_code) == ([], 404)


async def test_an_old_copy_of_a_run_is_refused_before_anything_is_done(slack: LocalSlack, tmp_path: Path) -> None:
    """R8: also while the one who went on is in the middle of the call."""
    await left(slack, tmp_path / "a", 70017)
    dying = Clerk(tmp_path / "b", dies_in=70017)
    with pytest.raises(asyncio.CancelledError):
        await dying.run(70017)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    for machine in ("a", "copy"):
        old = Clerk(tmp_path / machine)
        with pytest.raises(ServiceRefused, match="this state of it is too old"):
            await old.run(70017)
        assert old.done == []


async def test_a_machine_from_which_a_run_was_taken_does_not_begin_what_people_approve(
    slack: LocalSlack, tmp_path: Path
) -> None:
    """R8: it finds out before it begins, so nobody is asked whether it did the call."""
    first, other = Clerk(tmp_path / "a"), Clerk(tmp_path / "b", leave=True)
    waiting = asyncio.create_task(first.run(70017))
    await card_of(slack)
    with pytest.raises(LeftToPeople):
        await other.run(70017)
    await click(slack, 70017)
    with pytest.raises(ServiceRefused, match="this state of it is too old"):
        await waiting
    going_on = asyncio.create_task(other.run(70017))
    doubt = asyncio.create_task(slack.wait_message("#approvals", lambda m: "Did “refund” happen?" in text_of(m)))
    await asyncio.wait({going_on, doubt}, return_when=asyncio.FIRST_COMPLETED)
    assert not doubt.done(), "Nobody is to be asked."
    doubt.cancel()
    assert (await going_on, first.done, other.done) == (["Paid."], [], [70017])


async def test_of_two_machines_that_go_on_one_is_refused(slack: LocalSlack, tmp_path: Path) -> None:
    """R8"""
    await left(slack, tmp_path / "a", 70017)
    both = [Clerk(tmp_path / machine) for machine in ("b", "c")]
    results = await asyncio.gather(*(clerk.run(70017) for clerk in both), return_exceptions=True)
    assert sorted(map(str, results))[-1] == "['Paid.']", results
    assert sorted(isinstance(result, ServiceRefused) for result in results) == [False, True]
    assert sum(len(clerk.done) for clerk in both) == 1


async def test_people_say_what_became_of_a_call_whose_machine_was_lost(slack: LocalSlack, tmp_path: Path) -> None:
    """R10"""
    await left(slack, tmp_path / "a", 70017)
    with pytest.raises(asyncio.CancelledError):
        await Clerk(tmp_path / "b", dies_in=70017).run(70017)
    other = Clerk(tmp_path / "c")
    going_on = asyncio.create_task(other.run(70017))
    card = await slack.wait_message(
        "#approvals", lambda m: "Did “refund” happen?" in text_of(m) and "Choose" in m.buttons
    )
    bob = slack.user("bob")
    await bob.click(card, "Choose")
    await bob.wait_modal()
    assert await bob.submit({"options": "1. It was done"}) == {}
    assert (await going_on, other.done) == (["Done before: People say that it was done."], [])


async def test_a_machine_that_goes_on_in_the_middle_of_calls_does_the_others(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path
) -> None:
    await left(slack, tmp_path / "a", 70017, 70018)
    dying = Clerk(tmp_path / "b")
    dying.dies_in = 70018
    with pytest.raises(asyncio.CancelledError):
        await dying.run(70017, 70018)
    assert dying.done == [70017]
    assert len(await kept(program)) == 1
    other = Clerk(tmp_path / "c")
    going_on = asyncio.create_task(other.run(70017, 70018))
    card = await slack.wait_message(
        "#approvals", lambda m: "Did “refund” happen?" in text_of(m) and "Choose" in m.buttons
    )
    bob = slack.user("bob")
    await bob.click(card, "Choose")
    await bob.wait_modal()
    assert await bob.submit({"options": "2. It wasn't done: run it now"}) == {}
    assert (await going_on, other.done) == (["Paid.", "Paid."], [70018])
    assert await kept(program) == []


async def test_another_machine_goes_on_after_the_outcome(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path
) -> None:
    """R8: lost between the last outcome and the next question; nothing is done twice, and the end ends what is kept."""
    await left(slack, tmp_path / "a", 70017, 70018)
    with pytest.raises(asyncio.CancelledError):
        await Clerk(tmp_path / "b", next=LOST).run(70017, 70018)
    assert len(await kept(program)) == 1, "with the last one alone"
    other = Clerk(tmp_path / "c", next=70019)
    going_on = asyncio.create_task(other.run(70017, 70018))
    await click(slack, 70019)
    assert (await going_on, other.done) == (["Paid.", "Paid.", "Paid."], [70019])
    assert await kept(program) == []
    late = Clerk(tmp_path / "b", next=70019)
    with pytest.raises(ServiceRefused, match="another program went on with it"):
        await late.run(70017, 70018)
    assert late.done == []


async def test_a_run_that_goes_on_is_kept_with_its_newest_question(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path
) -> None:
    running = asyncio.create_task(Clerk(tmp_path / "a", next=70019).run(70017))
    await click(slack, 70017)
    await slack.wait_message("#approvals", lambda message: "70019" in text_of(message) and "Approve" in message.buttons)
    assert len(await kept(program)) == 1
    await click(slack, 70019)
    await running
    assert await kept(program) == []


async def test_a_machine_that_is_lost_between_two_reports_leaves_a_run_that_goes_on(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: what the service keeps of the run no longer names the request that keeps nothing."""
    await left(slack, tmp_path / "a", 70017, 70018)
    with monkeypatch.context() as lost:
        lost.setattr(AsyncClient, "try_to_report", AsyncMock(side_effect=asyncio.CancelledError))
        with pytest.raises(asyncio.CancelledError):
            await Clerk(tmp_path / "b").run(70017, 70018)
    other = Clerk(tmp_path / "c")
    assert (await other.run(70017, 70018), other.done) == (["Paid.", "Paid."], [70018])
    assert await kept(program) == []


async def test_runs_of_lost_machines_are_resumed_when_somebody_says_that_they_are_lost(
    slack: LocalSlack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """R8: nobody else can know that their program is not at work."""
    await left(slack, tmp_path / "a", 70017)
    with pytest.raises(asyncio.CancelledError):
        await Clerk(tmp_path / "b", next=LOST).run(70017)
    assert await asyncio.to_thread(resume.main, [str(tmp_path / "c")]) == 0
    assert "“orders” isn't waiting for people. If its machine is lost, add --lost." in capfd.readouterr().err
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resume, "_program", lambda _: [sys.executable, "-c", "print('started again')"])
        assert await asyncio.to_thread(resume.main, ["--lost", str(tmp_path / "c")]) == 0
    assert "started again" in capfd.readouterr().out


async def test_what_people_refused_is_kept_no_longer_than_its_run(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path
) -> None:
    running = asyncio.create_task(Clerk(tmp_path / "a").run(70017))
    await card_of(slack)
    assert len(await kept(program)) == 1
    bob = slack.user("bob")
    await click(slack, 70017, "Reject")
    assert await bob.submit({"reason": "Not this one."}) == {}
    assert "Not this one." in str(await running)
    assert await kept(program) == []


async def test_a_run_that_is_too_large_stays_in_its_folder(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = token_hex(LONGEST_STATE // 2)
    clerk = Clerk(tmp_path / "a")
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(clerk.run(70017, told=told))
        await click(slack, 70017)
        assert await running == ["Paid."]
    assert "the service keeps at most 262,144. It stays in" in caplog.text
    assert (clerk.done, await kept(program)) == ([70017], [])


async def test_nothing_leaves_the_machine_without_a_state_key(
    slack: LocalSlack, program: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERSIGN_STATE_KEY")
    await left(slack, tmp_path / "a", 70017)
    assert await kept(program) == []
    again = Clerk(tmp_path / "a", leave=True)
    assert (await again.run(70017), again.done) == (["Paid."], [70017])


async def test_a_wrong_state_key_is_told_and_nothing_is_done(
    slack: LocalSlack,
    program: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await left(slack, tmp_path / "a", 70017)
    before = await kept(program)
    monkeypatch.setenv("COUNTERSIGN_STATE_KEY", Fernet.generate_key().decode())
    assert await asyncio.to_thread(resume.main, [str(tmp_path / "b")]) == 2
    assert f"Can't read the state of request {before[0]}: it was encrypted with another" in capsys.readouterr().err
    other = Clerk(tmp_path / "b")
    with pytest.raises(ServiceRefused, match="this state of it is too old"):
        await other.run(70017)
    assert (other.done, await kept(program)) == ([], before)


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: inner for other, inner in value.items() if other != name}


def test_a_damaged_file_of_a_run_is_refused_in_a_sentence_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: truncated, of wrong types at each level, without a field, something else, a huge number, no text."""
    monkeypatch.delenv(KEY)
    with opened(tmp_path, "orders", "Refund them.") as run:
        run.call("c1", "refund", {"order": 17}, None)
        run.save(waits=["q1"])
    path = path_of(tmp_path, "orders")
    whole = path.read_bytes()
    good = json.loads(whole)
    call = good["calls"][0]
    wrong = [[], {}, "x", 7, None, True]
    damaged = [json.dumps(value).encode() for value in wrong]
    damaged += [json.dumps({**good, name: value}).encode() for name in good for value in _wrong_for(good[name], name)]
    damaged += [json.dumps(_without(good, name)).encode() for name in good if name not in ("left", "number")]
    calls = [{**call, name: value} for name in call for value in _wrong_for(call[name], name)]
    calls += [{**call, "more": 1}, *(_without(call, name) for name in ("id", "tool", "arguments", "schema"))]
    damaged += [json.dumps({**good, "calls": [one]}).encode() for one in (*calls, *wrong) if one != call]
    damaged += [whole[: len(whole) // 2], b"", b"{", b'{"key":' + b"9" * 5000 + b"}", b"[" * 100_000, bytes(range(256))]
    damaged += [b'{"\xff": 1}', b'{"a":' * 100_000]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=path.name), opened(tmp_path, "orders", "Refund them."):
            pass
        with pytest.raises(InvalidInput, match=path.name):
            leave(tmp_path, "orders", [("q2", False)])
        assert path.read_bytes() == content
    path.write_bytes(whole)
    with opened(tmp_path, "orders", "Refund them.") as run:
        assert run.calls[0].arguments == {"order": 17}


def _wrong_for(value: object, name: str) -> list[object]:
    """What may not stand in the place of this value; a framework's state and a result may be anything."""
    if name in ("state", "result"):
        return []
    nullable = name in ("schema", "edited", "kept")
    kinds: list[object] = [[1], {}, "x", 1.5, None]
    same: tuple[type, ...] = (dict,) if name in ("schema", "edited", "arguments") else (type(value),)
    wrong = [one for one in kinds if not isinstance(one, same) and not (nullable and one is None)]
    return [*wrong, [1]] if isinstance(value, list) else wrong
