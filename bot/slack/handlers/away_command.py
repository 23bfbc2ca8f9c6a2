"""`/approvals away` and `back`: name a stand-in who decides during an absence."""

import asyncio
import logging
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from countersign.domain.delegation import Absence
from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.people import Reviewers
from countersign.domain.quiet_hours import zone_of
from countersign.usecases import delegation

from ..views import commands_text
from ..views.slack_markup import unescape
from .context import SLACK_ERRORS, Reply, Services, Subcommand
from .mention_parsing import people_named
from .payloads import Sender, delivery, sender

_ANY: Final = timedelta(days=3650)
"""Larger than any absence allowed; the domain checks the real limit."""
_log = logging.getLogger(__name__)


async def _away(services: Services, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    name, span = (*rest.split(maxsplit=1), "", "")[:2]
    people = people_named([name])
    if len(people.users) != 1 or people != Reviewers(people.users):
        raise InvalidInput(commands_text.one_stand_in())
    (stand_in,) = people.users
    until = await _until(services, at, span.strip())
    actor = await services.directory.actor(at.user)
    other = await services.directory.actor(stand_in)
    absence = await delegation.leave(services.store, actor, other, until, delivery(body))
    return Reply(commands_text.away(absence, informed=await _tell(services, absence)))


async def _tell(services: Services, absence: Absence) -> bool:
    """Send the stand-in a direct message; False if Slack refuses it."""
    text = commands_text.stand_in_message(absence)
    try:
        async with asyncio.timeout(5):
            await services.client.chat_postMessage(channel=absence.stand_in, text=text, unfurl_links=False)
    except SLACK_ERRORS as lost:
        _log.warning("The notice to %s that they stand in could not be sent: %r", absence.stand_in, lost)
        return False
    return True


async def _back(services: Services, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    actor = await services.directory.actor(at.user)
    if await delegation.come_back(services.store, actor, delivery(body)):
        return Reply(commands_text.BACK)
    return Reply(commands_text.NOT_AWAY)


async def _until(services: Services, at: Sender, words: str) -> datetime:
    """Read the end of the absence; a day begins at midnight where the person is."""
    kind, _, rest = words.partition(" ")
    if kind.lower() in ("until", "for"):
        words = rest.strip()
    if re.fullmatch(r"\d{4}-\d\d-\d\d", words):
        try:
            return datetime.combine(
                date.fromisoformat(words), time(0), zone_of(await services.directory.zone(at.user))
            ).astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidInput(commands_text.not_a_date(unescape(words))) from None
    if not words:
        raise InvalidInput(commands_text.no_end())
    try:
        return await services.store.now() + parse_duration(words, _ANY)
    except InvalidInput:
        raise InvalidInput(commands_text.not_an_end(unescape(words)[:40])) from None


async def _nobody_named(services: Services, body: dict[str, Any]) -> tuple[str, str]:
    """Explain the arguments, and name the current stand-in."""
    seen = await services.store.absences()
    return commands_text.no_stand_in_named(seen.value.of(services.directory.workspace, sender(body).user, seen.now))


SUBCOMMANDS: Final = {
    "away": Subcommand(_away, commands_text.AWAY_HELP, _nobody_named, example=commands_text.AWAY_EXAMPLE),
    "back": Subcommand(_back, commands_text.BACK_HELP, alone=True),
}
"""Subcommands of `/approvals` about absences."""
