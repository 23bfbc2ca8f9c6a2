"""Ownership of records: each kind with its codec, and the process that writes it.

`web` and the workers share one Redis and keep apart by keys, so that its ACL can tell them apart. A request has two
records. `request:<id>` is web's: what people did with it. `asked:<id>` is the agents': the question, and how it ended
without people. Both are read together, by rules that let no decision come from the second
(`countersign.usecases.worker_claims`); a commit checks the greater of their versions. See
docs/decisions/0006-least-privilege.md.
"""

import hashlib
import json
import logging
import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ApiKeyId, ChannelId, Id, PermissionId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.program_states import ProgramState
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.policy.evaluation import Rulebook
from countersign.store.codec import Codec, from_ms
from countersign.usecases import worker_claims
from countersign.usecases.ports import Message, TeamInfo

SETTINGS = Codec(ChannelSettings)
ABSENCES = Codec(Absences)
PERMISSIONS = Codec(Permission)
RULES = Codec(Rules)
RULEBOOK = Codec(Rulebook)
EVENTS = Codec(Event, compressed=False)
TEAMS: Codec[list[TeamInfo]] = Codec(list[TeamInfo])


@lru_cache(maxsize=4)
def rulebook_in(raw: bytes) -> Rulebook:
    """Read the stored policy, parsed once for as long as it stays the same."""
    return RULEBOOK.read(raw)[0]


_MOST_VERSIONS: Final = 10**9
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Facts of a run that web started; a worker cannot change them."""

    workspace: WorkspaceId
    channel: ChannelId
    requester: UserId
    team: str
    created_at: datetime
    program: ApiKeyId | None = None


class Side(StrEnum):
    """A process: `web`, `agents`, or `both`, which is trusted with everything."""

    WEB = "web"
    AGENTS = "agents"
    BOTH = "both"


_NOTED: Final = frozenset(field.name for field in fields(Origin))
REQUESTS = Codec(Request)
MESSAGES = Codec(Message)
RUNS = Codec(Run)
ORIGINS = Codec(Origin)
STATES = Codec(ProgramState)
API_KEYS = Codec(ApiKey)


def read_request(name: RequestId, by_web: bytes | None, by_agents: bytes | None) -> tuple[Request, int] | None:
    """Join web's record and the agents' record of a request; returns its version too.

    None if there is neither. UnknownSchema if it cannot be read, or is kept under another request's name. An agents'
    record that claims something that agents cannot do is read without that, and of a program's request not at all.
    """
    version = max(_version(by_web), _version(by_agents))
    if by_web is not None:
        request = REQUESTS.read(by_web)[0]
        _is_named(request.id, name)
        newer_there = by_agents is not None and not request.run.of_program and _version(by_agents) > _version(by_web)
        if by_agents is not None and newer_there and request.status is Status.PENDING:
            request = worker_claims.with_ending(request, _claim(name, by_agents))
        if request.status is Status.PENDING:
            _countable(request, version)
        return request, version
    if by_agents is None:
        return None
    claim = _claim(name, by_agents)
    _is_named(claim.id, name)
    _countable(claim, version)
    if claim.run.of_program:
        _log.error("A worker wrote request %s of the program's run %s, which web alone may.", claim.id, claim.run)
        return None
    believed = worker_claims.as_asked(claim)
    if believed is None:
        raise UnknownSchema(
            f"Request {claim.id} does not have the words that it was asked with, or says nothing of when. "
            "It was left as it is."
        )
    if believed.status is not claim.status:
        _log.error(
            "The agents' record of request %s says that it was %s. Only people can do that; it still waits for them.",
            claim.id,
            claim.status,
        )
    return believed, version


def _claim(name: RequestId, asked: bytes) -> Request:
    return REQUESTS.read(asked, json.dumps({"id": name}).encode())[0]


def claim_of(by_web: bytes | None, by_agents: bytes | None, card: Message | None) -> str:
    """Digest a request that only a worker wrote and web has not drawn; else ""."""
    if by_web is not None or by_agents is None:
        return ""
    claim = hashlib.sha256(by_agents).hexdigest()[:32]
    return "" if card is not None and card.vouches == claim else claim


def write_run(run: Run, version: int) -> bytes:
    """Write the run without what web noted of it, if web did."""
    return RUNS.write(run, version, frozenset() if run.by_script and run.program is None else _NOTED)


def write_asked(request: Request, version: int) -> bytes:
    """Write the agents' record of a request without its id, made of its words."""
    return REQUESTS.write(request, version, frozenset({"id"}))


def write_message(message: Message, version: int) -> bytes:
    """Write the message without its name, which is that of its place."""
    return MESSAGES.write(message, version, frozenset({"name"}))


def read_message(name: str, raw: bytes) -> tuple[Message, int]:
    """Read the message of this name, and its version."""
    return MESSAGES.read(raw, json.dumps({"name": name}).encode())


def read_run(name: RunId, raw: bytes | None, origin: bytes | None) -> tuple[Run, int] | None:
    """Read the run and its version; requester, channel and team are as web noted them.

    Without a note of web, a program of one's own started the run: it is never taken for one of Slack's.
    """
    if raw is None:
        return None
    noted = ORIGINS.read(origin)[0] if origin is not None else None
    run, version = RUNS.read(raw, ORIGINS.adapter.dump_json(noted) if noted is not None else b"")
    _is_named(run.id, name)
    if noted is None:
        return replace(run, by_script=True, program=None), version
    facts = {name: getattr(noted, name) for name in _NOTED}
    return replace(run, **facts, by_script=noted.program is not None), version


def read_state(name: RequestId, raw: bytes) -> tuple[ProgramState, int]:
    """Read what a program keeps with its request, and the record's version."""
    state, version = STATES.read(raw)
    _is_named(state.request, name)
    return state, version


def read_api_key(name: ApiKeyId, raw: bytes) -> tuple[ApiKey, int]:
    """Read the key of a program and its version."""
    key, version = API_KEYS.read(raw)
    _is_named(key.id, name)
    return key, version


def read_permission(name: PermissionId, raw: bytes) -> tuple[Permission, int]:
    """Read the permission and its version."""
    permission, version = PERMISSIONS.read(raw)
    _is_named(permission.id, name)
    return permission, version


def _is_named(own: Id, name: Id) -> None:
    """Check that the record is kept under its own name (R27)."""
    if own != name:
        raise UnknownSchema(f"A record of {own} is kept under another name, {name}. It was left as it is.")


def _countable(request: Request, version: int) -> None:
    """Check that the script can read the version, so that no second decision passes."""
    if version > _MOST_VERSIONS:
        raise UnknownSchema(f"Request {request.id} cannot have version {version}. It was left as it is.")


def _version(raw: bytes | None) -> int:
    """Read the version as commit.lua does."""
    match = re.match(rb"(\d+) ", raw[:16]) if raw else None
    return int(match[1]) if match else 0


def read_event(fields: dict[bytes, bytes], entry: bytes = b"0-0") -> Event:
    """Read an entry of the stream; of a worker's report only what a worker may report."""
    if fields.get(b"by") != b"agents":
        return EVENTS.load(fields[b"event"])
    try:
        report = EVENTS.load(fields[b"event"])
    except UnknownSchema:
        at = from_ms(int(entry.split(b"-")[0]))
        event = Event(EventType.REPORT_REFUSED, at, data={"claimed": "something that cannot be read"})
    else:
        event = worker_claims.reported(report)
    if event.type is EventType.REPORT_REFUSED:
        _log.error("A worker reported what only people and web can do; it does not count: %s.", event.data)
    return event
