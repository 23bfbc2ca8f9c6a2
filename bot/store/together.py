"""Scripts that are called in the same round of the event loop travel to Redis together.

A click costs two calls, and most of what a call costs this process is the way there: a connection of the pool, its
checks and timeouts, the system calls. People who click at the same moment share that. A click that comes while nobody
is under way goes at once, the ordinary way; what agents do at the same moment reaches Redis in its order.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio
import redis.exceptions
from redis.commands.core import AsyncScript

_MOST: Final = 16
"""Calls of one journey: while Redis works on them, this process works on what it answered to the ones before."""
_ALONE: Final = object()
"""Instead of an answer: this one goes the ordinary way, which knows about unknown scripts, repeats and errors."""
Call = tuple[AsyncScript, tuple[Any, ...], "asyncio.Future[Any]"]


class Together:
    """Calls scripts over one client. They must bear being repeated after a lost reply, which is redis-py's way too.

    `in_order`: the first of a moment waits for the others of it, so that none of them overtakes it.
    """

    def __init__(self, client: Any, *, in_order: bool) -> None:
        self._client = client
        self._in_order = in_order
        self._shares = isinstance(client, redis.asyncio.Redis)  # a Cluster's pipeline goes other ways
        self._under_way = 0
        self._others: list[Call] | None = None

    async def call(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """What the script answers. Raises what redis-py raises."""
        answer = _ALONE
        if self._shares and (self._in_order or self._under_way):
            words = (len(keys), *keys, *args)
            if self._others is None or len(self._others) >= _MOST - 1:
                answer = await self._lead(script, words)
            else:
                waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._others.append((script, words, waiting))
                answer = await waiting
        if answer is not _ALONE:
            return answer
        self._under_way += 1
        try:
            return await script(keys=keys, args=args)
        finally:
            self._under_way -= 1

    async def _lead(self, script: AsyncScript, words: tuple[Any, ...]) -> Any:
        """The first of a round lets the others of that round come, and takes them along."""
        others = self._others = []
        answers: list[Any] = []
        try:
            try:
                await asyncio.sleep(0)
            finally:
                if self._others is others:
                    self._others = None
            if others:
                journey = asyncio.ensure_future(self._send([(script, words), *(call[:2] for call in others)]))
                self._under_way += 1
                try:
                    answers = await asyncio.shield(journey)
                except asyncio.CancelledError:
                    answers = await journey  # the others would go twice if it ended before
                    raise
                finally:
                    self._under_way -= 1
        finally:
            for number, (_, _, waiting) in enumerate(others, 1):
                if not waiting.done():
                    waiting.set_result(answers[number] if answers else _ALONE)
        return answers[0] if answers else _ALONE

    async def _send(self, calls: list[tuple[AsyncScript, tuple[Any, ...]]]) -> list[Any]:
        """An answer each; none at all if the way there failed."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for script, words in calls:
                    pipeline.evalsha(script.sha, *words)
                answers = await pipeline.execute(raise_on_error=False)
        except (redis.exceptions.RedisError, OSError):
            return []
        return [_ALONE if isinstance(answer, Exception) else answer for answer in answers]
