"""Quantiles of spans of time.

Spans are counted in steps of 2 %, so a median or a 95th percentile is within 1 % of the true one, and a histogram of
years needs a thousand numbers.
"""

import math
from collections import Counter
from datetime import timedelta
from typing import Final

_STEP: Final = math.log(1.02)


class Waits:
    """Spans of time, as a histogram from which quantiles are read."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one span; below a second all are the same."""
        self._steps[round(math.log(max(seconds, 1.0)) / _STEP)] += 1
        self.count += 1

    def quantile(self, share: float) -> timedelta:
        """Return the span that this share of all does not exceed; zero if there is none."""
        left = math.ceil(self.count * share)
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return timedelta(seconds=round(math.exp(step * _STEP)))
        return timedelta(0)
