"""All workspaces that installed the app, and the way of a payload to its own.

Each is served by itself. Several `web` follow the stored installations, so one that was made or ended with another is
found within `REFRESH_EVERY`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import StoreUnavailable, WrongSettings
from countersign.domain.ids import WorkspaceId

from .records import Installation, InstallationRecords, Stored
from .renewal import TURN, Renewal, refusal

REFRESH_EVERY: Final = timedelta(seconds=2)
_OPEN_AGAIN: Final = 10.0
_TRIES: Final = 20
_BETWEEN_TRIES: Final = 0.1
_ENDINGS: Final = frozenset({"app_uninstalled", "tokens_revoked"})
_log = logging.getLogger(__name__)

Newest = Callable[[str], Awaitable[str]]


class Opened(NamedTuple):
    """The app of a workspace's payloads, and every client with its token."""

    app: AsyncApp
    clients: Sequence[AsyncWebClient]


Open = Callable[[Installation, Newest], AbstractAsyncContextManager[Opened]]
"""Serves a workspace until the block ends; `Newest` is for `RenewedClient`."""
Keep = Callable[[WorkspaceId], AbstractAsyncContextManager[None]]
"""Keeps the deadlines of a workspace without the app until the block ends."""


@dataclass(slots=True)
class _ServedWorkspace:
    """A workspace, and the task that serves it or only keeps its deadlines."""

    stored: Stored
    serving: bool
    task: asyncio.Task[None] | None = None
    opened: Opened | None = None
    problem: str = ""
    suspected: bool = False


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
            stored = [served.stored for served in self._served.values()]
            try:
                now = await self._records.stored.now()
                await asyncio.gather(*(self._renewal.renew(installation, now) for installation in stored))
            except StoreUnavailable as away:
                _log.warning("%s Tokens are renewed when it is back.", away)
            self.refresh()
            await asyncio.sleep(REFRESH_EVERY.total_seconds())

    async def async_dispatch(self, request: AsyncBoltRequest) -> BoltResponse:
        """Hand a payload to its workspace's app.

        What ends an installation is looked into here.
        """
        served = self._served.get(WorkspaceId.named(request.context.team_id or "") or WorkspaceId("T0"))
        body: dict[str, Any] = request.body
        event = body.get("event")
        if served is not None and isinstance(event, dict) and event.get("type") in _ENDINGS:
            self._suspect(served)
            return BoltResponse(status=200, body="")
        if served is not None and served.opened is not None:
            return await served.opened.app.async_dispatch(request)
        self.refresh()
        if body.get("command") is None:
            return BoltResponse(status=503, body="")  # Slack sends events again, and shows a person that it failed
        return BoltResponse(status=200, body=_not_yet(served, self._install_url))

    async def _reconcile(self) -> None:
        stored_now, now = await self._records.all(), await self._records.stored.now()
        for workspace, stored in stored_now.items():
            served = self._served.get(workspace)
            if served is not None and served.suspected:
                stored = await self._check_token(served, stored)
            serving = stored.installation.works(now)
            if served is None:
                served = self._served[workspace] = _ServedWorkspace(stored, serving)
                self._start(served)
            elif served.serving != serving:
                await self._stop(served)
                served.stored, served.serving = stored, serving
                self._start(served)
            served.stored = stored
            for client in served.opened.clients if served.opened else ():
                client.token = stored.installation.token

    async def _check_token(self, served: _ServedWorkspace, stored: Stored) -> Stored:
        """End the installation if Slack says that its token is gone.

        An event or a refused call may speak of an older token: installing again and renewing come in between.
        """
        installation, turns = stored.installation, self._records.stored
        if installation.token and not await turns.take_turn(installation.workspace, TURN):
            return stored  # while somebody renews it, the old one is refused and the new one not stored yet
        served.suspected = False
        ended, stored = None, await self._records.of(installation.workspace) or stored
        why = stored.installation.token and await refusal(self._client, stored.installation.token)
        if why:
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
        served.task = asyncio.create_task(work, name=f"workspace {served.stored.installation.workspace}")

    async def _stop(self, served: _ServedWorkspace) -> None:
        served.opened = None
        if served.task is not None:
            served.task.cancel()
            await asyncio.gather(served.task, return_exceptions=True)

    async def _serve(self, served: _ServedWorkspace) -> None:
        """Serve the workspace; while something is missing there, say so and try again."""
        while True:
            installation, problem = served.stored.installation, ""
            try:
                async with self._open(installation, lambda used: self._newest(served, used)) as opened:
                    served.opened, served.problem = opened, ""
                    await asyncio.get_running_loop().create_future()
            except WrongSettings as wrong:
                problem = " ".join(wrong.problems)
                self._suspect(served)
            except Exception:  # of one workspace; the others go on
                _log.exception("Workspace %s is not served; trying again in %s s.", installation, _OPEN_AGAIN)
            finally:
                served.opened = None
            if problem and problem != served.problem:
                _log.warning("Workspace %s is not served yet. %s", installation, problem)
            served.problem = problem
            await asyncio.sleep(_OPEN_AGAIN)

    async def _wait(self, served: _ServedWorkspace) -> None:
        """Keep the deadlines of a workspace that has the app no more."""
        async with self._keep(served.stored.installation.workspace):
            await asyncio.get_running_loop().create_future()

    def _suspect(self, served: _ServedWorkspace) -> None:
        served.suspected = True
        self.refresh()

    async def _newest(self, served: _ServedWorkspace, used: str) -> str:
        """Return the token that replaced the one used; "" and doubt it if none did."""
        workspace = served.stored.installation.workspace
        try:
            for _ in range(_TRIES):
                stored = await self._records.of(workspace)
                if stored is not None and stored.installation.token != used:
                    return stored.installation.token
                if not await self._records.stored.is_turn(workspace):
                    break
                await asyncio.sleep(_BETWEEN_TRIES)  # until who renews it has stored the new one
        except StoreUnavailable:
            return ""
        self._suspect(served)
        return ""


def _not_yet(served: _ServedWorkspace | None, install_url: str) -> str:
    if served is None or not served.stored.installation.token:
        return f"The app is not installed in this workspace any more. An admin can install it again: {install_url}"
    missing = served.problem or "Please try again in a moment."
    return f"The app is not ready in this workspace, so nothing was done. {missing}"
