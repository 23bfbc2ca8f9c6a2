"""Fixtures for all tests: a real Redis, a local Slack, a browser."""

from bot.memory import settle_memory

pytest_plugins = [
    "tests.redis_server",
    "tests.storing",
    "tests.store.two_users",
    "localslack.fixtures",
    "tests.browser",
    "tests.openai_server",
]


def pytest_collection_finish() -> None:
    """What was imported for the tests stays, as in the processes that serve."""
    settle_memory()
