"""Reasons why an attempt did not count; the value is what the person reads (R7)."""

from datetime import datetime
from enum import StrEnum
from string import Formatter

Sentence = tuple[str | datetime, ...]
"""Strings, typed ids and moments in order; the view formats ids as mentions and moments as dates.

A moment needs no "at" before it: some read "tomorrow at 9:00".
"""


class Refusal(StrEnum):
    """One member for each reason; `filled` puts in `{by}`, `{at}` and `{what}`."""

    BY_POLICY = "Blocked by the workspace's policy ({what}). Nobody was asked, and nothing ran."
    NOBODY_COULD = "Nobody was asked, because {what}."
    UNKNOWN = "This request no longer exists. Use the newest card."
    ALREADY_DECIDED = "Already decided by {by} {at}: {what}. Your click changed nothing."
    TIME_RAN_OUT = "Time ran out {at}, before your click. Your click changed nothing: {what}."
    WITHDRAWN = "This request was withdrawn {at}. Your click changed nothing."
    FORM_NOT_YOURS = (
        "This form was made for somebody else, or in another session. Nothing was decided; open the request again."
    )
    SIGNED_OUT = "You aren't signed in any more. Nothing was decided; sign in, and open the request again."
    NOT_A_REVIEWER = "You're not a reviewer of this request, so your click wasn't counted. Reviewers: {by}."
    FOR_THE_REQUESTER = "This question is for {by}, who started the run. Your click changed nothing."
    OWN_REQUEST = "You started this run, and in this channel you can't decide on your own requests. Ask a reviewer."
    NOBODY_NAMED = "This request has no reviewers, so nobody can decide on it. Ask an admin."
    OTHER_WORKSPACE = "This request belongs to another Slack workspace, so your click wasn't counted."
    OUTSIDER = "Only members of the workspace where this app is installed can see its requests."
    NOT_KNOWN = "Slack didn't confirm who you are. Try again in a moment."
    NOT_A_PERSON = "Bots can't decide on requests."
    GUEST = "Guests can't decide on requests in this workspace."
    DEACTIVATED = "This account is deactivated, so its click wasn't counted."
    NOT_CHECKED = (
        "Slack didn't confirm that you can decide on this, so your click wasn't counted. "
        "The request is still pending; click again in a moment."
    )
    VOTERS_NOT_CHECKED = (
        "Slack didn't confirm that earlier approvers can still approve this, so your click wasn't counted. "
        "The request is still pending; click again in a moment."
    )
    OTHER_CONTENT = "This request has changed since you saw it. Nothing was decided; use the newest card."
    NOT_OFFERED = "This request can't be answered that way. Use one of the buttons on its card."
    NO_WORDS = "Your answer is empty. Write something for the agents to read."
    TOO_LONG = "Your answer is longer than 3,000 characters, so it wasn't counted. Shorten it and try again."
    VOTED_ALREADY = "Your approval is already counted; {what}."
    SEAT_TAKEN = "You and the person you stand in for count as one approval; {what}."
    EDIT_NEEDS_ONE = (
        "This request needs {what} approvals of the same content, so one person can't change it. Nothing was decided; "
        "reject it with a reason, or request changes."
    )
    EDIT_UNDER_ANOTHER_RULE = (
        "Another rule of the workspace's policy applies to your changes. Nothing was decided; request them "
        "instead, and the agents will ask again."
    )
    NOT_ARGUMENTS = "This can't run with your changes. Nothing was decided; correct them and try again."
    NOT_A_TEXT = "Your text is empty or too long, so it wasn't counted. Correct it and try again."
    NOTHING_CHANGED = "You didn't change anything. Use Approve to approve it as it is."
    NO_STANDING_HERE = "Only actions can be allowed in advance. Nothing was decided; decide on just this one."
    STANDING_NEEDS_ONE = (
        "This needs more than one approval, so one person can't allow it in advance. Nothing was decided; "
        "decide on just this one."
    )
    NO_STANDING_AT_HIGH_RISK = (
        "High-risk actions are reviewed each time and can't be allowed in advance. Nothing was decided; "
        "decide on just this one."
    )
    NO_STANDING_FOR_ALL_CODE = (
        "Only this exact code can be allowed in advance. Nothing was decided; choose a narrower permission."
    )
    MAY_NOT_REVOKE = (
        "Only the person who gave a permission, its channel's reviewers and admins can revoke it. "
        "It's still in force; ask one of them."
    )
    NO_BREAK_GLASS = (
        "Break-glass is off in this channel, or this request is high risk, needs more than one approval or is "
        "about the run itself. Nothing was decided; ask a reviewer."
    )
    NOT_THE_REQUESTER = (
        "Break-glass is only for the person who started the run. Nothing was decided; if you can decide on this, use "
        "the other buttons."
    )
    NO_REASON = "Say why this can't wait for a reviewer. A reason is required."
    NOT_OPENED = (
        "This is high risk: open the full request from its card first, and approve it there. Nothing was decided; "
        "use the newest card."
    )
    NOT_TYPED = 'Type "{what}" to approve.'
    NEEDS_LOGIN = (
        "This needs a fresh login, and Slack proves none, so your click wasn't counted. The request is still pending; "
        "use the link on its card, and sign in there."
    )
    NEEDS_PASSKEY = (
        "This needs your passkey, and Slack proves none, so your click wasn't counted. The request is still pending; "
        "use the link on its card, and approve it there."
    )
    LOGIN_NOT_FRESH = (
        "Your identity provider didn't ask you to sign in for this. Nothing was decided; try again, and if it happens "
        "again, tell an admin."
    )
    PASSKEY_UNKNOWN = "This isn't a passkey of yours. Nothing was decided; use one that you enrolled here."
    PASSKEY_REVOKED = "This passkey was revoked. Nothing was decided; use another one, or enrol a new one."
    PASSKEY_TOO_NEW = (
        "This passkey is new, and new passkeys can't approve yet. Nothing was decided; “My passkeys” says from when it "
        "can. Or use an older passkey."
    )
    PASSKEY_COPIED = (
        "This passkey's counter went back, as it does when a passkey was copied. Nothing was decided; revoke it and "
        "tell an admin."
    )
    PROOF_LATE = (
        "Your confirmation came after its five minutes, or was used before. Nothing was decided; reload the page and "
        "confirm again."
    )
    PROOF_NOT_YOURS = (
        "This confirmation was begun by somebody else, or in another session. Nothing was decided; reload the page "
        "and confirm again."
    )
    PROOF_OF_OTHER = (
        "You confirmed something else than this request as it is now. Nothing was decided; reload the page, read it "
        "again and confirm it."
    )
    PROOF_WRONG = (
        "Your confirmation couldn't be verified. Nothing was decided; reload the page and confirm again. If it happens "
        "again, tell an admin."
    )
    NO_CHOICE = "Choose {what} of the options on the card; nothing was counted."

    def filled(self, **values: Sentence) -> Sentence:
        """Return the sentence with its placeholders filled by these values."""
        parts: list[str | datetime] = []
        for words, place, _, _ in Formatter().parse(self.value):
            parts += [words, *(values[place] if place else ())]
        return tuple(part for part in parts if part != "")
