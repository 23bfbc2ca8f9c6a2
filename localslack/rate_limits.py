"""Rate limits: a bucket of tokens for each method, refilled all the time.

https://docs.slack.dev/apis/web-api/rate-limits. Numbers are calls a second; as many may come at once.
"""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatch

from .errors import RateLimited


class RateLimits:
    """A count of the calls of each method.

    `rates` are calls a second by a pattern of methods. A method without one is called as often as anybody likes.
    """

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, method: str) -> None:
        """Take a token; RateLimited, with the seconds to wait, if there is none."""
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
