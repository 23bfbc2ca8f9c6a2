"""The teams, each rebuilt after every question: they leave memory whenever they wait."""

from datetime import timedelta

import pytest

from agents import registry
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.runs import Status
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]


@pytest.fixture(autouse=True)
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("team", "task", "kinds", "result"),
    [
        ("deploy", "deploy shop 2.1", [Kind.CHOICE, Kind.TOOL, Kind.TOOL, Kind.TOOL], "The plan was carried out."),
        ("code", "add up 3 and 4", [Kind.CODE, Kind.CODE, Kind.CODE], "7"),
        ("research", "what is tea", [Kind.MESSAGE, Kind.MESSAGE], "The report was kept."),
        (
            "support",
            "order 17 came broken",
            [Kind.TOOL, Kind.TOOL, Kind.TOOL],
            "Done: 30.00 EUR was refunded for order 17",
        ),
    ],
)
async def test_team_rebuilt_after_every_question_does_nothing_twice(
    house: House, team: str, task: str, kinds: list[Kind], result: str
) -> None:
    """R4, R22: the second question is answered in words, so that there is a further one."""
    house.park_after = timedelta(0)
    await house.start(team=team, task=task, found=registry.find())
    asked: list[Request] = []
    answered = kinds[0] is Kind.CHOICE
    for number in range(len(kinds) + 1):
        async with house.worker(owner=f"w{number}") as worker:
            await worker.advance()
        run = await house.run()
        if run.over:
            break
        assert run.status is Status.PARKED
        request = await house.asked(not_this=asked[-1] if asked else None)
        asked.append(request)
        if request.question.kind is Kind.CHOICE:
            await house.decide(request, Verb.CHOOSE, chosen=("staging",))
        elif number == answered:
            await house.decide(request, Verb.RESPOND, "30 will do")
        else:
            await house.decide(request, Verb.APPROVE)
    assert [request.question.kind for request in asked] == kinds
    assert (run.status, run.result[: len(result)]) == (Status.FINISHED, result)
    if team == "deploy":
        steps = (house.folder / "deploy" / "log").read_text().splitlines()
        assert [step.split()[0] for step in steps] == ["run_tests", "release", "announce", "announce"]
    told = [(event["tool"], event["digest"]) for event in await house.events() if event["type"] == "call_passed"]
    assert len(set(told)) == len(told)
