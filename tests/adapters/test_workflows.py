"""Workflows of Agent Framework: what they are answered, and how they go on after their program."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentExecutor,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FunctionInvocationLayer,
    Message,
    MiddlewareFailure,
    RunContext,
    ToolApprovalMiddleware,
    Workflow,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
    step,
    tool,
    workflow,
)

from countersign.client.exchange import Decision
from countersign.domain.errors import InvalidInput
from countersign.domain.typed_answers import UNANSWERED
from countersign.frameworks.agent_framework import SlackApprovals
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
async def test_workflow_receives_the_decision(
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


async def test_workflow_can_receive_the_whole_decision(bob: Bob, tmp_path: Path) -> None:
    running = asyncio.create_task((asks := Asks(Decision)).answered(tmp_path, "Deploy 2.1?"))
    await bob.presses("Deploy 2.1?", "Reject", {"reason": "too risky"})
    await running
    (decision,) = asks.answers
    assert (decision.outcome, decision.words) == ("rejected", "too risky")


@pytest.mark.parametrize(
    ("button", "window", "answer"),
    [
        ("Approve", None, "correct"),
        ("Reject", {"reason": "not correct"}, "exit: not cor·rect"),
        ("Request changes", {"answer": "higher"}, "higher"),
    ],
)
async def test_workflow_receives_its_own_keywords(
    bob: Bob, tmp_path: Path, button: str, window: Any, answer: str
) -> None:
    """R38: Agent Framework's guessing game ends by “correct”."""
    asks, approvals = Asks(str), SlackApprovals("#general", folder=tmp_path)
    coming = approvals.run_workflow(asks.built().build(), "Is it 5?", key="asks", approve="correct", reject="exit")
    running = asyncio.create_task(coming)
    await bob.presses("Is it 5?", button, window)
    await running
    assert asks.answers == [answer]


@pytest.mark.filterwarnings("ignore:.*FUNCTIONAL_WORKFLOWS:FutureWarning")
@pytest.mark.parametrize(("button", "paid"), [("Approve", [45.0]), ("Reject", [])])
async def test_functional_workflow_asks_people(bob: Bob, tmp_path: Path, button: str, paid: list[float]) -> None:
    """R19: its function asks, and runs an agent whose rule approves each call."""
    till = Till()

    @step
    async def write(topic: str) -> str:
        return f"Draft about {topic}"

    @workflow
    async def review(topic: str, ctx: RunContext) -> str:
        said = await ctx.request_info({"draft": await write(topic)}, response_type=str)
        return f"{said} {(await till.agent.run('Refund.', session=AgentSession())).text}"

    approvals = SlackApprovals("#general", folder=tmp_path)
    running = asyncio.create_task(approvals.run_workflow(review.build(), "AI", key="17"))
    await bob.presses("Draft about AI", "Request changes", {"answer": "Shorter."})
    card = asyncio.create_task(bob.card("Refund:"))
    await asyncio.wait({running, card}, return_when=asyncio.FIRST_COMPLETED)
    assert card.done(), running.result()
    window = None if button == "Approve" else {"reason": "too much"}
    await bob.presses("Refund:", button, window)
    assert (await running).get_outputs()[0].startswith("Shorter. ")
    assert till.paid == paid


@pytest.mark.parametrize("kind", [bool, str])
async def test_workflow_hears_that_nobody_answered(bob: Bob, tmp_path: Path, kind: type) -> None:
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
async def test_tool_in_a_workflow_runs_as_decided(
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
async def test_rule_approved_call_in_a_workflow_asks_people(
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


class Calls(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A model that makes one call, also in a stream, and then repeats its result."""

    def __init__(self, tool: str, **arguments: Any) -> None:
        super().__init__()
        self.call = Content.from_function_call(f"call_{tool}", tool, arguments=arguments)

    def _inner_get_response(self, *, messages: Any, stream: bool, **_: Any) -> Any:
        read = [str(one.result) for m in messages for one in m.contents if one.type == "function_result"]
        said = Content.from_text(read[-1]) if read else self.call

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            yield ChatResponseUpdate(role="assistant", contents=[said])

        async def whole() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", [said])])

        return self._build_response_stream(updates()) if stream else whole()


def within_a_tool(agent: Agent[Any]) -> Agent[Any]:
    return Agent(Calls("clerk", task="Refund."), name="boss", tools=[agent.as_tool()])


def within_a_function(agent: Agent[Any]) -> Agent[Any]:
    async def delegate() -> str:
        """Let the clerk do it."""
        return str((await agent.run("Refund.", session=AgentSession())).text)

    return Agent(Calls("delegate"), name="boss", tools=[tool(delegate)])


def within_a_workflow(agent: Agent[Any]) -> Workflow:
    inner = WorkflowBuilder(name="inner", start_executor=AgentExecutor(agent, id="clerk")).build()
    return WorkflowBuilder(name="outer", start_executor=AgentExecutor(inner.as_agent("inner"), id="boss")).build()


def within_an_executor(agent: Agent[Any]) -> Workflow:
    class Office(Executor):
        def __init__(self, desks: dict[str, list[Agent[Any]]]) -> None:
            super().__init__("office")
            self.desks = desks

        @handler
        async def work(self, asked: str, ctx: WorkflowContext[Any, str]) -> None:
            await ctx.yield_output((await self.desks["refunds"][0].run(asked, session=AgentSession())).text)

    return WorkflowBuilder(name="outer", start_executor=Office({"refunds": [agent]})).build()


@pytest.mark.parametrize("shape", [within_a_tool, within_a_function, within_a_workflow, within_an_executor])
async def test_nested_agent_asks_people(
    bob: Bob, tmp_path: Path, shape: Callable[[Agent[Any]], Agent[Any] | Workflow]
) -> None:
    """R19: its own rule approves each call, and it lacks our middleware."""
    till, approvals = Till(), SlackApprovals("#general", folder=tmp_path)
    till.agent.client, before = Calls("refund", order=17, euros=45.0), till.agent.middleware
    for key, (button, paid) in enumerate([("Reject", []), ("Approve", [45.0])]):
        outer, task = shape(till.agent), f"Refund {key}."
        coming: Coroutine[Any, Any, Any]
        if isinstance(outer, Workflow):
            coming = approvals.run_workflow(outer, task, key=task)
        else:
            coming = approvals.run(outer, task, key=task)
        running = asyncio.create_task(coming)
        card = asyncio.create_task(bob.card("Refund:"))
        await asyncio.wait({running, card}, return_when=asyncio.FIRST_COMPLETED)
        assert (card.done(), till.paid) == (True, [])
        await bob.presses("Refund:", button, {"reason": "too much"} if button == "Reject" else None)
        await running
        assert (till.paid, till.agent.middleware) == (paid, before)


async def test_concurrent_runs_may_share_an_agent(bob: Bob, tmp_path: Path) -> None:
    """R19: the run that ends first leaves the other one its middleware."""
    till, approvals = Till(), SlackApprovals("#general", folder=tmp_path)
    till.agent.client, before = Calls("refund", order=17, euros=45.0), till.agent.middleware
    second_began, first_ended = asyncio.Event(), asyncio.Event()

    async def run(key: str, began: Callable[[], object], until: asyncio.Event) -> None:
        class Waits(Executor):
            @handler
            async def wait(self, asked: str, ctx: WorkflowContext[str]) -> None:
                began()
                await until.wait()
                await ctx.send_message(asked)

        clerk = AgentExecutor(till.agent, id="clerk")
        workflow = WorkflowBuilder(name=key, start_executor=(start := Waits("waits"))).add_edge(start, clerk).build()
        await approvals.run_workflow(workflow, "Refund.", key=key)

    running: list[asyncio.Task[None]] = []
    first = asyncio.create_task(
        run(
            "first",
            lambda: running.append(asyncio.create_task(run("second", second_began.set, first_ended))),
            second_began,
        )
    )
    await bob.presses("Refund:", "Reject", {"reason": "too much"})
    await first
    first_ended.set()
    card = asyncio.create_task(bob.card("Refund:"))
    await asyncio.wait({running[0], card}, return_when=asyncio.FIRST_COMPLETED)
    assert (card.done(), till.paid) == (True, [])
    await bob.presses("Refund:", "Reject", {"reason": "too much"})
    await running[0]
    assert (till.paid, till.agent.middleware) == ([], before)


async def test_people_edit_a_call_that_a_rule_approves(bob: Bob, tmp_path: Path) -> None:
    """R13, R18: the rule approves the changed call too, and it runs once, as people changed it."""
    till = Till()
    workflow = WorkflowBuilder(name="refunds", start_executor=AgentExecutor(till.agent, id="clerk")).build()
    running = asyncio.create_task(
        SlackApprovals("#general", folder=tmp_path).run_workflow(workflow, "Refund.", key="17")
    )
    await bob.presses("Refund:", "Edit", {"Euros": "40", "why": "half"})
    assert "40.00 EUR were paid back." in str([one.text for one in (await running).get_outputs()])
    assert till.paid == [40.0]


async def test_workflow_that_could_act_unasked_is_refused(tmp_path: Path) -> None:
    """R19: a provider runs its own tools, out of reach of what asks people."""
    till, approvals = Till({"type": "mcp", "server_label": "depot"}), SlackApprovals("#general", folder=tmp_path)
    workflow = WorkflowBuilder(name="refunds", start_executor=AgentExecutor(till.agent, id="clerk")).build()
    for running in (approvals.run(till.agent, "Refund.", key="1"), approvals.run_workflow(workflow, "Go.", key="2")):
        with pytest.raises(InvalidInput, match="automatic approval rules and a tool that its provider runs"):
            await running


async def test_agent_run_outside_the_adapter_says_how_to_start(tmp_path: Path) -> None:
    """R19: with our middleware alone, and with a stream."""
    approvals = SlackApprovals("#general", folder=tmp_path)
    till = Till(middleware=[approvals])
    with pytest.raises(MiddlewareFailure, match="Start the agent with"):
        await till.agent.run("Refund.", session=AgentSession())
    with pytest.raises(InvalidInput, match="can't stream"):
        await approvals.run(till.agent, "Refund.", key="1", stream=True)
    assert till.paid == []


async def test_workflow_killed_after_the_decision_ends(
    slack: LocalSlack, bob: Bob, url: str, token: str, tmp_path: Path
) -> None:
    """R8: from its last step, and what is kept is for this account alone."""
    program = Program(tmp_path, TWO_STEPS, MODELS, environment(url, token))
    program.stops("before the end")
    await program.start()
    await bob.presses("Deploy 2.1?", "Approve")
    await program.said("stops at before the end")
    await program.kill()
    await program.start()
    assert await program.ended() == "Deploy 2.1? Deployed."
    assert (program.done(), cards(slack, "Deploy 2.1?")) == (["deployed"], 1)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "runs").iterdir() if path.suffix != ".lock")


async def test_workflow_left_waiting_continues(
    slack: LocalSlack, bob: Bob, url: str, token: str, tmp_path: Path
) -> None:
    """R8"""
    code = WORKFLOW.replace('folder="runs"', 'folder="runs", leave=True')
    program = await Program(tmp_path, code, MODELS, environment(url, token)).start()
    await program.said("Stopped to wait for people.")
    assert await program.wait() == 1
    command = (sys.executable, "-m", "countersign", "resume", str(tmp_path / "runs"))
    resuming = await asyncio.create_subprocess_exec(*command, cwd=HERE, env=program.env, stdout=PIPE)
    await bob.presses("Deploy 2.1?", "Approve")
    words, _ = await resuming.communicate()
    assert (resuming.returncode, "Deploy 2.1? Deployed." in words.decode()) == (0, True)
    assert cards(slack, "Deploy 2.1?") == 1


class Unknown:
    """A type of a program that the framework would not read back."""


class Sends(Asks):
    """It keeps something that no checkpoint can hold."""

    @handler
    async def start(self, asked: dict[str, Any] | str, ctx: WorkflowContext[Any, Any]) -> None:
        ctx.set_state("held", Unknown())
        await ctx.request_info(asked, bool)


async def test_workflow_that_could_not_resume_asks_nobody(slack: LocalSlack, known: None, tmp_path: Path) -> None:
    """The framework itself would log it, and ask again after a restart."""
    with pytest.raises(InvalidInput, match="register_checkpoint_type"):
        await Sends(bool).answered(tmp_path, "Deploy 2.1?")
    assert cards(slack, "Deploy 2.1?") == 0
