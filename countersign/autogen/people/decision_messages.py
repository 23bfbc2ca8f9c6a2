"""Decisions as data in the metadata of messages, and conditions that read them.

Code reads the metadata and never the text that agents read (`countersign.autogen.people.decision_texts`).
"""

import json
from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from autogen_agentchat.base import TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage

from countersign.domain.diffs import changed_fields
from countersign.domain.ids import Digest, RequestId, UserId
from countersign.domain.requests import How, Request, Status

METADATA: Final = "countersign"
"""The key of the decision in a message's metadata; its value is JSON, because AutoGen's metadata holds texts."""
LONGEST_CHANGE: Final = 500
"""Characters of a value in the list of what was changed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as code reads it: `by` are Slack user ids, empty when no person decided."""

    request: RequestId
    digest: Digest
    outcome: Status
    how: How
    by: tuple[UserId, ...] = ()
    words: str = ""
    chosen: tuple[str, ...] = ()

    def who(self) -> str:
        """reviewer U0BOB, or reviewers U0BOB and U0EVE; "nobody" when no person decided, or a rule of the workspace."""
        if not self.by:
            return "a rule of the workspace" if self.how is How.POLICY else "nobody"
        if self.how is How.BREAK_GLASS:
            return f"{self.by[0]} alone, who started the run, in an emergency (break-glass)"
        return f"reviewer{'s' if len(self.by) > 1 else ''} {' and '.join(self.by)}"


def decided(request: Request) -> Decided:
    """The decision of a settled request; ValueError if it still waits."""
    if request.decision is None:
        raise ValueError(f"Request {request.id} is not decided.")
    decision = request.decision
    return Decided(
        request.id, request.digest, decision.outcome, decision.how, decision.by, decision.words, decision.chosen
    )


def metadata_of(decision: Decided) -> dict[str, str]:
    """For the metadata of the message that brings the decision to the agents."""
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
            }
        )
    }


def decision_in(message: BaseAgentEvent | BaseChatMessage) -> Decided | None:
    """The decision that a message brings, from its metadata alone; None if it brings none."""
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
    )


def quoted(words: str) -> str:
    """Words of a person, every line behind `> `."""
    return "\n".join(f"> {line}" for line in words.splitlines())


def changes(request: Request) -> list[str]:
    """List what a reviewer changed in a call, a line for each place, secrets hidden."""
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not decision.arguments:
        return []
    fields = changed_fields(json.loads(call.arguments), json.loads(decision.arguments), call.hidden)
    return [f"{path}: {_short(before)} → {_short(after)}" for path, before, after in fields]


def _short(value: str) -> str:
    if not value:
        return "(nothing)"
    return value if len(value) <= LONGEST_CHANGE else f"{value[:LONGEST_CHANGE]}… ({len(value):,} characters)"


class MetadataTermination(TerminationCondition):
    """Ends a team at the first message of which `why` says so, by its metadata: words of an agent end nothing (R12).

    `sources` are the agents that count, None means all.
    """

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


class DecisionTermination(MetadataTermination):
    """Ends a team when people decided one of `outcomes`; `sources` are the humans' agent names, None means all.

    It reads the decision from the metadata that `countersign.autogen.people.human.Reviewer` writes: an agent that
    says "APPROVED" ends nothing.
    """

    def __init__(self, outcomes: Collection[Status], sources: Collection[str] | None = None) -> None:
        super().__init__(sources)
        self._outcomes = frozenset(outcomes)

    def why(self, message: BaseAgentEvent | BaseChatMessage) -> str:
        decision = decision_in(message)
        if decision is None or decision.outcome not in self._outcomes:
            return ""
        return f"Decision: {decision.outcome} (request {decision.request})"
