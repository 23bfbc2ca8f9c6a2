"""An office without a web."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.installations import workspace_registry
from bot.slack.app import SCOPES
from bot.slack.handlers import ack_deadline
from localslack import LocalSlack
from localslack.fixtures import UNHURRIED
from tests.installations.office import PUBLIC, Office
from tests.longest_wait import PATIENCE
from tests.short_pauses import short_pauses

__all__ = ["short_pauses"]
EVENTS = frozenset({"app_home_opened", "app_uninstalled", "tokens_revoked"})


@pytest.fixture(autouse=True)
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come quickly, and answers as late as they like: how long things take shows nothing here."""
    monkeypatch.setattr(workspace_registry, "REFRESH_EVERY", timedelta(milliseconds=50))
    monkeypatch.setattr(workspace_registry, "_OPEN_AGAIN", 0.05)
    monkeypatch.setattr(ack_deadline, "ACK_WITHIN", PATIENCE)


@pytest.fixture
async def office(redis_url: str, namespace: str) -> AsyncIterator[Office]:
    """Two workspaces, neither with the app, whose tokens end after twelve hours."""
    settings: dict[str, Any] = {"token_rotation": True, "scopes": SCOPES, **UNHURRIED}
    urls = (f"{PUBLIC}/slack/oauth_redirect",)
    async with LocalSlack(**settings, redirect_urls=urls, bot_events=EVENTS, time_scale=0.001) as first:
        first.uninstall()
        yield Office(first, first.add_workspace("T0SECOND"), redis_url, namespace)
        assert first.problems == []
