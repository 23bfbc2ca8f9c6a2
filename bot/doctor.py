"""The checks of `countersign doctor web`."""

from redis.asyncio import Redis

from countersign.doctor import Findings
from countersign.process_settings import read
from countersign.store.redis.connection import connect

from .settings import WebSettings
from .slack.app import check_app_token, identify, slack_clients
from .slack.people.lookup_cache import LookupCache
from .slack.people.users_and_groups import Directory
from .workspace import checked_rules, store_of


async def check(findings: Findings) -> None:
    """Check the settings, Redis, the tokens, the channel and the people."""
    found = findings.read(_opened)
    if found is None:
        return
    settings, client = found
    findings.ops_port(settings.ops_port)
    async with client:
        store = store_of(settings, client, settings.namespace)
        await findings.check("Redis", store.check(), "Redis answers, and forgets nothing when memory is short.")
        if settings.slack_bot_token is None:
            findings.good("Workspaces install the app by OAuth, so there is no token to check.")
        else:
            await _check_slack(findings, settings, settings.slack_bot_token.get_secret_value())


def _opened() -> tuple[WebSettings, Redis]:
    settings = read(WebSettings)
    return settings, connect(settings.redis_url.get_secret_value())


async def _check_slack(findings: Findings, settings: WebSettings, token: str) -> None:
    async with slack_clients(token, settings.slack_api_url) as clients:
        if settings.slack_app_token is not None:
            opening = check_app_token(clients.reads, settings.slack_app_token.get_secret_value())
            await findings.check("Slack", opening, "Slack takes SLACK_APP_TOKEN.")
        told = "Slack takes SLACK_BOT_TOKEN, for workspace {}, with all scopes."
        found = await findings.check("Slack", identify(clients.reads), lambda who: told.format(who.workspace))
        if found is None:
            return
        lookups = LookupCache()  # it shares nothing with `web`, so a check changes nothing
        directory = Directory(clients.reads, found.workspace, lookups, external_channels=settings.external_channels)
        reviewers = f"The app is in {settings.approvals_channel}, and Slack knows the reviewers and admins."
        rules = await findings.check("Slack", checked_rules(settings, directory), reviewers)
        if rules is not None and not rules.reviewers:
            findings.wrong("REVIEWERS names nobody: runs start only in channels that name reviewers themselves.")
        await directory.close()
