"""Agents without a model, for the teams here: one asks, one does what was approved, one calls a tool."""

import asyncio
from collections.abc import Sequence

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_core import CancellationToken

from countersign.frameworks.autogen.people.decision_messages import decision_in
from countersign.frameworks.autogen.run_context import Run
from tests.chaos.side_effects import act, act_on, hear


class Asker(BaseChatAgent):
    """Proposes the next part of the task each time."""

    def __init__(self, run: Run) -> None:
        super().__init__("asker", "proposes a part of the task")
        self._task = run.task
        self._parts = 0

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        self._parts += 1
        return Response(chat_message=TextMessage(content=f"Part {self._parts} of: {self._task}", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        self._parts = 0


class Doer(BaseChatAgent):
    """Does every part that it hears was approved."""

    def __init__(self, run: Run) -> None:
        super().__init__("doer", "does what was approved")
        self._run = run

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        done = []
        for message in messages:
            if (decision := decision_in(message)) is not None:
                hear(self._run, decision)
                done.append(f"{decision.request} {await act(self._run, decision)}")
        return Response(chat_message=TextMessage(content=f"Heard: {', '.join(done) or 'nothing'}", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


class Caller(BaseChatAgent):
    """Calls a tool for each part of the task, all at once."""

    def __init__(self, run: Run) -> None:
        super().__init__("caller", "does the parts of the task")
        self._task = run.task

        async def do(part: str) -> str:
            """Do one part."""
            return await act_on(run, part)

        self._tools = run.tools("caller", [do])

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        parts = (f"Part {number} of: {self._task}" for number in (1, 2, 3))
        told = await asyncio.gather(
            *(self._tools.call_tool("do", {"part": part}, cancellation_token, part) for part in parts)
        )
        return Response(chat_message=TextMessage(content="\n".join(one.to_text() for one in told), source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...
