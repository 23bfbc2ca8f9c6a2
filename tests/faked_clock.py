"""What libfaketime itself breaks in the processes of pytest: `make test-any-time` runs the tests under it."""

import os
import select
import time
from typing import SupportsFloat, SupportsIndex

import pytest

FAKED = "FAKETIME" in os.environ


def pytest_configure() -> None:
    """Sleep by `select`.

    `time.sleep` of Python 3.11 is a clock_nanosleep until a moment, which libfaketime 0.9.10 turns into EINVAL.
    """
    if FAKED:
        time.sleep = _sleep


def _sleep(seconds: SupportsFloat | SupportsIndex, /) -> None:
    select.select([], [], [], float(seconds))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the few tests that it breaks; the marker `real_clock` says how."""
    broken = item.get_closest_marker("real_clock")
    if FAKED and broken is not None:
        pytest.skip(broken.args[0])
