"""Fix for Python 3.11: redis-py loses cancellations as it sends a command.

redis-py sends with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes as it is done
(https://github.com/python/cpython/issues/86296). A loop that was told to end went on, and whoever waited for its end
waited for ever; time that ran out then had not. Remove this with Python 3.11.
"""

import asyncio
import sys
from functools import cache
from typing import Any

from redis.asyncio.connection import AbstractConnection


@cache
def keep_cancellations() -> None:
    """Patch all connections of this process, the job engine's and subscriptions' too."""
    if sys.version_info >= (3, 12):
        return
    send = AbstractConnection.send_packed_command

    async def send_packed_command(self: AbstractConnection, command: Any, check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await send(self, command, check_health)
        if task and task.cancelling() > before:
            # An answer is on its way to nobody: the next command must not get it.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError

    AbstractConnection.send_packed_command = send_packed_command  # type: ignore[method-assign]
