"""Ports of the use cases: a store that swaps values, and somebody to advance runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.events import Event
from countersign.domain.grants import Permission
from countersign.domain.ids import (
    AttemptId,
    ChannelId,
    Digest,
    GroupId,
    PermissionId,
    RequestId,
    RunId,
    TeamName,
    UserId,
    WorkspaceId,
)
from countersign.domain.requests import Request
from countersign.domain.run_options import Option
from countersign.domain.runs import Run
from countersign.policy.evaluation import Rulebook

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A value as it was read: its version (0: there is none yet) and the server's clock at that moment."""

    value: T
    version: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Claimed(Seen[Request]):
    """A request as its records have it, whoever wrote them.

    `claim`: the digest of the record if only a worker has written it so far and web did not vouch for it; else "".
    `usecases.admit` makes an `Admitted` of it.
    """

    claim: str = ""


@dataclass(frozen=True, slots=True)
class Admitted(Claimed):
    """A request under the rules that web finds: the only kind that is decided, changed by people, or drawn.

    Only `usecases.admit` makes one.
    """


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """A value to store if its version is still the one it was computed from; 0 to create."""

    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to advance a run: a number that grows with each claim, and when it ends if not renewed."""

    run: RunId
    fence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Message:
    """A Slack message that shows something of ours, under a name of our own (`card/q…`, `run/r…`).

    `ts` is empty while nobody knows whether the post arrived; `drawn` is the digest of what it shows. `rows` are the
    requests on a card that shows several; what stands under the names of all but the first is only `on` which card.
    `vouches`: under a request's name, the claim of a worker whose rules web found right when it drew it first.
    `channel`: a user until Slack said which channel their direct messages are.
    `posting_since`: while nobody knows whether it arrived, and of a card that may grow when that began, by the store's
    clock; of everything else Slack's `ts` says when. `stands_since`: of a card, from when on people could see it in its
    channel, by the store's clock.
    """

    workspace: WorkspaceId
    channel: ChannelId | UserId
    name: str = ""
    ts: str = ""
    thread: str = ""
    drawn: str = ""
    request: RequestId | None = None
    posting_since: datetime | None = None
    problem: str = ""
    vouches: str = ""
    rows: tuple[RequestId, ...] = ()
    on: str = ""
    stands_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """All that one step changes, at once or not at all.

    `before`: only if the server's clock has not reached it. `lease`: only if it still holds; with `release` it ends
    in the same step. `once`: only the first time; a repeat stores nothing. `unchanged`, `shown`: only if these are
    still as they were read. `delivered`: settled requests that nobody waits for any more (R5).
    """

    runs: tuple[Put[Run], ...] = ()
    requests: tuple[Put[Request], ...] = ()
    unchanged: tuple[Put[Request], ...] = ()
    shown: tuple[Put[Message], ...] = ()
    delivered: tuple[RequestId, ...] = ()
    messages: tuple[Put[Message], ...] = ()
    settings: Mapping[ChannelId, Put[ChannelSettings]] = field(default_factory=dict)
    absences: Put[Absences] | None = None
    permissions: tuple[Put[Permission], ...] = ()
    events: tuple[Event, ...] = ()
    before: datetime | None = None
    lease: Lease | None = None
    release: bool = False
    once: AttemptId | None = None


class Committed(StrEnum):
    """The store's answer to a change."""

    DONE = "done"
    DONE_BUT_PARKED = "done, parked"
    """Stored; a request was settled whose run is parked, so somebody must ask for that run."""
    STALE = "stale"
    LATE = "late"
    FENCED = "fenced"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """A team of agents as its worker announces it; `problem` says why it cannot be used.

    `options` are what can be chosen when it is started.
    """

    name: str
    line: str
    problem: str = ""
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        TeamName(self.name)


class Indexes(Protocol):
    """Requests and runs, found without their names."""

    async def active_runs(self, limit: int) -> list[Run]: ...
    async def unheld(self, limit: int, since: timedelta) -> list[RunId]: ...
    async def standing(self) -> dict[str, int]: ...
    async def undelivered(self, limit: int, older: timedelta) -> list[Request]: ...
    async def forgotten(self, start: int) -> tuple[list[RunId], int]: ...
    async def waiting(self, limit: int) -> list[Request]: ...
    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]: ...
    async def tidy(
        self, due: Mapping[RequestId, datetime | None], settled: Sequence[RequestId], unknown: Sequence[RequestId]
    ) -> None: ...
    async def look_again(self, name: str, after: timedelta) -> None: ...
    async def to_look_at(self) -> list[str]: ...
    async def looked_at(self, name: str) -> None: ...


class Leases(Protocol):
    """The right to advance a run, by one worker at a time."""

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None: ...
    async def renew(self, lease: Lease, ttl: timedelta) -> bool: ...
    async def release(self, lease: Lease) -> None: ...


class Workers(Protocol):
    """The workers that are there, and the teams that they run."""

    async def announce(self, worker: str, teams: list[TeamInfo], ttl: timedelta) -> None: ...
    async def retire(self, worker: str) -> None: ...
    async def teams(self) -> list[TeamInfo]: ...


class Store(Protocol):
    """The truth. Every method may raise StoreUnavailable; reads may raise UnknownSchema."""

    @property
    def decides(self) -> bool:
        """Whether this process may write what people, or the channel's settings, decided."""

    @property
    def indexes(self) -> Indexes: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def workers(self) -> Workers: ...

    async def request(self, request: RequestId) -> Claimed | None: ...
    async def run(self, run: RunId) -> Seen[Run] | None: ...
    async def message(self, name: str) -> Seen[Message] | None: ...
    async def messages(self, names: Sequence[str]) -> dict[str, Message]: ...
    async def requests(self, ids: list[RequestId]) -> list[Request | None]: ...
    async def readable(self, ids: Sequence[RequestId]) -> dict[RequestId, Request | None]: ...
    async def readable_runs(self, ids: Sequence[RunId]) -> dict[RunId, Run | None]: ...
    async def message_request(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RequestId | None: ...
    async def settings(self, channel: ChannelId) -> Seen[ChannelSettings]: ...
    async def permission(self, permission: PermissionId) -> Seen[Permission] | None: ...
    async def permissions(self) -> list[Seen[Permission]]: ...
    async def defaults(self) -> Rules | None: ...
    async def workspace(self) -> WorkspaceId | None: ...
    async def channels(self) -> frozenset[ChannelId] | None: ...
    async def set_channels(self, channels: frozenset[ChannelId]) -> None: ...
    async def rulebook(self) -> Rulebook: ...
    async def absences(self) -> Seen[Absences]: ...
    async def now(self) -> datetime: ...
    async def takes(self) -> datetime: ...
    async def commit(self, change: Change) -> Committed: ...
    async def confirm(self, seen: Seen[Request]) -> bool: ...
    async def put_away(self, limit: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest requests that wait, and how many there are with those not among them; more if not `whole`."""

    requests: tuple[Request, ...]
    total: int
    whole: bool = True


class Overview(Protocol):
    """Requests and runs of one person or one channel. May raise what `Store` may."""

    async def groups(self) -> list[GroupId]: ...
    async def waiting(
        self,
        names: Sequence[UserId | GroupId | ChannelId],
        unless: UserId | None,
        fits: Callable[[Request], bool],
        limit: int,
    ) -> Waiting: ...
    async def decided(self, name: UserId | ChannelId, limit: int) -> list[Request]: ...
    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]: ...
    async def messages(self, names: Sequence[str]) -> dict[str, Message]: ...
    async def contradicted(self) -> int: ...
    async def watch(self, user: UserId, span: timedelta) -> None: ...
    async def watching(self) -> set[UserId]: ...


class Queue(Protocol):
    """Asks some worker to advance a run: at least once, or never if the message is lost.

    Asking again while an earlier ask is not done with is asking once; but each `signal` is heard by itself.
    """

    async def advance(self, run: RunId, *, after: timedelta = ..., signal: RequestId | None = None) -> None: ...


class Wakeups(Protocol):
    """The futures of this process, kept in Redis: one subscription for all of them, with read-back."""

    async def settled(self, request: RequestId) -> Request:
        """Returns when the request is no longer pending; at once if it is not."""

    async def ended(self, run: RunId) -> Run:
        """Returns when the run has ended, by whomever; at once if it has."""


class Answers(Protocol):
    """Answers of models that are kept for a while. Values are bytes that only the agents' side understands."""

    async def get(self, question: Digest) -> bytes | None:
        """The answer kept for the question, if its time has not ended."""

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None:
        """Keep the answer for so long."""


class Journal(Protocol):
    """Recorded effects of runs. Values are bytes that only the agents' side understands."""

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Everything recorded for the run."""

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry unless it exists (or with `replace`); returns what stands there now. `on_disk`: once that,
        and all that was stored before it, is on the store's disk, where it has one. LeaseLost if another worker holds
        the run."""
