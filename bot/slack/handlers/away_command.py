"""`/approvals away` and `back`: somebody else decides in a person's place."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from countersign.domain.channel_settings import parse_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.people import Reviewers
from countersign.domain.quiet_hours import zone_of
from countersign.usecases import presence_changes

from ..views.safe_text import unescape
from ..views.slack_markup import mention, when
from .context import Desk, Reply, Word
from .mention_parsing import people_named
from .payloads import Sender, delivery, sender

_ANY: Final = timedelta(days=3650)
"""Whether a span is too long for an absence is judged with it, and not by how long a request may wait."""
_HOW: Final = "Write it like `/approvals away @standin until 2026-12-24`, or `… for 3d`."


async def _away(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    name, span = (*rest.split(maxsplit=1), "", "")[:2]
    people = people_named([name])
    if len(people.users) != 1 or people != Reviewers(people.users):
        raise InvalidInput(f"One person stands in for another; nothing was changed. {_HOW}")
    (stand_in,) = people.users
    until = await _until(desk, at, span.strip())
    actor = await desk.directory.actor(at.workspace, at.user)
    other = await desk.directory.actor(at.workspace, stand_in)
    absence = await presence_changes.leave(desk.store, actor, other, until, delivery(body))
    return Reply(
        f"Until {when(absence.until)} {mention(stand_in)} may decide in your place, and cards say so. "
        "You may decide too, each place counts once. `/approvals back` ends it."
    )


async def _back(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    actor = await desk.directory.actor(at.workspace, at.user)
    if await presence_changes.come_back(desk.store, actor, delivery(body)):
        return Reply("You are back; nobody decides in your place any more.")
    return Reply("You were not away; nothing was changed.")


async def _until(desk: Desk, at: Sender, words: str) -> datetime:
    """The end of the absence; a day begins at midnight where the person is."""
    kind, _, rest = words.partition(" ")
    if kind.lower() in ("until", "for"):
        words = rest.strip()
    if re.fullmatch(r"\d{4}-\d\d-\d\d", words):
        try:
            return datetime.combine(
                date.fromisoformat(words), time(0), zone_of(await desk.directory.zone(at.user))
            ).astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidInput(f"“{unescape(words)}” is no date; nothing was changed. {_HOW}") from None
    if not words:
        raise InvalidInput(f"Until when? Nothing was changed. {_HOW}")
    try:
        return await desk.store.now() + parse_duration(words, _ANY)
    except InvalidInput:
        raise InvalidInput(
            f"“{unescape(words)[:40]}” is neither a date nor a span; nothing was changed. {_HOW}"
        ) from None


WORDS: Final = {
    "away": Word(
        _away,
        "*`/approvals away @standin until 2026-12-24`* (or `for 3d`) you are away, and they decide in your place",
    ),
    "back": Word(_back, "*`/approvals back`* you are here again"),
}
"""The words of `/approvals` about who is here."""
