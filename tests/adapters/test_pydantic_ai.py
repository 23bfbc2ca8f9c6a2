"""Agents of pydantic-ai, whose deferred calls are decided in Slack."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai import Agent, ApprovalRequired, DeferredToolRequests, RunContext
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from countersign.client import executions
from countersign.domain.actions import Action
from countersign.frameworks.pydantic_ai import SlackApproval, ask_human
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob, cards

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("together")]  # the framework takes seconds to import
REFUND = ("refund", {"order": 17, "euros": 90.0})


def model(*calls: tuple[str, dict[str, Any]]) -> FunctionModel:
    """A model that makes these calls in one turn, and then repeats what it reads."""

    def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        read = [str(part.content) for part in messages[-1].parts if part.part_kind in ("tool-return", "retry-prompt")]
        if read:
            return ModelResponse([TextPart("; ".join(read))])
        return ModelResponse([ToolCallPart(name, arguments) for name, arguments in calls])

    return FunctionModel(play)


class Till:
    """A tool that pays, and what was paid."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.paid: list[float] = []
        self._act = act

    def refund(self, order: int, euros: float) -> str:
        """Pay money back."""
        self.paid.append(euros)
        self._act()
        return f"{euros:.2f} EUR for order {order}"

    def clerk(self, *calls: tuple[str, dict[str, Any]], more: Any = (), **options: Any) -> Agent[None, Any]:
        approval = SlackApproval("#general", {"refund"}, run=options.pop("run", "order 17"), **options)
        output: Any = [str, DeferredToolRequests] if approval.leave else str
        capabilities = [*more, approval]
        return Agent(model(*calls), name="clerk", tools=[self.refund], capabilities=capabilities, output_type=output)


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
    """R8, R13: and a program that starts again under the run's name does nothing twice."""
    till = Till()
    running = asyncio.create_task(till.clerk(REFUND).run("Refund."))
    await bob.presses("Refund:", button, window)
    reads = f"{paid[0]:.2f} EUR for order 17" if paid else next(iter(window.values()))
    assert reads in (await running).output
    assert reads in (await till.clerk(REFUND).run("Refund.")).output
    assert (till.paid, cards(slack)) == (paid, 1)


async def test_calls_of_one_turn_share_a_card(slack: LocalSlack, bob: Bob) -> None:
    """A batch: some approved, some not; each model reads its own outcome."""
    till = Till()
    calls = [("refund", {"order": 70000 + number, "euros": float(number)}) for number in (1, 2, 3)]
    running = asyncio.create_task(till.clerk(*calls).run("Refund."))
    await bob.card("70003")  # all of them
    await bob.presses("70001", "Approve")
    await bob.presses("70002", "Reject", {"reason": "not this one"})
    await bob.presses("70003", "Edit", {"Euros": "4", "why": "more"})
    output = (await running).output
    assert output.startswith("1.00 EUR for order 70001; ") and output.endswith("; 4.00 EUR for order 70003")
    assert "not this one" in output
    assert (sorted(till.paid), cards(slack)) == ([1.0, 4.0], 1)


async def test_equal_calls_of_one_turn_are_separate(slack: LocalSlack) -> None:
    till = Till()
    running = asyncio.create_task(till.clerk(REFUND, REFUND).run("Refund."))
    card = await slack.wait_message("#approvals", lambda m: "Approve 2" in m.buttons)
    await slack.user("bob").click(card, "Approve 2")
    await running
    assert till.paid == [90.0, 90.0]


async def test_run_resumes_from_its_messages(slack: LocalSlack, bob: Bob) -> None:
    """With `leave` no process waits; the messages are stored as JSON, and the decision came meanwhile."""
    till = Till()
    left = await till.clerk(REFUND, leave=True).run("Refund.")
    assert isinstance(left.output, DeferredToolRequests)
    stored = left.all_messages_json()
    again = await till.clerk(leave=True).run(message_history=ModelMessagesTypeAdapter.validate_json(stored))
    assert isinstance(again.output, DeferredToolRequests) and till.paid == []
    await bob.presses("Refund:", "Edit", {"Euros": "45", "why": "half"})
    for reads in ("45.00 EUR for order 17", "Done before: 45.00 EUR for order 17"):
        history = ModelMessagesTypeAdapter.validate_json(stored)
        assert reads in (await till.clerk(leave=True).run(message_history=history)).output
    assert (till.paid, cards(slack)) == ([45.0], 1)


async def test_expired_call_does_not_run(bob: Bob) -> None:
    """R17, R20."""
    till = Till()
    running = asyncio.create_task(till.clerk(REFUND).run("Refund."))
    await bob.card("Refund:")
    await bob.lets_time_run_out()
    assert "NOBODY ANSWERED" in (await running).output
    assert till.paid == []


async def test_model_reads_why_the_policy_refused(slack: LocalSlack, store: Store) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    till = Till()
    assert "Use the till." in (await till.clerk(REFUND).run("Refund.")).output
    assert (till.paid, cards(slack)) == ([], 0)


async def test_another_capability_cannot_bypass_people(bob: Bob) -> None:
    """R19: one that approves everything comes first, and people are still asked."""
    till = Till()
    lax = HandleDeferredToolCalls(handler=lambda ctx, requests: requests.build_results(approve_all=True))
    for number, (button, window, paid) in enumerate(
        [("Reject", {"reason": "no"}, []), ("Approve", None, [90.0]), ("Edit", {"Euros": "1", "why": "x"}, [90.0])]
    ):
        clerk = till.clerk(REFUND, more=[lax], run=f"run {number}")
        running = asyncio.create_task(clerk.run("Refund."))
        await bob.presses("Refund:", button, window)
        output = (await running).output
        assert till.paid == paid, output


async def test_tools_with_their_own_approval_rule_get_cards(bob: Bob) -> None:
    """`requires_approval=True`, and ApprovalRequired that a tool raises, of tools that the adapter wasn't told of."""
    paid: list[float] = []

    async def pay(ctx: RunContext[None], euros: float) -> str:
        if euros > 20 and not ctx.tool_call_approved:
            raise ApprovalRequired
        paid.append(euros)
        return "Paid."

    calls = (("pay", {"euros": 5.0}), ("pay", {"euros": 70021.0}), ("drop", {"table": "orders"}))
    clerk = Agent(model(*calls), tools=[pay], capabilities=[SlackApproval("#general")])

    @clerk.tool_plain(requires_approval=True)
    def drop(table: str) -> str:
        paid.append(-1)
        return "Dropped."

    running = asyncio.create_task(clerk.run("Go."))
    await bob.presses("70021", "Approve")
    await bob.presses("orders", "Reject", {"reason": "keep it"})
    output = (await running).output
    assert "keep it" in output and paid == [5.0, 70021.0]


async def test_sub_agent_needs_the_capability_too(bob: Bob) -> None:
    """R19: with it, its calls ask people; pydantic-ai hands none of the caller's capabilities down."""
    till = Till()
    inner = till.clerk(REFUND)

    async def delegate() -> str:
        return str((await inner.run("Refund.")).output)

    boss = Agent(model(("delegate", {})), tools=[delegate])
    running = asyncio.create_task(boss.run("Let the clerk do it."))
    await bob.presses("Refund:", "Reject", {"reason": "too much"})
    assert "too much" in (await running).output
    assert till.paid == []


class Killed(BaseException):
    """The end of a program of which nobody hears."""


@pytest.mark.parametrize("idempotent", [False, True])
async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, monkeypatch: pytest.MonkeyPatch, idempotent: bool
) -> None:
    """R8, R10: the program was killed between the action and its report."""
    monkeypatch.setattr(executions, "LOOKS", 0)

    def dies() -> None:
        raise Killed

    till, again = Till(dies), Till()
    more: Any = {"idempotent": {"refund"}} if idempotent else {}
    running = asyncio.create_task(till.clerk(REFUND, **more).run("Refund."))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(Killed):
        await running
    running = asyncio.create_task(again.clerk(REFUND, **more).run("Refund."))
    if not idempotent:
        await bob.presses("” happen?", "Choose", {"options": "1. It was done"})
    reads = "90.00 EUR for order 17" if idempotent else "People say that it was done."
    assert reads in (await running).output
    assert (till.paid, again.paid) == ([90.0], [90.0] if idempotent else [])


async def test_failure_is_reported_and_raised(slack: LocalSlack, bob: Bob) -> None:
    def fails() -> None:
        raise OSError("no till")

    running = asyncio.create_task(Till(fails).clerk(REFUND).run("Refund."))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(OSError, match="no till"):
        await running
    await slack.wait_message("#approvals", lambda m: "OSError: no till" in str(m.blocks) + m.text)


async def test_model_asks_people_to_choose(bob: Bob) -> None:
    call = ("ask_human", {"question": "Which region?", "options": ["eu", "us"]})
    clerk = Agent(model(call), tools=[ask_human("#general", run="order 17")])
    running = asyncio.create_task(clerk.run("Deploy."))
    await bob.presses("Which region?", "us")
    assert "us" in (await running).output


def test_runs_left_waiting_need_a_name() -> None:
    with pytest.raises(ValueError, match="name of the `run`"):
        SlackApproval("#general", leave=True)
