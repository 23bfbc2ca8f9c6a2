"""The turns of a conversation with people and its end, by metadata, not by text.

To let a conversation go on is not to approve anything: what `countersign.autogen.people.decision_messages.decision_in`
reads is never written here.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, HandoffMessage

from countersign.autogen.people.decision_messages import MetadataTermination, decision_in
from countersign.autogen.people.run_outcomes import Outcomes
from countersign.domain.ids import RequestId, UserId
from countersign.domain.request_endings import decided
from countersign.domain.requests import How, Request, Status
from countersign.domain.texts_for_models import quoted
from countersign.domain.typed_answers import Keywords, apart

METADATA: Final = "countersign_turn"
"""The key of a turn in a message's metadata; its value is JSON, because AutoGen's metadata holds texts."""
GO_ON: Final = "Please go on."


class EndReason(StrEnum):
    """The reasons for which a conversation is over."""

    STOPPED = "stopped"
    FINISHED = "finished"
    """Its agent says so, and people agree or are not asked."""
    LIMIT = "limit"
    """Nobody is asked, and the agents were answered as often as they may be."""
    UNANSWERED = "unanswered"
    """People were asked, and nobody answered in time (R17)."""
    UNJUDGED = "unjudged"
    """Nobody is asked, and `is_termination_msg` gave no answer."""


@dataclass(frozen=True, slots=True)
class ProxyTurn:
    """One turn of a proxy. `over` is None if the conversation goes on.

    `request` is None and `by` empty when nobody was asked; `words` are those of the person who answered.
    """

    over: EndReason | None = None
    request: RequestId | None = None
    by: tuple[UserId, ...] = ()
    words: str = ""


def turn_in(message: BaseAgentEvent | BaseChatMessage) -> ProxyTurn | None:
    """Return the turn in the message's metadata; None if no `HumanProxy` sent it."""
    raw = message.metadata.get(METADATA)
    if raw is None:
        return None
    data = json.loads(raw)
    return ProxyTurn(
        EndReason(data["over"]) if data["over"] else None,
        RequestId(data["request"]) if data["request"] else None,
        tuple(UserId(user) for user in data["by"]),
        data["words"],
    )


def over_in(message: BaseAgentEvent | BaseChatMessage) -> EndReason | None:
    """Return why this message ends the conversation; None if it does not.

    It can be a condition on the edges of a GraphFlow.
    """
    turn = turn_in(message)
    return turn.over if turn is not None else None


def for_people(message: BaseChatMessage, outcomes: Outcomes) -> str:
    """Return what people read of a message.

    Empty for what they wrote or decided themselves, which the run and the cards show, and where one agent hands on to
    another.
    """
    turn = turn_in(message)
    handed_on = isinstance(message, HandoffMessage) and message.target != "user"  # to an agent, whose words follow
    if message.source == "user" or handed_on or decision_in(message) or (turn and turn.request):
        return ""
    if turn is not None:
        return SENTENCES[turn.over] if turn.over else BY_RULE
    return outcomes.for_people(message.to_text()).strip()


def turn_metadata(turn: ProxyTurn) -> dict[str, str]:
    """Write the turn as the message's metadata."""
    return {METADATA: json.dumps({"schema": 1, **asdict(turn)})}


def turn_after(request: Request, auto_reply: str, *, to_end: bool) -> tuple[str, ProxyTurn]:
    """Return what the agents read after people were asked, and the turn.

    `to_end`: people were asked whether the conversation ends. Their words are the next message as they are: in this
    conversation they speak, and whatever they say approves nothing that needs an approval (R12). ValueError if the
    request still waits.
    """
    decision = decided(request)
    turn = ProxyTurn(None, request.id, decision.by, decision.words)
    match decision.outcome:
        case Status.ANSWERED:
            return decision.words, turn
        case Status.APPROVED if not to_end and decision.how is How.TIMEOUT:
            return (
                f"Nobody answered until {_at(request)}. This channel's settings say that the conversation then goes "
                f"on; no person has read the last message, and nothing is allowed by this.\n\n{auto_reply}",
                turn,
            )
        case Status.APPROVED if not to_end:
            return auto_reply, turn
        case Status.APPROVED if decision.how is How.TIMEOUT:
            over, facts = (
                EndReason.FINISHED,
                f"Nobody answered until {_at(request)}, and the last message says that it is.",
            )
        case Status.APPROVED:
            over, facts = (
                EndReason.FINISHED,
                f"So says the last message, and {decision.who()} agreed at {_at(request)}.",
            )
        case Status.REJECTED:
            over, facts = EndReason.STOPPED, f"Stopped by {decision.who()} at {_at(request)}."
            quote = (
                f"The words given with it, quoted:\n{quoted(apart(Keywords().approve, decision.words))}"
                if decision.words
                else ""
            )
            facts = f"{facts}\n{quote or 'No reason was given.'}"
        case Status.EXPIRED:
            over = EndReason.UNANSWERED
            facts = f"Nobody answered until {_at(request)}, so nobody let it go on."
        case _:
            over, facts = EndReason.STOPPED, f"The question was taken back at {_at(request)} before anybody answered."
    return _ended(over, f"{facts} (request {request.id})"), ProxyTurn(over, request.id, decision.by, decision.words)


def turn_by_itself(over: EndReason, *, limit: int, problem: str) -> tuple[str, ProxyTurn]:
    """Make a turn in which nobody is asked."""
    facts = {
        EndReason.LIMIT: f"The agents were answered {limit} times in a row without a person, which is the limit here.",
        EndReason.UNJUDGED: f"Nobody knows whether the last message is the last one: {problem}.",
    }.get(over, "So says the last message, and in this conversation nobody is asked.")
    return _ended(over, facts), ProxyTurn(over)


_TITLES: Final = {
    EndReason.STOPPED: "STOPPED",
    EndReason.FINISHED: "FINISHED",
    EndReason.LIMIT: "REPLY LIMIT REACHED",
    EndReason.UNANSWERED: "NOBODY ANSWERED",
    EndReason.UNJUDGED: "NOT KNOWN WHETHER FINISHED",
}


SENTENCES: Final = {
    EndReason.STOPPED: "People stopped the conversation.",
    EndReason.FINISHED: "The conversation is finished.",
    EndReason.LIMIT: "The conversation has ended: nobody is asked, and it was answered as often as it may be.",
    EndReason.UNANSWERED: "The conversation has ended: nobody answered in time.",
    EndReason.UNJUDGED: "The conversation has ended: nobody could tell whether it was finished.",
}
"""What people read instead of the text for the agents."""
BY_RULE: Final = "Let the agents go on, by its rule."


def _ended(over: EndReason, facts: str) -> str:
    return (
        f"CONVERSATION OVER: {_TITLES[over]}\n{facts}\n"
        "Do next: nothing more of this task.\n"
        "Do not: go on with it in any other way, or through another agent or tool. Nothing that needs an approval was "
        "allowed by this; silence is not consent."
    )


def _at(request: Request) -> str:
    assert request.decision is not None
    late = request.decision.how is How.TIMEOUT and request.deadline
    return f"{late or request.decision.at:%Y-%m-%d %H:%M:%S} UTC"


class ConversationOver(MetadataTermination):
    """A condition that ends the team when a `HumanProxy` ends the conversation.

    `sources` are the proxies, None means all. It reads the metadata that `HumanProxy` writes: an agent that says
    “CONVERSATION OVER” ends nothing (R12). A team with a proxy needs it, or its agents go on answering a proxy that has
    ended the conversation.
    """

    def why(self, message: BaseAgentEvent | BaseChatMessage) -> str:
        over = over_in(message)
        return "" if over is None else f"The conversation is over: {over}"
