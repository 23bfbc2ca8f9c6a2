"""Delivery of payloads to the app: transport, faults, repeated attempts."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from .change_feed import ChangeFeed
from .config import Config
from .errors import Ack, Json
from .faults import DELIVERY_KINDS, Faults
from .http_events import HttpEvents
from .socket_mode import SocketMode

# Number of payloads kept for tests to inspect.
REMEMBERED = 20_000


class Delivery:
    """Send interactions and commands once.

    Events up to four times until they are acked.
    """

    def __init__(
        self, config: Config, faults: Faults, socket: SocketMode, http: HttpEvents, changes: ChangeFeed
    ) -> None:
        self._changes = changes
        self.sent: list[tuple[str, Json]] = []
        self._config = config
        self._faults = faults
        self._socket = socket
        self._http = http
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """Check whether the app can be reached, as far as Slack knows."""
        return bool(self._http.urls or self._socket.connections)

    async def interaction(self, kind: str, payload: Json) -> Ack:
        """Deliver a click, a submission or a command, and return the app's answer."""
        name = str(payload.get("type", kind)) if kind == "interactive" else kind
        return await self._with_faults(name, kind, payload)

    def event(self, event: Json, envelope: Json) -> None:
        """Start the deliveries of an event; nobody waits for them."""
        self.background(self._event({**envelope, "event": event}))

    def notice(self, payload: Json) -> None:
        """Send the app something about its events, once."""
        self.background(self._with_faults(payload["type"], "events_api", payload))

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something on its own until it is done or localslack stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _event(self, payload: Json) -> None:
        delays = [0.0, *self._config.event_delays]
        ack = Ack(True)
        for attempt, delay in enumerate(delays):
            await asyncio.sleep(delay * self._config.time_scale)
            ack = await self._with_faults(payload["event"]["type"], "events_api", payload, attempt, ack.reason)
            if ack.ok:
                return

    async def _with_faults(self, name: str, kind: str, payload: Json, attempt: int = 0, reason: str = "") -> Ack:
        twice = False
        for fault in self._faults.take(name, DELIVERY_KINDS):
            if fault.kind == "deliver_delay":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "deliver_twice":
                twice = True
            else:
                await asyncio.sleep(self._config.ack_seconds)
                return Ack.failed("operation_timeout", "timeout")
        if twice:
            self.background(self._send(kind, payload, attempt, reason))
        return await self._send(kind, payload, attempt, reason)

    async def _send(self, kind: str, payload: Json, attempt: int, reason: str) -> Ack:
        self.sent.append((kind, payload))
        del self.sent[:-REMEMBERED]
        self._changes.ring()
        try:
            if self._http.urls:
                return await self._http.send(kind, payload, attempt, reason)
            return await self._socket.send(kind, payload, attempt, reason)
        finally:
            self._changes.ring()
