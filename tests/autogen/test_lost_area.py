"""The workers' area is lost: a run that had acted ends and says so, and all others are rebuilt."""

import asyncio
from dataclasses import replace

import pytest
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from countersign import usecases
from countersign.domain import api_keys
from countersign.domain.errors import JournalLost
from countersign.domain.ids import RunId, TeamName
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.requests import Verb
from countersign.domain.run_calls import Start
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.store.programs import ApiKeys
from tests.autogen.harness import ANN, CHANNEL, House
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]


async def lose_area(house: House) -> None:
    """As a Redis of the workers that comes back empty, and is told again where `web` is."""
    keys = house.area.keys
    kept = {keys.web.encode(), keys.web_key.encode()}
    async for key in house.area.client.scan_iter(f"{keys.prefix}*"):
        if key not in kept:
            await house.area.client.delete(key)


async def test_run_with_a_decision_fails_without_its_journal(house: House) -> None:
    """R4: what its agents did with the decision is in the journal alone, so nothing is rebuilt from nothing."""
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        first = await house.asked()
        await house.decide(first, Verb.RESPOND, "make it shorter")
        second = await house.asked(not_this=first)
    await lose_area(house)
    async with house.worker(owner="w2") as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    run = await house.run()
    assert run.status is Status.FAILED
    assert "The journal of this run is lost" in run.result
    assert "start the task again" in run.result
    seen = await house.store.request(second.id)
    assert seen is not None
    assert seen.value.status is RequestStatus.WITHDRAWN
    assert house.mails() == []


async def test_run_that_only_asked_is_rebuilt_without_its_journal(house: House) -> None:
    """R4: nothing was done, so nothing can be repeated; people are asked once."""
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        asked = await house.asked()
    await lose_area(house)
    await house.decide(asked, Verb.APPROVE)
    async with house.worker(owner="w2") as worker:
        worker.advance()
        assert (await house.over()).status is Status.FINISHED
    assert [event["type"] for event in await house.events()].count("request_asked") == 1
    assert len(house.mails()) == 1


async def test_worker_that_loses_its_area_releases_its_runs(house: House) -> None:
    """R4: its lease is gone, so it writes nothing from then on; a decision that comes is not lost."""
    await house.start()
    async with house.worker() as worker:
        advancing = worker.advance()
        asked = await house.asked()
        await lose_area(house)
        await house.decide(asked, Verb.APPROVE)
        await asyncio.wait_for(advancing, PATIENCE)
        assert not (await house.run()).over
        assert house.mails() == []
        worker.advance()
        assert (await house.over()).status is Status.FINISHED
    assert len(house.mails()) == 1


class Doer(BaseChatAgent):
    """Calls a tool of which nobody is asked, and then asks people."""

    def __init__(self, run: Run, done: list[str]) -> None:
        super().__init__("doer", "does and asks")

        async def note(part: str) -> str:
            """Do one part."""
            done.append(part)
            return "done"

        self._tools = run.tools("doer", [note], ask=False)
        self._ask = run.ask_human("doer")

    @property
    def produced_message_types(self) -> tuple[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: object, cancellation_token: CancellationToken) -> Response:
        await self._tools.call_tool("note", {"part": "one"}, cancellation_token)
        await self._ask.put("Is that all?", ())
        return Response(chat_message=TextMessage(content="That is all.", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


def acting(done: list[str]) -> Teams:
    """The team of `Doer`."""

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([Doer(run, done)], max_turns=1)

    return Teams({TeamName("acting"): Team(TeamName("acting"), "", build)}, {})


async def test_started_action_is_not_repeated_without_its_journal(house: House) -> None:
    """R4: nobody was asked about it, and it may have happened."""
    done: list[str] = []
    found = acting(done)
    await house.start(team="acting", found=found)
    async with house.worker(found=found) as worker:
        worker.advance()
        await house.asked()
    await lose_area(house)
    async with house.worker(found=found, owner="w2") as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert (await house.run()).status is Status.FAILED
    assert done == ["one"]


async def test_script_keeps_its_run_when_the_journal_is_missing(house: House) -> None:
    """R40: the journal may be in another folder, so the run is not ended."""
    done: list[str] = []
    found, run = acting(done), RunId("s1")
    issued = api_keys.issue("ci", (CHANNEL,), await house.store.now())
    await ApiKeys(house.store).put(issued.key)
    await usecases.start_by_script(house.store, run, Start(CHANNEL, ANN, TeamName("acting"), "act"), issued.key.id)
    ours = replace(house.web, address=house.web.address._replace(key=issued.token))
    async with ours.service() as service:
        house.service = service
        async with house.worker(found=found, script=run) as worker:
            worker.advance(run)
            await house.asked(run)
        await lose_area(house)
        async with house.worker(found=found, script=run, owner="w2") as worker:
            with pytest.raises(JournalLost, match=f"The journal of run {run} is not here.*DATA_DIR"):
                await asyncio.wait_for(worker.runner.advance(run), PATIENCE)
    assert (await house.run(run)).status is Status.WAITING
    assert done == ["one"]
