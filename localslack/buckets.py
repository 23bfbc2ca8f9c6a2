"""How often a method may be called: a bucket of tokens for each, as Slack's tiers are, refilled all the time.

https://docs.slack.dev/apis/web-api/rate-limits. Numbers are calls a second; as many may come at once.
"""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatch

from .errors import RateLimited


class Buckets:
    """`rates`: calls a second by a pattern of methods; a method without one is called as often as anybody likes."""

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, method: str) -> None:
        """Raises RateLimited, with the seconds until there is a token again, if there is none."""
        rate = next((rate for pattern, rate in self._rates.items() if fnmatch(method, pattern)), None)
        if rate is None:
            return
        now = self._clock()
        left, at = self._left.get(method, (max(rate, 1.0), now))
        left = min(max(rate, 1.0), left + (now - at) * rate)
        if left < 1:
            self._left[method] = left, now
            raise RateLimited(max(1, math.ceil((1 - left) / rate)))
        self._left[method] = left - 1, now
