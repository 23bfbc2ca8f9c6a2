"""Keys of programs that ask people over HTTP.

A key is a program's identity: its id derives from the program's name and stays, so requests, idempotency keys and
limits belong to it. Its secrets can be rotated (R48). A secret is shown once, when it is made. Only its digest is
stored; a plain SHA-256 is safe because a secret has 256 random bits. A key is created with limits and with channel ids,
since another channel may take over a name. A program is never a person.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from countersign.domain.callback_signing import new_secret
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ApiKeyId, ChannelId, Digest, TeamName, digest_of, short_name

MOST_OPEN: Final = 100
PER_MINUTE: Final = 60
MOST_WAITING: Final = 1000
WORKERS: Final = "workers"
"""The name of the key that all workers without a key of their own share."""
LONGEST_OVERLAP: Final = timedelta(days=90)
_KEPT_SECRETS: Final = 10
"""Most secrets kept of a key, including ended ones, so that a caller with an ended secret is told why it fails."""
_TOKEN: Final = re.compile(r"csk_(k[a-z0-9]{8,40})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that authenticates as its key until `ends_at`.

    `callback_secret` signs callbacks to the program, which also has it.
    """

    digest: Digest
    made_at: datetime
    callback_secret: str = field(default="", repr=False)
    ends_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Tell whether the secret is accepted now."""
        return self.ends_at is None or now < self.ends_at


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's right to ask, in these `channels`.

    `most_open`: how many of its requests may wait at once. `per_minute`: how many it may make in a minute.
    `most_waiting`: how many HTTP calls that wait for a decision it may hold open in one process.
    """

    id: ApiKeyId
    name: str
    secrets: tuple[Secret, ...]
    channels: tuple[ChannelId, ...]
    created_at: datetime
    most_open: int = MOST_OPEN
    per_minute: int = PER_MINUTE
    most_waiting: int = MOST_WAITING
    revoked_at: datetime | None = None
    worker: bool = False
    """True for a worker's key: workers advance runs with it, and it may ask in every channel of its runs."""
    teams: tuple[TeamName, ...] = ()
    """The teams of a worker's key; empty means all."""

    def __post_init__(self) -> None:
        TeamName(self.name)

    @property
    def area(self) -> str:
        """The workers' area whose runs this key reaches.

        "" is the area of all workers without a key of their own.
        """
        return area_of(self.id)

    def may_run(self, team: str) -> bool:
        """Tell whether workers with this key may run the team."""
        return self.worker and (not self.teams or team in self.teams)

    def callback_secrets(self, now: datetime) -> list[str]:
        """Secrets that sign a callback now, the newest first.

        There are several during a rotation's overlap.
        """
        return [secret.callback_secret for secret in reversed(self.secrets) if secret.valid(now)]


@dataclass(frozen=True, slots=True)
class AskingProgram:
    """The asking program, identified by its key.

    `names_requester`: the program named a requester; nothing verifies that name.
    """

    key: ApiKeyId
    name: str
    names_requester: bool


class Issued(NamedTuple):
    """A key with a new secret, and the token for its program, which is stored nowhere."""

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
    """Make a program's key.

    InvalidInput if its name, the id of a channel or a limit is not valid.
    """
    if TeamName.named(name) is None:
        raise InvalidInput(
            f"“{name[:60]}” can't be a key's name. Use up to 60 letters, digits, _ . and -, starting with a letter or "
            "digit."
        )
    if not channels:
        raise InvalidInput("Name at least one channel, like --channel '#approvals'.")
    if wrong := next((one for one in channels if ChannelId.named(one) is None or one.startswith("D")), None):
        raise InvalidInput(f"“{wrong[:80]}” isn't the id of a channel, like C0123ABC.")
    if min(most_open, per_minute, most_waiting) < 1:
        raise InvalidInput("A key's limits must be at least 1.")
    rooms = tuple(ChannelId(one) for one in dict.fromkeys(channels))
    key = ApiKey(id_of(name), name, (), rooms, now, most_open, per_minute, most_waiting)
    return rotate(key, now)


def issue_worker(name: str, teams: tuple[str, ...], now: datetime) -> Issued:
    """Make a key for workers that run these teams; none means all.

    InvalidInput if its name or a team's is not valid.
    """
    if TeamName.named(name) is None or any(TeamName.named(team) is None for team in teams):
        raise InvalidInput("Names of keys and teams have up to 60 letters, digits, _ . and -. No key was created.")
    key = ApiKey(id_of(name), name, (), (), now, worker=True, teams=tuple(map(TeamName, teams)))
    return rotate(key, now)


def id_of(name: str) -> ApiKeyId:
    """The id of the key of this program."""
    return ApiKeyId("k" + short_name(name, length=24))


def area_of(key: ApiKeyId) -> str:
    """Name the area of workers with this key."""
    return "" if key == id_of(WORKERS) else key


def rotate(key: ApiKey, now: datetime, overlap: timedelta = timedelta(0)) -> Issued:
    """Give the key a new secret; the others end after the overlap.

    A revoked key becomes valid again. InvalidInput if the overlap is negative or too long.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(f"Two secrets can overlap for at most {LONGEST_OVERLAP.days} days.")
    text = secrets.token_urlsafe(32)
    earlier = _ending(key, now + overlap)[1 - _KEPT_SECRETS :]
    new = Secret(digest_of(text), now, new_secret())
    return Issued(replace(key, secrets=(*earlier, new), revoked_at=None), f"csk_{key.id}_{text}")


def revoke(key: ApiKey, now: datetime) -> ApiKey:
    """End all secrets of the key; a key that is already revoked stays unchanged."""
    return key if key.revoked_at is not None else replace(key, secrets=_ending(key, now), revoked_at=now)


def _ending(key: ApiKey, end: datetime) -> tuple[Secret, ...]:
    """Return the key's secrets, each ending at this moment or earlier."""
    return tuple(
        replace(secret, ends_at=end if secret.ends_at is None else min(end, secret.ends_at)) for secret in key.secrets
    )


def parts_of(token: str) -> tuple[ApiKeyId, str] | None:
    """The key's id and the secret that a token holds; None for any other text."""
    match = _TOKEN.fullmatch(token)
    return (ApiKeyId(match[1]), match[2]) if match else None


def secret_of(key: ApiKey, text: str) -> Secret | None:
    """Find the key's secret, valid or ended, that matches the text.

    Takes the same time for every text.
    """
    digest = digest_of(text)
    found = [secret for secret in key.secrets if hmac.compare_digest(secret.digest, digest)]
    return found[-1] if found else None
