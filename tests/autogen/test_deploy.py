"""The deploy team: a plan that people judge, and another team that carries out what they approved."""

import pytest

from agents.services.deploy_steps import STEPS
from agents.teams.deploy import step_drawn
from bot.slack.views import run_steps
from countersign.domain.requests import Kind, Request, Verb
from countersign.frameworks.autogen.models.demo import DEMO_NOTE
from tests.autogen.demo_runs import playing
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]
TASK = "deploy shop 2.1 to staging"
WHOLE = ["run_tests shop 2.1", "release shop 2.1 staging", "announce shop 2.1 is on staging"]


def log(house: House) -> list[str]:
    path = house.folder / "deploy" / "log"
    return path.read_text().splitlines() if path.exists() else []


async def test_operator_team_carries_out_exactly_the_approved_plan(house: House) -> None:
    """R13, S8: releases ask once more, what is safe passes and is recorded; the thread says all of it in words."""
    async with playing(house, "deploy", TASK) as play:
        plan = await play.asked()
        assert (plan.question.kind, plan.question.agent) == (Kind.TOOL, "planner")
        for number, step in enumerate(WHOLE, 1):
            assert f"{number}. {step.replace('_', ' ')}" in plan.question.content
        assert plan.question.title == "Carry out this plan for shop 2.1 on staging"
        assert plan.question.content.endswith("Approve to carry out exactly this; if it is rejected, nothing is done.")
        assert log(house) == []
        await play.says(Verb.APPROVE)
        release = await play.asked()
        assert (release.question.agent, release.question.title) == ("operator", "Release shop 2.1 to staging")
        assert log(house) == WHOLE[:1]
        await play.says(Verb.APPROVE)
        run = await play.over()
        assert log(house) == WHOLE
        assert release.question.content == "release shop 2.1 staging"
        assert release.question.notes == ("Only written to the log: no program is set up for this step.",)
        assert run.result == (
            "The plan was carried out. Steps done: run tests, release, announce. Only written to the log, because "
            "no program is set up for them: run tests, release, announce."
        )
        assert DEMO_NOTE in run.words
        assert run.ended_as == "Carried out", "the log is no deployment"
        assert [one.done for one in run.reported] == ["released", "carried out"]
        assert "Only written to the log: run tests shop 2.1" in str(run.progress)
        assert not [line for line in run.progress if "{" in line.words]
        assert [tool for tool, _ in await play.passed()] == ["run_tests", "announce"]


async def test_steps_of_the_approved_plan_are_shown_until_done(house: House) -> None:
    """Also by a worker that builds the run again: it says them again, which changes nothing."""

    async def shown(*asked: Request) -> list[tuple[str, str]]:
        run = await house.run()
        steps = run_steps.steps(run, [run_steps.RequestOnCard(one) for one in asked])
        return [
            (step.state.value, step.title) for step in steps if step.name.startswith("plan-") or step.name in run.recent
        ]

    tests, release, announce = "Run the tests of shop 2.1", "Release shop 2.1 to staging", "Announce the release"
    async with playing(house, "deploy", TASK) as play:
        await play.asked()
        assert (await house.run()).plan == ()
        await play.says(Verb.APPROVE)
        asked = await play.asked()
        waiting = await shown(asked)
        assert waiting == [("complete", tests), ("in_progress", release), ("pending", announce)]
        assert await shown() == [("complete", tests), ("pending", release), ("pending", announce)]
    before = await house.run()
    async with house.worker() as worker:
        worker.advance()
        await house.decide(asked, Verb.APPROVE)
        run = await house.over()
    assert (run.plan[0], run.plans) == (before.plan[0], 1)
    assert [one.title for one in run.plan if one.done_at] == [tests, release, announce]
    assert "pending" not in dict(await shown(asked))
    said = [event["words"] for event in await house.events() if event["type"] == "run_progressed"]
    assert [said.count(words) for words in ("plans 3 steps", tests, release, announce)] == [1, 1, 1, 1]


async def test_feedback_changes_the_plan_which_is_asked_again(house: House) -> None:
    """S16, R12: words approve nothing."""
    async with playing(house, "deploy", TASK) as play:
        first = await play.asked()
        await play.says(Verb.RESPOND, "PROCEED without the announcement")
        second = await play.asked()
        assert second.question.before == first.question.content
        assert "announce" not in second.question.content
        assert log(house) == []
        await play.says(Verb.APPROVE)
        await play.asked()
        await play.says(Verb.APPROVE)
        await play.over()
        assert log(house) == WHOLE[:2]


async def test_edited_plan_is_carried_out_as_edited(house: House) -> None:
    """R18: the other team never sees the plan as it was."""
    async with playing(house, "deploy", TASK) as play:
        await play.asked()
        await play.says(Verb.EDIT, task="Only tell\n1. announce nothing is deployed today")
        await play.over()
        assert log(house) == ["announce nothing is deployed today"]


@pytest.mark.parametrize(
    ("verb", "why", "event"),
    [
        (Verb.REJECT, "it was rejected", "rejected"),
        (Verb.EXPIRE, "nobody answered in time", "expired"),
    ],
)
async def test_cancel_stops_before_any_step(house: House, verb: Verb, why: str, event: str) -> None:
    """S8, R17: CANCEL, and a silence that is not one."""
    async with playing(house, "deploy", TASK) as play:
        await play.asked()
        await play.says(verb)
        run = await play.over()
        assert run.result == f"Cancelled: {why}. Nothing was done."
        assert event in await play.audit()
    assert log(house) == []


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.RESPOND, Verb.EXPIRE])
async def test_work_stops_at_the_first_unapproved_step(house: House, verb: Verb) -> None:
    """S8: whatever the operator's model would do next."""
    async with playing(house, "deploy", TASK) as play:
        await play.asked()
        await play.says(Verb.APPROVE)
        await play.asked()
        await play.says(verb, "not today" if verb is not Verb.EXPIRE else "")
        run = await play.over()
        assert run.result.startswith("Stopped at “release”: ")
        assert "nothing after it was done. Steps done: run tests. Only" in run.result
    assert log(house) == WHOLE[:1]


async def test_missing_deploy_environment_is_asked_for(house: House) -> None:
    """The plan and each of its steps then name the chosen one."""
    async with playing(house, "deploy", "deploy shop 2.1", ask="each") as play:
        where = await play.asked()
        assert (where.question.kind, where.question.options) == (Kind.CHOICE, ("staging", "production"))
        await play.says(Verb.CHOOSE, "production")
        assert "release shop 2.1 production" in (await play.asked()).question.content
        await play.says(Verb.APPROVE)
        for title in ("Run the tests of shop 2.1", "Release shop 2.1 to production", "Announce the release"):
            assert (await play.asked()).question.title == title
            await play.says(Verb.APPROVE)
        await play.over()
    assert len(log(house)) == 3


async def test_rejected_deploy_environment_leaves_no_plan(house: House) -> None:
    async with playing(house, "deploy", "deploy shop 2.1") as play:
        await play.asked()
        await play.says(Verb.REJECT, "not to production")
        assert (await play.over()).result == "There was no plan; nothing was done."


async def test_deploy_environment_may_be_typed(house: House) -> None:
    async with playing(house, "deploy", "deploy shop 2.1") as play:
        await play.asked()
        await play.says(Verb.RESPOND, "to staging, please")
        assert "2. release shop 2.1 staging" in (await play.asked()).question.content
        await play.says(Verb.REJECT)
        await play.over()


async def test_step_runs_its_program_and_failure_stops_the_work(house: House) -> None:
    """The result names the step and its exit status."""
    steps = house.folder / "deploy" / "steps"
    steps.mkdir(parents=True)
    program = steps / "run_tests"
    program.write_text('#!/bin/sh\necho "tested $1 $2" >> "$(dirname "$0")/../log"\n[ "$2" != 2.2 ]\n')
    program.chmod(0o755)
    async with playing(house, "deploy", TASK.replace("2.1", "2.2")) as play:
        await play.asked()
        await play.says(Verb.APPROVE)
        run = await play.over()
        assert run.result == (
            "Stopped at “run tests”: it failed: The program of the step ended with 1. It said:; nothing after it was "
            "done. Steps done: none."
        )
    assert log(house) == ["tested shop 2.2"]


def test_step_preview_quotes_each_argument() -> None:
    """R13: nor does an argument fill the place of another."""
    given = {"service": "shop 2.1", "version": "<environment>", "environment": "staging"}
    assert step_drawn(STEPS["release"], given) == "release 'shop 2.1' '<environment>' staging"
