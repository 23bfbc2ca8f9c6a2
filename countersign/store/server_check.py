"""The check of a Redis server at the start of each process."""

import logging
from typing import Any, Final

from countersign.domain.errors import StoreUnavailable, StoreUnsafe, WrongSettings
from countersign.store.redis import durability
from countersign.store.redis.connection import ClusterClient
from countersign.store.redis.errors import reaching, refusal

_log: Final = logging.getLogger(__name__)


async def check(client: Any, mark: str) -> None:
    """Check that Redis can be reached and is safe.

    StoreUnavailable if it cannot be reached; WrongSettings if it refuses the password, because waiting would not help;
    StoreUnsafe if it may drop keys when memory is short. Any other way to lose answered writes is logged. `mark` is a
    key that may be written.
    """
    try:
        async with reaching():
            policies = [memory.get("maxmemory_policy") for memory in await _memories(client)]
    except StoreUnavailable as away:
        if away.__cause__ is not None and (why := refusal(away.__cause__)):
            raise WrongSettings([f"REDIS_URL: Redis refuses this process: {why}"]) from None
        raise
    for policy in {*policies} - {"noeviction"}:
        raise StoreUnsafe(
            f"Redis has maxmemory-policy {policy}, so it may forget decisions when memory is short. "
            "Nothing was started. Set `maxmemory-policy noeviction`."
        )
    async with reaching():
        flaw = await durability.flaw(client, mark)
    if flaw:
        _log.warning("%s", flaw)


async def _memories(client: Any) -> list[dict[str, Any]]:
    """Read INFO memory, of every primary of a Cluster. Hosted Redis refuses CONFIG."""
    if not isinstance(client, ClusterClient):
        return [await client.info("memory")]
    await client.initialize()
    return [await client.info("memory", target_nodes=[node]) for node in client.get_primaries()]
