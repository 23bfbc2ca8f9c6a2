"""`python -m localslack`: the workspace of the demo, with its page in the browser."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from .config import Config, read_manifest
from .driver import LocalSlack
from .saved_workspace import keep, load


def _settings() -> tuple[Config, Path | None]:
    parser = argparse.ArgumentParser(prog="localslack", description="A Slack that runs here.")
    parser.add_argument("--host", default="127.0.0.1", help="loopback only")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--events-url", action="append", default=[], help="signed HTTP; again for a replica")
    parser.add_argument("--failover", action="store_true", help="try the next replica when one is down")
    parser.add_argument("--manifest", type=Path, help="the app's manifest.yml: commands, events, scopes")
    parser.add_argument(
        "--event", action="append", default=[], help="an event besides the manifest's; again for another"
    )
    parser.add_argument("--hint", default="", help="what a page without messages says")
    parser.add_argument("--state", type=Path, help="a file that keeps people, channels and messages")
    arguments = parser.parse_args()
    try:
        manifest = read_manifest(arguments.manifest) if arguments.manifest else {}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    manifest["bot_events"] = manifest.get("bot_events", Config.bot_events) | set(arguments.event)
    config = Config(
        host=arguments.host,
        port=arguments.port,
        bot_token=_secret("LOCALSLACK_BOT_TOKEN", Config.bot_token),
        app_token=_secret("LOCALSLACK_APP_TOKEN", Config.app_token),
        signing_secret=_secret("LOCALSLACK_SIGNING_SECRET", Config.signing_secret),
        events_urls=tuple(arguments.events_url),
        failover=arguments.failover,
        hint=arguments.hint,
        **manifest,
    )
    return config, arguments.state


def _secret(name: str, usual: str) -> str:
    """Read a secret from the environment: anybody on the machine may read a command line."""
    return os.environ.get(name) or usual


async def _serve(config: Config, state: Path | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    slack = LocalSlack(config)
    if state is not None:
        load(slack.workspace, state)
    async with slack, asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(keep(slack.workspace, slack.platform.changes, state)) if state else None
        print(f"localslack: {slack.url}/   Web API: {slack.api_url}", flush=True)
        await stopped.wait()
        if keeping is not None:
            keeping.cancel()


def main() -> None:
    config, state = _settings()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(config, state))
    except (OSError, ValueError) as error:
        sys.exit(f"localslack could not start: {error}")


if __name__ == "__main__":
    main()
