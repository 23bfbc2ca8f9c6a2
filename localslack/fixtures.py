"""The pytest fixture `slack`: put `pytest_plugins = ["localslack.fixtures"]` into the top conftest."""

from collections.abc import AsyncIterator

import pytest_asyncio

from localslack.driver import LocalSlack


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    """A fresh workspace for one test, in Socket Mode."""
    async with LocalSlack() as running:
        yield running
