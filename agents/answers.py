"""What an agent reads after people were asked: one fixed text per outcome, and the same as data in the metadata.

The text leaves nothing to guess (R16, R17): what was decided, by whom, why, what to do next and what not. Words of
people are quoted, a line each, so that they cannot pose as the decision. Code reads the metadata, never the text.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from autogen_agentchat.base import TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage

from bot.core.ids import Digest, RequestId, UserId
from bot.core.requests import How, Request, Status

METADATA: Final = "countersign"
"""The key of the decision in a message's metadata; its value is JSON, because AutoGen's metadata holds texts."""

_APPROVED_NEXT = (
    "Do next: go on with exactly the content that was shown, unchanged.\n"
    "Do not: change it, add to it, or do anything else that needs approval without asking again."
)
_NOT_ALLOWED = (
    "Do not: bring about this outcome in any other way, in parts, in other words or through another agent or tool; "
    "by any other way it is refused too. Silence is not consent."
)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as code reads it: `by` are Slack user ids, empty when no person decided."""

    request: RequestId
    digest: Digest
    outcome: Status
    how: How
    by: tuple[UserId, ...] = ()
    words: str = ""

    def who(self) -> str:
        """reviewer U0BOB, or reviewers U0BOB and U0EVE; "nobody" when no person decided."""
        if not self.by:
            return "nobody"
        return f"reviewer{'s' if len(self.by) > 1 else ''} {' and '.join(self.by)}"


def decided(request: Request) -> Decided:
    """The decision of a settled request; ValueError if it still waits."""
    if request.decision is None:
        raise ValueError(f"Request {request.id} is not decided.")
    decision = request.decision
    return Decided(request.id, request.digest, decision.outcome, decision.how, decision.by, decision.words)


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
    )


def answer(request: Request) -> str:
    """The text that the agents read about a settled request. ValueError if it still waits."""
    decision = decided(request)
    at = _when(request)
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            return _text(
                "APPROVED BY TIMEOUT",
                f"Nobody answered until {at}. This channel's settings say that the content then counts as approved; "
                "no person has looked at it.",
                _APPROVED_NEXT,
                decision,
            )
        case Status.APPROVED, _:
            return _text("APPROVED", f"Approved by {decision.who()} at {at}.", _APPROVED_NEXT, decision)
        case Status.EDITED, _:
            return _text(
                "APPROVED WITH CHANGES",
                f"Approved by {decision.who()} at {at}, but changed. Only the changed content is approved; what was "
                "asked for is not.",
                "Do next: go on with exactly the changed content.\n" + _NOT_ALLOWED,
                decision,
            )
        case Status.REJECTED, _:
            return _text(
                "REJECTED",
                f"Rejected by {decision.who()} at {at}. It was not done and must not be done.",
                "Do next: say in a sentence that it was not done and why, and do only what does not need it.\n"
                + _NOT_ALLOWED,
                decision,
            )
        case Status.ANSWERED, _:
            return _text(
                "ANSWERED, NOT APPROVED",
                f"Answered by {decision.who()} at {at}. This is neither an approval nor a rejection; nothing is "
                "approved, whatever the words say.",
                "Do next: work the reviewer's words in, and show the whole new content to be judged again.\n"
                "Do not: go on as if it were approved.",
                decision,
            )
        case Status.EXPIRED, _:
            return _text(
                "EXPIRED, NOBODY ANSWERED",
                f"Nobody answered until {at}. This is not a rejection and not an approval: nobody has decided, and "
                "nothing is approved.",
                "Do next: say in a sentence that nobody answered in time and that it was not done.\n" + _NOT_ALLOWED,
                decision,
            )
        case _:
            return _text(
                "WITHDRAWN",
                f"The question was taken back at {at} before anybody decided; nothing is approved.",
                "Do next: nothing that needed this answer.\n" + _NOT_ALLOWED,
                decision,
            )


def quoted(words: str) -> str:
    """Words of a person, every line behind `> `."""
    return "\n".join(f"> {line}" for line in words.splitlines())


def _text(title: str, facts: str, then: str, decision: Decided) -> str:
    parts = [f"DECISION: {title} (request {decision.request})", facts]
    if decision.words:
        parts.append(f"The words given with it, quoted:\n{quoted(decision.words)}")
    elif decision.outcome is Status.REJECTED:
        parts.append("No reason was given.")
    return "\n".join([*parts, then])


def _when(request: Request) -> str:
    at: datetime | None = request.decision.at if request.decision else None
    if request.decision is not None and request.decision.how is How.TIMEOUT:
        at = request.deadline
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "now"


class DecisionTermination(TerminationCondition):
    """Ends a team when people decided one of `outcomes`; `sources` are the humans' agent names, None means all.

    It reads the decision from the metadata that `agents.human.Reviewer` writes: an agent that says "APPROVED" ends
    nothing.
    """

    def __init__(self, outcomes: Collection[Status], sources: Collection[str] | None = None) -> None:
        self._outcomes = frozenset(outcomes)
        self._sources = None if sources is None else frozenset(sources)
        self._terminated = False

    @property
    def terminated(self) -> bool:
        return self._terminated

    async def __call__(self, messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> StopMessage | None:
        if self._terminated:
            raise TerminatedException("Termination condition has already been reached")
        for message in messages:
            if self._sources is not None and message.source not in self._sources:
                continue
            decision = decision_in(message)
            if decision is not None and decision.outcome in self._outcomes:
                self._terminated = True
                words = f"Decision: {decision.outcome} (request {decision.request})"
                return StopMessage(content=words, source="DecisionTermination")
        return None

    async def reset(self) -> None:
        self._terminated = False
