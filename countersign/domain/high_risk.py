"""Approving what is of high risk: by who opened all of it, and typed a word there or is one of several.

A click is a reflex, and so is a word that is always the same; so the word is what the tool is called. That somebody
opened all of it is known from the window that they send: we made it, for one person, and give its last part only to
who sent the one before; Slack keeps it and signs what comes from it. So nothing is stored when a window opens, any web
process can judge what is sent, and who it was opened for is compared here with who sends it.
"""

import re
from typing import Final

from countersign.domain.channel_settings import Risk
from countersign.domain.ids import UserId
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Kind, Request, Verb

APPROVING: Final = frozenset({Verb.APPROVE, Verb.EDIT})
_TYPABLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}")
_OTHERWISE: Final = "approve"


def is_asked(request: Request, verb: Verb) -> bool:
    """Whether all of the request must be opened before this counts."""
    return request.rules.risk is Risk.HIGH and verb in APPROVING


def word(request: Request) -> str:
    """What is typed to approve the request, if it is of high risk; "" where several people must approve."""
    if request.rules.quorum > 1:
        return ""
    question = request.question
    # A doubt is asked in the name of what may have happened.
    name = question.call.tool if question.call is not None else question.agent if question.kind is Kind.IN_DOUBT else ""
    return name if _TYPABLE.fullmatch(name) else _OTHERWISE


def why_not(request: Request, verb: Verb, by: UserId, opened_for: UserId | None, typed: str) -> Refusal | None:
    """Why this does not approve a request of high risk; None if it does, or if the request is of less."""
    if not is_asked(request, verb):
        return None
    if opened_for != by:
        return Refusal.NOT_OPENED
    wanted = word(request)
    return Refusal.NOT_TYPED if wanted and _letters(typed) != _letters(wanted) else None


def _letters(text: str) -> str:
    """Capitals and signs do not count: a phone adds the one, and has the other on a second keyboard."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
