"""Durability of answered writes, which replicas and the disk may not have yet.

Redis replicates a write after it has answered, so a failover loses the last answered writes. WAIT closes that gap
(`REDIS_WAIT`). It must follow the script over the same connection, because it covers only that connection's writes. An
extra write in between makes it cover everything that the server held then, even if the script found nothing to do: the
repeat of a stored but unconfirmed write is confirmed, or not, like the first.

With `appendfsync everysec` the server also answers before its disk has the write. WAITAOF closes that gap for the
writes that must never be lost: the start of an action, and the approval before it. With `always` it costs nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any, Final

import redis.asyncio
import redis.exceptions
from redis.asyncio.cluster import PipelineCommand

from countersign import metrics
from countersign.domain.errors import NotReplicated
from countersign.store.redis.connection import ClusterClient
from countersign.store.redis.errors import reaching
from countersign.store.redis.scripts import Script, ScriptPipeline

_PROBES: Final = 3
"""A single probe may coincide with a regular write to the disk."""
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
    """Describe the writes that this Redis may lose, and the remedy; "" if none.

    Also "" if the server cannot tell (before 7.2). `mark` is a key that may be written.
    """
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


_TRIES: Final = 4
_PAUSE: Final = 0.1
_MARK_KEPT: Final = timedelta(minutes=1)
_AGAIN: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterError,
    redis.exceptions.AskError,  # and MovedError
    redis.exceptions.ReadOnlyError,
)


@dataclass(frozen=True, slots=True)
class Replicas:
    """The number of replicas that must confirm a write, and their time limit."""

    wanted: int = 0
    within: timedelta = timedelta(seconds=1)


NONE: Final = Replicas()


class WritingScript:
    """A script that changes something, with all of its keys on one node.

    It is called like redis-py's own.
    """

    def __init__(self, client: Any, text: str, replicas: Replicas, mark: str, pipeline: ScriptPipeline) -> None:
        self._client = client
        self._script = Script(client, text)
        self._replicas = replicas
        self._mark = mark
        self._pipeline = pipeline
        self._has_disk = True

    async def __call__(self, keys: Sequence[str], args: Sequence[Any], within: timedelta = timedelta(0)) -> Any:
        """Run the script, and return its answer when it is confirmed.

        NotReplicated: the write was done, but too few replicas have it yet, or the server's disk needs longer than
        `within`. A server without an append-only file is not waited for.
        """
        if not self._has_disk:
            within = timedelta(0)
        if not self._replicas.wanted and not within:
            return await self._pipeline.call(self._script, keys, args)
        async with reaching():
            answer, _, confirmed, *synced = await self._repeated(keys, args, within)
        is_unsynced = within and self._has_disk and not synced[0][0]
        if int(confirmed) < self._replicas.wanted or is_unsynced:
            metrics.not_replicated()
        if int(confirmed) < self._replicas.wanted:
            raise NotReplicated(
                f"This is stored, but {confirmed} of {self._replicas.wanted} replicas confirmed it in time, so a "
                "failover right now could lose it. Look at the card or the run in a moment, and only if it is not "
                "there do it again."
            )
        if is_unsynced:
            raise NotReplicated(f"This is stored, but not on the disk of Redis within {within.total_seconds():g} s.")
        return answer

    async def _repeated(self, keys: Sequence[str], args: Sequence[Any], within: timedelta) -> list[Any]:
        for attempt in count(1):
            try:
                return await self._confirmed(keys, args, within)
            except _AGAIN as wrong:
                if attempt == _TRIES:
                    raise
                if isinstance(self._client, ClusterClient) and not isinstance(wrong, redis.exceptions.TryAgainError):
                    await self._client.aclose()  # redis-py looks up the nodes again
                await asyncio.sleep(_PAUSE)
        raise AssertionError

    async def _confirmed(self, keys: Sequence[str], args: Sequence[Any], within: timedelta) -> list[Any]:
        try:
            return await self._sent(keys[0], self._script.known(keys, args), within)
        except redis.exceptions.NoScriptError:
            return await self._sent(keys[0], self._script.whole(keys, args), within)

    async def _sent(self, key: str, call: tuple[Any, ...], within: timedelta) -> list[Any]:
        commands: list[tuple[Any, ...]] = [
            call,
            ("SET", self._mark, "1", "PX", _ms(_MARK_KEPT)),
            ("WAIT", self._replicas.wanted, _ms(self._replicas.within) if self._replicas.wanted else 1),
        ]
        if within:
            commands.append(("WAITAOF", 1, 0, _ms(within)))
        if isinstance(self._client, ClusterClient):
            answers = await self._on_node(key, commands)
        else:
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers = await pipeline.execute(raise_on_error=False)
        for command, answer in zip(commands, answers, strict=True):
            if command[0] == "WAITAOF" and isinstance(answer, redis.exceptions.ResponseError):
                self._has_disk = False  # an older server, or no append-only file: logged at the start
            elif isinstance(answer, Exception):
                raise answer
        return answers

    async def _on_node(self, key: str, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send the commands to the key's node.

        A Cluster's own pipeline would send WAIT, which has no key, to any node.
        """
        client: ClusterClient = self._client
        await client.initialize()
        batch = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
        async with client.turns:
            node = client.get_node_from_key(key)
            if node is None:
                raise redis.exceptions.ClusterDownError("no node holds the slot of the keys")
            await node.execute_pipeline(batch)
        return [command.result for command in batch]


def _ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))
