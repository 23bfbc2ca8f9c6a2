"""Fixtures for all tests: a real Redis, a local Slack, a browser."""

import gc
import re
import signal
from pathlib import Path

import pytest

from countersign.python_gc import settle_memory
from tests.repetitions import set_up_hypothesis

pytest_plugins = [
    "tests.redis_server",
    "tests.store_fixtures",
    "localslack.fixtures",
    "tests.browser",
    "tests.openai_server",
    "tests.cost",
    "tests.faked_clock",
]

set_up_hypothesis()
# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # until collection ends: nothing that is imported for the tests becomes garbage

SLOW = frozenset({"chromium", "there", "postgres", "site", "pair"})
"""Fixtures whose tests are slow, whatever they show: they start Chromium, `web` and `worker` as processes, PostgreSQL,
a Sentinel, a replica. Other slow tests are marked where they stand."""

ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)
"""How a file says that all its tests are slow."""

LONGEST = ("test_chaos.py", "test_bench.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file whose tests `make test` all leaves out: their frameworks take longest to import."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return True if collection_path.parent.name == "e2e" or ALL_SLOW.search(collection_path.read_text()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first: nobody waits for it at the end.

    What wants a browser begins as the second worker does, which then has the only one: each worker gets as many tests
    as the others, one after another, and loses those at its end to whoever is done.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    for item in items:
        if "/e2e/" in item.nodeid or not SLOW.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.name not in LONGEST)
    browsing = [item for item in items if _browses(item)]
    others = [item for item in items if not _browses(item)]
    second = len(items) // workers
    items[:] = [*others[:second], *browsing, *others[second:]]


def _browses(item: pytest.Item) -> bool:
    return "chromium" in getattr(item, "fixturenames", ())


def pytest_collection_finish() -> None:
    """What was imported for the tests stays, as in the processes that serve."""
    settle_memory()
    gc.enable()
