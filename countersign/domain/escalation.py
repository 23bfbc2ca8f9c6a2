"""Escalation: where an undecided request goes next, each people and channel once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from countersign.domain.ids import ChannelId
from countersign.domain.people import Reviewers

MOST: Final = 5
"""Steps of one escalation."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """One step: after so long these may decide too, told in this channel.

    Without a channel it is told where the card is.
    """

    after: timedelta
    reviewers: Reviewers
    channel: ChannelId | None = None


def problems(
    steps: Sequence[Escalation], reviewers: Reviewers, channel: ChannelId | None, deadline: timedelta | None
) -> list[str]:
    """List why a request must not go this way, a sentence each.

    `deadline` is None where there is none.
    """
    faults = []
    if len(steps) > MOST:
        faults.append(f"An escalation has at most {MOST} steps.")
    reached = {(reviewers, channel)}
    before = timedelta(0)
    rooms = {channel}
    users, groups = set(reviewers.users), set(reviewers.groups)
    for number, step in enumerate(steps, 1):
        if not step.reviewers:
            faults.append(f"Step {number} of the escalation names nobody who could decide.")
        if step.after <= before:
            faults.append(f"Step {number} of the escalation must come later than the one before it.")
        if deadline is not None and step.after >= deadline:
            faults.append(f"Step {number} of the escalation would come after the deadline, so it would never happen.")
        here = (step.reviewers, step.channel or channel)
        if here in reached:
            faults.append(
                f"Step {number} of the escalation goes round in a circle: the same people, in the same channel."
            )
        elif step.reviewers and here[1] in rooms and step.reviewers.users <= users and step.reviewers.groups <= groups:
            faults.append(f"Step {number} of the escalation names only people who may decide already.")
        reached.add(here)
        rooms.add(here[1])
        users |= step.reviewers.users
        groups |= step.reviewers.groups
        before = max(before, step.after)
    return faults
