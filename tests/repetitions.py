"""How often tests repeat what only gets better with repetition: seldom in `make test`, often with `LONG=1`."""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

LONG: Final = bool(os.environ.get("LONG"))
"""`make test-all` sets it."""

longer = pytest.mark.longer
"""On a test that `make test` cuts short with `times`: `make test-all` runs it again, whole."""


def times(usual: int, long: int) -> int:
    """`usual`, or `long` where the environment has LONG=1."""
    return long if LONG else usual


def set_up_hypothesis() -> None:
    """`make test` tries the same few examples each time; LONG=1 tries many others.

    How long an example takes says more of the machine than of what is tested.
    """
    settings.register_profile(
        "ours",
        deadline=None,
        max_examples=times(25, 200),
        derandomize=not LONG,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("ours")
