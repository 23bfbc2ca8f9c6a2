"""What a card says and offers while a request waits: who looks at it, what comes next, and options for both."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from countersign.domain import schedule
from countersign.domain.delegation import Absence, deciders
from countersign.domain.escalation import Escalation
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request
from countersign.domain.schedule import Snooze

from .block_kit import Block, context, mrkdwn, plain
from .outcome_text import named
from .slack_markup import mention, when

STAYS: Final = "Escalation and deadline stay as they are."
_LOOK: Final = "look"
_STEPS: Final = 2
_ASKED: Final = 4
"""The newest steps of the escalation, and how many people of each, that a card names."""
_LOOKING: Final = 3
"""How many people who look at it a card names; the others are counted."""


class Chosen(NamedTuple):
    """What an option of the menu carries: its own request, or all that wait on its card (R1); `snooze` is None for
    "I'm looking"."""

    requests: tuple[RequestId, ...]
    snooze: Snooze | None = None

    def write(self) -> str:
        return " ".join([self.snooze or _LOOK, *self.requests])

    @classmethod
    def read(cls, value: str) -> "Chosen | None":
        """None if it is nothing that we wrote."""
        what, *requests = value.split(" ")
        if not requests or len(value) > 150 or what not in (_LOOK, *Snooze):
            return None
        names = tuple(name for one in requests if (name := RequestId.named(one)) is not None)
        return cls(names, None if what == _LOOK else Snooze(what)) if len(names) == len(requests) else None


def options(request: Request, *others: Request) -> list[Block]:
    """For the card's menu: I'm looking; where there are reminders, put them off. Three at most. `others` wait on the
    same card, by the same rules."""
    ids = tuple(one.id for one in (request, *others))
    offered = [{"text": plain("I'm looking"), "value": Chosen(ids).write()}]
    if request.rules.remind_after:
        zone = request.rules.quiet.zone.replace("_", " ")
        for label, snooze in (("Snooze 1 h", Snooze.HOUR), (f"Snooze until tomorrow 9:00 ({zone})", Snooze.MORNING)):
            offered.append({"text": plain(label), "value": Chosen(ids, snooze).write()})
    return offered


def stand_ins(request: Request, away: Iterable[Absence]) -> list[Absence]:
    """Those absences that count here: nobody decides for or as the requester who may not decide themselves."""
    own = request.rules.own_requests
    return [absence for absence in away if own or request.requester not in (absence.user, absence.stand_in)]


def lines(request: Request) -> list[Block]:
    """What came and what comes, in small print; nothing where nothing does."""
    said = [
        f"Went to {_whom(request, request.rules.escalation[step.number])} {when(step.at)}: nobody had decided"
        for step in request.raised[-_STEPS:]
    ]
    if coming := _coming(request):
        said.append(coming)
    if request.looking:
        said.append(lookers(request))
    return [context(mrkdwn(line)) for line in said]


def _coming(request: Request) -> str:
    parts = []
    remind, raise_at = schedule.next_reminder(request), schedule.next_escalation(request)
    if request.snoozed_until is not None and request.snoozed_by is not None:
        parts.append(f"Snoozed by {mention(request.snoozed_by)} until {when(request.snoozed_until)}")
    elif remind is not None:
        parts.append(f"Reminds {when(remind)}")
    if raise_at is not None:
        # Whoever is named by a mention is notified when the card is posted, which is what the wait is to spare them.
        where = _where(request, request.rules.escalation[schedule.taken(request)])
        parts.append(f"{'goes' if parts else 'Goes'} to the next people{where} {when(raise_at)}")
    return " · ".join(parts)


def _whom(request: Request, step: Escalation) -> str:
    return named(deciders(request, step.reviewers), most=_ASKED) + _where(request, step)


def _where(request: Request, step: Escalation) -> str:
    if step.channel is None or step.channel == request.rules.approvals_channel:
        return ""
    return f" in {mention(step.channel)}"


def lookers(request: Request) -> str:
    """Who looks at it."""
    looking = request.looking
    names = ", ".join(f"{mention(one.user)} (since {when(one.since)})" for one in looking[:_LOOKING])
    more = f" and {len(looking) - _LOOKING} more" if len(looking) > _LOOKING else ""
    many = len(looking) > 1
    return f":eyes: {names}{more} {'are' if many else 'is'} looking at it; others may decide all the same."
