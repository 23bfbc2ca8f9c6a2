"""Command `countersign passkeys`: make codes to enrol with, list, and revoke."""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from countersign.domain.errors import NotFound
from countersign.domain.ids import UserId, WorkspaceId
from countersign.process_settings import CommonSettings, read
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.terminal import command_line, run, show_table
from countersign.usecases import passkeys

app = command_line("Let people enrol passkeys; list and revoke them.")
User = Annotated[str, typer.Argument(help="The person's member ID in Slack, like U012AB3CD.")]


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns 0, or 2 if there is something to fix first.
    """
    return run(app, arguments, "countersign passkeys")


@app.command()
def code(user: User) -> None:
    """Make a code with which this person enrols a passkey, and show it once."""

    async def made(store: Store, workspace: WorkspaceId) -> None:
        written = await passkeys.make_code_by_operator(store, workspace, UserId(user), _operator())
        print(
            f"Hand this code to {user} yourself, not over Slack. It is good once, for 24 hours:",
            file=sys.stderr,
        )
        print(written)

    asyncio.run(_with_store(made))


@app.command("list")
def list_() -> None:
    """List everybody's passkeys, revoked ones too."""

    async def listed(store: Store, workspace: WorkspaceId) -> None:
        rows = [
            [user, key.id, key.name, key.enrolled_by, f"{key.enrolled_at:%Y-%m-%d}", f"{key.usable_at:%Y-%m-%d %H:%M}"]
            + [f"{at:%Y-%m-%d}" if at else "" for at in (key.used_at, key.revoked_at)]
            for user in await store.passkey_holders()
            for key in (await passkeys.of(store, workspace, user)).value.keys
        ]
        show_table(("user", "passkey", "name", "by", "enrolled", "usable from", "used", "revoked"), rows)

    asyncio.run(_with_store(listed))


@app.command()
def revoke(
    user: User, passkey: Annotated[str, typer.Argument(help="Its id, as the list says, or its beginning.")]
) -> None:
    """Revoke one passkey; what it signed before stays decided."""

    async def revoked(store: Store, workspace: WorkspaceId) -> None:
        mine = (await passkeys.of(store, workspace, UserId(user))).value
        found = [key.id for key in mine.keys if key.id.startswith(passkey)]
        if len(found) != 1:
            raise NotFound(f"{user} has {len(found) or 'no'} passkeys whose id begins so. Nothing was changed.")
        await passkeys.revoke_by_operator(store, workspace, UserId(user), found[0], _operator())
        print(f"Revoked the passkey {found[0]} of {user}.")

    asyncio.run(_with_store(revoked))


async def _with_store(work: Callable[[Store, WorkspaceId], Awaitable[None]]) -> None:
    settings = read(CommonSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        store = Store(client, settings.namespace)
        workspace = await store.workspace()
        if workspace is None:
            raise NotFound("`web` hasn't run on this Redis yet. Start it first: `python -m bot`.")
        await work(store, workspace)


def _operator() -> str:
    """The account that runs the command, as the system says."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
