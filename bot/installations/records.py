"""Store installations, sealed with a key that Redis never has.

A record is sealed whole and names its workspace inside, so a record moved to another workspace is not read.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import TypeAdapter

from countersign.domain.ids import WorkspaceId
from countersign.store.installations import Installations

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Installation:
    """The app in one workspace or organization.

    `workspace`: its id, `T…` or `E…`.
    `teams`: an organization's workspaces that its admins gave the app, `former` those that they took away again.
    `ends_at`: when the token ends, None if it does not. `ended`: Slack's word for why there is no token any more.
    """

    workspace: WorkspaceId
    name: str
    token: str = ""
    refresh_token: str = ""
    ends_at: datetime | None = None
    ended: str = ""
    teams: tuple[WorkspaceId, ...] = ()
    former: tuple[WorkspaceId, ...] = ()

    @property
    def is_organization(self) -> bool:
        """Return whether one token serves many workspaces."""
        return self.workspace.startswith("E")

    def works(self, now: datetime) -> bool:
        """Return whether there is a token that has not ended."""
        return bool(self.token) and (self.ends_at is None or now < self.ends_at)

    def __str__(self) -> str:
        return f"{self.workspace} ({self.name})"

    def __repr__(self) -> str:  # with which no token reaches a log
        return f"Installation({self})"


_INSTALLATION: Final = TypeAdapter(Installation)


class Stored(NamedTuple):
    """An installation, and the sealed text that it was read from."""

    installation: Installation
    sealed: bytes


class Vault:
    """Seals and opens records; the first key seals, any opens."""

    def __init__(self, keys: Sequence[str]) -> None:
        ferns = [Fernet(key.strip()) for key in keys]
        self._newest, self._any = ferns[0], MultiFernet(ferns)

    def seal(self, installation: Installation) -> bytes:
        """Return the installation as a text that only the keys open."""
        return self._newest.encrypt(_INSTALLATION.dump_json(installation))

    def open(self, workspace: WorkspaceId, sealed: bytes) -> Installation | None:
        """Return the installation.

        None if no key opens it, or it is that of another workspace.
        """
        try:
            installation = _INSTALLATION.validate_json(self._any.decrypt(sealed))
        except (InvalidToken, ValueError):
            return None
        return installation if installation.workspace == workspace else None

    def is_new(self, sealed: bytes) -> bool:
        """Return whether the newest key sealed it."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def state(self) -> str:
        """Return a state for OAuth, which only this service can make."""
        return self._newest.encrypt(b"state").decode()

    def made(self, state: str, within: timedelta) -> bool:
        """Return whether this service made the state, and not longer ago."""
        try:
            return self._any.decrypt(state, ttl=int(within.total_seconds())) == b"state"
        except (InvalidToken, ValueError, TypeError):
            return False


class InstallationRecords:
    """The installations of all workspaces."""

    def __init__(self, stored: Installations, vault: Vault) -> None:
        self.vault = vault
        self.stored = stored
        self._unreadable: set[bytes] = set()

    async def all(self) -> dict[WorkspaceId, Stored]:
        """Return all readable installations; an older key's records are sealed again."""
        installations: dict[WorkspaceId, Stored] = {}
        for workspace, sealed in (await self.stored.all()).items():
            if (read := self._read(workspace, sealed)) is not None:
                installations[workspace] = (
                    read if self.vault.is_new(sealed) else await self.change(read, read.installation) or read
                )
        return installations

    async def of(self, workspace: WorkspaceId) -> Stored | None:
        """Return the installation in one workspace; None if missing or unreadable."""
        sealed = await self.stored.of(workspace)
        return None if sealed is None else self._read(workspace, sealed)

    async def install(self, installation: Installation) -> None:
        """Store a new one, whatever was there."""
        await self.stored.put(installation.workspace, self.vault.seal(installation))

    async def change(self, before: Stored, after: Installation) -> Stored | None:
        """Store it unless it was changed in the meantime; None if it was."""
        sealed = self.vault.seal(after)
        return Stored(after, sealed) if await self.stored.swap(after.workspace, before.sealed, sealed) else None

    async def end(self, before: Stored, why: str) -> Stored | None:
        """Forget the tokens of a workspace."""
        return await self.change(before, replace(before.installation, token="", refresh_token="", ended=why))

    def _read(self, workspace: WorkspaceId, sealed: bytes) -> Stored | None:
        installation = self.vault.open(workspace, sealed)
        if installation is not None:
            return Stored(installation, sealed)
        if sealed not in self._unreadable:
            self._unreadable.add(sealed)
            _log.error(
                "The installation in workspace %s cannot be read: no key of ENCRYPTION_KEYS opens it. "
                "Put the key back that sealed it, or install the app there again.",
                workspace,
            )
        return None
