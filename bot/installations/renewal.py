"""Renew expiring tokens, one process at a time, for all processes.

Slack takes a refresh token once. So a process that renews a token holds a turn for a minute, in which no other process
may, and stores the new token only if the record is still the one it read.
https://docs.slack.dev/authentication/using-token-rotation
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from countersign import metrics
from countersign.domain.ids import WorkspaceId
from countersign.domain.pauses import doubling
from countersign.usecases.store_outages import patiently

from .. import slack_errors
from ..slack.app import CountedClient
from .records import Installation, InstallationRecords, Stored

BEFORE: Final = timedelta(hours=2)
"""A token is renewed this long before it expires; Slack's tokens last twelve hours."""
TURN: Final = timedelta(minutes=1)
"""Longer than a call of Slack may take, which is 30 s; and the pause between two tries."""
LONGEST_PAUSE: Final = 960.0
"""Seconds between two tries to renew a token."""
_STORED_LATER: Final = "A renewed token is stored when it is back."
_log = logging.getLogger(__name__)


class Renewal:
    """Renews tokens with the app's own credentials."""

    def __init__(self, records: InstallationRecords, client: AsyncWebClient, client_id: str, secret: str) -> None:
        self._records = records
        self._client = client
        self._id = client_id
        self._secret = secret
        self.refused: dict[WorkspaceId, str] = {}
        """Slack's error, for each workspace whose token it did not renew."""
        self._pauses: dict[WorkspaceId, tuple[Iterator[float], datetime]] = {}

    def is_due(self, installation: Installation, now: datetime) -> bool:
        """Return whether its token ends soon and can be renewed."""
        ends_at = installation.ends_at
        return ends_at is not None and bool(installation.refresh_token) and ends_at - now < BEFORE

    async def renew(self, stored: Stored, now: datetime) -> None:
        """Renew the token if it ends soon and no other process does so."""
        workspace, turns = stored.installation.workspace, self._records.stored
        if not self.is_due(stored.installation, now):
            self._note(workspace, "")
            return
        pauses, until = self._pauses.get(workspace) or (doubling(TURN.total_seconds(), LONGEST_PAUSE), now)
        if now < until or not await turns.take_turn(workspace, TURN):
            return
        again = await self._records.of(workspace)  # another process may have done so just before this one's turn
        if again is None or not self.is_due(again.installation, now) or await self._exchange(again):
            self._pauses.pop(workspace, None)
        else:
            self._pauses[workspace] = pauses, now + timedelta(seconds=next(pauses))
        await turns.end_turn(workspace)

    def _note(self, workspace: WorkspaceId, refused: str) -> None:
        """Remember whether Slack renews this token, for health and metrics (R46)."""
        if refused:
            self.refused[workspace] = refused
        else:
            self.refused.pop(workspace, None)
        metrics.token_refused(f"{workspace} renewal", refused)

    async def _exchange(self, stored: Stored) -> bool:
        """Renew once; False if it has to be tried again.

        Slack's refusal erases nothing (R40): it also refuses disallowed addresses, and while a workspace migrates.
        """
        installation = stored.installation
        try:
            answer = await self._client.oauth_v2_access(
                client_id=self._id,
                client_secret=self._secret,
                grant_type="refresh_token",
                refresh_token=installation.refresh_token,
            )
        except SlackApiError as refused:
            code = slack_errors.code(refused)
            self._note(installation.workspace, code)
            _log.error(
                "Slack does not renew the token of workspace %s (%s). Trying again; the token ends at %s. If this "
                "lasts, install the app there again.",
                installation,
                code,
                installation.ends_at,
            )
            return False
        except (aiohttp.ClientError, TimeoutError, OSError) as away:
            _log.warning("Slack did not renew the token of workspace %s (%r); trying again.", installation, away)
            return False
        owner = answer.get("enterprise" if installation.is_organization else "team") or {}
        if owner.get("id") != installation.workspace:
            _log.error("Slack renewed the token of workspace %s with one of another; it is not used.", installation)
            return False
        # Retry however long Redis is away: the new token is stored nowhere else.
        after = renewed(installation, answer, await patiently(self._records.stored.now, hint=_STORED_LATER))
        if await patiently(lambda: self._records.change(stored, after), hint=_STORED_LATER) is None:
            _log.info("Workspace %s was installed again while its token was renewed.", after)
        else:
            _log.info("The token of workspace %s is renewed until %s.", after, after.ends_at)
        self._note(installation.workspace, "")
        return True


def renewed(installation: Installation, answer: Any, now: datetime) -> Installation:
    """Return the installation with the tokens of an answer of `oauth.v2.access`."""
    seconds = answer.get("expires_in")
    return replace(
        installation,
        token=str(answer["access_token"]),
        refresh_token=str(answer.get("refresh_token") or ""),
        ends_at=now + timedelta(seconds=int(seconds)) if seconds else None,
        ended="",
    )


async def refusal(client: AsyncWebClient, token: str) -> str:
    """Ask Slack whether this token works; returns its error.

    "" if the token works, or Slack does not answer.
    """
    try:
        await client.auth_test(token=token)
    except SlackApiError as refused:
        return slack_errors.code(refused)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""
    return ""


async def teams_of(client: AsyncWebClient, token: str) -> tuple[WorkspaceId, ...]:
    """Read the workspaces that an organization's admins gave the app."""
    teams, cursor = list[WorkspaceId](), ""
    while True:
        answer = await client.auth_teams_list(token=token, limit=1000, cursor=cursor or None)
        teams += [team for one in answer["teams"] if (team := WorkspaceId.named(str(one["id"]))) is not None]
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            return tuple(sorted(teams))


class RenewedClient(CountedClient):
    """A client that repeats a call with a newer token, if there is one.

    It does so where Slack refused a call for its token, and another process has stored one meanwhile.
    `newest` returns the token that counts now, "" if there is no other than the one that was refused.
    """

    newest: Callable[[str], Awaitable[str]]

    async def api_call(self, *args: Any, **kwargs: Any) -> AsyncSlackResponse:
        """As slack-sdk's."""
        while True:
            used = str(self.token)
            try:
                return await super().api_call(*args, **kwargs)
            except SlackApiError as refused:
                if slack_errors.code(refused) not in slack_errors.OF_THE_TOKEN or not (
                    newer := await self.newest(used)
                ):
                    raise
                self.token = newer
