"""Salt and asker of a question.

A run draws a random salt when it starts, and the salt of each of its questions is derived from it. A rebuilt run that
asks the same question therefore finds the same request. Nobody who has the record can find a PIN by hashing guesses,
because salts are never in a record, a receipt or an export.
"""

from dataclasses import replace
from typing import Final

from countersign.domain.ids import Digest, digest_of
from countersign.domain.requests import ABOUT_THE_RUN, Question, Request, digest, request_id, slot_of

_LENGTH: Final = 24
"""Hex digits of a question's salt: as many as a run's has."""
_TO: Final = " to "
"""AutoGen's names have no spaces. Names of steps may, but only the run itself asks about steps."""


def salted(question: Question, salt: str) -> Question:
    """Give the question the salt derived from its run's salt."""
    return replace(question, salt=digest_of(salt, slot_of(question))[:_LENGTH]) if salt else question


def unsalted(question: Question) -> Digest:
    """Digest the content without a salt, equal in all runs; internal use only."""
    return digest(replace(question, salt=""))


def unchanged(request: Request) -> bool:
    """Tell whether the request's text is the one that its id was derived from (R13)."""
    return request.id == request_id(request.run, request.question)


def asking(agent: str, whom: str) -> str:
    """Make `Question.agent` for an agent that asks several people separately."""
    return f"{agent}{_TO}{whom}"


def asker(question: Question) -> str:
    """Return the name of the asking agent, or of the step that the run asks about."""
    return question.agent if question.kind in ABOUT_THE_RUN else asking_agent(question.agent)


def asking_agent(name: str) -> str:
    """Return the agent's name without the people whom it asks separately."""
    return name.partition(_TO)[0]
