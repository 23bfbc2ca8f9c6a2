"""The pytest fixture `slack`.

Put `pytest_plugins = ["localslack.fixtures"]` into the top conftest.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest_asyncio

from .change_feed import PATIENCE
from .driver import LocalSlack

HURRY: Final = 100.0
"""In tests Slack's rates, and the code that keeps to them, run this many times faster."""
UNHURRIED: Final[dict[str, Any]] = {"ack_seconds": PATIENCE, "trigger_seconds": PATIENCE, "hurry": HURRY}
"""Settings of a Slack that waits minutes where the real one waits 3 s, so that slow machines fail no test."""


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    """A fresh workspace for one test, in Socket Mode, which takes its time."""
    async with LocalSlack(**UNHURRIED) as running:
        yield running
