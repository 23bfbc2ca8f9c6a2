"""Waiting for a store that is away."""

import logging

import pytest

from countersign.domain.errors import StoreUnavailable
from countersign.usecases import store_outages


async def test_store_wait_logs_the_cause_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the call is made again until it answers."""
    monkeypatch.setattr(store_outages, "FIRST_PAUSE", 1e-6)
    left = 3

    async def call() -> str:
        nonlocal left
        left -= 1
        if left:
            raise StoreUnavailable("Redis does not answer.")
        return "stored"

    with caplog.at_level(logging.WARNING):
        assert await store_outages.patiently(call, hint="REDIS_URL says where it should be.") == "stored"
    assert caplog.messages == ["Waiting for the store: Redis does not answer. REDIS_URL says where it should be."]
