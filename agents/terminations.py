"""What ends a team because of a message's metadata: words that an agent says end nothing (R12)."""

from abc import abstractmethod
from collections.abc import Collection, Sequence

from autogen_agentchat.base import TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage


class MetadataTermination(TerminationCondition):
    """Ends a team at the first message of which `why` says so; `sources` are the agents that count, None means all."""

    def __init__(self, sources: Collection[str] | None = None) -> None:
        self._sources = None if sources is None else frozenset(sources)
        self._terminated = False

    @abstractmethod
    def why(self, message: BaseAgentEvent | BaseChatMessage) -> str:
        """In a sentence, by the message's metadata alone; "" if the team goes on."""

    @property
    def terminated(self) -> bool:
        return self._terminated

    async def __call__(self, messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> StopMessage | None:
        if self._terminated:
            raise TerminatedException("Termination condition has already been reached")
        for message in messages:
            if (self._sources is None or message.source in self._sources) and (why := self.why(message)):
                self._terminated = True
                return StopMessage(content=why, source=type(self).__name__)
        return None

    async def reset(self) -> None:
        self._terminated = False
