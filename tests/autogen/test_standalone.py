"""A team in a program of one's own: its run, whatever Redis does meanwhile, and no other run."""

import logging
from typing import Any, ClassVar

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.autogen import standalone
from countersign.autogen.run_context import RunContext
from countersign.autogen.standalone import run_here
from countersign.domain import api_keys
from countersign.domain.errors import InvalidInput, NotReplicated, StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.runs import Run, Status
from countersign.store.store import Store
from countersign.usecases import program_requests
from countersign.usecases.ports import Change, Committed, Seen
from tests.autogen.harness import ANN, CHANNEL, WORKSPACE, House
from tests.sample_requests import call

pytest_plugins = ["tests.redis_server"]


def build(run: RunContext) -> AutoGenTeam:
    return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)


async def here(house: House, **how: Any) -> Run:
    await house.store.set_workspace(WORKSPACE)
    model = ReplayChatCompletionClient(["It is written."])
    return await run_here(
        build, "ask the vendor", channel=CHANNEL, requester=ANN, model=model, settings=house.settings(), **how
    )


async def test_a_programs_request_is_not_taken_over_by_a_script(house: House) -> None:
    """R1: no worker advances its run, and no script either; the program alone acts on what people decide."""
    key = api_keys.issue("billing", ("C0GENERAL",), await house.store.now()).key
    asked, _ = await program_requests.submit(
        house.store, key, "one", call(), workspace=WORKSPACE, channel=CHANNEL, requester=ANN, task="pay"
    )
    run = asked.request.run
    before = await house.run(run)
    with pytest.raises(InvalidInput, match=f"{run} is the request of a program.*Nothing was done"):
        await here(house, again=run)
    assert await house.run(run) == before


class Deafened(Store):
    """Each new run is stored, and then it is not said so, twice."""

    errors: ClassVar[list[StoreUnavailable]] = []

    async def commit(self, change: Change) -> Committed:
        answer = await super().commit(change)
        if self.errors and any(put.version == 0 for put in change.runs):
            raise self.errors.pop()
        return answer


async def test_a_start_whose_reply_was_lost_is_the_run_that_the_script_advances(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: else it stays in the queue for ever, and nobody knows its name."""
    monkeypatch.setattr(Deafened, "errors", [NotReplicated("No replica."), StoreUnavailable("The reply was lost.")])
    monkeypatch.setattr(standalone, "Store", Deafened)
    run = await here(house)
    assert run.status is Status.FINISHED and run.words == "It is written."
    assert await house.store.indexes.active_runs(9) == []


async def test_a_scripts_run_has_its_name_in_the_log_before_it_is_stored(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R4: a program that is killed as it starts its run leaves none that nobody can go on with."""
    named: list[bool] = []

    class Listening(Store):
        async def commit(self, change: Change) -> Committed:
            named.extend(f"again='{put.value.id}'" in caplog.text for put in change.runs if put.version == 0)
            return await super().commit(change)

    monkeypatch.setattr(standalone, "Store", Listening)
    with caplog.at_level(logging.INFO):
        await here(house)
    assert named == [True]


async def test_a_store_that_is_away_as_a_scripts_run_ends_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: that the store is away is no end of a run, and hides none."""
    left = 3

    class Away(Store):
        async def run(self, name: RunId) -> Seen[Run] | None:
            nonlocal left
            seen = await super().run(name)
            if seen is not None and seen.value.over and left:
                left -= 1
                raise StoreUnavailable("Redis does not answer.")
            return seen

    monkeypatch.setattr(standalone, "Store", Away)
    assert (await here(house)).status is Status.FINISHED
    assert left == 0
