"""Decisions as metadata of messages, and termination conditions that read them.

Code reads the metadata and never the text that agents read (`countersign.domain.texts_for_models`).
"""

import json
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Final

from autogen_agentchat.base import TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage

from countersign.domain.ids import Digest, RequestId, UserId
from countersign.domain.request_endings import Decided
from countersign.domain.requests import How, Status

METADATA: Final = "countersign"
"""The key of the decision in a message's metadata; its value is JSON, because AutoGen's metadata holds texts."""


def decision_metadata(decision: Decided) -> dict[str, str]:
    """Write the decision as metadata of the message that brings it to the agents."""
    return {
        METADATA: json.dumps(
            {
                "schema": 1,
                "request": decision.request,
                "digest": decision.digest,
                "outcome": decision.outcome,
                "how": decision.how,
                "by": decision.by,
                "words": decision.words,
                "chosen": decision.chosen,
                **({"content": decision.content} if decision.content else {}),
                **({"names": decision.names} if any(decision.names) else {}),
            }
        )
    }


def decision_in(message: BaseAgentEvent | BaseChatMessage) -> Decided | None:
    """Return the decision in the message's metadata; None if there is none."""
    raw = message.metadata.get(METADATA)
    if raw is None:
        return None
    data = json.loads(raw)
    return Decided(
        RequestId(data["request"]),
        Digest(data["digest"]),
        Status(data["outcome"]),
        How(data["how"]),
        tuple(UserId(user) for user in data["by"]),
        data["words"],
        tuple(data.get("chosen", ())),
        data.get("content", ""),
        tuple(data.get("names", ())),
    )


class MetadataTermination(TerminationCondition):
    """A condition that ends the team at the first message whose metadata says so.

    `why` reads it. An agent's words end nothing (R12). `sources` are the agents that count, None means all.
    """

    def __init__(self, sources: Collection[str] | None = None) -> None:
        self._sources = None if sources is None else frozenset(sources)
        self._terminated = False

    @abstractmethod
    def why(self, message: BaseAgentEvent | BaseChatMessage) -> str:
        """Return the reason to end, a sentence, from the message's metadata; "" to go on."""

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


class DecisionTermination(MetadataTermination):
    """A condition that ends the team when people decided one of `outcomes`.

    `sources` are the humans' agent names, None means all. It reads the metadata that
    `countersign.frameworks.autogen.people.user_proxy.Reviewer` writes: an agent that says "APPROVED" ends nothing.
    """

    def __init__(self, outcomes: Collection[Status], sources: Collection[str] | None = None) -> None:
        super().__init__(sources)
        self._outcomes = frozenset(outcomes)

    def why(self, message: BaseAgentEvent | BaseChatMessage) -> str:
        decision = decision_in(message)
        if decision is None or decision.outcome not in self._outcomes:
            return ""
        return f"Decision: {decision.outcome} (request {decision.request})"
