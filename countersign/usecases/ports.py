"""Ports of the use cases: a store that swaps values, and somebody to advance runs."""

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
    """A value as read, its version (0: none yet), and the server's clock then."""

    value: T
    version: int
    now: datetime


@dataclass(frozen=True, slots=True)
class SeenRequest(Seen[Request]):
    """A request as read, with the message under its own name."""

    card: "Put[Message] | None" = None


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """A value to store if the stored version is still this one; 0 to create it."""

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
    """A Slack message that shows something of ours, named like `card/q…` or `run/r…`.

    `ts` is empty while nobody knows whether the post arrived; `drawn` is the digest of its content. `rows` are the
    requests on a card that shows several; under the names of all but the first stands only `on`, the card's name.
    `posting_since`: the begin of a post that nobody knows to have arrived, or of a card that may grow, by the store's
    clock; for everything else Slack's `ts` says it. `stands_since`: the moment from which people could see a card in
    its channel, by the store's clock. `replaced_by`: until then only the response URL of a click on it changes it.
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
        """The run whose thread is below this message."""
        kind, _, rest = self.name.partition("/")
        return RunId.named(rest.removesuffix("/direct")) if kind == "run" else None


@dataclass(frozen=True, slots=True)
class Change:
    """All that one step changes, at once or not at all.

    The conditions: `before`, the server's clock has not reached it; `once`, this attempt was not stored before;
    `unchanged`, `held` and `shown` are still as they were read.
    `delivered` are settled requests that nobody waits for any more (R5).
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
    """Stored; a request was settled whose run is parked, so somebody must ask for that run."""
    STALE = "stale"
    LATE = "late"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """A team of agents as its worker announces it, and why it cannot be used, if so."""

    name: str
    line: str
    problem: str = ""
    options: tuple[Option, ...] = ()
    area: str = ""
    """The workers' area in which its runs are advanced, as `web` knows by the worker's key."""

    def __post_init__(self) -> None:
        TeamName(self.name)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A worker's announcement, every few seconds: its teams, and runs that it holds."""

    teams: tuple[TeamInfo, ...]
    runs: tuple[RunId, ...] = ()


class Indexes(Protocol):
    """Requests and runs, found without their names."""

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
    """The workers that are there, and the teams that they run."""

    async def announce(self, worker: WorkerId, announcement: Announcement, ttl: timedelta) -> None: ...
    async def retire(self, worker: WorkerId) -> None: ...
    async def teams(self) -> list[TeamInfo]: ...
    async def present(self) -> list[Announcement]: ...
    async def held(self) -> frozenset[RunId]: ...


class KeptFiles(NamedTuple):
    """Keys of the files, each with its name, and what is not attached."""

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
    """Jobs for workers, each to advance a run: at least once, or never if it is lost.

    A second job for a run whose first is not done counts as one; but each `signal` is heard by itself.
    """

    async def advance(self, run: RunId, *, after: timedelta = ..., signal: RequestId | None = None) -> None: ...


class Wakeups(Protocol):
    """The futures of this process, kept in Redis: one subscription, with read-back."""

    async def listening(self) -> None:
        """Wait until hints are heard."""

    def heard_by(self, hear: Callable[[bytes], None]) -> AbstractContextManager[None]:
        """Hand a line of JSON to `hear` for each settled request and ended run."""

    async def settled(self, request: RequestId) -> Request:
        """Wait until the request is no longer pending."""

    async def ended(self, run: RunId) -> Run: ...


class Answers(Protocol):
    """Answers of models, in bytes that only the agents' side understands."""

    async def get(self, question: Digest) -> bytes | None:
        """Return the answer to the question, if its time has not ended."""

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None: ...


class Journal(Protocol):
    """Recorded effects of runs, in bytes that only the agents' side understands."""

    async def entries(self, run: RunId) -> dict[str, bytes]:
        """Return everything recorded for the run."""

    async def record(
        self, lease: Lease, key: str, value: bytes, *, replace: bool = False, on_disk: bool = False
    ) -> bytes:
        """Write the entry, unless it exists or with `replace`; return the one that stands.

        `on_disk`: return when it and all before it are on the disk. LeaseLost if another worker holds the run.
        """

    async def now(self) -> datetime:
        """Read the clock of the entries."""

    async def drop(self, run: RunId) -> None:
        """Let the journal of an ended run go after a while."""
