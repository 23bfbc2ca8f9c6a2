"""AG2's new agents, which ask in Slack before a tool runs and where they ask a human."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ag2 import Agent, Context, tool
from ag2.events import ToolCallEvent
from ag2.middleware.base import BaseMiddleware
from ag2.middleware.builtin import approval_required
from ag2.testing import TestConfig, TrackingConfig

from countersign.client import executions
from countersign.domain.actions import Action
from countersign.frameworks.ag2 import ask_human, slack_hook, with_approval
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.slow  # the framework takes seconds to import

REFUND = ToolCallEvent("refund", arguments='{"order": 17, "euros": 90.0}')


def model(call: ToolCallEvent) -> TrackingConfig:
    """A model that makes this call, and then says that all is well."""
    return TrackingConfig(TestConfig(call, "Well."))


def read_by(config: TrackingConfig) -> str:
    """What came of its call, as the model reads it."""
    (event,) = config.mock.call_args.args[0].results
    return " ".join(part.content for part in event.result.parts)


@pytest.mark.parametrize(
    ("button", "window", "paid"),
    [
        ("Approve", None, [90.0]),
        ("Edit", {"Euros": "45", "why": "half"}, [45.0]),
        ("Reject", {"reason": "too much"}, []),
        ("Request changes", {"answer": "Ask the customer first."}, []),
    ],
)
async def test_call_runs_only_as_decided(
    slack: LocalSlack, bob: Bob, button: str, window: Any, paid: list[float]
) -> None:
    """R8, R13: the model reads it, and a program that starts again under the run's name does nothing twice."""
    done: list[float] = []

    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        done.append(euros)
        return f"{euros:.2f} EUR for order {order}"

    async def program() -> str | None:
        tools = [with_approval(refund, "#general", run="order 17")]
        clerk = Agent("clerk", "You refund.", config=models[-1], tools=tools)
        return (await clerk.ask("Refund order 17.")).body

    models = [model(REFUND)]
    running = asyncio.create_task(program())
    await bob.presses("Refund:", button, window)
    assert await running == "Well."
    words = f"{paid[0]:.2f} EUR for order 17" if paid else next(iter(window.values()))
    assert words in read_by(models[0])
    models.append(model(REFUND))
    assert await program() == "Well."
    assert words in read_by(models[1])
    assert done == paid
    assert cards(slack) == 1


async def one_refund(paid: list[float], act: Callable[[], None] = lambda: None, *, idempotent: bool = False) -> str:
    """What the model of a program with one call reads of it."""
    read: list[str] = []

    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        paid.append(euros)
        act()
        return f"{euros:.2f} EUR for order {order}"

    class Reads(BaseMiddleware):
        async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
            result = await call_next(event, context)
            read.append(str(result.result.parts[0].content))
            return result

    tools = [with_approval(refund, "#general", run="order 17", idempotent=idempotent)]
    clerk = Agent("clerk", "You refund.", config=TestConfig(REFUND, "Well."), tools=tools, middleware=[Reads])
    await clerk.ask("Refund order 17.")
    return read[0]


async def killed_while_asked(bob: Bob, paid: list[float]) -> None:
    """A program that is gone when people approve."""
    running = asyncio.create_task(one_refund(paid))
    await bob.card("Refund:")
    running.cancel()
    await asyncio.wait([running])
    await bob.presses("Refund:", "Approve")


async def test_approved_call_runs_when_the_program_returns_later(bob: Bob) -> None:
    """R8: nothing is lost over a weekend; and once it ran, it does not again."""
    paid: list[float] = []
    await killed_while_asked(bob, paid)
    await bob.lets_a_day_pass()
    assert await one_refund(paid) == "90.00 EUR for order 17"
    assert await one_refund(paid) == "Done before: 90.00 EUR for order 17"
    assert paid == [90.0]


async def test_model_reads_an_earlier_reported_failure(bob: Bob) -> None:
    """R31."""
    paid: list[float] = []
    await killed_while_asked(bob, paid)
    await bob.reports(succeeded=False, words="ValueError: no till")
    assert await one_refund(paid) == "Failed before: ValueError: no till"
    assert paid == []


class Killed(BaseException):
    """The end of a program of which nobody hears."""


@pytest.mark.parametrize("idempotent", [False, True])
async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, monkeypatch: pytest.MonkeyPatch, idempotent: bool
) -> None:
    """R8, R10: killed between the action and its report; one that is idempotent runs again, and asks nobody."""
    monkeypatch.setattr(executions, "LOOKS", 0)
    paid: list[float] = []

    def dies() -> None:
        raise Killed

    running = asyncio.create_task(one_refund(paid, dies))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(BaseException):  # noqa: B017  # the framework wraps it in a group
        await running
    again = asyncio.create_task(one_refund(paid, idempotent=idempotent))
    if not idempotent:
        await bob.presses("Did “refund” happen?", "Choose", {"options": "1. It was done"})
    assert await again == ("90.00 EUR for order 17" if idempotent else "Done before: People say that it was done.")
    assert (len(paid), cards(slack)) == ((2, 1) if idempotent else (1, 2))


async def test_model_reads_why_the_policy_refused(store: Store, slack: LocalSlack) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    paid: list[float] = []
    assert "Use the till." in await one_refund(paid)
    assert (paid, cards(slack)) == ([], 0)


async def test_refused_report_hides_no_result(bob: Bob, caplog: pytest.LogCaptureFixture) -> None:
    """R5: what was done was done, though the key was revoked meanwhile."""

    async def refund(order: int, euros: float) -> str:
        """Pay money back."""
        await bob.loses_its_key()
        return f"{euros:.2f} EUR for order {order}"

    clerk = Agent("clerk", "", config=TestConfig(REFUND, "Well."), tools=[with_approval(refund, "#general")])
    running = asyncio.create_task(clerk.ask("Refund order 17."))
    await bob.presses("Refund:", "Approve")
    assert (await running).body == "Well."
    assert "outcome couldn't be reported: This key was revoked." in caplog.text


async def test_expired_call_does_not_run(bob: Bob) -> None:
    """R20."""
    done: list[int] = []

    def refund(order: int) -> None:
        done.append(order)

    config = model(ToolCallEvent("refund", arguments='{"order": 17}'))
    clerk = Agent("clerk", "You refund.", config=config, tools=[with_approval(refund, "#general")])
    running = asyncio.create_task(clerk.ask("Refund order 17."))
    await bob.card("Refund:")
    await bob.lets_time_run_out()
    assert (await running).body == "Well."
    assert done == []
    assert "NOBODY ANSWERED" in read_by(config)


@pytest.mark.parametrize(
    ("button", "window", "answer"),
    [
        ("Approve", None, "yes"),
        ("Request changes", {"answer": "eu"}, "eu"),
        ("Reject", {"reason": "none"}, "DECISION: REJECTED"),
    ],
)
async def test_question_to_a_human_is_asked_in_slack(bob: Bob, button: str, window: Any, answer: str) -> None:
    """The tool's `context.input` returns what the reviewer answered."""
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


@pytest.mark.parametrize(
    ("button", "window", "paid"),
    [
        ("Approve", None, [90.0]),
        ("Reject", {"reason": "too much"}, []),
        ("Request changes", {"answer": "yes"}, []),
        ("Request changes", {"answer": "Always"}, []),
        ("", None, []),
    ],
)
async def test_ag2s_own_approval_is_asked_in_slack(bob: Bob, button: str, window: Any, paid: list[float]) -> None:
    """R12: words that AG2 takes for its yes are none."""
    done: list[float] = []

    @tool(middleware=[approval_required()])
    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        done.append(euros)
        return "Paid."

    config = model(REFUND)
    clerk = Agent("clerk", "You refund.", config=config, tools=[refund], hitl_hook=slack_hook("#general"))
    running = asyncio.create_task(clerk.ask("Refund order 17."))
    await bob.card("refund")
    if button:
        await bob.presses("refund", button, window)
    else:
        await bob.lets_time_run_out()
    assert (await running).body == "Well."
    assert done == paid
    assert ("Paid." if paid else "User denied") in read_by(config)


async def test_model_asks_people_to_choose(slack: LocalSlack, bob: Bob) -> None:
    """R8: and a program that starts again under the run's name finds what they chose."""

    async def program() -> TrackingConfig:
        config = model(ToolCallEvent("ask_human", arguments='{"question": "Which region?", "options": ["eu", "us"]}'))
        agent = Agent("ops", "You deploy.", config=config, tools=[ask_human("#general", run="deploy 2.1")])
        await agent.ask("Deploy.")
        return config

    running = asyncio.create_task(program())
    await bob.presses("Which region?", "us")
    for config in (await running, await program()):
        assert "us" in read_by(config).partition("DECISION")[2]
    assert cards(slack) == 1
