"""Answers to clicks, windows and replies that are no refusal of an attempt.

Those stand in `domain.attempt_refusals`.
"""

from typing import Final

from countersign.domain.requests import Request, Verb

OTHER_VERSION: Final = "This button belongs to another version of the app. Nothing was changed."
BROKEN: Final = (
    "Something went wrong on our end. Nothing that was stored is lost. Try again; if it keeps happening, ask the "
    "people who run this app to check its log."
)
NO_CHANNEL: Final = "Slack didn't say which channel this was typed in, so nothing was done."
NOT_OPENED: Final = "Slack didn't open the window in time. Nothing was changed; please try again."
CHANGE_TOO_LATE: Final = "That took too long, and the window closed. Nothing was changed; please try again."
DECISION_TOO_LATE: Final = "That took too long, and the window closed. Nothing was decided; please open it again."
UNKNOWN_BUTTON: Final = "This button belongs to another version of the app. Nothing was decided. Use the newest card."
OTHER_PARTS: Final = (
    "The app was updated while you had this open, and now splits the request differently. Nothing was decided; please "
    "close this and open it again from its card."
)
READ_FIRST: Final = "Read all of it first, then check this box. Nothing was decided."
NOTHING_CHOSEN: Final = "Choose what not to ask about again, and for how long. Nothing was decided."
NOT_WHOLE: Final = "The card doesn't show all of this request. Use its own button to review it."
REVIEWING: Final = "The card shows that you are reviewing this. Others can still decide."
NO_REMINDERS: Final = "This request has no reminders to postpone. Nothing was changed."
SEVERAL_QUESTIONS: Final = (
    "More than one question waits for you in this thread, so your reply wasn't counted. Answer each with its buttons."
)


def store_away(action: str) -> str:
    """Say that the store does not answer; `action` names what the person did."""
    return (
        f"Countersign can't reach its database right now, so your {action} didn't go through. Nothing is lost; please "
        "try again in a moment."
    )


def put_off(when: str) -> str:
    """Say when the next reminder comes."""
    return f"Next reminder {when}. The escalation and the deadline don't change."


def no_reminder_before(when: str) -> str:
    """Say that no reminder comes before the deadline."""
    return f"No more reminders before the deadline {when}. The escalation and the deadline don't change."


def counted_for(counted: int, total: int, why_not: str) -> str:
    """Say how many of a card's requests a click counted for, and why not for all."""
    return f"Counted for {counted} of {total} requests. Not counted: {why_not}"


def counted(after: Request, verb: Verb, chosen: tuple[str, ...]) -> str:
    """Say that a vote is counted while more are needed."""
    needed = after.rules.quorum
    if verb is Verb.CHOOSE:
        same = sum(vote.chosen == chosen for vote in after.votes)
        return f"Your choice was counted: it has {same} of the {needed} votes needed."
    return f"Your approval was counted: {len(after.votes)} of {needed} needed."
