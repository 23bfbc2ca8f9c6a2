"""`/approvals pending` and `/approvals history`: what waits in a channel, and what was decided there."""

import re
from typing import Final

from countersign.domain.channel_settings import Rules, why_not_configure
from countersign.domain.errors import InvalidInput
from countersign.domain.people import Actor
from countersign.policy.loosening import may_alone

from ..request_links import with_links
from ..views import home
from ..views.block_kit import Block, context, fitting, mrkdwn
from .responses import Desk, Said, Who

HELP: Final = (
    "*`/approvals pending`* lists what waits for a decision in this channel\n"
    "*`/approvals history`* (or `history 25`) lists what was decided here last"
)
_PENDING: Final = 15
_DECIDED: Final = 10
_MOST: Final = 25


async def pending(desk: Desk, at: Who, rest: str) -> Said:
    """What waits in this channel: runs started here, and cards that are posted here."""
    if rest:
        raise InvalidInput("Nothing goes after `/approvals pending`; it lists what waits in this channel.")
    found = await desk.homes.overview.waiting([at.here], None, lambda request: True, _PENDING)
    if not found.requests:
        return Said("Nothing waits for a decision here.")
    listed = await with_links(desk.store, desk.homes.overview, desk.link, found.requests)
    what = "request waits" if found.total == 1 else "requests wait"
    head = f"{home.count(found.total, found.whole)} {what} for a decision here"
    entries = home.entries(listed, who=True)
    return Said(head, blocks=_fitting(head, entries, found.total, found.whole))


async def history(desk: Desk, at: Who, rest: str) -> Said:
    """The last decisions here; `rest` says how many, at most 25."""
    if rest and not (re.fullmatch(r"[0-9]{1,4}", rest) and 1 <= int(rest) <= _MOST):
        raise InvalidInput(f"How many? Write a number from 1 to {_MOST}, like `/approvals history 5`.")
    found = await desk.homes.overview.decided(at.here, int(rest or _DECIDED))
    if not found:
        return Said("Nothing was decided here in the last 30 days.")
    listed = await with_links(desk.store, desk.homes.overview, desk.link, found)
    head = "The last decision here" if len(found) == 1 else f"The last {len(found)} decisions here"
    entries = [[block] for block in home.outcomes(listed)]
    return Said(head, blocks=_fitting(head, entries, len(entries)))


async def contradicted(desk: Desk, actor: Actor, rules: Rules) -> str:
    """For admins: how many calls passed lately though the policy says otherwise, and where to look; "" if none did."""
    admin = may_alone(actor, desk.admins) and why_not_configure(actor, rules, desk.admins) is None
    if not admin or not (count := await desk.homes.overview.contradicted()):
        return ""
    what = "1 call" if count == 1 else f"{count:,} calls"
    return (
        f":warning: *{what}* passed at a worker in the last 7 days though the policy says otherwise: look for "
        "`contradicted` in `countersign audit export`."
    )


def _fitting(head: str, entries: list[list[Block]], total: int, whole: bool = True) -> list[Block]:
    """The first entries, as many as one message holds, and how many there are besides."""
    blocks, shown = fitting(head, entries)
    return [*blocks, context(mrkdwn(f"and {home.count(total - shown, whole)} more"))] if total > shown else blocks


WORDS: Final = {"pending": pending, "history": history}
