"""Runs that outlive their program: the same scenes with each framework whose state is kept.

The programs are those of the documentation. In a checkout the package `agents` is our own folder: so those of the
OpenAI Agents SDK run in an environment with our wheel.
"""

import asyncio
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, Message, text_of
from tests.adapters import test_agent_framework, test_openai_agents
from tests.adapters.framework_programs import Program, cards, environment
from tests.adapters.stage import row_of, time_runs_out
from tests.slack.test_projector import card_of
from tests.test_wheel import python, wheel

__all__ = ["python", "wheel"]
pytestmark = pytest.mark.slow
Make = Callable[..., Program]
CARD = "Refund:"


@pytest.fixture(params=["agent framework", "openai agents"])
def make(request: pytest.FixtureRequest, url: str, token: str, tmp_path: Path) -> Make:
    if request.param == "agent framework":
        code, models, interpreter = test_agent_framework.AGENT, test_agent_framework.MODELS, None
    else:
        code, models = test_openai_agents.AGENT, test_openai_agents.MODELS
        interpreter = request.getfixturevalue("python")

    def made(machine: str = ".", *, options: str = "", folder: str = "runs", **env: str) -> Program:
        (tmp_path / machine).mkdir(exist_ok=True)
        how = code.replace('folder="runs"', f'folder="{folder}"{options}')
        return Program(tmp_path / machine, how, models, environment(url, token, **env), interpreter)

    return made


async def test_approved_call_runs_and_is_reported(slack: LocalSlack, make: Make, program: httpx.AsyncClient) -> None:
    """R1, R5: and the service knows what came of it."""
    running = await make().start()
    card = await card_of(slack)
    assert CARD in text_of(card)
    (waiting,) = (await program.get("/v1/requests")).json()["requests"]
    await slack.user("bob").click(card, "Approve")
    assert "45.00 EUR were paid back." in await running.ended()
    assert running.done() == ["17 45.0"]
    request = (await program.get(f"/v1/requests/{waiting['id']}")).json()
    assert request["outcome"] == {"succeeded": True, "words": ""}


async def test_model_reads_why_a_call_was_rejected(slack: LocalSlack, make: Make) -> None:
    program = await make().start()
    bob = slack.user("bob")
    await bob.click(await card_of(slack), "Reject")
    assert await bob.submit({"reason": "The customer kept the goods."}) == {}
    output = await program.ended()
    assert "REJECTED" in output
    assert "The customer kept the goods." in output
    assert program.done() == []


async def test_edited_call_runs_as_edited(slack: LocalSlack, make: Make) -> None:
    """R13: what runs is what people made of it."""
    program = await make().start()
    bob = slack.user("bob")
    await bob.click(await card_of(slack), "Edit")
    await bob.wait_modal()
    assert await bob.submit({"Euros": "40", "why": "Less the fee."}) == {}
    assert "40.00 EUR were paid back." in await program.ended()
    assert (program.done(), cards(slack, CARD)) == (["17 40.0"], 1)


async def test_expired_call_does_not_run(
    slack: LocalSlack, store: Store, make: Make, program: httpx.AsyncClient
) -> None:
    running = await make().start()
    await card_of(slack)
    await time_runs_out(store, program)
    assert "EXPIRED" in (await running.ended()).upper()
    assert running.done() == []


async def test_model_reads_why_the_policy_refused(slack: LocalSlack, store: Store, make: Make) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    program = await make().start()
    assert "Use the till." in await program.ended()
    assert (program.done(), cards(slack, CARD)) == ([], 0)


async def test_model_asks_people_to_choose(slack: LocalSlack, make: Make) -> None:
    program = await make(TASK="ask").start()
    card = await slack.wait_message("#approvals", lambda m: "eu" in m.buttons)
    assert "Which region?" in text_of(card)
    await slack.user("bob").click(card, "eu")
    assert "eu" in await program.ended()


@pytest.mark.usefixtures("together")
async def test_simultaneous_calls_are_judged_separately(slack: LocalSlack, make: Make) -> None:
    program = await make(TASK="two").start()
    card = await slack.wait_message("#approvals", lambda m: all(one in text_of(m) for one in ("70017", "70018")))
    bob = slack.user("bob")
    await bob.click(card, "Reject", block=row_of(card, "70017"))
    assert await bob.submit({"reason": "Not this one."}) == {}
    await bob.click(card, "Approve", block=row_of(card, "70018"))
    output = await program.ended()
    assert "Not this one." in output
    assert "9.00 EUR were paid back." in output
    assert program.done() == ["70018 9.0"]


async def test_program_may_end_during_the_question(slack: LocalSlack, make: Make) -> None:
    """R8: the program that is started again finds the decision that came meanwhile."""
    program = await make().start()
    card = await card_of(slack)
    await program.kill()
    await slack.user("bob").click(card, "Approve")
    await program.start()
    assert "45.00 EUR were paid back." in await program.ended()
    assert (program.done(), cards(slack, CARD)) == (["17 45.0"], 1)


async def killed(slack: LocalSlack, program: Program, where: str) -> None:
    """Approve its call, kill it where it stops, and start it again."""
    program.stops(where)
    await program.start()
    await slack.user("bob").click(await card_of(slack), "Approve")
    await program.said(f"stops at {where}")
    await program.kill()
    await program.start()


async def test_program_killed_after_the_call_does_not_repeat_it(slack: LocalSlack, make: Make) -> None:
    """R8: nothing is done twice, and nobody is asked again."""
    program = make()
    await killed(slack, program, "before the end")
    assert "45.00 EUR were paid back." in await program.ended()
    assert (program.done(), cards(slack, CARD)) == (["17 45.0"], 1)


async def test_program_killed_in_the_call_is_asked_about(slack: LocalSlack, make: Make) -> None:
    """R10: nobody but people can know whether it was done, so they are asked."""
    program = make()
    await killed(slack, program, "in the call")

    def doubts(message: Message) -> bool:
        named = "Did “refund” happen?" in text_of(message) and "Order: 17\nEuros: 45.0" in text_of(message)
        return named and "Choose" in message.buttons

    bob = slack.user("bob")
    await bob.click(await slack.wait_message("#approvals", doubts), "Choose")
    await bob.wait_modal()
    assert await bob.submit({"options": "1. It was done"}) == {}
    assert "People say that it was done." in await program.ended()
    assert program.done() == ["17 45.0"]


async def test_killed_idempotent_call_runs_again(slack: LocalSlack, make: Make) -> None:
    """R8: nobody is asked whether it was done."""
    program = make(options=', idempotent={"refund"}')
    await killed(slack, program, "in the call")
    assert "45.00 EUR were paid back." in await program.ended()
    assert (program.done(), cards(slack, CARD), cards(slack, "Did “refund”")) == (["17 45.0"] * 2, 1, 0)


async def test_another_machine_continues_after_the_decision(slack: LocalSlack, make: Make, tmp_path: Path) -> None:
    """R8: the first one is gone, and the other one has the program and the folder of the runs."""
    first = await make("first", options=", leave=True", folder="../runs").start()
    await first.said("Stopped to wait for people.")
    assert await first.wait() == 1
    shutil.rmtree(first.folder)
    other = make("other", options=", leave=True", folder="../runs")
    command = (other.python, "-m", "countersign", "resume", "../runs")
    resuming = await asyncio.create_subprocess_exec(*command, cwd=other.folder, env=other.env, stdout=PIPE)
    await slack.user("bob").click(await card_of(slack), "Approve")
    words, _ = await resuming.communicate()
    assert (resuming.returncode, "45.00 EUR were paid back." in words.decode()) == (0, True)
    assert (other.done(), cards(slack, CARD)) == (["17 45.0"], 1)
