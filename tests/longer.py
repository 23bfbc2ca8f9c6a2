"""How often the tests that only get better with time repeat what they do: seldom each time, often with `LONG=1`."""

import os


def times(usual: int, long: int) -> int:
    """`usual`, or `long` where the environment has LONG=1."""
    return long if os.environ.get("LONG") else usual
