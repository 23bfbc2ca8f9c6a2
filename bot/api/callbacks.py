"""Post decisions to the programs that asked for it, signed.

Each decision is tried until it is delivered or given up. A lease lets one process at a time deliver. A decision is
posted at least once: if the process dies between the answer and its record, the decision is posted again under the same
`webhook-id`.

Each receiver, identified by its host, has a few concurrent posts and its own queue. Decisions that do not fit in the
queue are due again a moment later, so a slow receiver does not delay the others.
"""

import asyncio
import logging
import random
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import httpx

from countersign.domain.callback_signing import headers
from countersign.domain.errors import CountersignError, NewerSchema, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.store.programs import ApiKeys, Callbacks
from countersign.store.store import Store
from countersign.usecases.found_requests import ProgramRequest

from . import callback_addresses
from .callback_addresses import Networks
from .schemas import CallbackView, RequestView

AFTER: Final = tuple(
    timedelta(seconds=seconds) for seconds in (0, 5, 60, 300, 1800, 7200, 18_000, 43_200, 86_400, 172_800)
)
"""Times of the attempts after the decision: ten at most, within two days."""
_JITTER: Final = 0.1
_PATIENCE: Final = 15.0
"""Seconds for one attempt, from the resolver to the answer."""
AT_ONCE: Final = 5
"""Posts to one receiver at the same time."""
QUEUE: Final = 100
"""Decisions in hand for one receiver."""
_IN_HAND: Final = 500
_LATER: Final = timedelta(seconds=5)
NEWER_AGAIN: Final = timedelta(minutes=1)
"""Pause before a callback that only a newer version can read is tried again."""
_LEASE: Final = timedelta(seconds=60)
_PAUSE: Final = 1.0
_GONE: Final = 410
_log = logging.getLogger(__name__)


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted TLS certificates once: it blocks the loop for milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(slots=True)
class _Receiver:
    """A receiver, while anything is in hand for it."""

    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    queued: int = 0


class CallbackDelivery:
    """Delivery of callbacks; `allowed` are private networks that they may reach."""

    def __init__(self, store: Store, owner: str, allowed: Networks) -> None:
        self._store = store
        self._callbacks = Callbacks(store)
        self._keys = ApiKeys(store)
        self._owner = owner
        self._allowed = allowed
        self._receivers: dict[str, _Receiver] = {}
        self._bugs: list[Exception] = []
        self.in_hand: dict[RequestId, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Deliver until cancelled, while this process holds the lease."""
        try:
            while True:
                try:
                    if await self._callbacks.lease.claim(self._owner, _LEASE):
                        await self.begin()
                    else:
                        await self._stop()
                except StoreUnavailable as away:
                    _log.warning("%s Callbacks continue when the store is back.", away)
                await asyncio.sleep(_PAUSE)
        finally:
            await self._stop()
            try:
                await self._callbacks.lease.release(self._owner)
            except StoreUnavailable:
                _log.info("The lease of callbacks could not be released; it will expire.")

    async def begin(self) -> None:
        """Begin to post what is due, as much as each receiver takes; see `in_hand`."""
        if self._bugs:
            raise self._bugs[0]
        now = await self._store.now()
        due = await self._callbacks.due(now, 2 * _IN_HAND)
        due = [name for name in due if name not in self.in_hand]
        requests = await self._store.readable(due)
        later = []
        for name in due:
            request = requests.get(name)
            host = "" if request is None else callback_addresses.host_of(request.callback)
            receiver = self._receivers.setdefault(host, _Receiver())
            if receiver.queued >= QUEUE or len(self.in_hand) >= _IN_HAND:
                later.append(name)
                continue
            receiver.queued += 1
            self.in_hand[name] = asyncio.create_task(self._in_turn(name, host, receiver), name=f"callback {name}")
        await self._callbacks.again(now + _LATER, *later)

    async def _in_turn(self, name: RequestId, host: str, receiver: _Receiver) -> None:
        try:
            async with receiver.turn:
                await self._deliver(name)
        except StoreUnavailable as away:
            _log.warning("%s The callback of request %s continues when the store is back.", away, name)
        except Exception as bug:
            self._bugs.append(bug)
            raise
        finally:
            self.in_hand.pop(name, None)
            receiver.queued -= 1
            if not receiver.queued:
                self._receivers.pop(host, None)

    async def _stop(self) -> None:
        tasks = list(self.in_hand.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, name: RequestId) -> None:
        try:
            seen = await self._store.request(name)
            run = None if seen is None else await self._store.run(seen.value.run)
            key = None if run is None or run.value.program is None else await self._keys.get(run.value.program)
        except StoreUnavailable:
            raise
        except NewerSchema as newer:
            _log.warning("The callback of request %s is left for a newer version of the app. %s", name, newer)
            return await self._callbacks.again(await self._store.now() + NEWER_AGAIN, name)
        except CountersignError as wrong:
            _log.error("The callback of request %s is given up: %s", name, wrong)
            return await self._callbacks.done(name)
        if seen is None or run is None or key is None or seen.value.decision is None or not seen.value.callback:
            return await self._callbacks.done(name)
        if key.revoked_at is not None:
            _log.warning("The callback of request %s is given up: the key %s was revoked.", name, key.id)
            return await self._callbacks.done(name)
        request = seen.value
        assert request.decision is not None
        view = RequestView.of(ProgramRequest(run.value, request))
        body = CallbackView(type="request.decided", timestamp=request.decision.at, data=view).model_dump_json().encode()
        now = await self._store.now()
        signed = headers(key.callback_secrets(now), f"msg_{name}", now, body)
        status, problem = await self._post(request.callback, signed, body)
        if 200 <= status < 300:
            return await self._callbacks.done(name)
        following = _following(request.decision.at, now)
        if following is None or status == _GONE:
            _log.error("The decision on request %s was not delivered and is given up: %s", name, problem)
            return await self._callbacks.done(name)
        _log.warning("The decision on request %s was not delivered: %s Trying again at %s.", name, problem, following)
        await self._callbacks.again(following, name)

    async def _post(self, url: str, signed: dict[str, str], body: bytes) -> tuple[int, str]:
        """Post once, to the address that was judged.

        Return the status (0: no answer) and the problem.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                target = callback_addresses.read(url, self._allowed)
                address = await callback_addresses.resolve(target, self._allowed)
                if address is None:
                    return 0, f"{target.host} has no public address."
                literal = f"[{address}]" if address.version == 6 else str(address)
                request = httpx.Request(
                    "POST",
                    f"{target.scheme}://{literal}:{target.port}{target.path}",
                    headers={"host": target.authority, "content-type": "application/json", **signed},
                    content=body,
                    extensions={"sni_hostname": target.host},
                )
                async with httpx.AsyncClient(
                    verify=_certificates(), trust_env=False, follow_redirects=False, timeout=_PATIENCE
                ) as client:
                    answer = await client.send(request, stream=True)  # the body of the answer is not read
                    await answer.aclose()
                return answer.status_code, f"{target.host} answered {answer.status_code}."
        except (OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, CountersignError) as wrong:
            return 0, f"{type(wrong).__name__}: {str(wrong)[:200]}."


def _following(decided: datetime, now: datetime) -> datetime | None:
    """The moment of the next attempt; None if this was the last one."""
    wait = next((wait for wait in AFTER if decided + wait > now), None)
    return None if wait is None else decided + wait * (1 + random.uniform(0, _JITTER))
