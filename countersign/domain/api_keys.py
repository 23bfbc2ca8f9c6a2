"""Keys of programs that ask people over HTTP.

A key is shown once, when it is made; what is kept is a digest of its secret part, which is 256 random bits, so a plain
SHA-256 tells nothing. A key is bound to a name, to channels, and to limits: a program is never a person, and what it
may ask is decided when its key is made.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from countersign.domain.callback_signing import new_secret
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ApiKeyId, Digest, TeamName, digest_of

MOST_OPEN: Final = 100
PER_MINUTE: Final = 60
MOST_WAITING: Final = 1000
_TOKEN: Final = re.compile(r"csk_(k[a-z0-9]{8,40})_([A-Za-z0-9_-]{43})")
_CHANNEL: Final = re.compile(r"#[^\s#]{1,80}|[CG][A-Z0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's right to ask, in these `channels` (`#name`, or an id of Slack's).

    `most_open`: how many of its requests may wait at once. `per_minute`: how many it may make in a minute.
    `most_waiting`: how many calls that wait for a decision it may hold open in one process.
    """

    id: ApiKeyId
    name: str
    digest: Digest
    channels: tuple[str, ...]
    created_at: datetime
    most_open: int = MOST_OPEN
    per_minute: int = PER_MINUTE
    revoked_at: datetime | None = None
    callback_secret: str = field(default="", repr=False)
    """Signs what is posted to this program, which has it too."""
    most_waiting: int = MOST_WAITING

    def __post_init__(self) -> None:
        TeamName(self.name)


@dataclass(frozen=True, slots=True)
class AskingProgram:
    """The program that asks, by its key: names may be given twice.

    `names_requester`: it said for whom it asks, which is its word.
    """

    key: ApiKeyId
    name: str
    names_requester: bool


class Issued(NamedTuple):
    """A new key, and the text that its program gets: it is kept nowhere."""

    key: ApiKey
    token: str


def issue(
    name: str,
    channels: tuple[str, ...],
    now: datetime,
    *,
    most_open: int = MOST_OPEN,
    per_minute: int = PER_MINUTE,
    most_waiting: int = MOST_WAITING,
) -> Issued:
    """Make a key. InvalidInput if its name, a channel or a limit cannot be."""
    if TeamName.named(name) is None:
        raise InvalidInput(
            f"“{name[:60]}” can't be a key's name. Use up to 60 letters, digits, _ . and -, starting with a letter or "
            "digit."
        )
    if not channels:
        raise InvalidInput("Name at least one channel, like --channel '#approvals'.")
    if wrong := next((one for one in channels if not _CHANNEL.fullmatch(one)), None):
        raise InvalidInput(f"“{wrong[:80]}” isn't a channel. Use #name, or an id like C0123ABC.")
    if min(most_open, per_minute, most_waiting) < 1:
        raise InvalidInput("A key's limits must be at least 1.")
    secret = secrets.token_urlsafe(32)
    key_id = ApiKeyId("k" + secrets.token_hex(6))
    digest, rooms = digest_of(secret), tuple(dict.fromkeys(channels))
    key = ApiKey(key_id, name, digest, rooms, now, most_open, per_minute, None, new_secret(), most_waiting)
    return Issued(key, f"csk_{key_id}_{secret}")


def parts_of(token: str) -> tuple[ApiKeyId, str] | None:
    """The key's id and the secret that a token holds; None if it is no token."""
    match = _TOKEN.fullmatch(token)
    return (ApiKeyId(match[1]), match[2]) if match else None


def opens(key: ApiKey, secret: str) -> bool:
    """Tell whether the secret opens the key, in a time that does not depend on it."""
    return hmac.compare_digest(key.digest, digest_of(secret)) and key.revoked_at is None


def revoke(key: ApiKey, now: datetime) -> ApiKey:
    """Revoke the key; one that was revoked before stays as it was."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)
