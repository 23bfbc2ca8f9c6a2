"""Report the health of `web`: the store, the connection to Slack, the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreFull, StoreUnavailable
from countersign.metrics import WaitingKind
from countersign.ops_port import Readiness
from countersign.usecases.ports import Announcement, Store
from countersign.usecases.store_outages import ended

_CLOCKS_APART: Final = timedelta(minutes=4)
_ANSWER_WITHIN: Final = 0.5
"""Seconds for a probe, which Kubernetes stops after one. A slower check of Redis counts for the next probe."""
_LOOK_WITHIN: Final = 2.0
"""Seconds for a check of Redis, and to read the figures for Prometheus."""
_MOST_RUNS: Final = 10_000
"""Largest number of active runs read to count runs without a worker."""


class Health:
    """Answers of the ops port of `web`, from its start to its end."""

    def __init__(self) -> None:
        self.waits_for = "Redis"
        """The dependency that `web` waits for while it starts; "" afterwards."""
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
        self.streams: Callable[[], int] = int
        """Counts the streams of decisions that workers have open here."""
        self.stopping = False
        self._was_opened = False
        self._was_connected = False
        self._away = ""
        self._wrong_clock = ""
        self._look: asyncio.Task[None] | None = None

    async def readiness(self) -> Readiness:
        """Tell whether `web` can answer people; it can even while Redis or Slack is away."""
        if self.stopping:
            return Readiness("`web` was told to stop. It takes what still comes, and another one should get the rest.")
        if self.waits_for or self.store is None:
            return Readiness(f"`web` is starting: it waits for {self.waits_for}.")
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_at(self.store), name="look at Redis")
        await asyncio.wait({self._look}, timeout=_ANSWER_WITHIN)
        is_connected = self.connected is None or await self.connected()
        self._was_connected = self._was_connected or is_connected
        self._was_opened = self._was_opened or self.opened()  # a workspace added later does not make `web` unready
        if not self._was_opened:
            return Readiness("`web` is starting: it waits for Slack to answer for each workspace.")
        if not self._was_connected:
            return Readiness("`web` is starting: there is no Socket Mode connection to Slack yet.")
        if self._wrong_clock:
            return Readiness(self._wrong_clock)
        apart = "" if is_connected else "There is no Socket Mode connection to Slack."
        notes = [self._away, self.refused(), apart, *self.notes()]
        return Readiness(problems=list(dict.fromkeys(filter(None, notes))))

    async def _look_at(self, store: Store) -> None:
        """Note problems with Redis and the clock.

        While Redis is away, the last known state of the clock counts.
        """
        self._away, now = await problem_of(store)
        if now is not None and self.connected is None:
            self._wrong_clock = wrong_clock(now, datetime.now(UTC))

    async def aclose(self) -> None:
        """Cancel the running check."""
        if self._look is not None:
            await ended(self._look)

    async def measured(self) -> bytes:
        """Return the text that Prometheus reads."""
        looks = [self._measure_standing(), *([self.store.measure()] if self.store is not None else [])]
        await asyncio.gather(*looks)
        if self.connected is not None:
            metrics.slack_connected(await self.connected())
        metrics.worker_streams(self.streams())
        return metrics.exposition()

    async def _measure_standing(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_WITHIN):
                await _show_standing(self.stores())
        except (CountersignError, TimeoutError):
            metrics.standing()


async def problem_of(store: Store) -> tuple[str, datetime | None]:
    """Return Redis's problem or "", and its clock if it answers."""
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


async def _show_standing(stores: Sequence[Store]) -> None:
    """Set the metrics to the totals of all these stores."""
    counts = dict.fromkeys(WaitingKind, 0)
    announced: list[Announcement] = []
    unposted: list[float] = [0.0]
    unrecorded: list[float] = [0.0]
    for store in stores:
        for what, count in (await store.indexes.standing()).items():
            counts[what] += count
        present = await store.workers.present()
        held = {run for worker in present for run in worker.runs}
        active = await store.indexes.active(_MOST_RUNS)
        counts[WaitingKind.UNHELD_RUNS] += sum(run not in held and not run.of_script for run in active)
        announced += present
        now = await store.now()
        for ages, since in (
            (unposted, await store.indexes.unposted_since()),
            (unrecorded, await store.indexes.unrecorded_since()),
        ):
            ages += [] if since is None else [(now - since).total_seconds()]
    teams = {(team.area, team.name): team.problem for worker in announced for team in worker.teams}
    metrics.standing(
        counts,
        workers=len(announced),
        teams=sum(not problem for problem in teams.values()),
        broken_teams=sum(map(bool, teams.values())),
        unposted_age=max(unposted),
        unrecorded_age=max(unrecorded),
    )
