"""Runs that leave memory while people think, and come back with the decision."""

import asyncio
import gc
from collections.abc import Sequence
from datetime import timedelta

import pytest
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.ids import RunId, WorkerId
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.metrics import Repair
from countersign.runs.job_queue import Queue
from countersign.runs.rest_detection import SETTLING
from countersign.runs.service import HttpService
from countersign.usecases.ports import Announcement
from countersign.usecases.requeued_runs import Unheld, ask_again
from tests.autogen.harness import RULES, House, Process, Silent, fact
from tests.autogen.test_runner import Counting
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired

pytest_plugins = ["tests.redis_server"]
AT_ONCE = timedelta(0)


@pytest.fixture(autouse=True)
def at_once(house: House) -> None:
    house.park_after = timedelta(0)


async def parked(house: House, run: str = "r1") -> bool | None:
    return True if (await house.run(run)).status is Status.PARKED else None


async def test_run_parks_for_every_question_and_repeats_nothing(house: House) -> None:
    """R22, R5: rebuilt for each decision, and no model asked twice."""
    await house.start()
    model = Counting()
    asked = None
    async with house.worker(model=model) as worker:
        for verb in (Verb.RESPOND, Verb.RESPOND, Verb.APPROVE):
            await asyncio.wait_for(worker.advance(), PATIENCE)
            assert await parked(house)
            asked = await house.asked(not_this=asked)
            await house.decide(asked, verb, "" if verb is Verb.APPROVE else "make it shorter")
        await asyncio.wait_for(worker.advance(), PATIENCE)
    run = await house.run()
    assert run.status is Status.FINISHED
    assert model.asked == 3
    types = [e["type"] for e in await house.events()]
    assert types.count("request_asked") == types.count("decision_delivered") == 3
    assert types.count("run_progressed") == 3
    assert len(house.mails()) == 1


async def test_repeated_job_does_not_rebuild_an_undecided_parked_run(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """R8, R22: a doubled job of a parked run costs two reads."""
    await house.start()
    async with house.worker() as worker:
        await worker.advance()
        caplog.clear()
        caplog.set_level("INFO")
        await asyncio.wait_for(worker.advance(), PATIENCE)
        assert "Run r1" not in caplog.text
        assert await parked(house)


@pytest.mark.slow
async def test_decision_brings_a_parked_run_back_by_the_queue(house: House) -> None:
    """R5, with a real worker; and R4: the worker that parked it is dead by then."""
    await house.start()
    async with Queue(house.url, house.namespace) as queue:
        async with Process(house) as first:
            await fact(lambda: parked(house))
            await first.kill()
        asked = await house.asked()
        async with Process(house):
            await fact(lambda: ready(house))
            await house.decide(asked, Verb.RESPOND, "make it shorter", queue=queue)
            again = await house.asked(not_this=asked)
            await fact(lambda: parked(house))
            await house.decide(again, Verb.APPROVE, queue=queue)
            async with asyncio.timeout(PATIENCE):
                assert (await house.over()).status is Status.FINISHED
    assert len(house.mails()) == 1


@pytest.mark.slow
async def test_parked_run_ends_at_its_deadline(house: House) -> None:
    """R5, R17: `web` settles it, and a worker hears of that through the queue."""
    await house.store.set_defaults(Rules(RULES.approvals_channel, RULES.reviewers, timeout=timedelta(seconds=1.5)))
    await house.start()
    async with Queue(house.url, house.namespace) as queue, Process(house):
        await fact(lambda: parked(house))
        async with house.deadlines_kept(queue):
            run = await house.over()
    assert run.result == "Nobody answered in time; nothing was sent."


async def test_stopped_parked_run_ends_and_wakes_nobody(house: House) -> None:
    """Its request is withdrawn, and it leaves the list of active runs."""
    await house.start()
    async with house.worker() as worker:
        await worker.advance()
        request = await house.asked()
        await usecases.stop(house.store, RunId("r1"), house.requester(), frozenset())
        await worker.advance()
    seen = await house.store.request(request.id)
    assert seen is not None
    assert seen.value.status is RequestStatus.WITHDRAWN
    assert (await house.run()).status is Status.STOPPED
    assert await house.store.indexes.active_runs(10) == []


async def test_undelivered_decision_is_found_counted_and_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """R5: decided and never delivered."""
    await house.start("r1")
    await house.start("r2", task="write to a@example.com about tea")
    async with house.worker() as worker:
        await asyncio.gather(worker.advance("r1"), worker.advance("r2"))
        await house.decide(await house.asked("r1"), Verb.APPROVE)
        web = Silent()
        await ask_again(house.store, web, Unheld(house.store))
        assert web.asked == []  # its own job may still come
        with repaired(Repair.UNDELIVERED, 1):
            await ask_again(house.store, web, Unheld(house.store), AT_ONCE)
        assert web.asked == [RunId("r1")]
        assert "Run r1 has a decision" in caplog.text
        await worker.advance("r1")
        with repaired(Repair.UNDELIVERED, 0):
            await ask_again(house.store, web, Unheld(house.store), AT_ONCE)
    assert (await house.run("r1")).status is Status.FINISHED


async def test_broken_run_does_not_hide_another_runs_decision(house: House) -> None:
    """R4, R5"""
    async with house.worker() as worker:
        for name in ("r1", "r2"):
            await house.start(name, task=f"write to a@example.com about {name}")
            await worker.advance(name)
            await house.decide(await house.asked(name), Verb.APPROVE)
        await house.store.client.set(house.store.keys.run(RunId("r1")), b"9 2\n\x01 no record", keepttl=True)
        web = Silent()
        await ask_again(house.store, web, Unheld(house.store), AT_ONCE)
        assert web.asked == [RunId("r2")]


async def test_run_with_an_unreadable_question_fails_with_a_reason(house: House) -> None:
    """R4: whoever took it let it go again, every few seconds."""
    await house.start()
    async with house.worker() as worker:
        await worker.advance()
        asked = await house.asked()
        assert (await house.run()).status is Status.PARKED
        await house.store.client.set(house.store.keys.request(asked.id), b"9 2\n\x01 no record", keepttl=True)
        await worker.advance()
    run = await house.run()
    assert run.status is Status.FAILED and "cannot be decompressed" in run.result


async def test_decision_requests_jobs_for_parked_runs_only(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """R5: a run in the memory of another worker hears of its decision there; a second job would be for nothing."""
    await house.start("r1")
    async with house.worker() as worker:
        await worker.advance("r1")
    request = await house.asked("r1")
    await house.decide(request, Verb.APPROVE)
    lease = await house.area.leases.claim(RunId("r1"), "w9", timedelta(minutes=1))  # the decision is not delivered yet
    assert lease is not None
    await usecases.begin(house.store, lease)
    assert (await house.run("r1")).status is not Status.PARKED
    assert [found.id for found in await house.store.indexes.undelivered(10, timedelta(0))] == [request.id]
    web = Silent()
    await house.service.announce(WorkerId("w9"), Announcement((), (RunId("r1"),)))
    with repaired(Repair.UNDELIVERED, 0):
        await ask_again(house.store, web, Unheld(house.store), AT_ONCE)
    assert web.asked == []
    assert "was decided" not in caplog.text


async def test_lost_job_is_requested_again_unless_held(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """R5: a job that never came; by what workers announce, without reading the runs."""
    await house.start("r1")
    web, unheld = Silent(), Unheld(house.store)
    await ask_again(house.store, web, unheld)
    assert web.asked == []  # its job may still come
    with repaired(Repair.JOB_LOST, 1):
        await ask_again(house.store, web, unheld, AT_ONCE)
    assert web.asked == [RunId("r1")]
    assert "No worker advances run r1" in caplog.text
    async with house.worker() as worker:
        worker.advance("r1")
        await house.asked("r1")
        await house.service.announce(WorkerId("w1"), Announcement((), worker.runner.advancing))
        with repaired(Repair.JOB_LOST, 0):
            await ask_again(house.store, web, unheld, AT_ONCE)


class Busy(BaseChatAgent):
    """Asks people, and does something else meanwhile."""

    def __init__(self, run: Run, go_on: asyncio.Event) -> None:
        super().__init__("clerk", "")
        self._run, self._go_on = run, go_on

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        async def act() -> str:
            await self._go_on.wait()
            return "Packed."

        human = self._run.human("clerk")
        packed, _ = await asyncio.gather(
            self._run.step("pack", act), human.questions.ask(human, None, cancellation_token)
        )
        return Response(chat_message=TextMessage(content=packed, source="clerk"))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


async def test_run_with_other_work_under_way_is_not_parked(house: House) -> None:
    """R22: it parks once only questions are left."""
    go_on, waited = asyncio.Event(), asyncio.Event()
    team = Team("t", "", lambda run: RoundRobinGroupChat([Busy(run, go_on)], max_turns=1))
    await house.start(team="t")
    async with house.worker(found=Teams({"t": team}, {})) as worker:
        job = worker.advance()
        await house.asked()
        asyncio.get_running_loop().call_later(3 * SETTLING.total_seconds(), waited.set)
        await waited.wait()
        assert (await house.run()).status is Status.WAITING
        go_on.set()
        await asyncio.wait_for(job, PATIENCE)
        assert await parked(house)
        await house.decide(await house.asked(), Verb.APPROVE)
        await worker.advance()
    assert (await house.run()).words == "Packed."


@pytest.mark.slow
async def test_five_hundred_parked_runs_leave_nothing_in_the_worker(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """R22: no task, no future, no team stays behind."""
    caplog.set_level("CRITICAL", "autogen_core")  # as the worker does; what pytest keeps of its records holds the teams

    def teams_in_memory() -> int:
        gc.collect()
        return sum(type(o) in (Run, RoundRobinGroupChat) for o in gc.get_objects())

    team = Team("t", "", lambda run: RoundRobinGroupChat([run.reviewer("people")], max_turns=1))
    names = [f"r{n}" for n in range(500)]
    for at in range(0, len(names), 50):
        await asyncio.gather(*(house.start(name, team="t") for name in names[at : at + 50]))
    async with house.worker(found=Teams({"t": team}, {})) as worker:
        tasks, before = len(asyncio.all_tasks()), teams_in_memory()
        for at in range(0, len(names), 50):
            await asyncio.gather(*(worker.advance(name) for name in names[at : at + 50]))
        worker.tasks.clear()
        assert len(asyncio.all_tasks()) == tasks
        assert teams_in_memory() <= before + 50  # of the last fifty, which timers and the log may still hold
        assert worker.runner.advancing == ()
        assert len(await house.store.indexes.active_runs(1000)) == 500
        assert isinstance(house.service, HttpService)
        assert not [*house.service._stream._requests]
        assert not [*house.service._stream._runs]
        web = Silent()
        await ask_again(house.store, web, Unheld(house.store), AT_ONCE)
        assert web.asked == []
        last = await house.asked("r499")
        await house.decide(last, Verb.APPROVE)
        await worker.advance("r499")
    assert (await house.run("r499")).status is Status.FINISHED


async def ready(house: House) -> bool | None:
    return True if await house.store.client.zcard(house.store.keys.workers) else None
