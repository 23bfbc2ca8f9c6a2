"""Payloads made wrong, of every kind, through the real app and the real store (R29)."""

import gc
import json
import logging

import pytest

from tests.fuzz.campaign import Found, fuzz, warned
from tests.fuzz.target import deployment, encoded
from tests.redis_server import url_of


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_fuzzed_payloads_decide_nothing_and_raise_nothing(redis_url: str, namespace: str) -> None:
    """R29: `make fuzz` sends a hundred thousand; nobody who may decide sends any of these."""
    async with deployment(url_of("web", redis_url, namespace), namespace) as it:
        assert {kind for kind, _ in it.seeds} == {"interactive", "slash_commands", "events_api"}
        assert len(it.seeds) > 60
        found = await fuzz(it, 3000, seed=13)
    assert found.problems == []
    assert set(found.sent) == {"payload", "request", "call", "entry"}


@pytest.mark.slow
async def test_fuzzer_notices_a_decision(redis_url: str, namespace: str) -> None:
    """R34: a test that cannot fail shows nothing."""
    async with deployment(url_of("web", redis_url, namespace), namespace) as it:
        asked = [payload for kind, payload in it.seeds if kind == "interactive" and payload.get("actions")]
        clicks = [payload for payload in asked if payload["actions"][0]["action_id"] == "decide_approve"]
        for payload in clicks:
            payload["user"]["id"] = "U0BOB"
        it.seeds[:] = [("interactive", payload) for payload in clicks]
        found = await fuzz(it, 100, seed=1)
    assert any("something was decided" in problem for problem in found.problems)


@pytest.mark.slow
async def test_window_without_a_channel_leaves_no_unawaited_work(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: ids are read before there is anything to await."""
    found = Found()
    # pytest keeps what is logged, with the frames of its exceptions, and so the coroutine in them.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    async with deployment(url_of("web", redis_url, namespace), namespace) as it:
        windows = [payload for _, payload in it.seeds if payload.get("type") == "view_submission"]
        with warned(found):
            for payload in windows:
                view = payload["view"]
                held = json.loads(view["private_metadata"] or "{}")
                view["private_metadata"] = json.dumps(held | {"channel": "nowhere"})
                await it.post(*encoded("interactive", payload))
            gc.collect()
    assert {payload["view"]["callback_id"] for payload in windows} == {
        "edit_request",
        "permit_request",
        "reject_request",
    }
    assert found.problems == []
