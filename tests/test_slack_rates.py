"""Cards come and are settled in time at Slack's published rates, whatever the machine: work takes no time here."""

import pytest

from bench.figures import percentile
from bench.slack_rates import Row
from tests.idle_clock import played

MOST_EVENTS = 7
"""For a run that asks once, of an app that reads replies; docs/slack-in-production.md says what that allows."""
pytest_plugins = ["tests.redis_server"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [Row(25, 2, 1, 5, 1, 1, 1), Row(60, 1, 1, 10, 1, 2, 2), Row(600, 0.25, 20, 20, 1, 10, 5)],
    ids=lambda r: r.runs,
)
def test_cards_keep_time_at_slacks_rates(redis_url: str, row: Row) -> None:
    """R35: 95 of 100 of them, none is left at the end, and Slack never had too many calls."""
    seen = played(redis_url, row)
    assert row.card is not None and percentile(seen.cards, 95) <= row.card
    assert row.settled is not None and percentile(seen.settled, 95) <= row.settled
    assert len(seen.cards) == len(seen.settled) == row.runs * row.minutes
    assert (seen.unsettled, seen.refused) == (0, 0)
    assert seen.events <= MOST_EVENTS * len(seen.cards)
