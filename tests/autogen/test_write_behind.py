"""An agent goes on with its answer while the note of the delivery is still being written; nothing else does."""

import asyncio
import gc
from dataclasses import replace

import pytest
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.errors import LeaseLost
from countersign.domain.requests import Verb
from countersign.domain.run_calls import Deliver, R, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.write_behind import WriteBehind
from countersign.usecases.ports import Lease
from tests.autogen.harness import House, Through, Worker, fact

pytest_plugins = ["tests.redis_server"]


class Holding(Through):
    """Keeps the note of a delivery back until `go` is set."""

    def __init__(self, house: House) -> None:
        super().__init__(house.service)
        self.held = 0
        self.go = asyncio.Event()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        if isinstance(call, Deliver):
            self.held += 1
            await self.go.wait()
        return await super().call(lease, call)


def holding(house: House) -> tuple[House, Holding]:
    service = Holding(house)
    return replace(house, service=service), service


def build(run: Run) -> AutoGenTeam:
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    human = UserProxyAgent("human", input_func=run.human(title="Go on?").input_func)
    return RoundRobinGroupChat([writer, human], termination_condition=MaxMessageTermination(5))


FOUND = Teams({"t": Team("t", "asks twice", build)}, {})


def model() -> ReplayChatCompletionClient:
    return ReplayChatCompletionClient(["Shall I order 10?", "Shall I send it?"])


async def a_while(house: House) -> None:
    """Whatever does not wait for the note has reached `web` by then."""
    for _ in range(50):
        await house.web_says()


async def answered_and_held(house: House, service: Holding, worker: Worker, asked: ReplayChatCompletionClient) -> None:
    """The first answer came, the writer has said its next words, and the note of the delivery is held back."""
    worker.advance()
    await house.decide(await house.asked(), Verb.APPROVE)

    async def went_on() -> bool | None:
        return True if service.held and len(asked.create_calls) == 2 else None

    await fact(went_on)
    await a_while(house)


async def test_nothing_after_an_answer_precedes_its_delivery_note(house: House) -> None:
    """R5: the agent goes on at once, its next words, question and end wait."""
    house, service = holding(house)
    await house.start(team="t")
    asked = model()
    async with house.worker(found=FOUND, model=asked) as worker:
        await answered_and_held(house, service, worker, asked)
        run = await house.run()
        kept = await RedisJournal(house.area).entries(run.id)
        assert [key.split("/")[0] for key in kept].count("model") == 1
        assert len(run.progress) == 1
        assert (run.status, len(run.open)) == (Status.WAITING, 1)
        first = await house.asked()
        service.go.set()
        await house.decide(await house.asked(not_this=first), Verb.APPROVE)
        assert (await house.over()).status is Status.FINISHED
    types = [event["type"] for event in await house.events()]
    about = [kind for kind in types if kind in ("request_asked", "decision_delivered", "run_finished")]
    assert about == ["request_asked", "decision_delivered"] * 2 + ["run_finished"]


async def test_next_question_and_end_wait_for_the_note(house: House) -> None:
    """R5: also where no model is asked in between."""

    def two(run: Run) -> AutoGenTeam:
        writer = AssistantAgent("writer", model_client=run.model("writer"))
        people = [run.reviewer(name) for name in ("first", "second")]
        return RoundRobinGroupChat([writer, *people], termination_condition=MaxMessageTermination(4))

    async def held(count: int) -> None:
        async def look() -> bool | None:
            return True if service.held == count else None

        await fact(look)
        await a_while(house)

    house, service = holding(house)
    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", two)}, {}), model=model()) as worker:
        worker.advance()
        asked = await house.asked()
        await house.decide(asked, Verb.APPROVE)
        await held(1)
        assert len((await house.run()).open) == 1
        assert [event["type"] for event in await house.events()].count("request_asked") == 1
        service.go.set()
        asked = await house.asked(not_this=asked)
        service.go.clear()
        await house.decide(asked, Verb.APPROVE)
        await held(2)
        assert (await house.run()).status is Status.WAITING
        service.go.set()
        assert (await house.over()).status is Status.FINISHED
    types = [event["type"] for event in await house.events()]
    assert types.count("decision_delivered") == 2


async def test_lost_delivery_note_leaves_the_answer_to_another_worker(house: House) -> None:
    """R5: asked once, decided once, delivered once; what the lost one said after it was never kept."""
    first, service = holding(house)
    await first.start(team="t")
    asked = model()
    async with first.worker(found=FOUND, model=asked) as worker:
        await answered_and_held(first, service, worker, asked)
    assert (await house.run()).status is Status.WAITING
    again = ReplayChatCompletionClient(["Shall I send it at last?"])
    before = await house.asked()
    async with house.worker(found=FOUND, model=again, owner="w2") as worker:
        worker.advance()
        second = await house.asked(not_this=before)
        assert second.question.content == "Shall I send it at last?"
        await house.decide(second, Verb.APPROVE)
        assert (await house.over()).status is Status.FINISHED
    types = [event["type"] for event in await house.events()]
    assert (types.count("request_asked"), types.count("decision_delivered")) == (2, 2)


async def test_failed_delivery_note_stops_whatever_would_follow() -> None:
    """R5: each later wait raises the same error."""
    told: list[Exception] = []
    writes = WriteBehind()
    writes.give_up = told.append
    ran: list[str] = []

    async def lost() -> None:
        raise LeaseLost("Another worker has the run.")

    async def later() -> None:
        ran.append("later")

    writes.write(lost)
    writes.write(later)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await writes.written()
    assert ran == []
    assert [type(error) for error in told] == [LeaseLost]


async def test_failed_delivery_note_without_a_waiter_leaves_no_warning() -> None:
    """`give_up` was told; asyncio need not tell it once more, whenever the task is collected."""
    told: list[str] = []
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    writes = WriteBehind()
    writes.give_up = lambda error: told.append(type(error).__name__)

    async def lost() -> None:
        raise LeaseLost("Another worker has the run.")

    writes.write(lost)
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert told == ["LeaseLost"]
    del writes
    gc.collect()
    assert unhandled == []


async def test_delivery_notes_are_written_in_order() -> None:
    writes, gate, ran = WriteBehind(), asyncio.Event(), list[str]()

    async def slow() -> None:
        await gate.wait()
        ran.append("slow")

    async def fast() -> None:
        ran.append("fast")

    writes.write(slow)
    writes.write(fast)
    waiting = asyncio.create_task(writes.written())
    await asyncio.sleep(0)
    assert (ran, waiting.done()) == ([], False)
    gate.set()
    await waiting
    assert ran == ["slow", "fast"]


async def test_answered_agent_continues_before_the_delivery_note_begins() -> None:
    """Making the note takes this process as long as waking the agent did."""
    writes, order = WriteBehind(), list[str]()

    async def note() -> None:
        order.append("note")

    async def desk() -> None:
        writes.write(note)

    await asyncio.create_task(desk())
    order.append("agent")
    await writes.written()
    assert order == ["agent", "note"]
