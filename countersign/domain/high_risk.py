"""Approval of high risk: by people who opened all of it, and typed a word there.

A click is a reflex, and so is a word that is always the same; so the word is the tool's name. The modal that is sent
proves that somebody opened all of the content: it is made for one person, and its last part comes only in answer to
the one before; Slack keeps it and signs what comes from it. So nothing is stored when a modal opens, any web process
can judge what is sent, and here the user it was opened for is compared with the user who sends it.
"""

import re
from typing import Final

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import Risk
from countersign.domain.ids import UserId
from countersign.domain.requests import Kind, Request, Verb

APPROVING: Final = frozenset({Verb.APPROVE, Verb.EDIT})
_TYPABLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}")
_OTHERWISE: Final = "approve"


def is_asked(request: Request, verb: Verb) -> bool:
    """Tell whether all of the request must be opened before this counts."""
    return request.rules.risk is Risk.HIGH and verb in APPROVING


def word(request: Request) -> str:
    """Return the word to type for an approval; "" where several people must approve."""
    if request.rules.quorum > 1:
        return ""
    question = request.question
    # A doubt is asked in the name of what may have happened.
    name = question.call.tool if question.call is not None else question.agent if question.kind is Kind.IN_DOUBT else ""
    return name if _TYPABLE.fullmatch(name) else _OTHERWISE


def why_not(request: Request, verb: Verb, by: UserId, opened_for: UserId | None, typed: str) -> Refusal | None:
    """Return why this does not approve a request of high risk; None if it does."""
    if not is_asked(request, verb):
        return None
    if opened_for != by:
        return Refusal.NOT_OPENED
    expected = word(request)
    return Refusal.NOT_TYPED if expected and _letters(typed) != _letters(expected) else None


def _letters(text: str) -> str:
    """Drop capitals and signs: a phone adds the one, and hides the other."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
