"""Calls from a worker to `web`, over HTTP.

Every call may be repeated. A missing answer raises StoreUnavailable, and the worker tries again for as long as it
takes; only `web` itself raises LeaseLost, if a run belongs to another worker.
"""

import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, Self

import httpcore
from pydantic import TypeAdapter, ValidationError

from countersign.client.connection import proxy_for
from countersign.domain import errors
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import PROBLEM, CountersignError, Refused, StoreUnavailable
from countersign.domain.ids import RequestId, RunId, WorkerId
from countersign.domain.requests import Request
from countersign.domain.run_calls import RUN_CALLS, R, RunCall
from countersign.runs.area import WebAddress
from countersign.runs.decision_stream import DecisionStream, WaitingAnswer
from countersign.usecases.ports import Announcement, Lease

WITHIN: Final = 30.0
"""Seconds for one answer."""
CONNECTING: Final = 2.0
_CALLS: Final = {kind: TypeAdapter[Any](kind) for kind in RUN_CALLS.values()}
_ANSWERS: Final = {kind: TypeAdapter[Any](kind.answer) for kind in RUN_CALLS.values()}
_ANNOUNCEMENTS: Final = TypeAdapter(Announcement)
_TEMPORARY: Final = (401, 408, 425, 429)
"""Temporary refusals: a key that is being rotated, timeouts, and rate limits."""
_LOST: Final = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, OSError)
_ERRORS: Final[Mapping[str, type[CountersignError]]] = {
    "lease-lost": errors.LeaseLost,
    "given-up": errors.GivenUp,
    "not-found": errors.NotFound,
    "invalid": errors.InvalidInput,
    "newer": errors.NewerSchema,
    "unreadable": errors.UnknownSchema,
    "conflict": errors.Conflict,
}
_log = logging.getLogger(__name__)

Resolve = Callable[[], Awaitable[WebAddress | None]]
"""Returns the address of `web`; None if unknown."""


class Service(Protocol):
    """The service of `web` for a worker; every method may raise StoreUnavailable."""

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        """Make a call about the lease's run. LeaseLost if the run is no longer ours."""

    async def settled(self, request: RequestId) -> Request:
        """Wait until the request is no longer pending.

        QuestionLost if `web` no longer has it.
        """

    async def ended(self, run: RunId) -> None:
        """Wait until the run has ended."""

    async def any_settled(self, requests: Collection[RequestId]) -> bool:
        """Tell whether one of these requests is settled; an empty list makes no call."""

    async def announce(self, worker: WorkerId, announcement: Announcement) -> None:
        """Announce this worker's teams and the runs that it holds."""

    async def retire(self, worker: WorkerId) -> None:
        """Withdraw the announcement."""


class HttpService:
    """Implements `Service`, as a context manager.

    It has one stream of decisions, and a pool of connections for each route to `web`; it uses the environment's
    proxies, as programs do. `recovered` is called when `web` responds again.
    """

    def __init__(self, resolve: Resolve, recovered: Callable[[], None] = lambda: None) -> None:
        self._resolve = resolve
        self._address: WebAddress | None = None
        self._turn = random.randrange(1000)  # spreads the workers over the addresses
        self._pools: dict[tuple[object, ...], httpcore.AsyncConnectionPool] = {}
        self._stream = DecisionStream(self._lines, self.read_back, recovered)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.__aexit__()
        for pool in self._pools.values():
            await pool.aclose()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        kind = type(call)
        head = json.dumps({"fence": lease.fence, "owner": lease.owner})
        body = b'{"lease":%b,"call":%b}' % (head.encode(), _CALLS[kind].dump_json(call, exclude_defaults=True))
        answer = await self._send("POST", f"/v1/runs/{lease.run}/{kind.name}", body)
        try:
            result: R = _ANSWERS[kind].validate_json(answer or b"null")
        except ValidationError as wrong:
            raise errors.NewerSchema(f"A newer `web` answered `{kind.name}`; this version can't read it.") from wrong
        return result

    async def settled(self, request: RequestId) -> Request:
        return await self._stream.settled(request)

    async def ended(self, run: RunId) -> None:
        await self._stream.ended(run)

    async def any_settled(self, requests: Collection[RequestId]) -> bool:
        if not requests:
            return False
        known = await self.read_back([*requests], [])
        return bool(known.settled or known.unreadable)

    async def announce(self, worker: WorkerId, announcement: Announcement) -> None:
        await self._send("PUT", f"/v1/workers/{worker}", _ANNOUNCEMENTS.dump_json(announcement))

    async def retire(self, worker: WorkerId) -> None:
        await self._send("DELETE", f"/v1/workers/{worker}", b"")

    @property
    def url(self) -> str:
        """Return the address in use; "" if none is known."""
        return "" if self._address is None else self._url(self._address)

    async def read_back(self, requests: Sequence[RequestId], runs: Sequence[RunId]) -> WaitingAnswer:
        """Ask for the state of these requests and runs."""
        body = json.dumps({"requests": requests, "runs": runs}).encode()
        return WaitingAnswer.load(await self._send("POST", "/v1/waiting", body))

    @asynccontextmanager
    async def _lines(self) -> AsyncIterator[AsyncIterator[bytes]]:
        address = await self._known()
        extensions = {"timeout": {"connect": CONNECTING, "read": DecisionStream.SILENCE.total_seconds()}}
        headers = _headers(address)
        try:
            url = f"{self._url(address)}/v1/stream"
            async with self._pool(url).stream("GET", url, headers=headers, extensions=extensions) as response:
                if response.status != 200:
                    raise self._refused(response.status, await response.aread())
                yield _split(response.aiter_stream())
        except _LOST as lost:
            raise self._lost(address, lost) from lost

    async def _send(self, method: str, path: str, body: bytes) -> bytes:
        address = await self._known()
        extensions = {"timeout": {"connect": CONNECTING, "read": WITHIN, "write": WITHIN}}
        try:
            url = self._url(address) + path
            response = await self._pool(url).request(
                method, url, headers=_headers(address), content=body, extensions=extensions
            )
        except _LOST as lost:
            raise self._lost(address, lost) from lost
        if 200 <= response.status < 300:
            return response.content
        raise self._refused(response.status, response.content)

    async def _known(self) -> WebAddress:
        if self._address is None:
            self._address = await self._resolve()
        if self._address is None:
            raise StoreUnavailable("No `web` has said where it is. Start it with `python -m bot`.")
        return self._address

    def _pool(self, url: str) -> httpcore.AsyncConnectionPool:
        proxy = proxy_for(url)
        way = () if proxy is None else (proxy.url.host, proxy.url.port, proxy.auth)
        if way not in self._pools:
            self._pools[way] = httpcore.AsyncConnectionPool(proxy=proxy, max_connections=None, keepalive_expiry=60)
        return self._pools[way]

    def _url(self, address: WebAddress) -> str:
        return address.urls[self._turn % len(address.urls)]

    def _lost(self, address: WebAddress, lost: Exception) -> StoreUnavailable:
        """Make the error of an unanswered call; later calls use another address, if known."""
        where = self._url(address)
        if self._address is address:  # otherwise another call has already switched the address
            self._address = None
            self._turn += 1
        return StoreUnavailable(f"`web` does not answer at {where}: {str(lost) or type(lost).__name__}.")

    def _refused(self, status: int, content: bytes) -> CountersignError:
        try:
            body = json.loads(content)
            _, _, kind = str(body["type"]).partition(PROBLEM)
            detail = str(body["detail"])
        except (ValueError, KeyError, TypeError):
            kind, detail = "", f"`web` answered with status {status}."
        _, _, name = kind.partition("refused-")
        if (refusal := Refusal.__members__.get(name.replace("-", "_").upper())) is not None:
            return Refused(refusal, (detail,))
        if kind in _ERRORS:
            return _ERRORS[kind](detail)
        if kind and status < 500 and status not in _TEMPORARY:
            return errors.InvalidInput(detail)  # `web` would refuse the same call again
        self._address = None  # its key may have been rotated
        if status == 401:
            _log.warning("`web` refused the key of this worker: %s", detail)
        return StoreUnavailable(detail)


def _headers(address: WebAddress) -> dict[bytes | str, bytes | str]:
    return {"authorization": f"Bearer {address.key}", "content-type": "application/json"}


async def _split(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a stream."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
