"""A worker whose way to `web` fails: lost answers, a `web` that is away, moved, or says no."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from bot.api.port import ApiPort
from bot.slack import http
from countersign import usecases
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.requests import Verb
from countersign.domain.run_calls import Ask, R, Read, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen.people.decision_messages import decision_in
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.metrics import Repair
from countersign.runs.area import WebAddress
from countersign.runs.decision_stream import DecisionStream
from countersign.runs.service import HttpService
from countersign.usecases.ports import Lease
from tests.autogen.harness import CHANNEL, WORKSPACE, House, Through
from tests.autogen.test_newer_worker import of_a_newer_version
from tests.autogen.test_parked_runs import parked
from tests.autogen.test_runner import fact_of
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired
from tests.worker_service import served

pytest_plugins = ["tests.redis_server"]
_CALL = re.compile(rb"(?:POST|PUT|GET) /v1/(?:runs/[^/ ]+/)?([a-z_]+)")


class Wire:
    """The network between a worker and `web`.

    `losing`: the first answer to each of these calls is lost. `away_at`: nothing comes through once this call is made.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.losing: set[str] = set()
        self.lost: list[str] = []
        self.away_at = ""
        self.away = asyncio.Event()
        self._silent: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Cut every connection; a new one comes through, unless `away`."""
        for writer in self._writers:
            writer.close()

    def silence(self) -> None:
        """Let the streams stay open, and nothing come through them."""
        self._silent = set(self._writers)

    def back(self) -> None:
        """Let everything through again."""
        self.away_at = ""
        self.away.clear()

    async def connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.away.is_set():
            back.close()
            return
        web, there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {back, there}
        call = ""

        async def asks() -> None:
            nonlocal call
            while data := await client.read(1 << 16):
                call = found[1].decode() if (found := _CALL.match(data)) else call
                if call == self.away_at:
                    self.away.set()
                    self.cut()
                there.write(data)

        async def answers() -> None:
            while data := await web.read(1 << 16):
                if call in self.losing:
                    self.losing.discard(call)
                    self.lost.append(call)
                    return
                if call != "stream" or back not in self._silent:
                    back.write(data)

        ways = [asyncio.create_task(way) for way in (asks(), answers())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (back, there):
            writer.close()
            self._writers.discard(writer)


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Wire]:
    """The house's worker reaches `web` over this wire."""
    address = house.web.address
    wire = Wire(urlsplit(address.urls[0]).port or 0)
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def resolve() -> WebAddress:
        return WebAddress((f"http://127.0.0.1:{port}",), address.key)

    async with HttpService(resolve) as service:
        house.service = service
        yield wire
    server.close()
    wire.cut()
    await server.wait_closed()


CALLS = ("claim", "plan", "say", "ask", "deliver", "park", "judge", "begin", "step_done", "report", "finish")


def team(acted: list[str]) -> Teams:
    """A team whose run makes each of these calls."""

    def build(run: Run) -> AutoGenTeam:
        writer = AssistantAgent("writer", run.model("writer"))
        return RoundRobinGroupChat([writer, run.reviewer("people")], max_turns=2)

    async def count(item: str) -> str:
        """Count."""
        acted.append(f"counted {item}")
        return "3"

    async def send() -> str:
        acted.append("sent")
        return "It is sent."

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        await run.plan(["send"])
        await run.tools("clerk", [count], ask=False).call_tool("count", {"item": "pens"})
        decision = decision_in(result.messages[-1])
        assert decision is not None
        approved = await run.request(decision.request)
        return Conclusion(await run.step("send", send, approved=approved))

    return Teams({"t": Team("t", "", build, conclude)}, {})


def model() -> ReplayChatCompletionClient:
    return ReplayChatCompletionClient(["Shall I send it?"])


async def kinds(house: House) -> Counter[str]:
    return Counter(event["type"] for event in await house.events())


async def decided(house: House) -> None:
    await house.decide(await house.asked(), Verb.APPROVE)


async def test_every_call_with_a_lost_answer_counts_once(house: House, wire: Wire) -> None:
    """R4: each call is repeated, and nothing is asked, told, counted or done twice."""
    house.park_after = timedelta(0)
    acted: list[str] = []
    wire.losing = set(CALLS)
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
        assert await parked(house)
        await decided(house)
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert sorted(wire.lost) == sorted(CALLS)
    run = await house.run()
    assert (run.status, run.result) == (Status.FINISHED, "It is sent.")
    assert acted == ["counted pens", "sent"]
    assert ([step.title for step in run.plan], [one.times for one in run.passed]) == (["send"], [1])
    told = await kinds(house)
    assert [told[kind] for kind in ("run_started", "request_asked", "decision_delivered", "run_finished")] == [1] * 4
    assert [told[kind] for kind in ("call_passed", "action_reported", "request_withdrawn")] == [1, 1, 0]
    words = [event["words"] for event in await house.events() if event["type"] == "run_progressed"]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("call", ["ask", "park", "finish"])
async def test_worker_waits_while_web_is_away(house: House, wire: Wire, call: str) -> None:
    """R4, R5: as an agent asks, as the run would park, and as it ends; it never parks meanwhile."""
    house.park_after = timedelta(0) if call == "park" else timedelta(hours=1)
    acted: list[str] = []
    wire.away_at = call
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        job = worker.advance()
        if call == "finish":
            await decided(house)
        await wire.away.wait()
        if call == "park":
            await decided(house)
        assert not (await house.run()).over and not await parked(house)
        wire.back()
        if call == "ask":
            await decided(house)
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.FINISHED
    assert acted == ["counted pens", "sent"]
    assert (await kinds(house))["request_asked"] == 1


async def test_worker_stopped_while_web_is_away_releases_the_run(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the next worker continues."""
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(milliseconds=100))
    acted: list[str] = []
    wire.away_at = "deliver"
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        job = worker.advance()
        await decided(house)
        await wire.away.wait()
        worker.stop.set()
        await asyncio.wait_for(job, PATIENCE)
        assert worker.queue.asked == [RunId("r1")]
    wire.back()
    async with house.worker(found=team(acted), model=model(), owner="w2") as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert (await house.run()).status is Status.FINISHED
    assert acted == ["counted pens", "sent"]


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that `wire` opens is soon taken for broken when nothing comes through it."""
    monkeypatch.setattr(DecisionStream, "SILENCE", timedelta(milliseconds=200))
    monkeypatch.setattr("bot.api.worker_calls.HEARTBEAT", 0.05)


@pytest.mark.usefixtures("short_silence")
@pytest.mark.parametrize("how", ["cut", "silent"])
@pytest.mark.parametrize("hint", ["decision", "stop"])
async def test_hints_lost_by_a_broken_stream_are_read_back(house: House, wire: Wire, how: str, hint: str) -> None:
    """R5: the stream is connected again, and all that is awaited is read."""
    acted: list[str] = []
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        job = worker.advance()
        asked = await house.asked()
        wire.away.set()  # no new stream before the decision
        if how == "silent":
            wire.silence()
        else:
            wire.cut()
        with repaired(Repair.HINT_LOST, 1 if hint == "decision" else 2):  # the stop withdraws the request as well
            if hint == "decision":
                await house.decide(asked, Verb.APPROVE)
            else:
                await usecases.stop(house.store, RunId("r1"), house.requester(), frozenset())
            wire.back()
            await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is (Status.FINISHED if hint == "decision" else Status.STOPPED)
    assert acted == (["counted pens", "sent"] if hint == "decision" else [])


async def test_decision_heard_early_is_reread_after_a_lost_answer(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: its line came before the agent waited for it, and so it never comes again."""
    monkeypatch.setattr("countersign.runs.decision_stream.READ_BACK", 3600.0)
    monkeypatch.setattr("bot.api.worker_calls.HEARTBEAT", 0.05)
    service = house.service
    assert isinstance(service, HttpService)
    heard = service._stream._requests._heard

    class Early(Through):
        async def call(self, lease: Lease, call: RunCall[R]) -> R:
            answer = await super().call(lease, call)
            if isinstance(call, Ask):
                asked = await house.asked()
                await house.decide(asked, Verb.APPROVE)
                await fact_of(lambda: asked.id in heard)
                wire.losing = {"waiting"}
            return answer

    house.service = Early(service)
    await house.start(team="t")
    async with house.worker(found=team([]), model=model()) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert wire.lost == ["waiting"]
    assert (await house.run()).status is Status.FINISHED


async def test_web_starting_with_its_worker_logs_no_warning(house: House, caplog: pytest.LogCaptureFixture) -> None:
    tries = count()

    async def resolve() -> WebAddress | None:
        return None if next(tries) < 3 else house.web.address

    streams = house.web.interface.workers.streams
    async with asyncio.timeout(PATIENCE):
        while not streams.total():  # noqa: ASYNC110 -- a fact of the server
            await asyncio.sleep(0.01)
        async with HttpService(resolve):
            while streams.total() < 2:  # noqa: ASYNC110 -- a fact of the server
                await asyncio.sleep(0.01)
    assert "No decisions are heard" not in caplog.text


async def test_web_moved_with_another_key_is_found(house: House) -> None:
    """R48: by what it says in the workers' area."""
    acted: list[str] = []
    area = house.area
    await house.start(team="t")
    async with AsyncExitStack() as stack, HttpService(area.address) as service:
        first = await stack.enter_async_context(served(house.store, house.wakeups, WORKSPACE, CHANNEL))
        await area.put_address(first.address.urls[0], first.address.key)
        house.service = service
        async with house.worker(found=team(acted), model=model()) as worker:
            job = worker.advance()
            asked = await house.asked()
            await stack.aclose()
            async with served(house.store, house.wakeups, WORKSPACE, CHANNEL) as second:  # the first key is no more
                await house.decide(asked, Verb.APPROVE)
                await area.put_address(second.address.urls[0], second.address.key)
                await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.FINISHED
    assert acted == ["counted pens", "sent"]


async def test_worker_with_a_stale_fence_releases_the_run_silently(house: House, wire: Wire) -> None:
    """R4: `web` answers 409, and the worker neither ends the run nor writes anything."""
    acted: list[str] = []
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        job = worker.advance()
        asked = await house.asked()
        fence = int(await house.area.client.hget(house.area.keys.lease(RunId("r1")), "fence"))
        taken = await house.rob(Lease(RunId("r1"), fence, "w1"))
        await house.decide(asked, Verb.APPROVE)
        await asyncio.wait_for(job, PATIENCE)
    run = await house.run()
    assert (run.over, run.fence, acted) == (False, taken.fence, [])
    assert (await kinds(house))["decision_delivered"] == 0


async def test_run_unreadable_for_web_is_not_released_as_ended(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: during an upgrade an older `web` says nothing of what a newer one wrote."""
    acted: list[str] = []
    await house.start(team="t")
    async with house.worker(found=team(acted), model=model()) as worker:
        job = worker.advance()
        asked = await house.asked()
        await of_a_newer_version(house, "run", asked)
        assert isinstance(house.service, HttpService)
        known = await house.service.read_back([asked.id], [RunId("r1")])
        assert (known.settled, known.gone, known.ended) == ((), (), ())
        await of_a_newer_version(house, "run", asked)
        await house.decide(asked, Verb.APPROVE)
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.FINISHED


async def test_final_refusal_by_web_ends_the_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R21: the call was repeated for ever, and nobody was told why."""
    monkeypatch.setattr("bot.api.worker_calls.LARGEST", 100_000)

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        return Conclusion("Done.", files={"large.txt": "x" * 200_000})

    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", build, conclude)}, {}), model=model()) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    run = await house.run()
    assert (run.status, run.result) == (Status.FAILED, "The body can have at most 100,000 bytes.")


async def test_workspace_not_served_yet_is_waited_for(house: House) -> None:
    """R4: while `web` starts or stops, its port answers, and no run fails because of that."""
    async with http.serving(ApiPort(), "127.0.0.1", 0, 10) as port:

        async def resolve() -> WebAddress:
            return WebAddress((f"http://127.0.0.1:{port}/workspaces/T1",), "csk_any")

        async with HttpService(resolve) as service:
            with pytest.raises(StoreUnavailable, match="not served just now"):
                await service.call(Lease(RunId("r1"), 1, "w1"), Read())
