"""Rate limits by Slack's tiers, always on.

https://docs.slack.dev/apis/web-api/rate-limits; the tier of a method stands on its page, and in Slack's own
`MethodsRateLimits.java` (java-slack-sdk). Slack promises at least the tier's number of calls a minute, and bursts of
unnamed size: localslack takes exactly that number in any minute. Further calls get a Retry-After until the next call
counts.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from typing import Any

from .errors import RateLimited

POSTS = 5, 5.0
"""Posts, and seconds, in one channel: "about one a second, short bursts allowed"."""
MINUTE = 60.0


class RateLimits:
    """A count of the calls of each method, and of posts in each channel.

    `rates` replace the tiers of methods, by a pattern: calls a second, of which as many may come at once. A method
    without any rate is called as often as anybody likes. For the tiers the clock goes `hurry` times faster than
    for all else; Retry-After is not by that one.
    """

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float], *, hurry: float = 1.0) -> None:
        self._rates = rates
        self._clock = clock
        self._hurry = hurry
        self._taken: dict[str, deque[float]] = {}

    def take(self, method: str, tier: int | None, arguments: Mapping[str, Any]) -> None:
        """Count a call; RateLimited, with the seconds to wait, if there were too many."""
        limits = self._limits(method, tier, str(arguments.get("channel")))
        now, wait = self._clock() * self._hurry, 0.0
        for name, calls, seconds in limits:
            taken = self._taken.setdefault(name, deque())
            while taken and taken[0] <= now - seconds:
                taken.popleft()
            if len(taken) >= calls:
                wait = max(wait, taken[0] + seconds - now)
        if wait > 0:
            raise RateLimited(max(1, math.ceil(wait / self._hurry)))
        for name, *_ in limits:
            self._taken[name].append(now)

    def _limits(self, method: str, tier: int | None, channel: str) -> list[tuple[str, int, float]]:
        """The limit that counts the call: how many calls, in how many seconds."""
        rate = next((rate for pattern, rate in self._rates.items() if fnmatch(method, pattern)), None)
        if rate is not None:
            calls = max(1, int(rate))
            return [(method, calls, calls / rate * self._hurry)]
        limits = [] if tier is None else [(method, tier, MINUTE)]
        return [*limits, (f"{method} {channel}", *POSTS)] if method == "chat.postMessage" else limits
