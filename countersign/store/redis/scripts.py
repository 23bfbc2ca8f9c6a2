"""Scripts on a server that may forget them, and calls that share a pipeline.

A server forgets scripts after a restart, a failover or SCRIPT FLUSH. A server that does not know a script has not run
it. The call is repeated at once with the script's text, which loads and runs it in one command: no other command can
come in between, and on a Cluster both reach the same node. Every script of the store and of the job engine is called
through `Script`.

A click costs two calls, and most of a call's cost in this process is the transport: a connection of the pool, its
checks and timeouts, the system calls. Simultaneous clicks share that cost (`ScriptPipeline`). A click that comes while
no call is under way is sent at once, without a pipeline; simultaneous calls of agents reach Redis in their order.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio
import redis.exceptions
from redis.exceptions import NoScriptError


class Script:
    """A Lua script for one client."""

    def __init__(self, client: Any, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run the script and return its answer.

        Raises redis-py's errors, but never NoScriptError.
        """
        try:
            return await self._client.execute_command(*self.known(keys, args))
        except NoScriptError:
            return await self._client.execute_command(*self.whole(keys, args))

    def known(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Make the command that calls the script by its hash.

        NoScriptError, and nothing done, if the server does not know it.
        """
        return ("EVALSHA", self._sha, len(keys), *keys, *args)

    def whole(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Make the command that contains the script's text, which the server then knows."""
        return ("EVAL", self._text, len(keys), *keys, *args)


_MOST: Final = 16
"""Most calls of one round trip: while Redis runs them, this process handles the previous answers."""
_ALONE: Final = object()
"""Replaces an answer: this call is sent on its own, which handles repeats and errors."""
Call = tuple[Script, Sequence[str], Sequence[Any]]


class ScriptPipeline:
    """Caller of scripts over one client.

    The scripts must be safe to repeat after a lost reply, because redis-py repeats them too. `in_order`: the first call
    of a round waits for the others, so that none of them overtakes it.
    """

    def __init__(self, client: Any, *, in_order: bool = False) -> None:
        self._client = client
        self._in_order = in_order
        self._shares = isinstance(client, redis.asyncio.Redis)  # a Cluster's pipeline works differently
        self._under_way = 0
        self._others: list[tuple[Call, asyncio.Future[Any]]] | None = None

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Call the script and return its answer. Raises redis-py's errors."""
        answer = _ALONE
        if self._shares and (self._in_order or self._under_way):
            if self._others is None or len(self._others) >= _MOST - 1:
                answer = await self._lead((script, keys, args))
            else:
                waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._others.append(((script, keys, args), waiting))
                answer = await waiting
        if answer is not _ALONE:
            return answer
        self._under_way += 1
        try:
            return await script(keys, args)
        finally:
            self._under_way -= 1

    async def _lead(self, first: Call) -> Any:
        """Wait for the other calls of the round, and send them together."""
        others = self._others = []
        answers: list[Any] = []
        try:
            try:
                await asyncio.sleep(0)
            finally:
                if self._others is others:
                    self._others = None
            if others:
                calls = [first, *(call for call, _ in others)]
                journey = asyncio.ensure_future(self._send(calls))
                self._under_way += 1
                try:
                    answers = await asyncio.shield(journey)
                except asyncio.CancelledError:
                    answers = await journey  # the other calls would be sent twice if it ended before
                    raise
                finally:
                    self._under_way -= 1
        finally:
            for number, (_, waiting) in enumerate(others, 1):
                if not waiting.done():
                    waiting.set_result(answers[number] if answers else _ALONE)
        return answers[0] if answers else _ALONE

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        """Return an answer for each call; no answers if the connection failed."""
        answers = await self._journey([script.known(keys, args) for script, keys, args in calls])
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, redis.exceptions.NoScriptError)]
        if unknown:  # together, because alone they would overtake each other
            again = [calls[n] for n in unknown]
            repeated = await self._journey([script.whole(keys, args) for script, keys, args in again])
            for n, answer in zip(unknown, repeated, strict=False):  # empty if the connection failed
                answers[n] = answer
        return [_ALONE if isinstance(answer, Exception) else answer for answer in answers]

    async def _journey(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send the commands; return answers or errors, none if the connection failed."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return list(await pipeline.execute(raise_on_error=False))
        except (redis.exceptions.RedisError, OSError):
            return []
