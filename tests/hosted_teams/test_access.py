"""The access team: an agent of Agent Framework beside the example teams of AutoGen, without a model."""

from datetime import timedelta

import pytest

from agents import registry
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.runs import Status
from tests.autogen.demo_runs import playing
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]
TASK = "read billing for carol, 2 hours"


def granted(house: House) -> list[list[str]]:
    """Who, what and how of each grant."""
    file = house.folder / "access" / "grants.csv"
    return [line.split(",")[:3] for line in file.read_text().splitlines()] if file.exists() else []


async def test_access_is_granted_as_approved(house: House) -> None:
    """R13: the fewer hours are theirs."""
    async with playing(house, "access", TASK) as play:
        asked = await play.asked()
        assert asked.question.title == "Give carol read access to billing"
        await play.says(Verb.EDIT, hours=1)
        run = await play.over()
    assert granted(house) == [["carol", "billing", "read"]]
    assert "“grant” was changed by a reviewer: hours: 2 → 1" in run.words
    assert "carol has read access to billing until" in run.words
    assert run.ended_as == "Granted", "by the word of the tool, for a team that concludes nothing itself"


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.EXPIRE])
async def test_unapproved_access_is_not_granted(house: House, verb: Verb) -> None:
    async with playing(house, "access", TASK) as play:
        await play.asked()
        await play.says(verb, "She left.")
        run = await play.over()
    assert granted(house) == []
    assert "“grant” was not done" in run.words
    assert run.ended_as == {Verb.REJECT: "rejected", Verb.EXPIRE: "expired"}[verb]


async def test_parked_run_continues_with_each_answer(house: House) -> None:
    """R4, R22: what the task leaves open is asked, and words become another question."""
    house.park_after = timedelta(0)
    await house.start(team="access", task="access for carol", found=registry.find())
    asked: list[Request] = []
    for number in range(4):
        async with house.worker(owner=f"w{number}") as worker:
            await worker.advance()
        run = await house.run()
        if run.over:
            break
        asked.append(await house.asked(not_this=asked[-1] if asked else None))
        if number == 0:
            assert asked[0].question.options == ("billing", "warehouse", "logs")
            await house.decide(asked[0], Verb.CHOOSE, chosen=("logs",))
        elif number == 1:
            await house.decide(asked[1], Verb.RESPOND, "she needs to write, for 3 hours")
        else:
            await house.decide(asked[2], Verb.APPROVE)
    assert [one.question.kind for one in asked] == [Kind.CHOICE, Kind.TOOL, Kind.TOOL]
    assert run.status is Status.FINISHED, run.result
    assert granted(house) == [["carol", "logs", "write"]]
