"""Scripts on a server that may forget them at any moment.

It does so when it restarts, fails over, or is told to. A server that does not know a script has not run it. The call is
repeated at once with the script's text, which loads and runs it in one command: nothing comes between those two, and on
a Cluster they reach the same node. Every script of the store and of the job engine is called by way of this class.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError


class Script:
    """A Lua script for one client."""

    def __init__(self, client: Any, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run the script and return its answer.

        Raises what redis-py raises, but never NoScriptError.
        """
        try:
            return await self._client.execute_command(*self.known(keys, args))
        except NoScriptError:
            return await self._client.execute_command(*self.whole(keys, args))

    def known(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Make the command that calls it by its hash.

        NoScriptError, and nothing done, if the server does not know it.
        """
        return ("EVALSHA", self._sha, len(keys), *keys, *args)

    def whole(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Make the command that brings its text along; the server knows it afterwards."""
        return ("EVAL", self._text, len(keys), *keys, *args)
