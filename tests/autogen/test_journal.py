"""Recorded effects: at most once, and what is found of them later."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from autogen_core import CancellationToken
from autogen_core.models import CreateResult, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.errors import ActionFailed, LeaseLost, NewerSchema, OutcomeUnknown, UnknownSchema
from countersign.domain.executions import Begun
from countersign.domain.ids import RunId
from countersign.frameworks.autogen.models.answer_recorder import JournaledModel
from countersign.frameworks.autogen.models.usage import Budget
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from countersign.runs.side_effects import effect
from countersign.usecases.ports import Lease
from tests.autogen.harness import LEASE, House
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]


async def claimed(house: House, owner: str = "w1") -> Lease:
    lease = await house.area.leases.claim(RunId("r1"), owner, LEASE)
    assert lease is not None
    return lease


async def journal_of(house: House, lease: Lease) -> RunJournal:
    return await RunJournal.open(RedisJournal(house.area), lease)


async def yes() -> Begun:
    """It is still wanted."""
    return Begun.GRANTED


def acting(done: list[str], outcome: str | Exception) -> Callable[[], Awaitable[str]]:
    async def act() -> str:
        done.append("x")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return act


async def do(journal: RunJournal, act: Callable[[], Awaitable[str]], name: str = "send") -> str:
    return await effect(journal, journal.key("step", "send", "a"), name, act, yes)


async def test_recorded_effect_is_not_repeated(house: House) -> None:
    await house.start()
    done: list[str] = []
    lease = await claimed(house)
    assert await do(await journal_of(house, lease), acting(done, "sent")) == "sent"
    assert await do(await journal_of(house, lease), acting(done, "sent again")) == "sent"
    assert done == ["x"]


async def test_started_effect_without_an_end_is_not_repeated(house: House) -> None:
    """R4: killed during the action, nobody knows; it is said and not repeated."""
    await house.start()
    lease = await claimed(house)
    journal = await journal_of(house, lease)
    await journal.record(journal.key("step", "send", "a"), Entry("started", attempt="another process"))
    done: list[str] = []
    with pytest.raises(OutcomeUnknown, match="Nobody knows whether “send” happened"):
        await do(await journal_of(house, lease), acting(done, "sent"))
    assert not done


async def test_unknown_outcome_names_the_effect_in_plain_english(house: House) -> None:
    """No name of a function: neither where its worker was lost, nor where its error says nothing."""
    await house.start()
    lease = await claimed(house)
    with pytest.raises(OutcomeUnknown, match=r"^“send mail” ended with an error"):
        await do(await journal_of(house, lease), acting([], RuntimeError()), "send_mail")
    journal = await journal_of(house, lease)
    lost = Entry("started", attempt="another process")
    await journal.record(journal.key("step", "send", "a"), lost, replace=True)
    with pytest.raises(OutcomeUnknown, match="whether “send mail” happened"):
        await do(await journal_of(house, lease), acting([], "sent"), "send_mail")


async def test_repeatable_effect_interrupted_before_its_call_runs(house: House) -> None:
    """R4: a worker told to stop between `started` and the call; the agent was told that the call had failed."""
    await house.start()
    lease = await claimed(house)
    reached = asyncio.Event()
    done: list[str] = []

    async def wanted() -> Begun:
        reached.set()
        await asyncio.Event().wait()
        return Begun.GRANTED

    async def look(journal: RunJournal, wanted: Callable[[], Awaitable[Begun]]) -> str:
        return await effect(journal, journal.key("tool", "a"), "look", acting(done, "12"), wanted, idempotent=True)

    cut = asyncio.create_task(look(await journal_of(house, lease), wanted))
    await reached.wait()
    cut.cancel()
    await asyncio.wait({cut})
    assert await look(await journal_of(house, lease), yes) == "12"
    assert done == ["x"]


@pytest.mark.parametrize(
    ("raised", "comes_out"),
    [
        (ActionFailed("no server"), ActionFailed),
        (OutcomeUnknown("cut off"), OutcomeUnknown),
        (KeyError("bug"), OutcomeUnknown),
    ],
)
async def test_recorded_failure_is_replayed(house: House, raised: Exception, comes_out: type[ActionFailed]) -> None:
    await house.start()
    lease = await claimed(house)
    done: list[str] = []
    sentences = []
    for _ in range(2):
        with pytest.raises(comes_out) as found:
            await do(await journal_of(house, lease), acting(done, raised))
        sentences.append(str(found.value))
        assert type(found.value) is comes_out
    assert sentences[0] == sentences[1]
    assert done == ["x"]


async def test_failed_effect_may_be_retried_as_another_step(house: House) -> None:
    await house.start()
    journal = await journal_of(house, await claimed(house))
    done: list[str] = []
    with pytest.raises(ActionFailed):
        await do(journal, acting(done, ActionFailed("no server")))
    assert await do(journal, acting(done, "sent")) == "sent"
    assert done == ["x", "x"]


async def test_worker_without_the_lease_starts_no_effect(house: House) -> None:
    await house.start()
    lost = await claimed(house)
    journal = await journal_of(house, lost)
    await house.area.leases.release(lost)
    await claimed(house, "w2")
    done: list[str] = []
    with pytest.raises(LeaseLost):
        await do(journal, acting(done, "sent"))
    assert not done


async def test_unwanted_effect_is_not_started(house: House) -> None:
    """The check right before it says that the run was stopped."""
    await house.start()
    journal = await journal_of(house, await claimed(house))
    done: list[str] = []

    async def no() -> Begun:
        raise LeaseLost("the run was stopped")

    with pytest.raises(LeaseLost):
        await effect(journal, journal.key("step", "send", "a"), "send", acting(done, "sent"), no)
    assert not done


async def test_entry_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(NewerSchema, match="A newer version of the worker"):
        Entry.load(b'{"schema": 99, "state": "done"}')
    with pytest.raises(UnknownSchema, match="another version of the worker") as refused:
        Entry.load(b'{"schema": 0, "state": "done"}')
    assert not isinstance(refused.value, NewerSchema)
    assert Entry.load(Entry("done", "x").dump()) == Entry("done", "x")


async def test_model_is_asked_once_despite_rebuilds(house: House) -> None:
    """R4: its answer is in the journal, for each agent and question."""
    await house.start()
    lease = await claimed(house)
    model = ReplayChatCompletionClient(["one", "two", "three", "four"])
    question = [UserMessage(content="?", source="user")]
    transcripts = []
    for _ in range(3):
        journal = await journal_of(house, lease)
        ann = JournaledModel(model, journal, "ann", lambda error: None, Budget(journal, 9))
        bob = JournaledModel(model, journal, "bob", lambda error: None, Budget(journal, 9))
        transcripts.append([str((await asker.create(question)).content) for asker in (ann, ann, bob)])
    assert transcripts == [["one", "two", "three"]] * 3
    other = JournaledModel(model, journal, "ann", lambda error: None, Budget(journal, 9))
    assert (await other.create([UserMessage(content="other", source="user")])).content == "four"


async def test_streaming_model_is_asked_once_too(house: House) -> None:
    await house.start()
    lease = await claimed(house)
    model = ReplayChatCompletionClient(["one two"])
    said = []
    for _ in range(2):
        journal = await journal_of(house, lease)
        asker = JournaledModel(model, journal, "ann", lambda error: None, Budget(journal, 9))
        pieces = [piece async for piece in asker.create_stream([UserMessage(content="?", source="user")])]
        assert isinstance(pieces[-1], CreateResult)
        said.append(("".join(p for p in pieces if isinstance(p, str)), pieces[-1].content))
    assert said == [("one two", "one two")] * 2


async def test_lost_lease_is_reported_past_autogens_error_handling(house: House) -> None:
    """R4: AutoGen turns errors of a model into text."""
    await house.start()
    lost = await claimed(house)
    journal = await journal_of(house, lost)
    await house.area.leases.release(lost)
    await claimed(house, "w2")
    told: list[Exception] = []
    token = CancellationToken()

    def failed(error: Exception) -> None:
        told.append(error)
        token.cancel()

    asker = JournaledModel(ReplayChatCompletionClient(["one"]), journal, "ann", failed, Budget(journal, 9), token)
    with pytest.raises(asyncio.CancelledError):
        await asker.create([UserMessage(content="?", source="user")])
    assert {type(error) for error in told} == {LeaseLost}


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"schema": 2}', b'{"schema": [], "state": "done"}'),
        b'{"schema": 2, "state": "done", "of_another_version": 1}',
    ],
)
def test_invalid_entry_is_refused_by_name(raw: bytes) -> None:
    """R29: and so is one whose fields are of another kind; a real one is read."""
    whole = Entry("done", "x", "a", "", 1)
    for wrong in (raw, whole.dump().replace(b'"place":1', b'"place":-1'), whole.dump().replace(b'"done"', b'"gone"')):
        with pytest.raises(UnknownSchema):
            Entry.load(wrong)
    assert Entry.load(whole.dump()) == whole


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("gate", "7"),
        ("gate", '{"action": "perhaps"}'),
        ("gate", '{"action": "ask", "of_another_version": 1}'),
        ("gate", '{"action": "ask", "question": {"number": "first", "about": "x"}}'),
        ("asks", '{"number": -1, "about": "x"}'),
        ("aside", '{"keys": ["k"], "turns": [{}]}'),
    ],
)
async def test_unreadable_note_ends_the_run_by_name(house: House, kind: str, value: str) -> None:
    """R29: what the gate and the doubts have noted is read whole, or not at all."""
    await house.start()
    lease = await claimed(house)
    await RedisJournal(house.area).record(lease, f"{kind}/clerk/{'0' * 32}/0", Entry("done", value).dump())
    await house.area.leases.release(lease)
    async with house.worker() as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert f"What this run has recorded as “{kind}” was written by another version" in (await house.run()).result
    assert worker.queue.asked == []
