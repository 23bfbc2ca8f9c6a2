"""Checks of Redis: its problem, the time of a write, and its clock."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from countersign import metrics
from countersign.domain.errors import StoreFull, StoreUnavailable
from countersign.metrics import Cause
from countersign.store.redis.connection import ClusterClient
from countersign.store.redis.durability import Replicas
from countersign.store.redis.errors import reaching, refusal

WITHIN: Final = 2.0
"""Seconds within which Redis must answer."""
SLOW: Final = 0.25
"""Seconds from which on a write counts as slow."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition of Redis at one check; NaN and None mean unknown."""

    causes: frozenset[Cause]
    round_trip: float = math.nan
    memory: float = math.nan
    replicas: float = math.nan
    wanted: int = 0
    clock_ahead: float = math.nan

    def show(self) -> None:
        """Export the condition to the metrics."""
        metrics.redis(
            self.causes,
            round_trip=self.round_trip,
            memory=self.memory,
            replicas=self.replicas,
            wanted=self.wanted,
            clock_ahead=self.clock_ahead,
        )


async def look(client: Any, mark: str, replicas: Replicas) -> Condition:
    """Check Redis; on a Cluster, check the node of our keys.

    `mark` is a key that may be written.
    """
    try:
        async with asyncio.timeout(WITHIN), reaching():
            return await _seen(client, mark, replicas.wanted)
    except TimeoutError:
        return Condition(frozenset({Cause.UNREACHABLE}), wanted=replicas.wanted)
    except StoreUnavailable as away:
        return Condition(frozenset({cause_of(away)}), wanted=replicas.wanted)


async def _seen(client: Any, mark: str, wanted: int) -> Condition:
    node: dict[str, Any] = {}
    if isinstance(client, ClusterClient):
        await client.initialize()
        node = {"target_nodes": client.get_node_from_key(mark)}
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await client.set(mark, "1", px=60_000)
    round_trip = loop.time() - begun
    info: dict[str, Any] = {}
    for section in ("memory", "persistence", "replication"):
        info |= await client.info(section, **node)
    seconds, micros = await client.time(**node)
    ahead = datetime.now(UTC).timestamp() - int(seconds) - int(micros) / 1e6
    connected = int(info.get("connected_slaves", 0))
    causes = {
        Cause.DISK: info.get("aof_last_write_status", "ok") != "ok",
        Cause.REPLICA: connected < wanted,
        Cause.LATENCY: round_trip > SLOW,
    }
    found = frozenset(cause for cause, is_there in causes.items() if is_there)
    return Condition(found, round_trip, _used(info), connected, wanted, ahead)


def _used(info: Mapping[str, Any]) -> float:
    most = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / most if most else math.nan


def cause_of(away: StoreUnavailable) -> Cause:
    """Name the cause of an error of the store."""
    wrong = away.__cause__
    if isinstance(away, StoreFull):
        return Cause.DISK if str(wrong).startswith("MISCONF") else Cause.MEMORY
    return Cause.PASSWORD if wrong is not None and refusal(wrong) else Cause.UNREACHABLE
