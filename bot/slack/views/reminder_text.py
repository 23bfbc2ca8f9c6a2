"""Reminders and escalations in a card's thread.

Once the request is settled, each is a line that says how it ended.
"""

from collections.abc import Sequence
from typing import Any

from countersign.domain.delegation import Absence
from countersign.domain.eligibility import deciders
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers
from countersign.domain.quorum import tied
from countersign.domain.requests import Raised, Request, Status
from countersign.text.safe_text import one_line, quoted

from .block_kit import TITLE, Block, Drawing, context, mrkdwn, plain, words
from .button_labels import card_link_label, count_states, list_tools
from .request_text import decision_sentence, named, stand_ins, unless_decided
from .slack_markup import elements, escape, link, moment


def reminder_note(rows: Sequence[Request], card_link: str, away: Sequence[Absence] = ()) -> Drawing:
    """Remind the missing reviewers, or their stand-ins; or tell the outcome.

    The title and the deadline come first, because a phone shows only the first line.
    """
    waiting = [row for row in rows if row.status is Status.PENDING]
    users = frozenset(user for row in waiting for user in _asked(row, away))
    groups = frozenset(group for row in waiting for group in row.rules.reviewers.groups)
    at = link(card_link, card_link_label(rows[0]))
    due = "answer" if rows[0].rules.in_thread else "decision"
    text = f"{named(Reviewers(users, groups))}: your {due} is still missing: {at}."
    return _note(rows, ":bell: Still waiting", text)


def escalation_note(rows: Sequence[Request], raised: Raised, card_link: str) -> Drawing:
    """Tell the next people that they may decide too; or how it ended."""
    reviewers = deciders(rows[0], rows[0].rules.escalation[raised.number].reviewers)
    at = link(card_link, card_link_label(rows[0]))
    text = f"{named(reviewers)}: nobody has decided yet, so you can decide too: {at}."
    if not reviewers:
        text = f"The next step names only the requester, who can't decide on their own request: {at}."
    return _note(rows, ":arrow_up: Escalated" if reviewers else ":arrow_up: Nobody has decided", text)


def _asked(request: Request, away: Sequence[Absence]) -> frozenset[UserId]:
    voted = set() if tied(request) else {vote.seat or vote.user for vote in request.votes}
    gone = {a.user: a.stand_in for a in stand_ins(request, away)}
    return frozenset(gone.get(user, user) for user in deciders(request).users - voted)


def _note(rows: Sequence[Request], state: str, text: str) -> Drawing:
    title = quoted(rows[0].question.title, TITLE) if len(rows) == 1 else one_line(list_tools(rows), TITLE)
    waiting = next((row for row in rows if row.decision is None), None)
    if waiting is None:
        decision = rows[0].decision
        over = decision_sentence(rows[0], decision) if len(rows) == 1 and decision is not None else count_states(rows)
        return Drawing(over, [_line(*elements(over)), context(plain(title, TITLE))])
    until = f" · until {moment(waiting.deadline, waiting.created_at)}" if waiting.deadline is not None else ""
    small = [context(mrkdwn(unless_decided(waiting)))] if waiting.deadline is not None else []
    bold = {"type": "text", "text": title, "style": {"bold": True}}
    first = _line(*elements(f"{state}: "), bold, *elements(until))
    return Drawing(f"{state}: {escape(title)}{until}", [first, words(text), *small])


def _line(*parts: dict[str, Any]) -> Block:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(parts)}]}
