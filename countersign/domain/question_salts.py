"""Salt and asker of a question.

A run draws a random salt when it starts, and each of its questions has one derived from it. So a rebuilt run that asks
the same finds the same request, and nobody who has the record finds a PIN by hashing guesses: salts are in no record,
no receipt and no export.
"""

from dataclasses import replace
from typing import Final

from countersign.domain.ids import Digest, digest_of
from countersign.domain.requests import ABOUT_THE_RUN, Question, Request, digest, request_id, slot_of

_LENGTH: Final = 24
"""Hex digits of a question's salt: as many as a run's has."""
_TO: Final = " to "
"""AutoGen's names have no spaces; those of steps, about which only the run asks, may have."""


def salted(question: Question, salt: str) -> Question:
    """Give the question the salt that it has in a run of this salt."""
    return replace(question, salt=digest_of(salt, slot_of(question))[:_LENGTH]) if salt else question


def unsalted(question: Question) -> Digest:
    """Digest the content to the same value in any run, for this program only."""
    return digest(replace(question, salt=""))


def unchanged(request: Request) -> bool:
    """Tell whether the request has the words that its id was made of (R13)."""
    return request.id == request_id(request.run, request.question)


def asking(agent: str, whom: str) -> str:
    """Make the `Question.agent` of an agent that asks several people separately."""
    return f"{agent}{_TO}{whom}"


def asker(question: Question) -> str:
    """Return the asking agent's name, or that of the step that the run asks about."""
    return question.agent if question.kind in ABOUT_THE_RUN else asking_agent(question.agent)


def asking_agent(name: str) -> str:
    """Return the agent's name without the people whom it asks separately."""
    return name.partition(_TO)[0]
