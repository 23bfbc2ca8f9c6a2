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
Traveller = tuple[AsyncScript, tuple[Any, ...], "asyncio.Future[Any]"]


class Together:
    """Calls scripts over one client. They must bear being repeated after a lost reply, which is redis-py's way too.

    `in_order`: the first of a moment waits for the others of it, so that none of them overtakes it.
    """

    def __init__(self, client: Any, *, in_order: bool) -> None:
        self._client = client
        self._in_order = in_order
        self._shares = isinstance(client, redis.asyncio.Redis)  # a Cluster's pipeline goes other ways
        self._under_way = 0
        self._gathering: list[Traveller] = []
        self._journeys: set[asyncio.Task[None]] = set()

    async def call(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """What the script answers. Raises what redis-py raises."""
        if self._shares and (self._in_order or self._under_way):
            answer = await self._join(script, (len(keys), *keys, *args))
            if answer is not _ALONE:
                return answer
        self._under_way += 1
        try:
            return await script(keys=keys, args=args)
        finally:
            self._under_way -= 1

    async def _join(self, script: AsyncScript, words: tuple[Any, ...]) -> Any:
        """The answer of the journey that begins with this round of the event loop."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._gathering or len(self._gathering) >= _MOST:
            self._gathering = []
            journey = asyncio.create_task(self._travel(self._gathering), name="together")
            self._journeys.add(journey)
            journey.add_done_callback(self._journeys.discard)
        self._gathering.append((script, words, answer))
        return await answer

    async def _travel(self, travellers: list[Traveller]) -> None:
        """Nobody's own: who is cancelled on the way takes nobody along, and makes no other call go twice."""
        if self._gathering is travellers:
            self._gathering = []
        answers: list[Any] = []
        self._under_way += 1
        try:
            if len(travellers) > 1:
                answers = await self._send(travellers)
        finally:
            self._under_way -= 1
            for place, (_, _, answer) in enumerate(travellers):
                if not answer.done():
                    answer.set_result(answers[place] if answers else _ALONE)

    async def _send(self, travellers: Sequence[Traveller]) -> list[Any]:
        """An answer each; none at all if the way there failed."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for script, words, _ in travellers:
                    pipeline.evalsha(script.sha, *words)
                answers = await pipeline.execute(raise_on_error=False)
        except (redis.exceptions.RedisError, OSError):
            return []
        return [_ALONE if isinstance(answer, Exception) else answer for answer in answers]
