"""Slack that fails is asked again after milliseconds: how long it is waited for shows nothing in most tests."""

import pytest

from bot.slack import answer_check, slack_calls
from bot.slack.projector import drawing_queue, message_sync


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load it where tests make Slack fail."""
    for module in (answer_check, slack_calls, message_sync):
        monkeypatch.setattr(module, "PAUSE", 0.02)
    monkeypatch.setattr(drawing_queue, "_FIRST_PAUSE", 0.02)
