"""`python -m tests.check_slack`: asks Slack whether it takes what we draw, and posts nothing.

It needs SLACK_BOT_TOKEN, compares the token's scopes with those of the manifest, and sends every golden view to
`blocks.validate`. Exit status 1 if Slack refuses anything, 2 if it could not be asked.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import slack_errors
from bot.slack.app import SCOPES, scopes_of, slack_clients

GOLDEN: Final = Path(__file__).parent / "slack" / "golden"
REFUSALS: Final = frozenset({"invalid_blocks", "invalid_message", "invalid_view"})
"""What Slack answers about a payload; any other error is about the call."""
_WITHOUT_A_WORD: Final = 30
"""Seconds until the next call, where Slack has had enough of them and does not say for how long."""


def payload_of(view: Any) -> dict[str, Any]:
    """Return the arguments of `blocks.validate` for a golden view: a message, a view, or the blocks of a Home."""
    if isinstance(view, list):
        return {"view": {"type": "home", "blocks": view}}
    return {"view": view} if "type" in view else {"message": {"blocks": view["blocks"]}}


def payloads(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the golden views; a message of text alone has nothing to validate."""
    for path in sorted(folder.rglob("*.json")):
        view = json.loads(path.read_text("utf-8"))
        if isinstance(view, list) or view["blocks"]:
            yield str(path.relative_to(folder)), payload_of(view)


async def check(client: AsyncWebClient, folder: Path = GOLDEN) -> bool:
    """Ask Slack, and print its answers; False if it refused something or a scope is missing."""
    who = await _answer(client, "auth.test")
    print(f"Slack: workspace {who.get('team')} ({who.get('team_id')}), app's user {who.get('user')}")
    granted = scopes_of(who.headers)
    print(f"Slack: scopes {'are not told' if granted is None else ', '.join(sorted(granted))}")
    if missing := SCOPES - (SCOPES if granted is None else granted):
        print(f"MISSING scopes: {', '.join(sorted(missing))}. Add them (see manifest.yml), and install the app again.")
    sent = refused = 0
    for name, payload in payloads(folder):
        sent += 1
        try:
            answer = await _answer(client, "blocks.validate", **payload)
        except SlackApiError as error:
            if slack_errors.code(error) not in REFUSALS:
                raise
            refused += 1
            print(f"REFUSED {name}: {slack_errors.code(error)}")
            for told in error.response.get("errors") or ():
                print(f"        {json.dumps(told, ensure_ascii=False)}")
        else:
            warning = f" (warning: {answer['warning']})" if answer.get("warning") else ""
            print(f"ok      {name}{warning}")
    print(f"{sent} views sent, {refused} refused. Nothing was posted.")
    return not (refused or missing)


async def _answer(client: AsyncWebClient, method: str, **arguments: Any) -> AsyncSlackResponse:
    """Call the method; while Slack says that there were too many calls, wait as it says.

    The views go in the body: slack-sdk's own method puts them into the address, which has a limit.
    """
    while True:
        try:
            return await client.api_call(method, data={name: json.dumps(value) for name, value in arguments.items()})
        except SlackApiError as error:
            if error.response.status_code != 429:
                raise
            seconds = float(error.response.headers.get("Retry-After", _WITHOUT_A_WORD))
            print(f"Slack: too many calls; waiting {seconds:.0f} s")
            await asyncio.sleep(seconds)


async def _asked(token: str, api_url: str) -> bool:
    async with slack_clients(token, api_url) as clients:
        return await check(clients.posts)


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Return the exit status."""
    token = environment.get("SLACK_BOT_TOKEN", "")
    if not token:
        print("Set SLACK_BOT_TOKEN to the token of an app that was made from manifest.yml; nothing is posted.")
        return 2
    try:
        return 0 if asyncio.run(_asked(token, environment.get("SLACK_API_URL", "https://slack.com/api/"))) else 1
    except SlackApiError as error:
        code = slack_errors.code(error)
        print(f"Slack: {code}. {slack_errors.advice(code) if code in slack_errors.OF_THE_TOKEN else ''}".strip())
    except (aiohttp.ClientError, TimeoutError, OSError) as away:
        print(f"Slack cannot be reached ({away!r}).")
    return 2


if __name__ == "__main__":
    sys.exit(main())
