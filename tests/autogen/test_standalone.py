"""A team in a program of one's own: its run, whatever `web` does meanwhile, and no other run."""

import asyncio
import logging
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain import api_keys, runs
from countersign.domain.errors import InvalidInput, LeaseLost, NotFound, StoreUnavailable
from countersign.domain.requests import Verb
from countersign.domain.run_calls import R, Read, RunCall, Start
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.standalone import run_here
from countersign.runs.service import HttpService
from countersign.usecases import run_requests
from countersign.usecases.ports import Lease
from tests.autogen.harness import ANN, CHANNEL, WORKSPACE, House, fact
from tests.sample_requests import call

pytest_plugins = ["tests.redis_server"]


def build(run: Run) -> AutoGenTeam:
    return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)


def asking(run: Run) -> AutoGenTeam:
    writer = AssistantAgent("writer", run.model("writer"))
    return RoundRobinGroupChat([writer, run.reviewer("human")], max_turns=2)


@pytest.fixture(autouse=True)
async def program(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a program with a key of its own, and without Redis."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, value in (await house.program()).items():
        monkeypatch.setenv(name, value)


async def here(house: House, team: Any = build, channel: str = CHANNEL, **how: Any) -> runs.Run:
    model = ReplayChatCompletionClient(["It is written."])
    return await run_here(
        team, "ask the vendor", channel=channel, requester=ANN, model=model, settings=house.settings(), **how
    )


async def started(house: House) -> runs.Run:
    """The script's run, once it is stored."""

    async def look() -> runs.Run | None:
        return next(iter(await house.store.indexes.active_runs(9)), None)

    return await fact(look)


def losing(monkeypatch: pytest.MonkeyPatch, kind: type[RunCall[Any]], times: int) -> list[object]:
    """`web` answers calls of this kind, and the first answers are lost; returns the calls that were made."""
    made: list[object] = []
    whole = HttpService.call

    async def lost(service: HttpService, lease: Lease, call: RunCall[R]) -> R:
        answer = await whole(service, lease, call)
        if isinstance(call, kind):
            made.append(call)
            if len(made) <= times:
                raise StoreUnavailable("The connection was cut.")
        return answer

    monkeypatch.setattr(HttpService, "call", lost)
    return made


async def test_script_cannot_resume_the_run_of_a_program(house: House) -> None:
    """R1: no worker advances its run, and no script either; the program alone acts on what people decide."""
    key = api_keys.issue("billing", ("C0GENERAL",), await house.store.now()).key
    asked, _ = await run_requests.submit(
        house.store, key, "one", call(), workspace=WORKSPACE, channel=CHANNEL, requester=ANN, task="pay"
    )
    run = asked.request.run
    before = await house.run(run)
    with pytest.raises(InvalidInput, match=f"{run} is not a run of `run_here`"):
        await here(house, resume=run)
    assert await house.run(run) == before


async def test_run_of_another_key_is_not_resumed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: for this program there is no such run."""
    first = asyncio.create_task(here(house, asking))
    run = (await started(house)).id
    monkeypatch.setenv("COUNTERSIGN_KEY", (await house.program("other"))["COUNTERSIGN_KEY"])
    with pytest.raises(NotFound, match=f"There is no run {run}"):
        await here(house, asking, resume=run)
    await house.decide(await house.asked(run), Verb.APPROVE)
    assert (await first).status is Status.FINISHED


async def test_script_advances_the_run_whose_start_reply_was_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: else it stays in the queue for ever, and nobody knows its name."""
    made = losing(monkeypatch, Start, 2)
    run = await here(house)
    assert run.status is Status.FINISHED and run.words == "It is written."
    assert len(made) == 3
    assert await house.store.indexes.active_runs(9) == []


async def test_unreachable_web_at_the_start_starts_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address."""
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="does not answer at http"):
        await here(house)


async def test_invalid_key_starts_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_nothing")
    with pytest.raises(StoreUnavailable, match="Send a valid key"):
        await here(house)


@pytest.mark.parametrize("channel", ["#nowhere", "C9", "C0GENERAL\n"])
async def test_channel_outside_the_key_starts_nothing(house: House, channel: str) -> None:
    """R21: else the program waits, and nobody sees for what."""
    with pytest.raises(InvalidInput, match="This key can ask in"):
        await here(house, channel=channel)
    assert await house.store.indexes.active_runs(9) == []


async def test_script_logs_its_run_id_before_storing_it(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R4: a program that is killed as it starts its run leaves none that nobody can go on with."""
    named: list[bool] = []
    whole = HttpService.call

    async def listening(service: HttpService, lease: Lease, call: RunCall[R]) -> R:
        if isinstance(call, Start):
            named.append(f"resume='{lease.run}'" in caplog.text)
        return await whole(service, lease, call)

    monkeypatch.setattr(HttpService, "call", listening)
    with caplog.at_level(logging.INFO):
        await here(house)
    assert named == [True]


async def test_script_waits_for_web_at_its_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: that `web` is away is no end of a run, and hides none."""
    made = losing(monkeypatch, Read, 3)
    assert (await here(house)).status is Status.FINISHED
    assert len(made) == 4


@pytest.mark.slow  # a lease of seconds has to end
async def test_two_programs_with_one_run_advance_it_once(house: House) -> None:
    """R4: the second does nothing as long as the first holds the run's lease."""
    house.lease /= 1800
    first = asyncio.create_task(here(house, asking))
    run = (await started(house)).id
    asked = await house.asked(run)
    with pytest.raises(LeaseLost, match=f"Run {run} is advanced by another program"):
        await here(house, asking, resume=run)
    await house.decide(asked, Verb.APPROVE)
    assert (await first).status is Status.FINISHED
    assert [event["type"] for event in await house.events()].count("request_asked") == 1


async def test_interrupted_program_leaves_its_run_for_the_next(house: House) -> None:
    """R4, R5: decided while nobody waited, and heard by the program that resumes it."""
    first = asyncio.create_task(here(house, asking))
    run = (await started(house)).id
    asked = await house.asked(run)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await house.decide(asked, Verb.APPROVE)
    assert (await here(house, asking, resume=run)).status is Status.FINISHED
    assert [event["type"] for event in await house.events()].count("request_asked") == 1
