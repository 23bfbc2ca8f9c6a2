"""Questions of a conversation, which are for the person who started the run.

They ask how the talk goes on and approve no action: those have kinds of their own, whose reviewers stay the channel's.
"""

from dataclasses import replace
from typing import Final

from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.runs import Run

_KINDS: Final = frozenset({Kind.TURN, Kind.END})


def is_for_requester(question: Question, run: Run, terms: ChannelSettings) -> bool:
    """Tell whether the person who started the run answers this question.

    `terms` are those of the policy's rule: one that says who decides, or where, holds for conversations too. A program
    has no thread in which it could be answered.
    """
    named = (terms.reviewers, terms.quorum, terms.own_requests, terms.approvals_channel, terms.escalation or None)
    return question.kind in _KINDS and run.program is None and all(one is None for one in named)


def for_requester(rules: Rules, requester: UserId) -> Rules:
    """Make the rules of a question that the requester alone answers.

    Its time, what a timeout means, and its reminders stay the channel's.
    """
    return replace(
        rules,
        reviewers=Reviewers(frozenset({requester})),
        quorum=1,
        own_requests=True,
        break_glass=False,
        escalation=(),
        in_thread=True,
    )


def waits_for_words(request: Request, user: UserId) -> bool:
    """Tell whether a reply of this person in the run's thread answers the question.

    It never does on an action, or on anything that a reviewer decides.
    """
    asked = request.status is Status.PENDING and Verb.RESPOND in request.question.offers
    return asked and request.rules.in_thread and user == request.requester
