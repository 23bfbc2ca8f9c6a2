"""Workflows of Agent Framework: what they are answered, and how they go on after their program, also elsewhere."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_framework import (
    Agent,
    AgentExecutor,
    AgentSession,
    Executor,
    MiddlewareFailure,
    ToolApprovalMiddleware,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
    tool,
)
from cryptography.fernet import Fernet

from countersign.adapters.agent_framework import SlackApprovals
from countersign.client.exchange import Decision, ServiceRefused
from countersign.domain.errors import InvalidInput
from countersign.domain.typed_answers import UNANSWERED
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.framework_programs import HERE, STOPS, Program, cards, environment
from tests.adapters.stage import Bob
from tests.adapters.test_agent_framework import MODELS, WORKFLOW

pytestmark = pytest.mark.slow  # the framework takes seconds to import
CHOICE = {"question": "Which region?", "options": ["eu", "us"]}
TELLER = """
class Teller(Executor):
    @handler
    async def told(self, asked: str, ctx: WorkflowContext[str, str]) -> None:
        my_models.stop("before the end")
        await ctx.yield_output(f"{asked} Deployed.")


approvals = """
TWO_STEPS = (
    WORKFLOW.replace("await ctx.yield_output(", "my_models.did('deployed')\n        await ctx.send_message(asked)  # (")
    .replace("WorkflowContext[str, str]", "WorkflowContext[str]")
    .replace("\napprovals = ", TELLER)
    .replace(
        'start_executor=Deployer("deployer"))', 'start_executor=(it := Deployer("it"))).add_edge(it, Teller("to"))'
    )
)
"""The documentation's workflow, in which a second executor tells what the first one did."""


class Asks(Executor):
    """It asks, and keeps what it was answered."""

    def __init__(self, kind: type) -> None:
        super().__init__("asks")
        self.kind, self.answers = kind, list[Any]()

    @handler
    async def start(self, asked: dict[str, Any] | str, ctx: WorkflowContext[Any, Any]) -> None:
        await ctx.request_info(asked, self.kind)

    @response_handler
    async def yes_or_no(self, asked: str, yes: bool, ctx: WorkflowContext[Any, Any]) -> None:
        self.answers.append(yes)

    @response_handler
    async def words(self, asked: str, words: str, ctx: WorkflowContext[Any, Any]) -> None:
        self.answers.append(words)

    @response_handler
    async def chosen(self, asked: dict[str, Any], one: str, ctx: WorkflowContext[Any, Any]) -> None:
        self.answers.append(one)

    @response_handler
    async def decided(self, asked: str, decision: Decision, ctx: WorkflowContext[Any, Any]) -> None:
        self.answers.append(decision)

    async def answered(self, folder: Path, asked: Any) -> None:
        await SlackApprovals("#general", folder=folder).run_workflow(self.built().build(), asked, key="asks")

    def built(self) -> WorkflowBuilder:
        return WorkflowBuilder(name="asks", start_executor=self)


@pytest.mark.parametrize(
    ("kind", "button", "window", "answer"),
    [
        (bool, "Approve", None, True),
        (bool, "Reject", {"reason": "too risky"}, False),
        (str, "Approve", None, "APPROVE"),
        (str, "Reject", {"reason": "too risky"}, "REJECT: too risky"),
        (str, "Request changes", {"answer": "Wait for 2.2."}, "Wait for 2.2."),
    ],
)
async def test_a_workflow_is_answered_as_people_decided(
    bob: Bob, tmp_path: Path, kind: type, button: str, window: Any, answer: Any
) -> None:
    running = asyncio.create_task((asks := Asks(kind)).answered(tmp_path, "Deploy 2.1?"))
    await bob.presses("Deploy 2.1?", button, window)
    await running
    assert asks.answers == [answer]


async def test_people_choose_for_a_workflow(bob: Bob, tmp_path: Path) -> None:
    running = asyncio.create_task((asks := Asks(str)).answered(tmp_path, CHOICE))
    await bob.presses("Which region?", "us")
    await running
    assert asks.answers == ["us"]


async def test_a_workflow_may_read_the_whole_decision(bob: Bob, tmp_path: Path) -> None:
    running = asyncio.create_task((asks := Asks(Decision)).answered(tmp_path, "Deploy 2.1?"))
    await bob.presses("Deploy 2.1?", "Reject", {"reason": "too risky"})
    await running
    (decision,) = asks.answers
    assert (decision.outcome, decision.words) == ("rejected", "too risky")


@pytest.mark.parametrize("kind", [bool, str])
async def test_a_workflow_that_nobody_answers_is_told_so(bob: Bob, tmp_path: Path, kind: type) -> None:
    """R17, R20."""
    running = asyncio.create_task((asks := Asks(kind)).answered(tmp_path, "Deploy 2.1?"))
    await bob.card("Deploy 2.1?")
    await bob.lets_time_run_out()
    await running
    (it,) = asks.answers
    assert it is False if kind is bool else it == UNANSWERED


@pytest.mark.parametrize(
    ("button", "window", "reads"),
    [("Approve", None, "45.00 EUR were paid back."), ("Reject", {"reason": "too much"}, "too much")],
)
async def test_a_tool_of_an_agent_in_a_workflow_runs_as_people_decided(
    bob: Bob, tmp_path: Path, button: str, window: Any, reads: str
) -> None:
    """R1: the agent has `middleware=[approvals]`, and its model reads what was decided."""
    paid: list[float] = []

    @tool(approval_mode="always_require")
    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        paid.append(euros)
        return f"{euros:.2f} EUR were paid back."

    async def run(folder: Path) -> str:
        approvals = SlackApprovals("#general", folder=folder)
        models: dict[str, Any] = {}
        exec(STOPS + MODELS, models)
        clerk = Agent(models["client"], name="clerk", tools=[refund], middleware=[approvals])
        workflow = WorkflowBuilder(name="refunds", start_executor=AgentExecutor(clerk, id="clerk")).build()
        return str([one.text for one in (await approvals.run_workflow(workflow, "Refund.", key="17")).get_outputs()])

    running = asyncio.create_task(run(tmp_path))
    await bob.presses("Refund:", button, window)
    assert reads in await running
    assert paid == ([45.0] if button == "Approve" else [])


class Till:
    """An agent with a tool that pays, and rules of the framework that approve each call of it."""

    def __init__(self, *tools: Any, middleware: Any = ()) -> None:
        self.paid: list[float] = []
        models: dict[str, Any] = {}
        exec(STOPS + MODELS, models)

        @tool(approval_mode="always_require")
        def refund(order: int, euros: float) -> str:
            """Pay money back."""
            self.paid.append(euros)
            return f"{euros:.2f} EUR were paid back."

        rules = ToolApprovalMiddleware(auto_approval_rules=[lambda call: True])
        self.agent = Agent(models["client"], name="clerk", tools=[refund, *tools], middleware=[rules, *middleware])


@pytest.mark.parametrize(
    ("button", "window", "reads"),
    [("Approve", None, "45.00 EUR were paid back."), ("Reject", {"reason": "too much"}, "too much")],
)
async def test_a_call_that_a_rule_approves_in_a_workflow_asks_people(
    bob: Bob, tmp_path: Path, button: str, window: Any, reads: str
) -> None:
    """R19: the agent lacks our middleware, and gets it while the workflow runs."""
    till, approvals = Till(), SlackApprovals("#general", folder=tmp_path)
    before = till.agent.middleware
    workflow = WorkflowBuilder(name="refunds", start_executor=AgentExecutor(till.agent, id="clerk")).build()
    running = asyncio.create_task(approvals.run_workflow(workflow, "Refund.", key="17"))
    await bob.presses("Refund:", button, window)
    assert reads in str([one.text for one in (await running).get_outputs()])
    assert till.paid == ([45.0] if button == "Approve" else [])
    assert till.agent.middleware == before


async def test_what_could_run_without_people_is_refused_at_the_start(tmp_path: Path) -> None:
    """R19: a provider runs its own tools, out of reach of what asks people."""
    till, approvals = Till({"type": "mcp", "server_label": "depot"}), SlackApprovals("#general", folder=tmp_path)
    workflow = WorkflowBuilder(name="refunds", start_executor=AgentExecutor(till.agent, id="clerk")).build()
    for running in (approvals.run(till.agent, "Refund.", key="1"), approvals.run_workflow(workflow, "Go.", key="2")):
        with pytest.raises(InvalidInput, match="automatic approval rules and a tool that its provider runs"):
            await running


async def test_an_agent_that_is_run_past_the_adapter_says_how_to_start_it(tmp_path: Path) -> None:
    """R19: with our middleware alone, and with a stream."""
    approvals = SlackApprovals("#general", folder=tmp_path)
    till = Till(middleware=[approvals])
    with pytest.raises(MiddlewareFailure, match="Start the agent with"):
        await till.agent.run("Refund.", session=AgentSession())
    with pytest.raises(InvalidInput, match="can't stream"):
        await approvals.run(till.agent, "Refund.", key="1", stream=True)
    assert till.paid == []


@pytest.fixture
def state_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def env(url: str, token: str, state_key: str) -> dict[str, str]:
    return environment(url, token, COUNTERSIGN_STATE_KEY=state_key)


def machine(tmp_path: Path, name: str, env: dict[str, str], code: str = TWO_STEPS) -> Program:
    (tmp_path / name).mkdir()
    return Program(tmp_path / name, code, MODELS, env)


async def test_another_machine_finishes_a_workflow_that_was_killed_after_the_decision(
    slack: LocalSlack, bob: Bob, program: httpx.AsyncClient, env: dict[str, str], tmp_path: Path
) -> None:
    """R8: from its last step, and the machine that comes back does nothing."""
    first = machine(tmp_path, "a", env)
    first.stops("before the end")
    await first.start()
    await bob.presses("Deploy 2.1?", "Approve")
    await first.said("stops at before the end")
    await first.kill()
    second = await machine(tmp_path, "b", env).start()
    assert await second.ended() == "Deploy 2.1? Deployed."
    assert (first.done(), second.done(), cards(slack, "Deploy 2.1?")) == (["deployed"], [], 1)
    assert (await program.get("/v1/requests?kept=true")).json()["requests"] == []
    await first.start()
    await first.said("another program went on with it")
    assert await first.wait() == 1
    assert first.done() == ["deployed"]


async def test_a_workflow_that_is_left_to_people_goes_on_in_an_empty_folder(
    slack: LocalSlack, store: Store, bob: Bob, env: dict[str, str], tmp_path: Path
) -> None:
    """R8, R15: what it was told is readable neither in Redis nor in its folder."""
    code = WORKFLOW.replace('folder="runs"', 'folder="runs", leave=True')
    first = await machine(tmp_path, "a", env, code).start()
    await first.said("Stopped to wait for people.")
    assert await first.wait() == 1
    files = [path for path in (tmp_path / "a" / "runs").rglob("*") if path.is_file()]
    assert files and not any(b"Deploy" in path.read_bytes() for path in files)
    shutil.rmtree(tmp_path / "a" / "runs")
    command = (sys.executable, "-m", "countersign", "resume", str(tmp_path / "runs"))
    resuming = await asyncio.create_subprocess_exec(*command, cwd=HERE, env=first.env, stdout=PIPE)
    await bob.presses("Deploy 2.1?", "Approve")
    words, _ = await resuming.communicate()
    assert (resuming.returncode, "Deploy 2.1? Deployed." in words.decode()) == (0, True)
    assert cards(slack, "Deploy 2.1?") == 1


class Hands(Asks):
    """It hands on what people approved, after something happened."""

    def __init__(self, first: Callable[[], Awaitable[None]]) -> None:
        super().__init__(bool)
        self.first, self.last = first, Last("last")

    @response_handler
    async def yes_or_no(self, asked: str, yes: bool, ctx: WorkflowContext[int, Any]) -> None:
        await self.first()
        await ctx.send_message(1)

    def built(self) -> WorkflowBuilder:
        return super().built().add_edge(self, self.last)


class Last(Executor):
    """The last step, counted."""

    steps = 0

    @handler
    async def step(self, number: int, ctx: WorkflowContext[Any, Any]) -> None:
        self.steps += number


async def test_a_machine_from_which_a_workflow_was_taken_takes_no_further_step(
    bob: Bob, tmp_path: Path, state_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: its next checkpoint is refused, which the framework alone would only log."""
    monkeypatch.setenv("COUNTERSIGN_STATE_KEY", state_key)

    async def nothing() -> None: ...

    async def another() -> None:
        await (other := Hands(nothing)).answered(tmp_path / "b", "Deploy 2.1?")
        assert other.last.steps == 1

    first = Hands(another)
    running = asyncio.create_task(first.answered(tmp_path / "a", "Deploy 2.1?"))
    await bob.presses("Deploy 2.1?", "Approve")
    with pytest.raises(ServiceRefused):
        await running
    assert first.last.steps == 0


class Unknown:
    """A type of a program that the framework would not read back."""


class Sends(Asks):
    """It keeps something that no checkpoint can hold."""

    @handler
    async def start(self, asked: dict[str, Any] | str, ctx: WorkflowContext[Any, Any]) -> None:
        ctx.set_state("held", Unknown())
        await ctx.request_info(asked, bool)


async def test_nobody_is_asked_by_a_workflow_that_could_not_go_on(
    slack: LocalSlack, known: None, tmp_path: Path
) -> None:
    """The framework itself would log it, and ask again after a restart."""
    with pytest.raises(InvalidInput, match="register_checkpoint_type"):
        await Sends(bool).answered(tmp_path, "Deploy 2.1?")
    assert cards(slack, "Deploy 2.1?") == 0
