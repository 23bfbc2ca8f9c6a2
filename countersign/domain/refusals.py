"""Reasons why an attempt did not count; the value is what the person reads (R7)."""

from datetime import datetime
from enum import StrEnum
from string import Formatter

Sentence = tuple[str | datetime, ...]
"""Words, ids (each of its own type) and moments in order: whoever shows it draws the mentions and the dates."""


class Refusal(StrEnum):
    """One member for each reason; `filled` puts in `{by}`, `{at}` and `{what}`."""

    BY_POLICY = "The workspace's policy refuses this ({what}). Nobody was asked, and nothing was done."
    NOBODY_COULD = "Nobody was asked, because {what}."
    UNKNOWN = "This request is not known here (any more). Nothing was decided; please use the newest card."
    ALREADY_DECIDED = "Already decided by {by} {at}: {what}. Your click changed nothing."
    TIME_RAN_OUT = "Time ran out {at}, before your click. Your click changed nothing: {what}."
    WITHDRAWN = "The run no longer asks this: it was withdrawn {at}. Your click changed nothing."
    NOT_A_REVIEWER = "You are not a reviewer of this request, so your click was not counted. It is for {by}."
    OWN_REQUEST = "You started this run, and this channel does not let people decide on their own requests."
    NOBODY_NAMED = "This request names no reviewers, so nobody may decide on it."
    OTHER_WORKSPACE = "You belong to another Slack workspace than this request, so your click was not counted."
    NOT_A_PERSON = "Bots do not decide on requests."
    GUEST = "Guests of this workspace do not decide on requests."
    DEACTIVATED = "This account is deactivated, so its click was not counted."
    NOT_CHECKED = (
        "Slack did not tell whether you may decide on this, so your click was not counted. "
        "The request still waits; please click again in a moment."
    )
    VOTERS_NOT_CHECKED = (
        "Slack did not tell whether those who approved this before may still do so, so your click was not counted. "
        "The request still waits; please click again in a moment."
    )
    OTHER_CONTENT = (
        "What you saw is not what this request holds now. Nothing was decided; please look at the newest card."
    )
    NOT_OFFERED = "This request cannot be answered that way. Please use one of the buttons on its card."
    NO_WORDS = "Please write what the agents should read; an empty answer was not counted."
    TOO_LONG = "Your answer is longer than 3,000 characters, so it was not counted. Please shorten it."
    VOTED_ALREADY = "Your approval is counted already; {what}."
    SEAT_TAKEN = "For the place that you would decide from an approval is counted already; {what}."
    EDIT_NEEDS_ONE = (
        "This request needs {what} approvals of the same content, so one person cannot change it. Nothing was decided; "
        "please reject it with a reason, or answer with what should change."
    )
    EDIT_UNDER_ANOTHER_RULE = (
        "With what you changed, another rule of the workspace's policy holds. Nothing was decided; please answer with "
        "what should change, so that it is asked anew."
    )
    NOT_ARGUMENTS = "What you changed is no longer a call that could be made. Nothing was decided; please try again."
    NOTHING_CHANGED = "You changed nothing, so nothing was counted. To approve it as it is, use Approve."
    NO_STANDING_HERE = (
        "Only the call of a tool can be allowed in advance. Nothing was decided; please decide on this alone."
    )
    STANDING_NEEDS_ONE = (
        "This needs more than one approval, so one person cannot allow it in advance. Nothing was decided; please "
        "decide on this alone."
    )
    NO_STANDING_AT_HIGH_RISK = (
        "What is of high risk is looked at each time, so it cannot be allowed in advance. Nothing was decided; please "
        "decide on this alone."
    )
    NO_STANDING_FOR_ALL_CODE = (
        "Whatever code comes cannot be allowed in advance, only this code. Nothing was decided; please choose less."
    )
    MAY_NOT_REVOKE = (
        "Only who gave a permission, the reviewers of its channel and admins may revoke it; it still stands. "
        "Please ask one of them."
    )
    NO_BREAK_GLASS = (
        "Break-glass is off in this channel, or this is of high risk, needs more than one approval or is about the run "
        "itself. Nothing was decided; please ask a reviewer."
    )
    NOT_THE_REQUESTER = (
        "Break-glass is for the one who started the run. Nothing was decided; if you may decide on this, use the other "
        "buttons."
    )
    NO_REASON = "Please write why this cannot wait for a reviewer; without a reason nothing was decided."
    NOT_OPENED = (
        "This is of high risk: who approves it opens all of it first, from its card, and approves it there. Nothing "
        "was decided; please click on the newest card."
    )
    NOT_TYPED = (
        "This is of high risk, and what you typed is not “{what}”. Nothing was decided; please type that word, or "
        "close this window."
    )
    NO_CHOICE = "Please choose {what} of the options on the card; nothing was counted."

    def filled(self, **values: Sentence) -> Sentence:
        """Return the sentence with these parts in the places of that name."""
        parts: list[str | datetime] = []
        for words, place, _, _ in Formatter().parse(self.value):
            parts += [words, *(values[place] if place else ())]
        return tuple(part for part in parts if part != "")
