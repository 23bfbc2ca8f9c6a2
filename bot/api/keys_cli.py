"""Command `countersign keys`: create, list, rotate and revoke keys of programs."""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

import typer

from countersign.domain import api_keys
from countersign.domain.api_keys import MOST_OPEN, MOST_WAITING, PER_MINUTE, ApiKey, Issued
from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.process_settings import CommonSettings, read
from countersign.store.keys import area_namespace
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.terminal import command_line, run, show_table
from countersign.usecases import program_keys

app = command_line("Create, list, rotate and revoke keys for programs.")
Named = Annotated[str, typer.Argument(help="The program's name, or the key's id.")]


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns 0, or 2 if there is something to fix first.
    """
    return run(app, arguments, "countersign keys")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="The program's name, shown on cards.")] = "",
    channel: Annotated[
        list[str] | None, typer.Option(help="A channel it can ask in, by name or id; repeatable.")
    ] = None,
    worker: Annotated[str, typer.Option(help="In place of a program: the name of a group of workers.")] = "",
    teams: Annotated[str, typer.Option(help="The teams of these workers, like email,deploy; all without it.")] = "",
    most_open: Annotated[int, typer.Option(help="Most pending requests at once.")] = MOST_OPEN,
    per_minute: Annotated[int, typer.Option(help="Most requests a minute.")] = PER_MINUTE,
    most_waiting: Annotated[int, typer.Option(help="Most calls that wait at once, in one web.")] = MOST_WAITING,
) -> None:
    """Create a key, for a program or for workers, and show it once."""
    if bool(name) == bool(worker) or (worker and channel) or (teams and not worker):
        raise InvalidInput("Give --name and --channel for a program, or --worker and --teams for workers.")

    async def made_for_workers(store: Store, keys: ApiKeys) -> None:
        names = tuple(team.strip() for team in teams.split(",") if team.strip())
        issued = api_keys.issue_worker(worker, names, await store.now())
        await program_keys.create(store, issued, _operator())
        print(
            f"Created key {issued.key.id} for workers of {teams or 'all teams'}. It won't be shown again:",
            file=sys.stderr,
        )
        print(issued.token)
        area = area_namespace(store.keys.namespace, issued.key.area)
        print(f"Their area in Redis is {{{area}}}:*. Start them with COUNTERSIGN_KEY.", file=sys.stderr)

    async def made(store: Store, keys: ApiKeys) -> None:
        channels = await _ids(store, channel or [])
        issued = api_keys.issue(
            name,
            channels,
            await store.now(),
            most_open=most_open,
            per_minute=per_minute,
            most_waiting=most_waiting,
        )
        await program_keys.create(store, issued, _operator())
        _show(issued, f"Created key {issued.key.id} for {name} in {', '.join(channels)}.")

    asyncio.run(_with_keys(made_for_workers if worker else made))


@app.command("list")
def list_() -> None:
    """List all keys: their limits and open requests, but no secrets."""

    async def listed(store: Store, keys: ApiKeys) -> None:
        names = {channel: f"#{name}" for name, channel in (await store.channel_names() or {}).items()}
        rows = [_row(key, names, len(await keys.open(key.id))) for key in await keys.all()]
        columns = ("key", "name", "channels", "open", "a minute", "polls", "made", "rotated", "revoked")
        show_table(columns, rows)

    asyncio.run(_with_keys(listed))


@app.command()
def rotate(
    program: Named,
    overlap: Annotated[str, typer.Option(help="How long the old secret stays valid: 30m, 4h, 2d.")] = "",
) -> None:
    """Make a new secret for a program's key, and show it once.

    Requests, idempotency keys and limits stay. The old secret ends at once, or after the overlap. A revoked key opens
    again.
    """
    span = parse_duration(overlap) if overlap else timedelta(0)

    async def rotated(store: Store, keys: ApiKeys) -> None:
        issued = await program_keys.rotate(store, _key_called(program, await keys.all()).id, span, _operator())
        end = f"The old one ends in {overlap}." if span else "The old one has ended."
        _show(issued, f"Rotated key {issued.key.id} of {issued.key.name}. {end}")

    asyncio.run(_with_keys(rotated))


@app.command()
def revoke(program: Named) -> None:
    """Revoke a program's key; its pending requests stay open."""

    async def revoked(store: Store, keys: ApiKeys) -> None:
        ended = await program_keys.revoke(store, _key_called(program, await keys.all()).id, _operator())
        print(f"Revoked key {ended.id} ({ended.name}).")

    asyncio.run(_with_keys(revoked))


async def _with_keys(work: Callable[[Store, ApiKeys], Awaitable[None]]) -> None:
    settings = read(CommonSettings)
    async with connect(settings.redis_url.get_secret_value()) as client:
        store = Store(client, settings.namespace)
        await work(store, ApiKeys(store))


async def _ids(store: Store, channels: list[str]) -> tuple[str, ...]:
    """Find the ids of channels.

    A key is bound to ids, because a name may change hands (R43).
    """
    named = {channel: channel.removeprefix("#") for channel in channels if ChannelId.named(channel) is None}
    if not named:
        return tuple(channels)
    names = await store.channel_names()
    if names is None:
        raise InvalidInput(
            "`web` has not said lately which channels the app is in. Start it first, or give the id of each channel, "
            "like C0123ABC: it stands at the end of the channel's details in Slack. No key was created."
        )
    if unknown := [f"#{name}" for name in named.values() if name not in names]:
        raise InvalidInput(
            f"The app is in no channel {', '.join(unknown)[:200]}. Invite it there with /invite, wait a minute, and "
            "try again. No key was created."
        )
    return tuple(names[named[one]] if one in named else ChannelId(one) for one in channels)


def _show(issued: Issued, done: str) -> None:
    print(f"{done} It won't be shown again:", file=sys.stderr)
    print(issued.token)
    print(f"Signing secret for callbacks: {issued.key.secrets[-1].callback_secret}", file=sys.stderr)


def _operator() -> str:
    """The account that runs the command, as the system says."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())


def _row(key: ApiKey, names: dict[ChannelId, str], now_open: int) -> list[str]:
    limits = [f"{now_open} of {key.most_open}", str(key.per_minute), str(key.most_waiting)]
    rotated = key.secrets[-1].made_at if len(key.secrets) > 1 else None
    dates = [_day(date) for date in (key.created_at, rotated, key.revoked_at)]
    return [key.id, key.name, ", ".join(names.get(channel, channel) for channel in key.channels), *limits, *dates]


def _day(date: datetime | None) -> str:
    return f"{date:%Y-%m-%d}" if date else ""


def _key_called(named: str, keys: list[ApiKey]) -> ApiKey:
    found = next((key for key in keys if named in (key.id, key.name)), None)
    if found is None:
        raise InvalidInput(f"There is no key “{named[:60]}”; nothing was changed. `countersign keys list` names all.")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
