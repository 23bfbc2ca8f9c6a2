"""Ports of the use cases: a store with compare-and-set, and a queue of runs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, NamedTuple, Protocol, TypeVar

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.events import Event
from countersign.domain.ids import (
    ApiKeyId,
    AttemptId,
    ChannelId,
    Digest,
    PermissionId,
    RequestId,
    RunId,
    TeamName,
    UserId,
    WorkerId,
    WorkspaceId,
)
from countersign.domain.made_files import LeftOut, MadeFile
from countersign.domain.passkeys import Passkeys
from countersign.domain.proof import Challenge
from countersign.domain.requests import Request
from countersign.domain.run_options import Option
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.metrics import WaitingKind
from countersign.policy.evaluation import Rulebook
from countersign.policy.loosening import SettingsProposal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A value as read, its version (0: none yet), and the server's time of the read."""

    value: T
    version: int
    now: datetime


@dataclass(frozen=True, slots=True)
class SeenRequest(Seen[Request]):
    """A request as read, with the message under its own name."""

    card: "Put[Message] | None" = None


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """A value to store if the stored version is still `version`; 0 creates it."""

    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to advance a run; `fence` is a number that grows with each claim."""

    run: RunId
    fence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Message:
    """One of our Slack messages, with a name like `card/q…` or `run/r…`.

    `ts` is empty while nobody knows whether the post arrived; `drawn` is the digest of its content. `rows` are the
    requests on a card that shows several; all but the first are stored with only `on`, the card's name.
    `posting_since`: start, by the store's clock, of a post that may not have arrived, or of a card that may grow; for
    all other messages Slack's `ts` tells the time. `stands_since`: the moment, by the store's clock, from which a card
    was visible in its channel. `replaced_by`: until then only the response URL of a click on it changes it.
    """

    workspace: WorkspaceId
    channel: ChannelId
    name: str = ""
    ts: str = ""
    thread: str = ""
    drawn: str = ""
    request: RequestId | None = None
    posting_since: datetime | None = None
    problem: str = ""
    rows: tuple[RequestId, ...] = ()
    on: str = ""
    stands_since: datetime | None = None
    replaced_by: datetime | None = None

    @property
    def head_of(self) -> RunId | None:
        """Return the run whose thread is below this message."""
        kind, _, rest = self.name.partition("/")
        return RunId.named(rest.removesuffix("/direct")) if kind == "run" else None


@dataclass(frozen=True, slots=True)
class Change:
    """All changes of one step, stored together or not at all.

    The conditions: the server's clock has not reached `before`; the attempt `once` was not stored before; `unchanged`,
    `held` and `shown` are still as they were read. `delivered` are settled requests that nobody waits for any more
    (R5).
    """

    runs: tuple[Put[Run], ...] = ()
    requests: tuple[Put[Request], ...] = ()
    unchanged: tuple[Put[Request], ...] = ()
    held: Put[Run] | None = None
    shown: tuple[Put[Message], ...] = ()
    delivered: tuple[RequestId, ...] = ()
    messages: tuple[Put[Message], ...] = ()
    settings: Mapping[ChannelId, Put[ChannelSettings]] = field(default_factory=dict)
    absences: Put[Absences] | None = None
    permissions: tuple[Put[Permission], ...] = ()
    keys: tuple[Put[ApiKey], ...] = ()
    passkeys: tuple[Put[Passkeys], ...] = ()
    events: tuple[Event, ...] = ()
    before: datetime | None = None
    once: AttemptId | None = None


class Committed(StrEnum):
    """The store's answer to a change."""

    DONE = "done"
    DONE_BUT_PARKED = "done, parked"
    """Stored; the run of a settled request is parked, so the caller must queue it."""
    STALE = "stale"
    LATE = "late"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """A team as its worker announces it, with its problem if it cannot be used."""

    name: str
    line: str
    problem: str = ""
    options: tuple[Option, ...] = ()
    area: str = ""
    """The workers' area in which its runs are advanced, which `web` derives from the worker's key."""

    def __post_init__(self) -> None:
        TeamName(self.name)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A worker's announcement, every few seconds: its teams and the runs it holds."""

    teams: tuple[TeamInfo, ...]
    runs: tuple[RunId, ...] = ()


class Indexes(Protocol):
    """Indexes that find requests and runs without their ids."""

    async def active_runs(self, limit: int) -> list[Run]: ...
    async def active(self, limit: int) -> list[RunId]: ...
    async def standing(self) -> dict[WaitingKind, int]: ...
    async def unposted_since(self) -> datetime | None: ...
    async def unposted(self, requests: Sequence[RequestId]) -> list[datetime]: ...
    async def unrecorded_since(self) -> datetime | None: ...
    async def undelivered(self, limit: int, older: timedelta) -> list[Request]: ...
    async def unreported(self, limit: int, start: int = 0) -> list[RequestId]: ...
    async def forget_unreported(self, requests: Sequence[RequestId]) -> None: ...
    async def forgotten(self, start: int) -> tuple[list[RunId], int]: ...
    async def waiting(self, limit: int) -> list[Request]: ...
    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]: ...
    async def tidy(
        self, due: Mapping[RequestId, datetime | None], settled: Sequence[RequestId], unknown: Sequence[RequestId]
    ) -> None: ...
    async def look_again(self, name: str, after: timedelta) -> None: ...
    async def to_look_at(self) -> list[str]: ...
    async def looked_at(self, name: str) -> None: ...


class Workers(Protocol):
    """The present workers and their teams."""

    async def announce(self, worker: WorkerId, announcement: Announcement, ttl: timedelta) -> None: ...
    async def retire(self, worker: WorkerId) -> None: ...
    async def teams(self) -> list[TeamInfo]: ...
    async def present(self) -> list[Announcement]: ...
    async def held(self) -> frozenset[RunId]: ...


class KeptFiles(NamedTuple):
    """Keys and names of the stored files, and the files that are not attached."""

    files: dict[str, str]
    left: tuple[LeftOut, ...] = ()


class MadeFiles(Protocol):
    """Files that approved code made, on their way to Slack."""

    async def keep(self, run: RunId, files: Sequence[MadeFile], left: Sequence[LeftOut] = ()) -> None: ...
    async def kept(self, run: RunId) -> KeptFiles: ...
    async def content(self, run: RunId, field: str) -> bytes | None: ...


class Store(Protocol):
    """Records; every method may raise StoreUnavailable, reads also UnknownSchema."""

    @property
    def indexes(self) -> Indexes: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def made(self) -> MadeFiles: ...

    async def request(self, request: RequestId) -> SeenRequest | None: ...
    async def intact(self, request: RequestId) -> SeenRequest | None: ...
    async def run(self, run: RunId) -> Seen[Run] | None: ...
    async def api_key(self, key: ApiKeyId) -> Seen[ApiKey] | None: ...
    async def passkeys(self, user: UserId) -> Seen[Passkeys] | None: ...
    async def passkey_holders(self) -> list[UserId]: ...
    async def keep_proposal(self, proposal: SettingsProposal) -> None: ...
    async def proposal(self, proposal: Digest) -> SettingsProposal | None: ...
    async def keep_challenge(self, challenge: Challenge) -> None: ...
    async def take_challenge(self, nonce: str) -> Challenge | None: ...
    async def message(self, name: str) -> Seen[Message] | None: ...
    async def messages(self, names: Sequence[str]) -> dict[str, Message]: ...
    async def message_run(self, workspace: WorkspaceId, channel: ChannelId, ts: str) -> RunId | None: ...
    async def requests(self, ids: list[RequestId]) -> list[Request | None]: ...
    async def readable(self, ids: Sequence[RequestId]) -> dict[RequestId, Request | None]: ...
    async def readable_runs(self, ids: Sequence[RunId]) -> dict[RunId, Run | None]: ...
    async def settings(self, channel: ChannelId) -> Seen[ChannelSettings]: ...
    async def proof_channels(self) -> frozenset[ChannelId]: ...
    async def permission(self, permission: PermissionId) -> Seen[Permission] | None: ...
    async def permissions(self) -> list[Seen[Permission]]: ...
    async def defaults(self) -> Rules | None: ...
    async def workspace(self) -> WorkspaceId | None: ...
    async def channels(self) -> frozenset[ChannelId] | None: ...
    async def set_channels(self, names: Mapping[str, ChannelId]) -> None: ...
    async def rulebook(self) -> Rulebook: ...
    async def absences(self) -> Seen[Absences]: ...
    async def now(self) -> datetime: ...
    async def check_writable(self) -> datetime: ...
    async def measure(self) -> None: ...
    async def commit(self, change: Change) -> Committed: ...
    async def confirm(self, seen: Seen[Request]) -> bool: ...


class Queue(Protocol):
    """Jobs for workers to advance runs, delivered at least once unless lost.

    A second job for a run is dropped while the first is not done; but a job with a new `signal` is not.
    """

    async def advance(self, run: RunId, *, after: timedelta = ..., signal: RequestId | None = None) -> None: ...


class Wakeups(Protocol):
    """The futures of this process, kept in Redis: one subscription, with read-back."""

    async def listening(self) -> None:
        """Wait until hints are heard."""

    def heard_by(self, hear: Callable[[bytes], None]) -> AbstractContextManager[None]:
        """Pass a line of JSON to `hear` for each settled request and ended run."""

    async def settled(self, request: RequestId) -> Request:
        """Wait until the request is no longer pending."""

    async def ended(self, run: RunId) -> Run: ...


class Answers(Protocol):
    """Answers of models, in bytes that only the agents' side understands."""

    async def get(self, question: Digest) -> bytes | None:
        """Return the answer to the question, unless it has expired."""

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None: ...


class Journal(Protocol):
    """Recorded effects of runs, in bytes that only the agents' side understands."""

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Return everything recorded for the run."""

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry, unless it exists (and not `replace`); return the stored one.

        `on_disk`: return once it and all earlier entries are on the disk. LeaseLost if another worker holds the run.
        """

    async def now(self) -> datetime:
        """Read the clock that the entries use."""

    async def drop(self, run: RunId) -> None:
        """Let the journal of an ended run expire after a while."""
