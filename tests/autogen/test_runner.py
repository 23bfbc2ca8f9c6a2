"""One run in one process: asked, stopped, taken over, rebuilt, and what AutoGen makes of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent, UserProxyAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_ext.models.replay import ReplayChatCompletionClient

from agents.registry import find
from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RunId, TeamName, WorkerId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.question_salts import asker
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.requests import Verb
from countersign.domain.run_calls import R, RunCall, Say, Start
from countersign.domain.runs import Status
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.models.wrapper import ModelRequest, Pieces
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.metrics import Repair
from countersign.runs.service import Service
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import RedisClient
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Lease
from tests.autogen.harness import ANN, CHANNEL, RULES, WORKSPACE, House, Through, fact, housed
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired

pytest_plugins = ["tests.redis_server"]


def only(team: Team) -> Teams:
    return Teams({team.name: team}, {})


def plain(run: Run) -> AutoGenTeam:
    """What the README shows: AutoGen's own UserProxyAgent."""
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    human = UserProxyAgent("human", input_func=run.human().input_func)
    return RoundRobinGroupChat([writer, human], termination_condition=MaxMessageTermination(4))


async def told(run: Run, result: TaskResult) -> Conclusion:
    """The whole conversation."""
    said = [f"{m.source}: {m.to_text()}" for m in result.messages if isinstance(m, BaseChatMessage)]
    return Conclusion("Told.", "\n---\n".join(said))


PLAIN = Team("plain", "asks", plain, told)


async def test_user_proxy_shows_the_last_message_and_gets_instructions(house: House) -> None:
    """R16, R31: input_func is told only a prompt; people see the team's words, and the team's model the template."""
    await house.start(team="plain")
    model = ReplayChatCompletionClient(["Shall I order 10?", "Then 12 are ordered."])
    async with house.worker(found=only(PLAIN), model=model) as worker:
        worker.advance()
        request = await house.asked()
        assert request.question.agent == "writer"
        assert request.question.content == "Shall I order 10?"
        assert (await house.run()).status is Status.WAITING
        await house.decide(request, Verb.RESPOND, "12, please")
        run = await house.over()
    assert run.status is Status.FINISHED
    assert "human: People answered. Reason: “12, please”\n" in run.words
    types = [e["type"] for e in await house.events()]
    assert types.index("request_decided") < types.index("decision_delivered") < types.index("run_finished")


async def test_run_delivered_to_two_workers_acts_once(house: House) -> None:
    """R8: the job may come twice, to one worker or to two."""
    await house.start()
    async with house.worker(owner="w1") as one, house.worker(owner="w2") as two:
        jobs = [one.advance(), one.advance(), two.advance(), two.advance()]
        with repaired(Repair.JOB_DOUBLED):
            request = await house.asked()
            await fact_of(lambda: sum(job.done() for job in jobs) == 3)
        await house.decide(request, Verb.APPROVE)
        await house.over()
        await asyncio.gather(*jobs)
    types = [e["type"] for e in await house.events()]
    assert (types.count("request_asked"), types.count("run_progressed"), types.count("run_finished")) == (1, 1, 1)
    assert len(house.mails()) == 1


async def test_waiting_run_that_is_stopped_ends_immediately(house: House) -> None:
    await house.start()
    async with house.worker() as worker:
        job = worker.advance()
        request = await house.asked()
        await usecases.stop(house.store, RunId("r1"), Actor(WORKSPACE, ANN), frozenset())
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.STOPPED
    seen = await house.store.request(request.id)
    assert seen is not None
    assert seen.value.status is RequestStatus.WITHDRAWN
    assert not house.mails()


async def test_run_stopped_before_its_action_does_nothing(house: House) -> None:
    """A stop between the decision and the action: the store is asked once more right before."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def late(run: Run, result: TaskResult) -> Conclusion:
        reached.set()
        await go_on.wait()
        return Conclusion(await run.step("send", done))

    acted: list[str] = []

    async def done() -> str:
        acted.append("x")
        return "sent"

    class Deaf(Through):
        async def ended(self, run: RunId) -> None:
            await asyncio.Event().wait()

    house.service = Deaf(house.service)
    await house.start(team="plain")
    model = ReplayChatCompletionClient(["?", "!"])
    async with house.worker(found=only(Team("plain", "", plain, late)), model=model) as worker:
        job = worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        await reached.wait()
        await usecases.stop(house.store, RunId("r1"), Actor(WORKSPACE, ANN), frozenset())
        go_on.set()
        await asyncio.wait_for(job, PATIENCE)
    assert not acted
    assert (await house.run()).status is Status.STOPPED


async def test_stopping_worker_finishes_an_action_under_way(house: House) -> None:
    acting, go_on = asyncio.Event(), asyncio.Event()

    async def act() -> str:
        acting.set()
        await go_on.wait()
        return "Ordered."

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        return Conclusion(await run.step("order", act))

    await house.start(team="plain")
    model = ReplayChatCompletionClient(["?", "!"])
    async with house.worker(found=only(Team("plain", "", plain, conclude)), model=model) as worker:
        job = worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        await acting.wait()
        worker.stop.set()
        go_on.set()
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).result == "Ordered."


class Orders(BaseChatAgent):
    """Acts the way AutoGen calls tools: the call is cancelled with the token, and the agent then fails."""

    def __init__(self, run: Run, act: Callable[[], Awaitable[str]], cut: asyncio.Event) -> None:
        super().__init__("clerk", "")
        self._run, self._act, self._cut = run, act, cut

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        call = asyncio.ensure_future(self._run.step("order", self._act))
        cancellation_token.link_future(call)
        try:
            return Response(chat_message=TextMessage(content=await call, source="clerk"))
        except asyncio.CancelledError:
            self._cut.set()
            raise ValueError("I was cut off") from None

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


async def test_action_of_a_cancelled_agent_finishes_once(house: House) -> None:
    """R4: the team is cancelled, what it does outside is not; the run goes on elsewhere with the result."""
    acting, cut, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    acted: list[str] = []

    async def act() -> str:
        acted.append("x")
        acting.set()
        await go_on.wait()
        return "Ordered."

    team = Team("t", "", lambda run: RoundRobinGroupChat([Orders(run, act, cut)], max_turns=1))
    await house.start(team="t")
    async with house.worker(found=only(team)) as one:
        job = one.advance()
        await acting.wait()
        one.stop.set()
        await cut.wait()
        go_on.set()
        await asyncio.wait_for(job, PATIENCE)
    assert not (await house.run()).over
    async with house.worker(found=only(team), owner="w2") as two:
        await two.advance()
    assert (await house.run()).words == "Ordered."
    assert acted == ["x"]


class Raises(BaseChatAgent):
    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        raise ValueError("the vendor list is empty")

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


async def test_failing_team_reports_a_sentence_and_logs_the_traceback(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is one line with the type and text of the error."""
    await house.start(team="t")
    team = Team("t", "", lambda run: RoundRobinGroupChat([Raises("clerk", "")]), told)
    async with house.worker(found=only(team)) as worker:
        await worker.advance()
    run = await house.run()
    assert run.status is Status.FAILED
    assert "ValueError: the vendor list is empty" in run.result
    assert "Traceback" not in run.result
    assert "\n" not in run.result
    assert "Traceback" in caplog.text


async def test_team_that_cannot_be_built_fails_its_run(house: House) -> None:
    def build(run: Run) -> AutoGenTeam:
        raise KeyError("VENDOR")

    await house.start(team="t")
    async with house.worker(found=only(Team("t", "", build))) as worker:
        await worker.advance()
    assert "VENDOR" in (await house.run()).result


async def test_run_of_a_broken_team_fails_and_others_wait(house: House) -> None:
    """A run whose team another worker announces is left to that worker."""
    await house.start("r1", team="email")
    await house.start("r2", team="gone")
    await house.store.workers.announce(WorkerId("a-test"), Announcement(find().infos()), timedelta(seconds=15))
    async with house.worker(found=Teams({}, {"gone": "its file does not load."})) as worker:
        await worker.advance("r1")
        await worker.advance("r2")
        assert worker.queue.asked == [RunId("r1")]
    assert (await house.run("r1")).status is Status.QUEUED
    assert (await house.run("r2")).result == "The team “gone” can't run: its file does not load."


async def test_undecidable_question_ends_the_run_with_instructions(house: House) -> None:
    """R10: never a request that no one may decide."""
    await house.start()
    await house.store.set_defaults(Rules(RULES.approvals_channel, Reviewers()))
    async with house.worker() as worker:
        await worker.advance()
    run = await house.run()
    assert run.status is Status.FAILED
    assert "nobody can decide" in run.result


async def test_run_taken_over_is_released_without_a_trace(house: House) -> None:
    """A worker that slept longer than its lease changes nothing any more."""
    await house.start()
    short = replace(house, lease=timedelta(seconds=6))  # it looks every two seconds whether it still has the run
    async with short.worker(owner="w1") as one, house.worker(owner="w2") as two:
        first = one.advance()
        request = await house.asked()
        fence = int(await house.area.client.hget(house.area.keys.lease(RunId("r1")), "fence"))
        await house.area.leases.release(Lease(RunId("r1"), fence, "w1"))
        two.advance()
        await asyncio.wait_for(first, PATIENCE)
        await house.decide(request, Verb.APPROVE)
        assert (await house.over()).status is Status.FINISHED
    assert len(house.mails()) == 1


async def test_two_humans_asked_the_same_get_two_questions(house: House) -> None:
    """The request's agent names who asks whom."""

    def build(run: Run) -> AutoGenTeam:
        writer = AssistantAgent("writer", model_client=run.model("writer"))
        humans = [run.reviewer("legal"), run.reviewer("finance")]
        return RoundRobinGroupChat([writer, *humans], termination_condition=MaxMessageTermination(4))

    await house.start(team="t")
    async with house.worker(found=only(Team("t", "", build, told))) as worker:
        worker.advance()
        first = await house.asked()
        assert first.question.agent == "writer to legal"
        assert (asker(first.question), first.question.title) == ("writer", "Approve this message of writer?")
        await house.decide(first, Verb.APPROVE)
        second = await house.asked(not_this=first)
        assert second.question.agent == "legal to finance"


class Counting(DemoModel):
    """Counts what it is asked, also where it plays a script."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: list[None] = []

    @property
    def asked(self) -> int:
        return len(self._answers)

    def answer(self, request: ModelRequest) -> Pieces:
        self._answers.append(None)
        return super().answer(request)


@asynccontextmanager
async def on(server: EmbeddedRedis, folder: Path) -> AsyncIterator[House]:
    async with RedisClient.from_url(server.url) as client, housed(client, server.url, "t", folder) as house:
        yield house


@pytest.mark.slow
async def test_redis_outage_during_a_question_ends_nothing(tmp_path: Path) -> None:
    """FACTS AutoGen 3: a lost store is waited out; it is no exception and no decision."""
    async with EmbeddedRedis(tmp_path / "redis") as server, on(server, tmp_path) as house:
        await house.start()
        async with house.worker() as worker:
            job = worker.advance()
            request = await house.asked()
            os.kill(int((await house.store.client.info("server"))["process_id"]), signal.SIGKILL)
            assert await fact(lambda: answering(house.store))
            assert not job.done()
            await house.decide(request, Verb.APPROVE)
            assert (await house.over()).status is Status.FINISHED
        assert len(house.mails()) == 1


async def answering(store: Store) -> bool | None:
    try:
        await store.now()
    except StoreUnavailable:
        return None
    return True


async def fact_of(true: Callable[[], bool]) -> None:
    async def look() -> bool | None:
        return True if true() else None

    await fact(look)


async def test_worker_leaves_the_run_of_a_script_alone(house: House) -> None:
    """R4: a script that is started again finds its run as it left it."""
    await usecases.start_by_script(house.store, RunId("r1"), Start(CHANNEL, ANN, TeamName("script"), "ask"))
    async with house.worker() as worker:
        await worker.runner.advance(RunId("r1"))
    assert (await house.run()).status is Status.QUEUED


class Deafened(Through):
    """Each line is stored, and the first answer to it is lost."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.lost: set[str] = set()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        answer = await super().call(lease, call)
        if isinstance(call, Say) and call.words not in self.lost:
            self.lost.add(call.words)
            raise StoreUnavailable("The connection was cut.")
        return answer


async def test_progress_line_with_a_lost_reply_appears_once(house: House) -> None:
    """R4: `patiently` says it again; that is no second line."""
    house.service = deafened = Deafened(house.service)
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        run = await house.over()
    lines = [event["words"] for event in await house.events() if event["type"] == "run_progressed"]
    assert lines
    assert len(set(lines)) == len(lines) == len(run.progress)
    assert deafened.lost == set(lines)
