"""High-risk approval: the person opens all of the content and types a word.

A click becomes a reflex, and so does a word that is always the same; therefore the word is the tool's name. The
submitted modal proves that somebody opened all of the content: it is made for one person, and its last part opens only
from the part before. Slack keeps the modal and signs its submission. Therefore nothing is stored when a modal opens,
and any web process can judge a submission. This module compares the user for whom the modal was opened with the user
who submits it.
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
    """Tell whether the person must open all of the request before the verb counts."""
    return request.rules.risk is Risk.HIGH and verb in APPROVING


def word(request: Request) -> str:
    """Return the word to type for an approval; "" where several people must approve."""
    if request.rules.quorum > 1:
        return ""
    question = request.question
    # A question in doubt carries the name of the tool that may have run.
    name = question.call.tool if question.call is not None else question.agent if question.kind is Kind.IN_DOUBT else ""
    return name if _TYPABLE.fullmatch(name) else _OTHERWISE


def why_not(request: Request, verb: Verb, by: UserId, opened_for: UserId | None, typed: str) -> Refusal | None:
    """Return why this attempt cannot approve a high-risk request; None if it can."""
    if not is_asked(request, verb):
        return None
    if opened_for != by:
        return Refusal.NOT_OPENED
    expected = word(request)
    return Refusal.NOT_TYPED if expected and _letters(typed) != _letters(expected) else None


def _letters(text: str) -> str:
    """Drop capitals and punctuation: phones add capitals and hide punctuation."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
