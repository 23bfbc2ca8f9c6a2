"""The messages of a team, in the order of its stream."""

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
        self.on_message: Callable[[BaseChatMessage], object] = lambda message: None
        """Called with what the teams inside of tools say, which is in no stream of this one."""
        self._on_message_outside: Callable[[BaseChatMessage], object] = lambda message: None
        self._words: dict[str, asyncio.Future[BaseChatMessage | None]] = {}

    def nested(self) -> "Transcript":
        """Return the transcript of a team inside a tool; its questions are known here too."""
        inner = Transcript()
        inner._words, inner.on_message, inner._on_message_outside = self._words, self.on_message, self.on_message
        return inner

    def record(self, item: BaseAgentEvent | BaseChatMessage | TaskResult) -> None:
        """Take down one item of the stream."""
        if isinstance(item, UserInputRequestedEvent):
            if not (slot := self._slot(item.request_id)).done():
                slot.set_result(self.last)
        elif isinstance(item, BaseChatMessage):
            self.last = item
            self._on_message_outside(item)

    async def words_before(self, request_id: str) -> BaseChatMessage | None:
        """Return the last message before AutoGen's question of this id, if any."""
        return await self._slot(request_id)

    def _slot(self, request_id: str) -> asyncio.Future[BaseChatMessage | None]:
        if request_id not in self._words:
            self._words[request_id] = asyncio.get_running_loop().create_future()
        return self._words[request_id]
