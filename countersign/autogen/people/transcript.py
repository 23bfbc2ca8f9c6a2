"""Transcript of a team: which words stand before a question of AutoGen."""

import asyncio
from collections.abc import Callable

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, UserInputRequestedEvent


class Transcript:
    """The words of a team, in the order of its stream.

    `input_func` is told nothing of it, and the stream may deliver the event of a question after `input_func` was
    entered; so the words before a question are waited for.
    """

    def __init__(self) -> None:
        self.last: BaseChatMessage | None = None
        self.says: Callable[[BaseChatMessage], object] = lambda message: None
        """Called with what the teams inside of tools say, which is in no stream of this one."""
        self._tell: Callable[[BaseChatMessage], object] = lambda message: None
        self._before: dict[str, asyncio.Future[BaseChatMessage | None]] = {}

    def inside(self) -> "Transcript":
        """Return the transcript of a team inside a tool; its questions are known here too."""
        inner = Transcript()
        inner._before, inner.says, inner._tell = self._before, self.says, self.says
        return inner

    def heard(self, item: BaseAgentEvent | BaseChatMessage | TaskResult) -> None:
        """Take down one item of the stream."""
        if isinstance(item, UserInputRequestedEvent):
            if not (slot := self._slot(item.request_id)).done():
                slot.set_result(self.last)
        elif isinstance(item, BaseChatMessage):
            self.last = item
            self._tell(item)

    async def before(self, request_id: str) -> BaseChatMessage | None:
        """Return the last message before AutoGen's question of this id, if any."""
        return await self._slot(request_id)

    def _slot(self, request_id: str) -> asyncio.Future[BaseChatMessage | None]:
        if request_id not in self._before:
            self._before[request_id] = asyncio.get_running_loop().create_future()
        return self._before[request_id]
