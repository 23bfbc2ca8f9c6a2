"""Records, each kind with its codec, and which process writes what.

`web` and the workers share one Redis and keep apart by keys, so that its ACL can tell them apart. A request has two
records. `request:<id>` is web's: what people did with it. `asked:<id>` is the agents': the question, and how it ended
without people. What is read is both together, by rules that let no decision come from the second
(`countersign.usecases.worker_claims`); a commit checks the greater of their versions. See
docs/decisions/0006-least-privilege.md.
"""

import hashlib
import logging
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event
from countersign.domain.grants import Permission
from countersign.domain.ids import ChannelId, Id, PermissionId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.policy.evaluation import Rulebook
from countersign.store.codec import Codec
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
    """The workspace's policy as it is stored, parsed once for as long as it stays the same."""
    return RULEBOOK.read(raw)[0]


_MOST_VERSIONS: Final = 10**9
_NOT_THAT: Final = "-"
"""Stands for the name of a message that is about no request though its name tells one."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Facts of a run that web started; a worker cannot change them."""

    workspace: WorkspaceId
    channel: ChannelId
    requester: UserId
    team: str
    created_at: datetime


class Side(StrEnum):
    """A process: `web`, `agents`, or `both`, a program that is trusted with everything, as tests are."""

    WEB = "web"
    AGENTS = "agents"
    BOTH = "both"


REQUESTS = Codec(Request)
MESSAGES = Codec(Message)
RUNS = Codec(Run)
ORIGINS = Codec(Origin)


def read_request(name: RequestId, ours: bytes | None, asked: bytes | None) -> tuple[Request, int] | None:
    """The request that web's record and the agents' record make together, and its version; None if there is none.

    UnknownSchema if it cannot be read, or is not the one that it is kept as: what web wrote of it would go to the
    other. An agents' record that claims what agents cannot do is read without that.
    """
    version = max(_version(ours), _version(asked))
    if ours is not None:
        known = REQUESTS.read(ours)[0]
        _is_named(known.id, name)
        if asked is not None and known.status is Status.PENDING and _version(asked) > _version(ours):
            known = worker_claims.with_ending(known, REQUESTS.read(asked)[0])
        if known.status is Status.PENDING:
            _countable(known, version)
        return known, version
    if asked is None:
        return None
    told = REQUESTS.read(asked)[0]
    _is_named(told.id, name)
    _countable(told, version)
    believed = worker_claims.as_asked(told)
    if believed is None:
        raise UnknownSchema(
            f"Request {told.id} does not have the words that it was asked with, or says nothing of when. "
            "It was left as it is."
        )
    if believed.status is not told.status:
        _log.error(
            "The agents' record of request %s says that it was %s. Only people can do that; it still waits for them.",
            told.id,
            told.status,
        )
    return believed, version


def claim_of(ours: bytes | None, asked: bytes | None, card: bytes | None) -> str:
    """The digest of what a worker wrote by itself; "" where web wrote of it too, or drew its card from just that."""
    if ours is not None or asked is None:
        return ""
    claim = hashlib.sha256(asked).hexdigest()[:32]
    return "" if card is not None and MESSAGES.read(card)[0].vouches == claim else claim


def write_message(message: Message, version: int) -> bytes:
    """Without its name, and without the request that its name tells: its place says both."""
    told = _told(message.name)
    about = None if message.request == told else message.request
    return MESSAGES.write(
        replace(message, name=_NOT_THAT if told and not message.request else "", request=about), version
    )


def read_message(name: str, raw: bytes) -> tuple[Message, int]:
    """The message that is kept under this name, and its version."""
    message, version = MESSAGES.read(raw)
    about = _told(name) if message.request is None and message.name != _NOT_THAT else message.request
    return replace(message, name=name, request=about), version


def _told(name: str) -> RequestId | None:
    return RequestId.named(name.partition("/")[2].partition("/")[0])


def read_run(name: RunId, raw: bytes | None, origin: bytes | None) -> tuple[Run, int] | None:
    """The run and its version; whose it is, where, and which team's, as web wrote it down when it started the run.

    Of a run that web did not start only a program of one's own has told that: it is never taken for one of Slack's.
    """
    if raw is None:
        return None
    run, version = RUNS.read(raw)
    _is_named(run.id, name)
    if origin is None:
        return replace(run, by_script=True), version
    return replace(run, **asdict(ORIGINS.read(origin)[0]), by_script=False), version


def read_permission(name: PermissionId, raw: bytes) -> tuple[Permission, int]:
    """The permission and its version."""
    permission, version = PERMISSIONS.read(raw)
    _is_named(permission.id, name)
    return permission, version


def _is_named(own: Id, name: Id) -> None:
    """A record under another's name says nothing of either: UnknownSchema (R27)."""
    if own != name:
        raise UnknownSchema(f"A record of {own} is kept under another name, {name}. It was left as it is.")


def _countable(request: Request, version: int) -> None:
    """Else the script would take a later version for none, and a second decision for the first."""
    if version > _MOST_VERSIONS:
        raise UnknownSchema(f"Request {request.id} cannot have version {version}. It was left as it is.")


def _version(raw: bytes | None) -> int:
    """As commit.lua reads it."""
    found = re.match(rb"(\d+) ", raw[:16]) if raw else None
    return int(found[1]) if found else 0
