"""What Prometheus reads: each failure moves a metric, and no label grows with what others send."""

import random
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.asyncio
from slack_sdk.errors import SlackApiError

from bot.slack import app
from bot.slack.health import Health
from countersign import metrics, usecases
from countersign.domain.errors import InvalidInput, StoreFull
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId, RunId
from countersign.metrics import REGISTRY, Cause, NotStarted
from countersign.store.condition import Condition, cause_of, look
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import NONE, Replicas
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.free_ports import free_port
from tests.metric_counts import count
from tests.sample_requests import question
from tests.slack.test_projector import all_drawn, decide, running_projector
from tests.store_fixtures import start_run

FLOOD = 500


def noise(number: int) -> str:
    """A text as somebody might send it: an id, a name, or anything."""
    draw = random.Random(number)
    return "".join(draw.choices(string.ascii_lowercase + "_", k=12)) if number % 2 else f'x"{{}}\n{number}'


def values_by_label() -> dict[tuple[str, str], int]:
    """Count the values of each label of each metric."""
    values: dict[tuple[str, str], set[str]] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault((family.name, label), set()).add(value)
    return {at: len(found) for at, found in values.items()}


def test_metric_labels_do_not_grow_with_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """R46: somebody who can name things must not be able to fill Prometheus."""
    monkeypatch.setattr(metrics, "_told_apart", {})  # the flood leaves other tests their values
    now, before = datetime.now(UTC), values_by_label()
    for number in range(FLOOD):
        text = noise(number)
        metrics.slack_called(text, text)
        metrics.token_refused(text, text)
        metrics.events_limited(text)
        metrics.unreadable(text)
        data = {"outcome": text, "how": text, "refusal": text, "waited": text}
        for type_ in EventType:
            metrics.happened(Event(type_, now, RunId("rflood"), RequestId(f"q{number}"), data=data))
    most = metrics.MOST_VALUES + len(("other",))
    grown = {at: values for at, values in values_by_label().items() if values - before.get(at, 0) > most}
    for number in range(FLOOD):
        metrics.token_refused(noise(number), "")
    assert grown == {}


async def measured(store: Store) -> None:
    """Have the store looked at, as for a scrape."""
    health = Health()
    health.store, health.stores = store, lambda: (store,)
    await health.measured()


async def test_unposted_requests_are_counted_until_their_card_stands(
    slack: LocalSlack, store: Store, lease: Lease
) -> None:
    """R21, R46: their age says how long people have not been asked."""
    before = count("countersign_card_posted_seconds_count")
    one, two = [await usecases.ask(store, lease, question(text, asked=n)) for n, text in enumerate("ab", 1)]
    await measured(store)
    assert count("countersign_waiting", what="unposted_requests") == 2
    assert count("countersign_oldest_unposted_seconds") > 0
    assert count("countersign_oldest_unrecorded_seconds") > 0
    await usecases.take_back(store, lease, two.id, "not wanted")
    await measured(store)
    assert count("countersign_waiting", what="unposted_requests") == 1
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    await measured(store)
    assert count("countersign_waiting", what="unposted_requests") == 0
    assert count("countersign_waiting", what="requests") == 1
    assert count("countersign_oldest_unposted_seconds") == 0
    assert count("countersign_card_posted_seconds_count") == before + 1
    assert await store.client.zscore(store.keys.unposted, one.id) is None


async def test_lost_request_is_not_counted_as_unposted(store: Store) -> None:
    await store.client.zadd(store.keys.unposted, {"qgone": 1, "qgone2": 2})
    await measured(store)
    assert count("countersign_oldest_unposted_seconds") == 0
    assert await store.client.zcard(store.keys.unposted) == 0


async def test_decision_delivery_is_timed_from_the_decision(slack: LocalSlack, store: Store, lease: Lease) -> None:
    before = count("countersign_decision_delivered_seconds_count")
    asked = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await decide(store, asked)
        await usecases.note_delivery(store, lease, asked.id)
        await all_drawn(slack, store)
    assert count("countersign_decision_delivered_seconds_count") == before + 1


async def test_workers_and_their_runs_are_counted(store: Store) -> None:
    """A run that no worker announces waits for one."""
    await start_run(store)
    await measured(store)
    assert count("countersign_workers") == 1
    assert count("countersign_teams", state="working") == 1
    assert count("countersign_waiting", what="runs") == count("countersign_waiting", what="unheld_runs") == 1


async def test_refused_start_is_counted_by_its_reason(store: Store) -> None:
    before = count("countersign_starts_refused_total", why=NotStarted.UNKNOWN_TEAM)
    with pytest.raises(InvalidInput):
        await start_run(store, team="nobody")
    assert count("countersign_starts_refused_total", why=NotStarted.UNKNOWN_TEAM) == before + 1


async def test_slack_calls_are_counted_by_method_and_error(slack: LocalSlack) -> None:
    """R46: also where Slack answers with no error of its own, or not at all."""
    counted = {code: _calls(code) for code in ("ok", "fatal_error", "http_503", "no_answer")}
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        await clients.posts.auth_test()
        slack.faults.add("error", on="auth.test", error="fatal_error", times=1)
        with pytest.raises(SlackApiError):
            await clients.posts.auth_test()
        slack.faults.add("server_error", on="auth.test", status=503, times=1)
        with pytest.raises(SlackApiError):
            await clients.posts.auth_test()
    async with app.slack_clients(slack.bot_token, f"http://127.0.0.1:{free_port()}/api/") as clients:
        with pytest.raises(OSError):
            await clients.posts.auth_test()
    assert {code: _calls(code) for code in counted} == {code: calls + 1 for code, calls in counted.items()}


def _calls(code: str) -> float:
    return count("countersign_slack_calls_total", method="auth.test", code=code)


async def test_redis_condition_names_the_missing_resource(store: Store) -> None:
    """R46"""
    seen = await look(store.client, store.keys.confirmed, NONE)
    assert seen.causes <= {Cause.LATENCY}
    assert abs(seen.clock_ahead) < 60
    few = await look(store.client, store.keys.confirmed, Replicas(1))
    assert Cause.REPLICA in few.causes and (few.replicas, few.wanted) == (0, 1)
    async with connect(f"redis://127.0.0.1:{free_port()}/0") as nowhere:
        assert (await look(nowhere, "mark", NONE)).causes == {Cause.UNREACHABLE}
    few.show()
    assert count("countersign_redis_problem", cause="replica") == 1
    seen.show()
    assert count("countersign_redis_problem", cause="replica") == 0


@pytest.mark.slow  # a server of its own
async def test_redis_condition_separates_full_memory_from_wrong_password(tmp_path: Path) -> None:
    async with (
        EmbeddedRedis(tmp_path / "redis", namespace="t") as server,
        connect(server.url) as admin,
        connect(server.url_of("web")) as client,
        connect(server.url_of("web").replace("web:", "web:not")) as stranger,
    ):
        await admin.config_set("maxmemory", "1mb")
        assert (await look(client, "{t}:confirmed", NONE)).causes == {Cause.MEMORY}
        assert (await look(stranger, "{t}:confirmed", NONE)).causes == {Cause.PASSWORD}
        await admin.config_set("maxmemory", "100mb")
        seen: Condition = await look(client, "{t}:confirmed", NONE)
        assert 0 < seen.memory < 1


def test_full_disk_is_told_from_full_memory() -> None:
    full = StoreFull("it cannot write")
    full.__cause__ = redis.exceptions.ResponseError("MISCONF Valkey is configured to save RDB snapshots")
    assert cause_of(full) is Cause.DISK


def test_metrics_name_the_build() -> None:
    assert "countersign_build_info{" in metrics.exposition().decode()
