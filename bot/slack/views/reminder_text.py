"""Reminders and escalations in a card's thread.

Once the request is settled, each is a line that says how it ended.
"""

from collections.abc import Sequence

from countersign.domain.delegation import Absence
from countersign.domain.eligibility import deciders
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers
from countersign.domain.quorum import tied
from countersign.domain.requests import Raised, Request, Status
from countersign.text.safe_text import one_line, quoted

from .block_kit import TITLE, Drawing, context, mrkdwn, plain, words
from .button_labels import card_link_label, count_states, list_tools
from .request_text import decision_sentence, expiry, named, stand_ins
from .slack_markup import escape, link


def reminder_note(rows: Sequence[Request], card_link: str, away: Sequence[Absence] = ()) -> Drawing:
    """Remind those who have not voted, or their stand-ins; or tell how it ended."""
    waiting = [row for row in rows if row.status is Status.PENDING]
    users = frozenset(user for row in waiting for user in _asked(row, away))
    groups = frozenset(group for row in waiting for group in row.rules.reviewers.groups)
    at = link(card_link, card_link_label(rows[0]))
    still = "this is still" if len(waiting) == 1 else f"these {len(waiting)} requests are still"
    due = "answer" if rows[0].rules.in_thread else "decision"
    text = f":bell: {named(Reviewers(users, groups))}: {still} waiting for your {due}: {at}."
    return _note(rows, text, "Still pending")


def escalation_note(rows: Sequence[Request], raised: Raised, card_link: str) -> Drawing:
    """Tell the next people that they may decide too; or how it ended."""
    reviewers = deciders(rows[0], rows[0].rules.escalation[raised.number].reviewers)
    at = link(card_link, card_link_label(rows[0]))
    text = f":arrow_up: Escalated to {named(reviewers)}: nobody has decided yet, so you can decide too: {at}."
    if not reviewers:
        only = "The next step names only the requester, who can't decide on their own request"
        text = f":arrow_up: Nobody has decided yet. {only}: {at}."
    return _note(rows, text, "Escalated because nobody has decided")


def _asked(request: Request, away: Sequence[Absence]) -> frozenset[UserId]:
    voted = set() if tied(request) else {vote.seat or vote.user for vote in request.votes}
    gone = {a.user: a.stand_in for a in stand_ins(request, away)}
    return frozenset(gone.get(user, user) for user in deciders(request).users - voted)


def _note(rows: Sequence[Request], text: str, notification: str) -> Drawing:
    title = quoted(rows[0].question.title, TITLE) if len(rows) == 1 else one_line(list_tools(rows), TITLE)
    waiting = next((row for row in rows if row.decision is None), None)
    if waiting is None:
        decision = rows[0].decision
        over = decision_sentence(rows[0], decision) if len(rows) == 1 and decision is not None else count_states(rows)
        return Drawing(over, [words(over), context(plain(title, TITLE))])
    return Drawing(
        f"{notification}: {escape(title)}", [words(text), context(plain(title, TITLE), mrkdwn(expiry(waiting)))]
    )
