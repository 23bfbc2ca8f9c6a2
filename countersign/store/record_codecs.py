"""Codecs of all records; each is read only under its own name (R27)."""

import json
from functools import lru_cache
from typing import Final

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event
from countersign.domain.ids import ApiKeyId, Id, PermissionId, RequestId, RunId, UserId
from countersign.domain.passkeys import Passkeys
from countersign.domain.program_states import ProgramState
from countersign.domain.proof import Challenge
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.policy.evaluation import Rulebook
from countersign.policy.loosening import SettingsProposal
from countersign.store.codec import Codec
from countersign.usecases.ports import Announcement, Message

SETTINGS: Final = Codec(ChannelSettings)
ABSENCES: Final = Codec(Absences)
PERMISSIONS: Final = Codec(Permission)
RULES: Final = Codec(Rules)
RULEBOOK: Final = Codec(Rulebook)
EVENTS: Final = Codec(Event, compressed=False)
ANNOUNCEMENTS: Final = Codec(Announcement)
REQUESTS: Final = Codec(Request)
MESSAGES: Final = Codec(Message)
RUNS: Final = Codec(Run)
STATES: Final = Codec(ProgramState)
API_KEYS: Final = Codec(ApiKey)
PASSKEYS: Final = Codec(Passkeys)
CHALLENGES: Final = Codec(Challenge)
PROPOSALS: Final = Codec(SettingsProposal)


@lru_cache(maxsize=4)
def rulebook_in(raw: bytes) -> Rulebook:
    """Read the stored policy, parsed once for as long as it stays the same."""
    return RULEBOOK.read(raw)[0]


def read_request(name: RequestId, raw: bytes) -> tuple[Request, int]:
    """Read a request and its version."""
    request, version = REQUESTS.read(raw)
    _check_name(request.id, name)
    return request, version


def read_run(name: RunId, raw: bytes) -> tuple[Run, int]:
    """Read a run and its version."""
    run, version = RUNS.read(raw)
    _check_name(run.id, name)
    return run, version


def write_message(message: Message, version: int) -> bytes:
    """Write the message without its name, which is that of its place."""
    return MESSAGES.write(message, version, frozenset({"name"}))


def read_message(name: str, raw: bytes) -> tuple[Message, int]:
    """Read the message of this name, and its version."""
    return MESSAGES.read(raw, json.dumps({"name": name}).encode())


def read_state(name: RequestId, raw: bytes) -> tuple[ProgramState, int]:
    """Read what a program keeps with its request, and the record's version."""
    state, version = STATES.read(raw)
    _check_name(state.request, name)
    return state, version


def read_api_key(name: ApiKeyId, raw: bytes) -> tuple[ApiKey, int]:
    """Read a key and its version."""
    key, version = API_KEYS.read(raw)
    _check_name(key.id, name)
    return key, version


def read_passkeys(name: UserId, raw: bytes) -> tuple[Passkeys, int]:
    """Read a person's passkeys and the record's version."""
    passkeys, version = PASSKEYS.read(raw)
    _check_name(passkeys.user, name)
    return passkeys, version


def read_permission(name: PermissionId, raw: bytes) -> tuple[Permission, int]:
    """Read a permission and its version."""
    permission, version = PERMISSIONS.read(raw)
    _check_name(permission.id, name)
    return permission, version


def _check_name(own: Id, name: Id) -> None:
    if own != name:
        raise UnknownSchema(f"A record of {own} is kept under another name, {name}. It was left as it is.")
