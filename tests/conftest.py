"""Fixtures for all tests: a real Redis, a local Slack, a browser."""

pytest_plugins = [
    "tests.redis_server",
    "tests.storing",
    "tests.store.two_users",
    "localslack.fixtures",
    "tests.browser",
    "tests.openai_server",
]
