"""What goes on beside a model: a refusal, local work, an error that is tried again, and a question that is left."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
from autogen_core import CancellationToken
from autogen_core.models import CreateResult, LLMMessage

from countersign.domain.actions import Action
from countersign.domain.request_endings import decided
from countersign.frameworks.autogen.models.wrapper import WrappedModel
from countersign.frameworks.autogen.run_context import Run
from tests.chaos.chaos_agents import Asker, Doer
from tests.chaos.side_effects import act, hear

_LONGEST = 0.05
_PATIENCE = 1.5


class Busy(ConnectionError):
    """What a model's client raises now and then."""


def script(agent: str, messages: Sequence[LLMMessage]) -> str:
    """A model that has no time now and then; its words depend on what it was told, and on the order of that."""
    if random.random() < 0.4:
        raise Busy(agent)
    return f"{agent} has read: {' | '.join(str(message.content)[:60] for message in messages[1:])}"


class Retrying(WrappedModel):
    """Asks again until it is answered."""

    async def create(self, messages: Sequence[LLMMessage], **more: Any) -> CreateResult:
        while True:
            try:
                return await self._model.create(messages, **more)
            except ConnectionError:
                await asyncio.sleep(random.uniform(0, _LONGEST))


class Speaker(BaseChatAgent):
    """Says one sentence."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "goes on beside a model")

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        return Response(chat_message=TextMessage(content=await self.say(messages[-1]), source=self.name))

    async def say(self, last: BaseChatMessage) -> str:
        raise NotImplementedError

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


class Thinker(Speaker):
    """Works in a thread for a moment, and asks nobody."""

    async def say(self, last: BaseChatMessage) -> str:
        await asyncio.to_thread(time.sleep, random.uniform(0, _LONGEST))
        return "I have thought."


class Forbidden(Speaker):
    """Wants what its team's policy refuses."""

    def __init__(self, run: Run) -> None:
        super().__init__("forbidden")

        async def leak(part: str) -> str:
            """Never happens."""
            raise AssertionError("It was refused.")

        self._tools = run.tools(self.name, [leak], ask={"leak": Action.DENY})

    async def say(self, last: BaseChatMessage) -> str:
        return (await self._tools.call_tool("leak", {"part": "all"})).to_text()


class Impatient(Speaker):
    """Asks people and goes on without them after a moment; what they approve until then is done."""

    def __init__(self, run: Run) -> None:
        super().__init__("impatient")
        self._run = run
        self._people = run.human("passer-by", title="Quick, is this right?")

    async def say(self, last: BaseChatMessage) -> str:
        desk = self._people.questions
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await desk.ask(self._people, last, None)
        except TimeoutError:
            return "Nobody had time."
        decision = decided(request)
        hear(self._run, decision)
        return f"They say: {request.status}, {await act(self._run, decision)}"


def beside(run: Run, agent: BaseChatAgent) -> AutoGenTeam:
    """The agent and a model at once; a writer reads both, people judge its words, and what they approve is done."""
    asker, doer, human = Asker(run), Doer(run), run.reviewer("reviewer", title="Do this, after both?")
    model, writer = (
        AssistantAgent(name, model_client=Retrying(run.model(name)), system_message=name)
        for name in ("model", "writer")
    )
    graph = DiGraphBuilder()
    for node in (asker, agent, model, writer, human, doer):
        graph.add_node(node)
    for branch in (agent, model):
        graph.add_edge(asker, branch).add_edge(branch, writer)
    graph.add_edge(writer, human).add_edge(human, doer)
    return GraphFlow([asker, agent, model, writer, human, doer], graph=graph.build())
