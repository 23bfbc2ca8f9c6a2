"""Health of `web`: the store, the connection to Slack, the machine's clock."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreFull, StoreUnavailable
from countersign.ops_port import Readiness
from countersign.usecases.ports import Store
from countersign.usecases.store_outages import ended

_CLOCKS_APART: Final = timedelta(minutes=4)
_ANSWER_WITHIN: Final = 0.5
"""Seconds for a probe, to which Kubernetes gives one. A look at Redis that takes longer counts for the next one."""
_LOOK_WITHIN: Final = 2.0
"""Seconds for a look at Redis, and to read the figures for Prometheus."""


class Health:
    """Answers of the ops port of `web`, from its start to its end."""

    def __init__(self) -> None:
        self.waits_for = "Redis"
        """While `web` starts; "" afterwards."""
        self.store: Store | None = None
        self.stores: Callable[[], Sequence[Store]] = tuple
        """The stores of all workspaces that are served now."""
        self.connected: Callable[[], Awaitable[bool]] | None = None
        """Tells whether Socket Mode is connected; None with signed HTTP."""
        self.opened: Callable[[], bool] = lambda: True
        """Tells whether each workspace was opened or has a problem of its own."""
        self.refused: Callable[[], str] = str
        """Says why Slack refuses our token, "" if it does not."""
        self.notes: Callable[[], Sequence[str]] = tuple
        """Say what is wrong in single workspaces while others are served."""
        self.stopping = False
        self._was_connected = False
        self._away = ""
        self._wrong_clock = ""
        self._look: asyncio.Task[None] | None = None

    async def readiness(self) -> Readiness:
        """Tell whether `web` can answer people, as it can while Redis or Slack is away."""
        if self.stopping:
            return Readiness("`web` was told to stop. It takes what still comes, and another one should get the rest.")
        if self.waits_for or self.store is None:
            return Readiness(f"`web` is starting: it waits for {self.waits_for}.")
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_at(self.store), name="look at Redis")
        await asyncio.wait({self._look}, timeout=_ANSWER_WITHIN)
        is_connected = self.connected is None or await self.connected()
        self._was_connected = self._was_connected or is_connected
        if not self.opened():
            return Readiness("`web` is starting: it waits for Slack to answer for each workspace.")
        if not self._was_connected:
            return Readiness("`web` is starting: there is no Socket Mode connection to Slack yet.")
        if self._wrong_clock:
            return Readiness(self._wrong_clock)
        apart = "" if is_connected else "There is no Socket Mode connection to Slack."
        notes = [self._away, self.refused(), apart, *self.notes()]
        return Readiness(problems=list(dict.fromkeys(filter(None, notes))))

    async def _look_at(self, store: Store) -> None:
        """Note the problem with Redis, and with the clock; while Redis is away, what was seen last counts."""
        self._away, now = await problem_of(store)
        if now is not None and self.connected is None:
            self._wrong_clock = wrong_clock(now, datetime.now(UTC))

    async def aclose(self) -> None:
        """End the look that is under way."""
        if self._look is not None:
            await ended(self._look)

    async def measured(self) -> bytes:
        """Return the text that Prometheus reads."""
        return await measured(*self.stores())


async def problem_of(store: Store) -> tuple[str, datetime | None]:
    """Return the problem with Redis, "" if there is none, and its clock if it answers."""
    try:
        async with asyncio.timeout(_LOOK_WITHIN):
            return "", await store.check_writable()
    except StoreFull as full:
        return str(full), None
    except TimeoutError:
        return f"The store (Redis) does not answer within {_LOOK_WITHIN:g} s.", None
    except StoreUnavailable as away:
        return f"The store (Redis) does not answer{f': {away.reason}' if away.reason else '.'}", None
    except CountersignError:
        return "The store (Redis) does not answer.", None


def wrong_clock(theirs: datetime, ours: datetime) -> str:
    """Return a sentence about a wrong clock, "" if it is right.

    Slack's signatures are valid for five minutes of this machine's clock.
    """
    apart = ours - theirs
    if abs(apart) < _CLOCKS_APART:
        return ""
    return (
        f"The clock of this machine is {round(abs(apart) / timedelta(minutes=1))} minutes "
        f"{'ahead of' if apart > timedelta(0) else 'behind'} that of Redis. If it is the wrong one, every signature of "
        "Slack is refused as too old. Correct the clock; nothing needs a restart."
    )


async def measured(*stores: Store) -> bytes:
    """Return the text that Prometheus reads.

    If the store does not answer, the counts of waiting requests are left out.
    """
    try:
        async with asyncio.timeout(_LOOK_WITHIN):
            standing = Counter({"requests": 0, "runs": 0, "parked_runs": 0})
            for store in stores:
                standing.update(await store.indexes.standing())
            return metrics.exposition(standing)
    except (CountersignError, TimeoutError):
        return metrics.exposition()
