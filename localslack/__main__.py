"""`python -m localslack`: the workspace of the demo, with its page in the browser."""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from .config import Config, read_manifest
from .driver import LocalSlack


def _config() -> Config:
    parser = argparse.ArgumentParser(prog="localslack", description="A Slack that runs here.")
    parser.add_argument("--host", default="127.0.0.1", help="loopback only")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--bot-token", default=Config.bot_token)
    parser.add_argument("--app-token", default=Config.app_token)
    parser.add_argument("--signing-secret", default=Config.signing_secret)
    parser.add_argument("--events-url", action="append", default=[], help="signed HTTP; again for a replica")
    parser.add_argument("--failover", action="store_true", help="try the next replica when one is down")
    parser.add_argument("--manifest", type=Path, help="the app's manifest.yml: commands, events, scopes")
    parser.add_argument("--rate-limits", action="store_true", help="one post a second in each channel")
    given = parser.parse_args()
    try:
        manifest = read_manifest(given.manifest) if given.manifest else {}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return Config(
        host=given.host,
        port=given.port,
        bot_token=given.bot_token,
        app_token=given.app_token,
        signing_secret=given.signing_secret,
        events_urls=tuple(given.events_url),
        failover=given.failover,
        enforce_rate_limits=given.rate_limits,
        **manifest,
    )


async def _serve(config: Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with LocalSlack(config) as slack:
        print(f"localslack: {slack.url}/   Web API: {slack.api_url}", flush=True)
        await stopped.wait()


def main() -> None:
    config = _config()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(config))
    except (OSError, ValueError) as error:
        sys.exit(f"localslack could not start: {error}")


if __name__ == "__main__":
    main()
