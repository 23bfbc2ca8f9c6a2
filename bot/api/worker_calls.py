"""Routes for workers: calls about runs, announcements, stream of decisions.

A worker's key reaches the runs of its area. A program's key reaches the runs that it started itself, as `run_here`
does.
"""

import asyncio
import logging
import re
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, make_dataclass, replace
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, UnknownSchema
from countersign.domain.ids import ChannelId, RequestId, RunId, UserId, WorkerId
from countersign.domain.requests import Status
from countersign.domain.run_calls import RUN_CALLS, Ask, CardLink, Claim, Find, Start
from countersign.domain.runs import Run
from countersign.runs.decision_stream import WaitingAnswer
from countersign.usecases import run_calls
from countersign.usecases.ports import Announcement, Lease, Store, Wakeups

from . import bodies, json_bounds
from .problems import Problem, of_validation

ANNOUNCED_FOR: Final = timedelta(seconds=15)
HEARTBEAT: Final = 5.0
"""Seconds between two lines of a stream, at most."""
LARGEST: Final = 24 * 2**20
"""Bytes of a call: the largest record, or ten files in base64."""
_ABOUT: Final = re.compile(rb'"(?:run|ended)":"([rsp][a-z0-9_-]{1,40})"')
"""Finds the run of a stream's line. People's text cannot match, because its quotes are escaped."""
_REMEMBERED: Final = 100_000
"""Largest number of runs whose access is remembered."""
_MOST_BEHIND: Final = 10_000
_MOST_BYTES_BEHIND: Final = 32 * 2**20
"""Lines and bytes that a stream may be behind; a slower worker connects again, and reads back."""
_BEAT: Final = b"{}\n"
_NOTHING_TO_DO: Final = b'{"run":null}'
_MISSED: Final = b'{"missed":true}\n'
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waited:
    """Names of the requests and runs that a worker reads back."""

    requests: tuple[RequestId, ...] = ()
    runs: tuple[RunId, ...] = ()


@dataclass(frozen=True, slots=True)
class Holder:
    """The lease under which a call is made."""

    fence: int
    owner: str


BODIES: Final = {
    name: make_dataclass(f"{kind.__name__}Call", [("lease", Holder), ("call", kind)], frozen=True)
    for name, kind in RUN_CALLS.items()
}
"""The type of each call's body."""
_CALLS: Final = {
    name: SchemaValidator(json_bounds.within(TypeAdapter(body).core_schema)) for name, body in BODIES.items()
}
"""Their readers, within bounds."""
_ANSWERS: Final = {name: TypeAdapter[Any](kind.answer) for name, kind in RUN_CALLS.items()}
_ANNOUNCEMENTS: Final = SchemaValidator(json_bounds.within(TypeAdapter(Announcement).core_schema))
_WAITED: Final = SchemaValidator(json_bounds.within(TypeAdapter(Waited).core_schema))


@dataclass(frozen=True, slots=True)
class WorkerCalls:
    """Answers workers. `stopping` ends the streams: workers connect to another `web`."""

    store: Store
    wakeups: Wakeups
    key: Callable[[Request], Awaitable[ApiKey]]
    """Finds the caller's key. Problem if it does not open, as after it was revoked."""
    channel: Callable[[ApiKey, str], Awaitable[ChannelId]]
    """Finds the channel that a key names. Problem if the key may not ask there."""
    requester: Callable[[str], Awaitable[UserId]]
    """Finds a person by id or `@name`. Problem if it is not the name of exactly one."""
    rate: Callable[[ApiKey], Awaitable[None]]
    """Counts a call against the key's rate. Problem if it makes too many."""
    card_link: Callable[[RequestId], Awaitable[str]]
    """Finds where Slack shows the card of a request."""
    turns: defaultdict[str, asyncio.Semaphore]
    """The turn of each key to have a large body read."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streams: Counter[str] = field(default_factory=Counter)
    """How many streams each key has open."""
    _known: dict[tuple[str, RunId], bool] = field(default_factory=dict)
    """Whether a worker's key reaches a run, which never changes. A program's run may be gone, and its id used again."""

    async def call(self, request: Request, key: ApiKey) -> Response:
        """Answer a call about a run."""
        name, run = request.path_params["call"], RunId.named(request.path_params["run"])
        if run is None or name not in _CALLS:
            raise NotFound("There is no such call.")
        body = await self._read(request, key, _CALLS[name])
        call = body.call
        if isinstance(call, Start | Ask) and not key.worker:
            await self.rate(key)
        if isinstance(call, Start):
            call = await self._startable(key, run, call)
        elif isinstance(call, Claim) and key.worker and not await self._reaches(key, run):
            return _json(_NOTHING_TO_DO)  # not an error, which would end the run: a job may outlive its run
        else:
            await self._check(key, run)
        lease = Lease(run, body.lease.fence, body.lease.owner)
        if isinstance(call, CardLink):
            known = await run_calls.answer(self.store, lease, Find(call.request))
            answer: Any = "" if known is None else await self.card_link(call.request)
        else:
            answer = await run_calls.answer(self.store, lease, call, key.id)
        return _json(_ANSWERS[name].dump_json(answer, exclude_defaults=True))

    async def _startable(self, key: ApiKey, run: RunId, start: Start) -> Start:
        """Return the start with the id of its channel.

        Problem or InvalidInput if this key may not start it.
        """
        if key.worker or not run.of_script or run.of_program:
            raise InvalidInput("Only a program starts a run itself. Nothing was started.")
        channel = await self.channel(key, start.channel)
        return replace(start, channel=channel, requester=await self.requester(start.requester))

    async def _check(self, key: ApiKey, run: RunId) -> None:
        """Check that the key reaches the run.

        NotFound if it does not, as for a run that does not exist.
        """
        if not await self._reaches(key, run):
            raise NotFound(f"There is no run {run}.")

    async def _reaches(self, key: ApiKey, run: RunId) -> bool:
        if run.of_program or run.of_script is key.worker:
            return False
        if (known := self._known.get((key.id, run))) is not None:
            return known
        seen = await self.store.run(run)
        reaches = seen is not None and _is_theirs(seen.value, key)
        if seen is not None and key.worker:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key.id, run] = reaches
        return reaches

    async def announce(self, request: Request, key: ApiKey) -> Response:
        """Store a worker's announcement for `ANNOUNCED_FOR`."""
        _check_worker(key)
        said = await self._read(request, key, _ANNOUNCEMENTS)
        foreign = [team.name for team in said.teams if not key.may_run(team.name)]
        if foreign:
            raise InvalidInput(f"This key can't run the teams {', '.join(foreign)[:200]}. Nothing was announced.")
        teams = tuple(replace(team, area=key.area) for team in said.teams)
        held = tuple([run for run in said.runs if await self._holds(key, run)])
        await self.store.workers.announce(_worker(request, key), Announcement(teams, held), ANNOUNCED_FOR)
        return Response(status_code=204)

    async def _holds(self, key: ApiKey, run: RunId) -> bool:
        """Tell whether a worker may claim to hold the run; not if the run is damaged."""
        try:
            return await self._reaches(key, run)
        except UnknownSchema:
            return False

    async def retire(self, request: Request, key: ApiKey) -> Response:
        """Withdraw a worker's announcement."""
        _check_worker(key)
        await self.store.workers.retire(_worker(request, key))
        return Response(status_code=204)

    async def waiting(self, request: Request, key: ApiKey) -> Response:
        """Return the state of the requests and runs that a worker waits for."""
        waited = await self._read(request, key, _WAITED)
        requests = await self.store.readable(waited.requests)
        asking = {one.run for one in requests.values() if one is not None}
        runs = await self.store.readable_runs(list({*waited.runs, *asking}))
        theirs = {name for name, run in runs.items() if run is not None and _is_theirs(run, key)}
        foreign = runs.keys() - theirs  # nothing is said of a run that cannot be read: a newer `web` may read it
        read = [one for one in requests.values() if one is not None and one.run in theirs]
        settled = tuple(one for one in read if one.status is not Status.PENDING)
        gone = tuple(name for name, one in requests.items() if one is None or one.run in foreign)
        ended = tuple(name for name in waited.runs if name in foreign or _is_over(runs.get(name)))
        return _json(WaitingAnswer(settled, gone, ended).dump())

    async def _read(self, request: Request, key: ApiKey, reader: SchemaValidator) -> Any:
        """Read a body of this form. Problem if it is another one, or too large."""
        async with bodies.whole(request, self.turns[key.id], LARGEST) as raw:
            return await bodies.aside(raw, lambda: _parsed(raw, reader))

    async def stream(self, request: Request, key: ApiKey) -> Response:
        """Push decisions and ends of runs that the key reaches, a line each."""
        if self.streams[key.id] >= key.most_waiting:
            raise Problem(429, "waiting", f"This key has {key.most_waiting} streams open. Try again soon.", 5)
        return StreamingResponse(self._lines(request, key), media_type="application/x-ndjson")

    async def _lines(self, request: Request, key: ApiKey) -> AsyncIterator[bytes]:
        backlog, now = _Backlog(), asyncio.get_running_loop().time
        stopping = asyncio.ensure_future(self.stopping.wait())
        self.streams[key.id] += 1
        try:
            with self.wakeups.heard_by(backlog.add):
                await self.wakeups.listening()
                yield _BEAT  # from here on nothing is missed
                beat_at = now() + HEARTBEAT
                while not (stopping.done() or backlog.cut):
                    await backlog.wait(stopping, beat_at - now())
                    while (line := backlog.pop()) is not None:
                        if shown := await self._shown(key, line):
                            yield shown
                    if now() >= beat_at:
                        if not await self._opens(request):
                            return
                        yield _BEAT
                        beat_at = now() + HEARTBEAT
        finally:
            stopping.cancel()
            self.streams[key.id] -= 1

    async def _shown(self, key: ApiKey, line: bytes) -> bytes:
        """Return what a stream of this key shows of the line; "" if nothing."""
        about = _ABOUT.search(line)
        try:
            return line if about is None or await self._reaches(key, RunId(about[1].decode())) else b""
        except CountersignError as unknown:
            _log.warning("Workers read their decisions back, because a run could not be read: %s", unknown)
            return _MISSED

    async def _opens(self, request: Request) -> bool:
        """Tell whether the caller's key still opens; while Redis is away it does."""
        try:
            await self.key(request)
        except Problem:
            return False
        except CountersignError:
            return True
        return True


class _Backlog:
    """Lines that a worker has not read yet.

    If there are too many, they are dropped, and the stream is `cut`.
    """

    def __init__(self) -> None:
        self.cut = False
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()

    def add(self, line: bytes) -> None:
        """Add a line, or cut the stream."""
        if self.cut:
            return
        self._lines.append(line)
        self._bytes += len(line)
        self._more.set()
        if len(self._lines) > _MOST_BEHIND or self._bytes > _MOST_BYTES_BEHIND:
            _log.warning("A worker does not read its stream of decisions; it is closed.")
            self.cut = True
            self._lines.clear()

    def pop(self) -> bytes | None:
        """Take the oldest line; None if there is none."""
        if not self._lines:
            self._more.clear()
            return None
        line = self._lines.popleft()
        self._bytes -= len(line)
        return line

    async def wait(self, stopping: asyncio.Future[Any], seconds: float) -> None:
        """Wait for a line, until this is done, or for this time."""
        more = asyncio.ensure_future(self._more.wait())
        try:
            await asyncio.wait({more, stopping}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            more.cancel()


def _is_theirs(run: Run, key: ApiKey) -> bool:
    """Tell whether the key reaches the run."""
    return run.area == key.area and not run.by_script if key.worker else run.key == key.id


def _is_over(run: Run | None) -> bool:
    return run is not None and run.over


def _worker(request: Request, key: ApiKey) -> WorkerId:
    """Name the worker; its key is included, so that it cannot act for another key."""
    return WorkerId(f"{key.id}-{request.path_params['worker']}")


def _check_worker(key: ApiKey) -> None:
    if not key.worker:
        raise Problem(403, "no-worker", "This is a program's key. Make one for workers with `countersign keys create`.")


def _parsed(raw: bytes, reader: SchemaValidator) -> Any:
    try:
        json_bounds.check(raw)  # before anything is built of it
        return reader.validate_json(raw)
    except ValidationError as wrong:
        raise of_validation(wrong) from None
    except ValueError as wrong:
        raise Problem(400, "no-json", f"The body isn't valid JSON ({wrong}).") from None


def _json(raw: bytes) -> Response:
    return Response(raw, media_type="application/json")


def routes(calls: WorkerCalls, keyed: Callable[..., Any]) -> list[Route]:
    """The routes of workers; `keyed` finds the caller's key."""
    return [
        Route("/v1/runs/{run}/{call}", keyed(calls.call, of_worker=True), methods=["POST"]),
        Route("/v1/workers/{worker}", keyed(calls.announce, of_worker=True), methods=["PUT"]),
        Route("/v1/workers/{worker}", keyed(calls.retire, of_worker=True), methods=["DELETE"]),
        Route("/v1/waiting", keyed(calls.waiting, of_worker=True), methods=["POST"]),
        Route("/v1/stream", keyed(calls.stream, of_worker=True), methods=["GET"]),
    ]
