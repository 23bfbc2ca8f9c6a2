"""A channel's settings in words, and what differs between two versions of them."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import OnTimeout, Rules, say_duration
from countersign.domain.ids import ChannelId
from countersign.domain.people import Reviewers
from countersign.policy.loosening import Configured

from .block_kit import Block, words
from .request_text import NAMED, mentioned, named
from .safe_text import pieces
from .slack_markup import mention

ON_TIMEOUT: Final = {
    OnTimeout.REJECT: "not approved: the agent is told that nobody answered",
    OnTimeout.WAIT: "there is no deadline: it waits until somebody decides",
    OnTimeout.APPROVE: "it counts as APPROVED though nobody decided",
}
_ROOM: Final = 2900
"""Characters of a block of words."""
_IN_A_LINE: Final = 80
"""People."""


def say(channel: ChannelId, rules: Rules) -> str:
    """Say the rules in force."""
    waits = "no deadline" if rules.on_timeout is OnTimeout.WAIT else say_duration(rules.timeout)
    need = f"{rules.quorum} approvals by different people" if rules.quorum > 1 else "one approval"
    own = "may" if rules.own_requests else "may not"
    glass = "the requester may decide alone, with a reason that all reviewers read" if rules.break_glass else "off"
    return (
        f"Settings of {mention(channel)}:\n"
        f"• cards go to {mention(rules.approvals_channel)}\n"
        f"• reviewers: {named(rules.reviewers)}; {need} needed, one rejection is enough; "
        f"requesters {own} decide on their own requests\n"
        f"• break-glass: {glass}\n"
        f"• a request waits: {waits}; when time runs out: {ON_TIMEOUT[rules.on_timeout]}\n"
        f"{_while_nobody_decides(rules)}"
    )


def _while_nobody_decides(rules: Rules) -> str:
    reminds = f"after {say_duration(rules.remind_after)}, then in growing gaps" if rules.remind_after else "never"
    steps = [
        f"after {say_duration(step.after)} to {named(step.reviewers)}"
        + (f" in {mention(step.channel)}" if step.channel else "")
        for step in rules.escalation
    ]
    return (
        f"• reminds: {reminds}; goes to others: {', '.join(steps) or 'never'}; "
        f"quiet hours: {quiet_hours.say(rules.quiet)} (time runs out in them too)"
    )


def changed_lines(channel: ChannelId, done: Configured) -> str:
    """Say what differs, before and after.

    What channels inherit is said too, where it differs otherwise.
    """
    here = _changed(channel, done.before, done.after)
    others = _changed(channel, done.inherited_before, done.inherited_after)
    if others and others != here:
        here += ["Channels whose cards go here, and that set nothing else themselves:", *others]
    return "\n".join(here)


def _changed(channel: ChannelId, before: Rules, after: Rules) -> list[str]:
    old, new = (say(channel, rules).splitlines() for rules in (before, after))
    return [
        *(f"Before: {line.removeprefix('• ')}" for line in old if line not in new),
        *(f"After: {line.removeprefix('• ')}" for line in new if line not in old),
        *_unnamed(before, after),
    ]


def _unnamed(before: Rules, after: Rules) -> Iterator[str]:
    """Name those who come and go where a line does not name everybody."""
    steps = zip_longest(before.escalation, after.escalation)
    pairs = [(before.reviewers, after.reviewers)]
    pairs += [(old.reviewers if old else Reviewers(), new.reviewers if new else Reviewers()) for old, new in steps]
    for old, new in pairs:
        for what, more, less in (("Added", new, old), ("Removed", old, new)):
            names = mentioned(Reviewers(more.users - less.users, more.groups - less.groups))
            if max(len(one.users | one.groups) for one in (old, new)) > NAMED:
                yield from (
                    f"{what}: {', '.join(names[at : at + _IN_A_LINE])}" for at in range(0, len(names), _IN_A_LINE)
                )


def shown(text: str) -> list[Block]:
    """Split the text into as many blocks as it takes."""
    return [words(piece) for piece in pieces(text, _ROOM)]
