"""Routes of the interface.

Each route finds the caller's key, reads the body, and calls one use case.

Anybody who reaches the port may send anything. So the key is checked before the body is read, the body's size is
bounded, problems are answered in one format, and the text of an internal error is never sent.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from countersign.domain import api_keys, requests
from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import CountersignError
from countersign.domain.ids import ChannelId, RequestId, UserId, WorkspaceId
from countersign.domain.requests import Kind, Question, Status
from countersign.store.programs import ApiKeys
from countersign.usecases import executions, found_requests, run_requests
from countersign.usecases.found_requests import ProgramRequest
from countersign.usecases.ports import Store, Wakeups

from . import bodies, callback_addresses, openapi, worker_calls
from .callback_addresses import Networks
from .problems import Problem, on_problem
from .schemas import AskBody, BeginBody, ListView, OutcomeBody, RequestView, WithdrawBody

CONNECTIONS: Final = 12_000
"""Largest number of connections: each call that waits for a decision holds one."""
AT_ONCE: Final = 100
"""Most calls of one key that run at the same time; calls that wait for people do not count."""
LONGEST_WAIT: Final = 60.0
_LONGEST_IDEMPOTENCY: Final = 200


_Answer = Callable[[Request, ApiKey], Awaitable[Response]]


def _one() -> asyncio.Semaphore:
    return asyncio.Semaphore(1)


async def _not_posted(request: RequestId) -> str:
    return ""


async def _nobody(name: str) -> frozenset[UserId]:
    return frozenset()


class Channels(Protocol):
    """The channels that the app is in, by name; None if Slack does not say."""

    def __call__(self, *, anew: bool = False) -> Awaitable[dict[str, ChannelId] | None]:
        """Read them; `anew` as they are now."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Dependencies of the routes.

    `nobody` is the requester if a program names none: the app itself.
    """

    store: Store
    keys: ApiKeys
    wakeups: Wakeups
    channels: Channels
    workspace: WorkspaceId
    nobody: UserId
    check_form: Callable[[Question], None]
    """Raises InvalidInput for a form that Slack cannot show."""
    networks: Networks = frozenset()
    """Private networks to which callbacks may go."""
    card_link: Callable[[RequestId], Awaitable[str]] = _not_posted
    """Finds where Slack shows the card of a request; "" as long as it is not posted."""
    users_named: Callable[[str], Awaitable[frozenset[UserId] | None]] = _nobody
    """Finds the people with a name; None if Slack does not say."""
    names: dict[str, ChannelId] = field(default_factory=dict)
    """The channels as Slack last named them: no answer waits for Slack to say a name."""
    polls: set[asyncio.Future[None]] = field(default_factory=set)
    """Long polls that wait, each until its program is gone or this process is told to stop."""
    waiting_polls: Counter[str] = field(default_factory=Counter)
    """How many of them each key has."""
    calls: Counter[str] = field(default_factory=Counter)
    """How many calls each key makes just now, waiting ones too."""
    turns: defaultdict[str, asyncio.Semaphore] = field(default_factory=lambda: defaultdict(_one))
    """The turn of each key to have a large body read."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    workers: worker_calls.WorkerCalls = field(init=False)

    def __post_init__(self) -> None:
        calls = worker_calls.WorkerCalls(
            self.store,
            self.wakeups,
            self._key,
            self._channel,
            self._requester,
            self._rate,
            self.card_link,
            self.turns,
            self.stopping,
        )
        object.__setattr__(self, "workers", calls)

    def stop(self) -> None:
        """Answer all long polls as it stands: their programs ask the next process."""
        self.stopping.set()
        for poll in self.polls:
            poll.cancel()

    async def ask(self, request: Request, key: ApiKey) -> Response:
        """Ask people; 201 for a new request, 200 for a repeated one."""
        idempotency = request.headers.get("idempotency-key", "")
        if not 0 < len(idempotency) <= _LONGEST_IDEMPOTENCY or not idempotency.isprintable():
            raise Problem(400, "idempotency-key", "Send an `Idempotency-Key` header of 1 to 200 characters.")
        async with bodies.whole(request, self.turns[key.id]) as raw:
            body, question = await bodies.aside(raw, lambda: _understood(raw))
        if question.kind is Kind.FORM:
            self.check_form(question)
        if body.callback_url:
            callback_addresses.read(body.callback_url, self.networks)
        channel = await self._channel(key, body.channel)
        requester = await self._requester(body.requester) if body.requester else self.nobody
        run = run_requests.run_of(key, idempotency)
        before = await self.store.run(run)
        try:
            if before is None and not await self.keys.reserve(key, run):
                raise Problem(429, "open", f"This key has {key.most_open} pending requests. Withdraw some first.", 60)
            asked, new = await run_requests.submit(
                self.store,
                key,
                idempotency,
                question,
                workspace=self.workspace,
                channel=channel,
                requester=requester,
                task=body.task,
                named=bool(body.requester),
                callback=body.callback_url,
            )
            await self.keys.opened(key.id, run, asked.request.id)
        except (Problem, CountersignError):
            if before is None:
                await self.keys.refused(key.id, run)
            raise
        return self._answer(asked, 201 if new else 200)

    async def waiting(self, request: Request, key: ApiKey) -> Response:
        """List the requests of the key that wait."""
        known = await self.store.readable(await self.keys.open(key.id))
        views = []
        for asked in sorted(filter(None, known.values()), key=lambda request: request.created_at):
            if (run := await self.store.run(asked.run)) is not None:
                views.append(RequestView.of(ProgramRequest(run.value, asked), self.names))
        return _json(ListView(requests=views))

    async def get(self, request: Request, key: ApiKey) -> Response:
        """Read the request; with `wait`, after its decision or the given time."""
        wait = _seconds(request.query_params.get("wait", "0"))
        asked = await found_requests.program_request(self.store, key, request.path_params["id"])
        if wait and asked.request.status is Status.PENDING and not self.stopping.is_set():
            if self.waiting_polls[key.id] >= key.most_waiting:
                raise Problem(
                    429, "waiting", f"This key has {key.most_waiting} waiting calls. Try again soon.", retry_after=5
                )
            self.waiting_polls[key.id] += 1
            try:
                settled = await self._settled(request, asked.request.id, wait)
            finally:
                self.waiting_polls[key.id] -= 1
            await self._key(request)  # the key may have been revoked in the meantime
            if settled is not None:
                asked = ProgramRequest(asked.run, settled)
        return self._answer(asked, link=await self.card_link(asked.request.id))

    async def withdraw(self, request: Request, key: ApiKey) -> Response:
        """Take the request back; decided ones stay as they are."""
        body = await bodies.read(request, WithdrawBody, self.turns[key.id])
        return self._answer(await run_requests.withdraw(self.store, key, request.path_params["id"], body.why))

    async def begin(self, request: Request, key: ApiKey) -> Response:
        """Begin the approved action, unless another execution of it has begun."""
        body = await bodies.read(request, BeginBody, self.turns[key.id])
        if body.replaces:
            await self._rate(key)
        name = request.path_params["id"]
        return self._answer(await executions.begin_for_program(self.store, key, name, body.execution, body.replaces))

    async def outcome(self, request: Request, key: ApiKey) -> Response:
        """Report the outcome of the action."""
        body = await bodies.read(request, OutcomeBody, self.turns[key.id])
        asked = await executions.report_for_program(
            self.store,
            key,
            request.path_params["id"],
            succeeded=body.succeeded,
            words=body.words,
        )
        return self._answer(asked)

    async def document(self, request: Request) -> Response:
        """The OpenAPI document; anybody may read it."""
        return JSONResponse(openapi.document())

    def _answer(self, asked: ProgramRequest, status: int = 200, *, link: str = "") -> Response:
        return _json(RequestView.of(asked, self.names, link), status)

    def keyed(
        self, answer: _Answer, *, counted: bool = False, of_worker: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """Answer with the caller's key, within its limits.

        `counted`: each call counts against the key's rate, else only a refused one does. `of_worker`: workers make this
        call too, whose keys have no such limits.
        """

        async def answered(request: Request) -> Response:
            key = await self._key(request)
            if key.worker:
                if not of_worker:
                    raise Problem(403, "worker-key", "This key is for workers. Programs have keys of their own.")
                return await answer(request, key)
            if self.calls[key.id] >= key.most_waiting + AT_ONCE:
                detail = f"This key makes {self.calls[key.id]:,} calls at once. Try again soon."
                raise Problem(429, "calls", detail, retry_after=5)
            self.calls[key.id] += 1
            try:
                if counted:
                    await self._rate(key)
                return await answer(request, key)
            except (Problem, CountersignError) as refused:
                if not counted and getattr(refused, "status", 400) < 429:
                    await self.keys.count_request(key)
                raise
            finally:
                self.calls[key.id] -= 1

        return answered

    async def _key(self, request: Request) -> ApiKey:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        parts = api_keys.parts_of(token.strip()) if scheme.lower() == "bearer" else None
        seen = None if parts is None else await self.keys.seen(parts[0])
        secret = None if parts is None or seen is None else api_keys.secret_of(seen.value, parts[1])
        if seen is None or secret is None:  # a wrong secret and an unknown key give the same answer
            detail = "Send a valid key: `Authorization: Bearer csk_…`. Create one with `countersign keys create`."
            raise Problem(401, "unknown-key", detail)
        if not secret.valid(seen.now):
            ended = "revoked" if seen.value.revoked_at is not None else "replaced by a new one"
            detail = f"This key was {ended}. An operator makes a new one with `countersign keys rotate`."
            raise Problem(401, "unknown-key", detail)
        return seen.value

    async def _channel(self, key: ApiKey, named: str) -> ChannelId:
        """Find the named channel, if the key is bound to its id.

        A channel's name may change hands (R43).
        """
        for anew in (False, True):  # somebody may have invited the app just now
            latest = await self.channels(anew=anew)
            if latest is None:
                raise Problem(503, "slack-unavailable", "Slack didn't list its channels. Try again soon.", 5)
            known = latest
            self.names.clear()
            self.names.update(known)
            if not named and len(key.channels) > 1:
                raise Problem(400, "channel", f"Set `channel` to one of the key's channels: {self._called(key)}.")
            name = named or key.channels[0]
            channel = ChannelId.named(name) or known.get(name.removeprefix("#"))
            if channel is not None and channel in known.values():
                break
        if channel not in key.channels:
            raise Problem(403, "channel", f"This key can ask in {self._called(key)}, not in {named[:80]}.")
        if channel not in known.values():
            raise Problem(403, "channel", f"The app isn't in {name[:80]}. Invite it there with /invite.")
        return channel

    async def _requester(self, named: str) -> UserId:
        """Find the person named by id or `@name`; an ambiguous name is refused."""
        if not named.startswith("@"):
            return UserId(named)
        found = await self.users_named(named[1:])
        if found is None:
            raise Problem(503, "slack-unavailable", "Slack didn't list its people. Try again soon.", 5)
        if len(found) != 1:
            detail = (
                f"“{named[:80]}” isn't the name of exactly one person here. Give the id, like U0123ABC: it is *Copy "
                "member ID* in the person's profile."
            )
            raise Problem(400, "requester", detail)
        return next(iter(found))

    def _called(self, key: ApiKey) -> str:
        """Return the key's channels, with the names of channels that the app is in."""
        names = {channel: f"#{name}" for name, channel in self.names.items()}
        return ", ".join(names.get(channel, channel) for channel in key.channels)

    async def _rate(self, key: ApiKey) -> None:
        if not await self.keys.count_request(key):
            raise Problem(429, "rate", f"This key can make {key.per_minute} requests a minute.", retry_after=60)

    async def _settled(self, request: Request, name: RequestId, wait: float) -> requests.Request | None:
        """Return the decided request; None if it took too long, or the program left."""
        gone = asyncio.ensure_future(_disconnected(request))
        self.polls.add(gone)
        try:
            async with asyncio.timeout(wait) as left:
                # No task between this one and the decision: each is a round of the loop, in which `web` draws.
                def end(_: object) -> None:
                    if not left.expired():
                        left.reschedule(0)

                gone.add_done_callback(end)
                try:
                    return await self.wakeups.settled(name)
                finally:
                    gone.remove_done_callback(end)
        except TimeoutError:
            return None
        finally:
            self.polls.discard(gone)
            gone.cancel()


def app(interface: Interface) -> Starlette:
    """The ASGI app."""
    keyed = interface.keyed
    routes = [
        Route("/v1/requests", keyed(interface.ask, counted=True), methods=["POST"]),
        Route("/v1/requests", keyed(interface.waiting), methods=["GET"]),
        Route("/v1/requests/{id}", keyed(interface.get), methods=["GET"]),
        Route("/v1/requests/{id}/withdraw", keyed(interface.withdraw), methods=["POST"]),
        Route("/v1/requests/{id}/begin", keyed(interface.begin), methods=["POST"]),
        Route("/v1/requests/{id}/outcome", keyed(interface.outcome), methods=["POST"]),
        *worker_calls.routes(interface.workers, keyed),
        Route("/v1/openapi.json", interface.document, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {Problem: on_problem, CountersignError: on_problem, HTTPException: on_problem}
    handlers[Exception] = on_problem  # Starlette raises it again after the answer, and uvicorn logs it
    return Starlette(routes=routes, exception_handlers=handlers)


def _understood(raw: bytes) -> tuple[AskBody, Question]:
    body = bodies.parsed(raw, AskBody)
    return body, body.question()


def _seconds(text: str) -> float:
    if not text.isdecimal() or len(text) > 4:
        raise Problem(
            400, "wait", "`wait` must be a whole number of seconds, 0 to 9999; the answer comes after 60 at most."
        )
    return min(float(text), LONGEST_WAIT)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(view: BaseModel, status: int = 200) -> Response:
    return Response(view.model_dump_json(), status, media_type="application/json")
