"""Teams whose branches wait for more than results: refusals, local work, errors, slow tools, and nothing any more."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import ChatAgent, Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
from autogen_core import CancellationToken
from autogen_core.models import CreateResult, LLMMessage
from autogen_core.tools import FunctionTool, StaticWorkbench, ToolSchema

from countersign.domain.actions import Action
from countersign.frameworks.autogen.models.wrapper import WrappedModel
from countersign.frameworks.autogen.run_context import Run
from tests.autogen.rebuild_teams import SCRIPT, SLOW, World

SCRIPT.update(
    {
        "thrifty": [[("order", {"item": "gold"})], "Then no gold.", "Not at all."],
        "prudent": [[("order", {"item": "gold"})], "No gold either."],
        "clumsy": [[("look", {"item": "pens"})], "There are pens."],
        "browser": [[("stare", {"item": "pens"}), ("find", {"item": "pens"})]],
    }
)
SLOW.update({"thrifty": 0.001, "prudent": 0.002})


class Thinker(BaseChatAgent):
    """Thinks in a thread, and asks nobody."""

    def __init__(self, name: str, think: Callable[[], None]) -> None:
        super().__init__(name, "thinks")
        self._think = think

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        await asyncio.to_thread(self._think)
        return Response(chat_message=TextMessage(content=f"{self.name} has thought.", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


class Impatient(Thinker):
    """Asks people about a call, and goes on without their answer after a moment."""

    def __init__(self, world: World, run: Run) -> None:
        super().__init__("impatient", lambda: None)

        async def order(item: str) -> str:
            """Order one."""
            world.done.append(f"ordered {item}")
            return world.done[-1]

        self._tools = run.tools(self.name, [order], ask=True)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        said = "Nobody has answered."
        try:
            async with asyncio.timeout(0.25):
                said = (await self._tools.call_tool("order", {"item": "gold"}, cancellation_token)).to_text()
        except TimeoutError:
            pass
        return Response(chat_message=TextMessage(content=said, source=self.name))


class Hurried(Impatient):
    """Waits for its answers at first; where they are recorded, its deadline has passed before it asks again."""

    def __init__(self, world: World, run: Run) -> None:
        super().__init__(world, run)
        self._journal = run.held.journal
        self._people = run.human("passer-by", title="Which pens?")

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        async with asyncio.timeout(self._deadline("human", "passer-by")):
            status = (await self._people.questions.ask(self._people, messages[-1], cancellation_token)).status
        async with asyncio.timeout(self._deadline("tool", "impatient")):
            ordered = (await self._tools.call_tool("order", {"item": "pens"}, cancellation_token)).to_text()
        return Response(chat_message=TextMessage(content=f"{status}, {ordered}", source=self.name))

    def _deadline(self, kind: str, name: str) -> float | None:
        came = any(name in key and entry.state == "done" for key, entry in self._journal.of_kind(kind).items())
        return 0 if came else None


class Retrying(WrappedModel):
    """Asks again after an error that says so, as clients of teams do."""

    async def create(self, messages: Sequence[LLMMessage], **more: Any) -> CreateResult:
        for _ in range(3):
            try:
                return await self._model.create(messages, **more)
            except BusyError as busy:
                if busy.status_code != 503:
                    raise
        raise AssertionError("The model is busy for ever.")


class BusyError(Exception):
    """Of a provider."""

    def __init__(self, *, status_code: int) -> None:
        super().__init__(f"Error {status_code}")
        self.status_code = status_code


def merged(world: World, run: Run, branches: Sequence[Sequence[ChatAgent]]) -> AutoGenTeam:
    """A writer, branches that go on at once, and a human who sees what they said, and a merger."""
    writer, human, merger = world.agent(run, "writer"), run.reviewer("human"), world.agent(run, "merger")
    graph = DiGraphBuilder().add_node(writer).add_node(human).add_node(merger)
    for branch in branches:
        for agent in branch:
            graph.add_node(agent)
        for one, other in zip((writer, *branch), (*branch, human), strict=True):
            graph.add_edge(one, other)
    graph.add_edge(human, merger)
    agents = [agent for branch in branches for agent in branch]
    return GraphFlow([writer, *agents, human, merger], graph.build())


def refusals(world: World, run: Run) -> AutoGenTeam:
    """A policy refuses what two branches want; one reads the refusal and goes on."""

    def forbidden(name: str, *, reads: bool) -> AssistantAgent:
        async def order(item: str) -> str:
            """Order one."""
            raise AssertionError("It was refused.")

        tools = [run.tools(name, [order], ask={"order": Action.DENY})]
        return world.agent(run, name, more_tools=tools, reflect_on_tool_use=reads)

    branches = [[forbidden("thrifty", reads=True)], [world.agent(run, "legal")], [forbidden("prudent", reads=False)]]
    return merged(world, run, branches)


def local_work(world: World, run: Run) -> AutoGenTeam:
    """Local work beside models: done before one has answered, and after the other."""

    def quick() -> None:
        time.sleep(0.01)
        world.thought.set()

    async def answers_later(messages: Sequence[LLMMessage]) -> None:
        await asyncio.to_thread(world.thought.wait)
        for _ in range(200):  # what was thought has reached the others by then
            await asyncio.sleep(0)

    def slow() -> None:
        world.answered.wait()
        time.sleep(0.02)

    world.model.before["clumsy"] = answers_later
    world.model.after["finance"] = world.answered.set
    branches: list[list[ChatAgent]] = [
        [Thinker("quick", quick)],
        [world.agent(run, "clumsy", reflect_on_tool_use=True)],
        [Thinker("slow", slow), world.agent(run, "legal")],
        [world.agent(run, "finance")],
    ]
    return merged(world, run, branches)


def retrying(world: World, run: Run) -> AutoGenTeam:
    """A model fails twice, and the team's own client asks it again."""
    failures = [BusyError(status_code=503), BusyError(status_code=503)]

    async def fails(messages: Sequence[LLMMessage]) -> None:
        if world.failed < len(failures):
            world.failed += 1
            raise failures[world.failed - 1]

    world.model.before["clumsy"] = fails
    client = Retrying(run.model("clumsy"))
    clumsy = world.agent(run, "clumsy", reflect_on_tool_use=True, model_client=client)
    return merged(world, run, [[clumsy], [world.agent(run, "legal")]])


class SlowToList(StaticWorkbench):
    """Tells what it has after a while, like a server elsewhere."""

    async def list_tools(self) -> list[ToolSchema]:
        await asyncio.to_thread(time.sleep, 0.12)
        return await super().list_tools()


def slow_list(world: World, run: Run) -> AutoGenTeam:
    """Two calls at once, of which one is made only after a long look at what there is."""

    async def find(item: str) -> str:
        """Find one."""
        world.done.append(f"found {item}")
        return world.done[-1]

    async def stare(item: str) -> str:
        """Look at one for a long time."""
        await asyncio.to_thread(time.sleep, 0.5)
        return f"{item} all over"

    quick = run.tools("browser", [stare], ask=False, idempotent=True)
    slow = run.tools("browser", SlowToList([FunctionTool(find, "Find one.")]), ask=False)
    return merged(world, run, [[world.agent(run, "browser", workbench=[quick, slow])], [world.agent(run, "legal")]])


def impatient(world: World, run: Run) -> AutoGenTeam:
    """A question is left by the team itself, beside a branch that goes on."""
    return merged(world, run, [[Impatient(world, run), world.agent(run, "finance")], [world.agent(run, "legal")]])


def hurried(world: World, run: Run) -> AutoGenTeam:
    """Answers that had come come again, though the team's own deadline passes before, beside a branch that works."""

    def slow() -> None:
        time.sleep(0.02)

    return merged(world, run, [[Hurried(world, run), world.agent(run, "finance")], [Thinker("slow", slow)]])


SHAPES: Mapping[str, Callable[[World, Run], AutoGenTeam]] = {
    build.__name__: build for build in (refusals, local_work, retrying, slow_list, impatient, hurried)
}
