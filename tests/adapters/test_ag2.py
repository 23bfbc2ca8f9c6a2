"""AG2's new agents, which ask in Slack before a tool runs and where they ask a human."""

import asyncio
from typing import Any

import pytest
from ag2 import Agent, Context
from ag2.events import ToolCallEvent
from ag2.testing import TestConfig

from countersign.adapters.ag2 import slack_hook, with_approval
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.slow  # the framework takes seconds to import

REFUND = ToolCallEvent("refund", arguments='{"order": 17, "euros": 90.0}')


@pytest.mark.parametrize(
    ("button", "window", "paid"),
    [
        ("Approve", None, [90.0]),
        ("Edit", {"Euros": "45", "why": "half"}, [45.0]),
        ("Reject", {"reason": "too much"}, []),
        ("Request changes", {"answer": "Ask the customer first."}, []),
    ],
)
async def test_a_call_runs_only_as_people_decided(
    slack: LocalSlack, bob: Bob, button: str, window: Any, paid: list[float]
) -> None:
    """R8, R13: and a program that starts again under the run's name does nothing twice."""
    done: list[float] = []

    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        done.append(euros)
        return f"{euros:.2f} EUR for order {order}"

    async def program() -> str | None:
        tools = [with_approval(refund, "#general", run="order 17")]
        clerk = Agent("clerk", "You refund.", config=TestConfig(REFUND, "Well."), tools=tools)
        return (await clerk.ask("Refund order 17.")).body

    running = asyncio.create_task(program())
    await bob.presses("Run refund?", button, window)
    assert await running == "Well."
    assert await program() == "Well."
    assert done == paid
    assert cards(slack) == 1


async def test_silence_runs_nothing(bob: Bob) -> None:
    """R20."""
    done: list[int] = []

    def refund(order: int) -> None:
        done.append(order)

    config = TestConfig(ToolCallEvent("refund", arguments='{"order": 17}'), "Well.")
    clerk = Agent("clerk", "You refund.", config=config, tools=[with_approval(refund, "#general")])
    running = asyncio.create_task(clerk.ask("Refund order 17."))
    await bob.card("Run refund?")
    await bob.lets_time_run_out()
    assert (await running).body == "Well."
    assert done == []


@pytest.mark.parametrize(
    ("button", "window", "answer"),
    [
        ("Approve", None, "yes"),
        ("Request changes", {"answer": "eu"}, "eu"),
        ("Reject", {"reason": "none"}, "DECISION: REJECTED"),
    ],
)
async def test_a_question_to_a_human_is_asked_in_the_channel(bob: Bob, button: str, window: Any, answer: str) -> None:
    answers: list[str] = []

    async def region(context: Context) -> str:
        """Ask for the region."""
        answers.append(await context.input("Which region?"))
        return answers[0]

    config = TestConfig(ToolCallEvent("region"), "Well.")
    agent = Agent("ops", "You deploy.", config=config, tools=[region], hitl_hook=slack_hook("#general"))
    running = asyncio.create_task(agent.ask("Deploy."))
    await bob.presses("Which region?", button, window)
    await running
    assert answers[0].startswith(answer)
