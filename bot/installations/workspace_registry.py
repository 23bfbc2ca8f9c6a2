"""Serve all workspaces that installed the app, and route payloads to them.

Each workspace is served separately. Every `web` process follows the stored installations, so it notices an installation
made or ended through another process within `REFRESH_EVERY`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import aiohttp
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign import metrics
from countersign.domain.errors import StoreUnavailable, WrongSettings
from countersign.domain.ids import WorkspaceId
from countersign.domain.pauses import doubling

from .. import slack_errors
from ..slack.answer_check import AnswerCheck
from ..slack.app import App, TokenRefused
from .records import Installation, InstallationRecords, Stored
from .renewal import TURN, Renewal, refusal, teams_of

REFRESH_EVERY: Final = timedelta(seconds=2)
TEAMS_EVERY: Final = timedelta(minutes=1)
"""Between two looks which workspaces of an organization have the app; a payload of another one makes a look due."""
_OPEN_AGAIN: Final = 10.0
_LONGEST_PAUSE: Final = 60.0
_TRIES: Final = 20
_BETWEEN_TRIES: Final = 0.1
_ENDINGS: Final = frozenset({"app_uninstalled", "tokens_revoked"})
_log = logging.getLogger(__name__)

Newest = Callable[[str], Awaitable[str]]


class Opened(NamedTuple):
    """The app of a workspace's payloads, and every client with its token.

    `has_card` tells whether a click is on a card of this workspace.
    """

    app: App
    clients: Sequence[AsyncWebClient]
    answers: AnswerCheck
    has_card: Callable[[dict[str, Any]], Awaitable[bool]]


Open = Callable[[WorkspaceId, Installation, Newest], AbstractAsyncContextManager[Opened]]
"""Serves a workspace until the block ends; `Newest` is for `RenewedClient`."""
Keep = Callable[[WorkspaceId], AbstractAsyncContextManager[None]]
"""Keeps the deadlines of a workspace without the app until the block ends."""


@dataclass(slots=True)
class _ServedWorkspace:
    """A workspace, and the task that serves it or only keeps its deadlines.

    `stored` is its own installation, or that of its organization.
    """

    id: WorkspaceId
    stored: Stored
    serving: bool
    task: asyncio.Task[None] | None = None
    opened: Opened | None = None
    problem: str = ""
    suspected: bool = False

    @property
    def owner(self) -> WorkspaceId:
        """Return the workspace or organization that has the token."""
        return self.stored.installation.workspace

    def __str__(self) -> str:
        installation = self.stored.installation
        return f"{self.id} of organization {installation}" if installation.is_organization else str(installation)


class WorkspaceRegistry:
    """The workspaces of this process.

    In the place of one Bolt app, it hands each payload to that of its workspace.
    """

    def __init__(
        self,
        records: InstallationRecords,
        renewal: Renewal,
        client: AsyncWebClient,
        install_url: str,
        open_workspace: Open,
        keep_deadlines: Keep,
    ) -> None:
        """`client`: without a token, to ask Slack whether one still counts."""
        self._records = records
        self._renewal = renewal
        self._client = client
        self._install_url = install_url
        self._open = open_workspace
        self._keep = keep_deadlines
        self._served: dict[WorkspaceId, _ServedWorkspace] = {}
        self._refresh_due = asyncio.Event()
        self._has_looked = False
        self._teams_read: dict[WorkspaceId, datetime] = {}

    def refresh(self) -> None:
        """Look at the stored installations now."""
        self._refresh_due.set()

    async def run(self) -> None:
        """Serve every workspace, as long as it has the app, until cancelled."""
        try:
            while True:
                self._refresh_due.clear()
                try:
                    await self._reconcile()
                    self._has_looked = True
                except StoreUnavailable as away:
                    _log.warning("%s Installations are followed again when it is back.", away)
                try:
                    async with asyncio.timeout(REFRESH_EVERY.total_seconds()):
                        await self._refresh_due.wait()
                except TimeoutError:
                    pass
        finally:
            await asyncio.gather(*(self._stop(served) for served in self._served.values()))

    async def renew(self) -> None:
        """Renew every token before it ends, until cancelled."""
        while True:
            stored = {served.stored.installation.workspace: served.stored for served in self._served.values()}.values()
            try:
                now = await self._records.stored.now()
                await asyncio.gather(*(self._renewal.renew(installation, now) for installation in stored))
            except StoreUnavailable as away:
                _log.warning("%s Tokens are renewed when it is back.", away)
            self.refresh()
            await asyncio.sleep(REFRESH_EVERY.total_seconds())

    def all_opened(self) -> bool:
        """Tell whether each workspace is served as it should be, or has a problem."""
        due = [served for served in self._served.values() if served.serving]
        return self._has_looked and all(served.opened is not None or served.problem for served in due)

    def problems(self) -> list[str]:
        """Return one sentence for each workspace that has a problem."""
        lines = [self._problem_of(served) for served in self._served.values() if served.serving]
        lines += [served.opened.app.limited for served in self._served.values() if served.opened is not None]
        lines += [
            f"Slack does not renew the token of workspace {workspace} ({code})."
            for workspace, code in self._renewal.refused.items()
        ]
        return [line for line in lines if line]

    def _problem_of(self, served: _ServedWorkspace) -> str:
        if served.opened is not None:
            return served.opened.answers.problem
        why = served.problem or "Slack or the store does not answer."
        return f"Workspace {served} is not served: {why}"

    async def async_dispatch(self, request: AsyncBoltRequest) -> BoltResponse:
        """Hand a payload to its workspace's app.

        Events that end an installation are handled here.
        """
        body: dict[str, Any] = request.body
        event, of = body.get("event"), _owners(request)
        served = await self._workspace_of(request, of)
        if isinstance(event, dict) and event.get("type") in _ENDINGS:
            for one in self._served.values():
                if one.owner in of:
                    self._suspect(one)
            return BoltResponse(status=200, body="")
        if served is not None and served.opened is not None:
            return await served.opened.app.async_dispatch(request)
        for owner in of:
            self._teams_read.pop(owner, None)
        self.refresh()
        if body.get("command") is None:
            return BoltResponse(status=503, body="")  # Slack sends events again, and shows a person that it failed
        return BoltResponse(status=200, body=_not_yet(served, self._install_url))

    async def _workspace_of(self, request: AsyncBoltRequest, of: set[WorkspaceId]) -> _ServedWorkspace | None:
        """Find the workspace of a payload.

        One of an organization may name none, as a click in a shared channel does. Then it is the workspace whose card
        was clicked, or else the one of the view or of the person.
        """
        body: dict[str, Any] = request.body
        if not request.context.is_enterprise_install:
            return self._served.get(WorkspaceId.named(request.context.team_id or "") or WorkspaceId("T0"))
        ours = {id: one for id, one in self._served.items() if one.owner in of}
        for named in ((body.get("team") or {}).get("id"), body.get("team_id")):
            if named in ours:
                return ours[WorkspaceId(named)]
        for one in ours.values():
            if one.opened is not None and await one.opened.has_card(body):
                return one
        for part in (body.get("view") or {}, body.get("user") or {}):
            if isinstance(part, dict) and part.get("team_id") in ours:
                return ours[WorkspaceId(part["team_id"])]
        return None

    async def _reconcile(self) -> None:
        stored_now, now = await self._records.all(), await self._records.stored.now()
        wanted: dict[WorkspaceId, tuple[Stored, bool]] = {}
        for owner, stored in sorted(stored_now.items()):  # organizations, E…, before workspaces, T…
            suspected = [one for one in self._served.values() if one.suspected and one.owner == owner]
            if suspected:
                stored = await self._check_token(suspected, stored)
            works = stored.installation.works(now)
            if not stored.installation.is_organization:
                if owner not in wanted or not wanted[owner][1]:  # its organization may have the app too
                    wanted[owner] = stored, works
                continue
            if works:
                stored = await self._with_teams(stored, now)
            wanted |= {team: (stored, False) for team in stored.installation.former}
            wanted |= {team: (stored, works) for team in stored.installation.teams}
        for workspace, (stored, serving) in wanted.items():
            served = self._served.get(workspace)
            if served is None:
                served = self._served[workspace] = _ServedWorkspace(workspace, stored, serving)
                self._start(served)
            elif (served.serving, served.owner) != (serving, stored.installation.workspace):
                await self._stop(served)
                served.stored, served.serving = stored, serving
                self._start(served)
            served.stored = stored
            for client in served.opened.clients if served.opened else ():
                client.token = stored.installation.token

    async def _with_teams(self, stored: Stored, now: datetime) -> Stored:
        """Ask Slack from time to time which workspaces of an organization have the app."""
        before, owner = stored.installation, stored.installation.workspace
        if now - self._teams_read.get(owner, now - TEAMS_EVERY) < TEAMS_EVERY:
            return stored
        self._teams_read[owner] = now
        try:
            teams = await teams_of(self._client, before.token)
        except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as wrong:
            _log.warning("Slack does not say which workspaces of %s have the app (%r).", before, wrong)
            return stored
        former = tuple(sorted({*before.former, *before.teams} - {*teams}))
        if (teams, former) == (before.teams, before.former):
            return stored
        _log.info("Of organization %s, these workspaces have the app: %s.", before, ", ".join(teams) or "none")
        return await self._records.change(stored, replace(before, teams=teams, former=former)) or stored

    async def _check_token(self, suspected: Sequence[_ServedWorkspace], stored: Stored) -> Stored:
        """End the installation if Slack says that its token is gone for good (R40).

        An event or a refused call may speak of an older token: installing again and renewing come in between.
        """
        installation, turns = stored.installation, self._records.stored
        if installation.token and not await turns.take_turn(installation.workspace, TURN):
            return stored  # while somebody renews it, the old one is refused and the new one not stored yet
        for served in suspected:
            served.suspected = False
        ended, stored = None, await self._records.of(installation.workspace) or stored
        why = stored.installation.token and await refusal(self._client, stored.installation.token)
        if why in slack_errors.FINAL:
            ended = await self._records.end(stored, why)
        await turns.end_turn(installation.workspace)
        if ended is None:
            return stored
        _log.error(
            "Workspace %s has the app no more (%s): nothing is drawn there. Its runs and requests stay stored, and "
            "requests expire by their deadlines. To go on, install the app again: %s",
            installation,
            why,
            self._install_url,
        )
        return ended

    def _start(self, served: _ServedWorkspace) -> None:
        work = self._serve(served) if served.serving else self._wait(served)
        served.task = asyncio.create_task(work, name=f"workspace {served.id}")

    async def _stop(self, served: _ServedWorkspace) -> None:
        served.opened = None
        if served.task is not None:
            served.task.cancel()
            await asyncio.gather(served.task, return_exceptions=True)

    async def _serve(self, served: _ServedWorkspace) -> None:
        """Serve the workspace, retrying until it can be served.

        In the meantime the log names the problem, and the workspace's deadlines are kept.
        """
        pauses = doubling(_OPEN_AGAIN, _LONGEST_PAUSE)
        while True:
            installation, problem, code, pause = served.stored.installation, "", "", _OPEN_AGAIN
            try:
                async with self._open(served.id, installation, lambda used: self._newest(served, used)) as opened:
                    served.opened, served.problem = opened, ""
                    pauses = doubling(_OPEN_AGAIN, _LONGEST_PAUSE)
                    metrics.token_refused(served.id, "")
                    await asyncio.get_running_loop().create_future()
            except TokenRefused as refused:
                problem = f"Slack refuses its token ({refused.code}). {slack_errors.advice(refused.code)}"
                code, pause = refused.code, next(pauses)
                self._suspect(served)
            except WrongSettings as wrong:
                problem = " ".join(wrong.problems)
                self._suspect(served)
            except Exception:  # of one workspace; the others go on
                _log.exception("Workspace %s is not served; trying again in %s s.", served, _OPEN_AGAIN)
            finally:
                served.opened = None
            if problem and problem != served.problem:
                _log.warning("Workspace %s is not served yet. %s", served, problem)
            served.problem = problem
            metrics.token_refused(served.id, code)
            async with self._keep(served.id):
                await asyncio.sleep(pause)

    async def _wait(self, served: _ServedWorkspace) -> None:
        """Keep the deadlines of a workspace that has the app no more."""
        async with self._keep(served.id):
            await asyncio.get_running_loop().create_future()

    def _suspect(self, served: _ServedWorkspace) -> None:
        served.suspected = True
        self.refresh()

    async def _newest(self, served: _ServedWorkspace, used: str) -> str:
        """Return the token that replaced the one used; "" and doubt it if none did."""
        workspace = served.owner
        try:
            for _ in range(_TRIES):
                stored = await self._records.of(workspace)
                if stored is not None and stored.installation.token != used:
                    return stored.installation.token
                if not await self._records.stored.is_turn(workspace):
                    break
                await asyncio.sleep(_BETWEEN_TRIES)  # until the process that renews the token has stored the new one
        except StoreUnavailable:
            return ""
        self._suspect(served)
        return ""


def _owners(request: AsyncBoltRequest) -> set[WorkspaceId]:
    """Return the ids under which the installation of a payload may be stored."""
    of = request.context
    named = [of.enterprise_id if of.is_enterprise_install else of.team_id, request.body.get("team_id")]
    return {owner for name in named if (owner := WorkspaceId.named(str(name or ""))) is not None}


def _not_yet(served: _ServedWorkspace | None, install_url: str) -> str:
    if served is None or not served.stored.installation.token or served.id in served.stored.installation.former:
        return f"The app is not installed in this workspace any more. An admin can install it again: {install_url}"
    missing = served.problem or "Please try again in a moment."
    return f"The app is not ready in this workspace, so nothing was done. {missing}"
