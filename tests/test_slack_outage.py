"""Slack away for ten minutes while runs go on: the cards are right two minutes after it is back."""

import re
from collections import Counter

import pytest

from bench.slack_rates import Outage, Row
from tests.idle_clock import played

pytest_plugins = ["tests.redis_server"]
TEN_MINUTES = Outage(after=20, unheard=10, seconds=600)
REQUEST = re.compile(r"\bq[a-z0-9]{16}\b")


@pytest.mark.slow
def test_cards_are_correct_two_minutes_after_an_outage(redis_url: str) -> None:
    """R6, R21, R35: 25 runs a minute, reviewers who click as soon as they have read; no second card, none left open."""
    seen = played(redis_url, Row(25, 620 / 60, 1, 5, 1, outage=TEN_MINUTES, afterwards=120))
    assert len(seen.cards) == 258 and not seen.unsettled
    names = Counter(str((message.metadata or {}).get("event_payload")) for message in seen.standing)
    assert set(names.values()) == {1}
    shown = Counter(name for message in seen.standing for name in set(REQUEST.findall(str(message.blocks))))
    assert len(shown) == 258 and set(shown.values()) == {1}
    assert not [message for message in seen.standing if "Approve" in message.buttons]
