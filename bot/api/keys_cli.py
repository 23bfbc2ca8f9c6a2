"""Command `countersign keys`: make, list and revoke keys of programs."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from countersign.domain import api_keys
from countersign.domain.api_keys import MOST_OPEN, MOST_WAITING, PER_MINUTE, ApiKey
from countersign.domain.errors import InvalidInput
from countersign.process_settings import CommonSettings, read
from countersign.store.ownership import Side
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.terminal import command_line, run, show_table

app = command_line("Create, list and revoke keys for programs.")


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns 0, or 2 if there is something to fix first.
    """
    return run(app, arguments, "countersign keys")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="The program's name, shown on cards.")],
    channel: Annotated[list[str], typer.Option(help="A channel it can ask in; repeatable.")],
    most_open: Annotated[int, typer.Option(help="Most pending requests at once.")] = MOST_OPEN,
    per_minute: Annotated[int, typer.Option(help="Most requests a minute.")] = PER_MINUTE,
    most_waiting: Annotated[int, typer.Option(help="Most calls that wait at once, in one web.")] = MOST_WAITING,
) -> None:
    """Create a key, and show it once."""

    async def made(store: Store, keys: ApiKeys) -> None:
        now = await store.now()
        issued = api_keys.issue(
            name, tuple(channel), now, most_open=most_open, per_minute=per_minute, most_waiting=most_waiting
        )
        await keys.put(issued.key)
        print(f"Created key {issued.key.id} for {issued.key.name}. It won't be shown again:", file=sys.stderr)
        print(issued.token)
        print(f"Signing secret for callbacks: {issued.key.callback_secret}", file=sys.stderr)

    asyncio.run(_with_keys(made))


@app.command("list")
def list_() -> None:
    """List all keys: their limits and open requests, but no secrets."""

    async def listed(store: Store, keys: ApiKeys) -> None:
        rows = [_row(key, len({*await keys.open(key.id), *await keys.kept(key.id)})) for key in await keys.all()]
        show_table(("key", "name", "channels", "open", "a minute", "polls", "made", "revoked"), rows)

    asyncio.run(_with_keys(listed))


@app.command()
def revoke(key: Annotated[str, typer.Argument(help="The key's id, or its name if no other key has it.")]) -> None:
    """Revoke a key; its pending requests stay open."""

    async def revoked(store: Store, keys: ApiKeys) -> None:
        ended = _key_called(key, await keys.all())
        await keys.put(api_keys.revoke(ended, await store.now()))
        print(f"Revoked key {ended.id} ({ended.name}).")

    asyncio.run(_with_keys(revoked))


async def _with_keys(work: Callable[[Store, ApiKeys], Awaitable[None]]) -> None:
    settings = read(CommonSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        store = Store(client, settings.namespace, side=Side.WEB)
        await work(store, ApiKeys(store))


def _row(key: ApiKey, now_open: int) -> list[str]:
    made, ended = f"{key.created_at:%Y-%m-%d}", f"{key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
    limits = [f"{now_open} of {key.most_open}", str(key.per_minute), str(key.most_waiting)]
    return [key.id, key.name, ", ".join(key.channels), *limits, made, ended]


def _key_called(named: str, keys: list[ApiKey]) -> ApiKey:
    matches = [key for key in keys if key.id == named] or [
        key for key in keys if key.name == named and key.revoked_at is None
    ]
    if len(matches) != 1:
        count = "is no key" if not matches else f"are {len(matches)} keys called"
        raise InvalidInput(f"There {count} “{named[:60]}”; nothing was revoked. `countersign keys list` names all.")
    return matches[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
