"""Logs as JSON, and outages as one line a minute."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from countersign import logs, usecases
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import ChannelId, RequestId, RunId, UserId, WorkspaceId
from countersign.logs import OF_SLACK, OutageFilter, about
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.sample_requests import BOB, attempt, question
from tests.store_fixtures import NoQueue

AWAY = StoreUnavailable("The store (Redis) does not answer.")


class Captured:
    """A logger whose lines are kept."""

    def __init__(self, form: str, every: float = 60.0) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(logs.formatter(form))
        handler.addFilter(OutageFilter(handler, every))
        self.log = logging.Logger("test")
        self.log.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        """What was written."""
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The same, read as JSON."""
        return [json.loads(line) for line in self.lines]


def test_json_log_line_has_the_ids_of_its_message() -> None:
    captured = Captured("json")
    with about(workspace="T1", run="rcontext"):
        captured.log.warning("Run %s asks %s in %s: %s\nand more", RunId("r1"), RequestId("q1"), ChannelId("C1"), "x")
    captured.log.info("%s of %s", UserId("U1"), WorkspaceId("T2"))
    first, second = captured.objects
    assert first["message"] == "Run r1 asks q1 in C1: x\nand more"
    assert {name: first[name] for name in ("level", "logger", "run", "request", "channel", "workspace")} == {
        **{"level": "WARNING", "logger": "test", "run": "r1", "request": "q1", "channel": "C1", "workspace": "T1"}
    }
    assert (second["user"], second["workspace"]) == ("U1", "T2")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", second["time"])


def test_json_log_line_has_the_traceback() -> None:
    captured = Captured("json")
    try:
        raise ValueError("a bug")
    except ValueError:
        captured.log.exception("It failed: %d", 1)
    [line] = captured.objects
    assert "Traceback" in line["error"] and "ValueError: a bug" in line["error"]


def test_outage_is_one_log_line_with_a_count() -> None:
    """Each task that waits for Redis would write its own."""
    captured = Captured("json")
    for number in range(50):
        captured.log.warning("%s Task %d continues when it is back.", AWAY, number)
        captured.log.warning("Slack did not answer %d.", number, extra=OF_SLACK)
        captured.log.warning("Something else.")
    messages = [line["message"] for line in captured.objects]
    assert len([text for text in messages if "Something else" in text]) == 50
    assert [text for text in messages if "Something else" not in text] == [
        "The store (Redis) does not answer. Task 0 continues when it is back.",
        "Slack did not answer 0.",
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that the filter sees."""
    seconds = [1000.0]
    monkeypatch.setattr(logs, "_now", lambda: seconds[0])
    yield seconds


def test_outage_log_line_counts_each_minute_and_the_end(clock: list[float]) -> None:
    captured = Captured("json")
    for _ in range(3):
        for _ in range(10):
            captured.log.warning("%s", AWAY)
        clock[0] += 60
    captured.log.info("All is well.")
    assert [
        (line["message"].partition("(Redis) does not answer.")[2], line.get("count")) for line in captured.objects
    ] == [
        ("", None),
        (" (9 more lines about Redis since the last one.)", 10),
        (" (9 more lines about Redis since the last one.)", 10),
        ("", 9),
        ("", None),
    ]


def test_logs_are_text_by_default() -> None:
    captured = Captured("text")
    captured.log.warning("Run %s", RunId("r1"))
    assert captured.lines[0].endswith("WARNING test: Run r1")


async def test_decision_is_logged_once(store: Store, lease: Lease, caplog: pytest.LogCaptureFixture) -> None:
    """Also where it comes by a timeout or a policy: it is logged where it is stored."""
    caplog.set_level(logging.INFO)
    asked = await usecases.ask(store, lease, question())
    for _ in range(2):
        await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, name="aone"))
    [line] = [record for record in caplog.records if "approved by" in record.getMessage()]
    assert line.getMessage() == f"Request {asked.id} of run {lease.run}: approved by reviewers."
    assert getattr(line, "fields")["user"] == BOB  # noqa: B009 -- an extra
