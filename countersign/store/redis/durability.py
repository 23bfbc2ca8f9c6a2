"""What Redis does before it answers: whether what it answered is on its disk, found out by who may not read CONFIG.

`INFO persistence` says whether there is an append-only file. When it is written to the disk only CONFIG says, which the
shipped users may not read: but with `appendfsync always` a write is on the disk when WAITAOF is asked right behind it,
and with `everysec` it is not.
"""

from typing import Any, Final

import redis.exceptions

from countersign.store.redis.connection import ClusterClient

_PROBES: Final = 3
"""One alone may be made just as the disk is written to anyway."""
_OFF: Final = (
    "Redis has no append-only file (`appendonly no`): when it ends, decisions and journals since its last snapshot are "
    "lost, and what runs have done is done again. Set `appendonly yes` and `appendfsync always`."
)
_LATER: Final = (
    "Redis answers before its disk has what it answered (`appendfsync` is not `always`): with its machine goes the "
    "last second, with the decisions of that second. An action waits for the disk therefore, up to a second each, and "
    "with `appendfsync no` for ever unless REDIS_FSYNC_MS is 0. Set `appendfsync always`."
)


async def flaw(client: Any, mark: str) -> str:
    """What may be lost of what this Redis answers, and what to do; "" if nothing, or if it cannot say (before 7.2).
    `mark`: a key that may be written."""
    clustered = isinstance(client, ClusterClient)
    node = {"target_nodes": client.get_node_from_key(mark)} if clustered else {}
    if not int((await client.info("persistence", **node)).get("aof_enabled", 1)):
        return _OFF
    if clustered:
        return ""
    for _ in range(_PROBES):
        pipeline = client.pipeline(transaction=False)
        pipeline.set(mark, "1", px=60_000)
        pipeline.execute_command("WAITAOF", 1, 0, 1)
        marked, synced = await pipeline.execute(raise_on_error=False)
        if isinstance(marked, Exception):
            raise marked
        if isinstance(synced, redis.exceptions.ResponseError):
            return ""
        if isinstance(synced, Exception):
            raise synced
        if not synced[0]:
            return _LATER
    return ""
