"""Problems with the people and the channel that settings name.

Each is a sentence as data: its reader gets it in a message with mentions, or in a window without.
"""

from typing import Final

from countersign.domain.attempt_refusals import Sentence
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Actor
from countersign.domain.proof import Proof

NO_FULL_MEMBER: Final[Sentence] = (
    "Nobody in these groups can decide: they have only guests, bots and people from other workspaces.",
)
SHARED_OUTSIDE: Final = (
    "the channel that its card would go to is shared with another company, whose people would read it"
)
"""Why nobody is asked, in the middle of a sentence."""
_SILENT: Final = "Slack didn't say in time"
_AGAIN: Final = "; please try again in a moment."


def too_few(needed: int, can: int) -> Sentence:
    """Say that too few of the reviewers can decide."""
    return (f"{needed} approvals are needed, but only {can} of the reviewers can decide.",)


def no_pages(proof: Proof) -> Sentence:
    """Say that nobody could give such a proof, because there are no pages."""
    return (
        f"Nobody could give the proof {proof}: people give it on pages, and there are none. Set PUBLIC_URL where the "
        "app runs first.",
    )


def of_step(number: int, sentence: Sentence) -> Sentence:
    """Say in which step of the escalation a problem is."""
    return f"Step {number} of the escalation: ", *sentence


def person(actor: Actor) -> Sentence | None:
    """Say why somebody can't decide; None if they can."""
    if not actor.checked:
        return f"{_SILENT} who ", actor.user, f" is{_AGAIN}"
    if actor.is_stranger:
        return actor.user, " isn't a member of this workspace and can't decide."
    if actor.is_bot:
        return actor.user, " is a bot, and bots can't decide."
    if actor.is_deactivated:
        return actor.user, " has left: the account is deactivated."
    return (actor.user, " is a guest, and guests can't decide.") if actor.is_guest else None


def group_unknown(group: GroupId) -> Sentence:
    """Say that the members of a group are not known."""
    return f"{_SILENT} who is in ", group, _AGAIN


def group_empty(group: GroupId) -> Sentence:
    """Say that a group has no members."""
    return group, " has no members, so it can't decide."


def channel_unknown(channel: ChannelId) -> Sentence:
    """Say that nothing is known of the channel."""
    return f"{_SILENT} whether cards can be posted in ", channel, _AGAIN


def channel_unseen(channel: ChannelId) -> Sentence:
    """Say that the app cannot see the channel."""
    return "The app can't see ", channel, ". Invite it there with `/invite` first."


def channel_archived(channel: ChannelId) -> Sentence:
    """Say that the channel is archived."""
    return channel, " is archived, so no card can be posted there."


def channel_left(channel: ChannelId) -> Sentence:
    """Say that the app is not in the channel."""
    return "The app is not in ", channel, " and can't post cards there. Invite it with `/invite` first."


def channel_shared(channel: ChannelId) -> Sentence:
    """Say that another company would read the cards."""
    return (
        channel,
        " is shared with another company, whose people would read every card there. Choose another channel, or set "
        "EXTERNAL_CHANNELS=yes where the app runs.",
    )
