"""Passkeys of people: who may enrol one, when it may approve, and who revokes it.

Enrolment is the weak point of a signature: an attacker who enrols a key in a person's name can sign as that person.
Therefore neither a Slack session nor a page's session, which may be stolen, suffices to enrol:

- the first passkey takes a login made for it at the identity provider, whose account an operator has mapped to the
  Slack user, or a code that an admin or the operator handed over;
- a further passkey takes a signature of a passkey that the person has;
- after all were revoked, it takes codes of two different admins.

A new passkey is unusable during a cooling-off time, in which everybody notified of it can revoke it.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import Digest, UserId, WorkspaceId, digest_of
from countersign.domain.people import Actor, readable_name, why_nobody
from countersign.domain.proof import OidcLogin, Proof, Proved, SigningKey, Statement, Subject, with_evidence

COOLING_OFF: Final = timedelta(hours=24)
CODE_LASTS: Final = timedelta(hours=24)
MOST_PASSKEYS: Final = 20
"""Most passkeys of one person that are not revoked."""
_KEPT: Final = 100
"""Most stored passkeys of one person, including revoked passkeys, of which the oldest are dropped first."""
_MOST_CODES: Final = 10
ENROL: Final = "enrol passkey"
MAKE_CODE: Final = "make enrolment code"
"""The verbs of the statements that are signed for enrolment."""
_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS: Final = 5


class EnrolledBy(StrEnum):
    """The ways in which a passkey was enrolled."""

    LOGIN = "login"
    """A fresh login at the identity provider, whose account is mapped to the user."""
    CODE = "code"
    """A code that an admin or the operator handed over; two of them after a loss."""
    PASSKEY = "passkey"
    """A signature of another passkey of the same person."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey; `id` is its credential id, `public_key` its COSE key, in base64url.

    `rp_id` is the host that it was enrolled for. `device` is the AAGUID, and `synced` says that the person's other
    devices may have it too.
    """

    id: str
    public_key: str
    name: str
    enrolled_at: datetime
    usable_at: datetime
    rp_id: str
    enrolled_by: EnrolledBy
    vouched_by: tuple[str, ...] = ()
    login: OidcLogin | None = None
    device: str = ""
    synced: bool = False
    sign_count: int = 0
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def signing_key(self) -> SigningKey:
        """Return the key, as proofs record it."""
        return SigningKey(
            self.id,
            self.public_key,
            self.enrolled_at,
            self.usable_at,
            self.enrolled_by,
            self.vouched_by,
            self.login,
            self.rp_id,
        )


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A code that lets one person enrol once; only its digest is kept."""

    digest: Digest
    by: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Passkeys:
    """All passkeys of one person, revoked or not, and their unused enrolment codes."""

    workspace: WorkspaceId
    user: UserId
    keys: tuple[Passkey, ...] = ()
    codes: tuple[EnrolmentCode, ...] = ()

    @property
    def valid(self) -> tuple[Passkey, ...]:
        """Passkeys that were not revoked, cooling off or not."""
        return tuple(key for key in self.keys if key.revoked_at is None)

    def usable(self, now: datetime) -> tuple[Passkey, ...]:
        """Passkeys that may approve now."""
        return tuple(key for key in self.valid if key.usable_at <= now)

    def get(self, credential: str) -> Passkey | None:
        """Find a passkey by its credential id; None if it is not this person's."""
        return next((key for key in self.keys if key.id == credential), None)


class NewCredential(NamedTuple):
    """A credential as the browser registered it, checked by `bot.passkeys`."""

    id: str
    public_key: str
    sign_count: int
    device: str
    synced: bool
    rp_id: str


class Enrolment(NamedTuple):
    """The passkeys after an enrolment, and its event."""

    passkeys: Passkeys
    passkey: Passkey
    event: Event


def enrolment_statement(workspace: WorkspaceId, user: UserId, nonce: str = "") -> Statement:
    """Return the statement for enrolling a passkey with a login or another passkey."""
    return Statement(workspace=workspace, user=user, verb=ENROL, about=(Subject("passkey", user),), nonce=nonce)


def code_statement(workspace: WorkspaceId, admin: UserId, user: UserId, nonce: str = "") -> Statement:
    """Return the statement of an admin who makes an enrolment code for this user."""
    return Statement(workspace=workspace, user=admin, verb=MAKE_CODE, about=(Subject("code", user),), nonce=nonce)


def needs(passkeys: Passkeys) -> str:
    """Say what this person's next enrolment needs."""
    if passkeys.valid:
        return "Confirm with a passkey that you have. If you lost all of them, an admin revokes them first."
    if passkeys.keys:
        return "All your passkeys were revoked, so you need codes from two different admins."
    return "Sign in again, or enter a code from an admin."


def enrol(
    passkeys: Passkeys,
    credential: NewCredential,
    name: str,
    now: datetime,
    *,
    proved: Proved | None = None,
    codes: Sequence[str] = (),
    cooling_off: timedelta = COOLING_OFF,
) -> Enrolment:
    """Add a passkey.

    `proved` is a checked proof of `enrolment_statement`; `codes` are the codes that the person typed. InvalidInput,
    with nothing changed, if these do not suffice.
    """
    if len(passkeys.valid) >= MOST_PASSKEYS:
        raise InvalidInput(f"You have {MOST_PASSKEYS} passkeys, the most. Nothing was enrolled; revoke one first.")
    if passkeys.get(credential.id) is not None:
        raise InvalidInput("This passkey was enrolled before. Nothing was changed.")
    by, vouched = _way(passkeys, proved, codes, now)
    login = None if proved is None or by is not EnrolledBy.LOGIN else proved.login
    new = Passkey(
        credential.id,
        credential.public_key,
        readable_name(name) or "Passkey",
        now,
        now + cooling_off,
        credential.rp_id,
        by,
        vouched,
        login,
        credential.device,
        credential.synced,
        credential.sign_count,
    )
    left = () if by is EnrolledBy.CODE else passkeys.codes
    after = replace(passkeys, keys=_kept((*passkeys.keys, new)), codes=left)
    event = _event(EventType.PASSKEY_ENROLLED, after, new, now, str(passkeys.user))
    return Enrolment(after, new, event if by is EnrolledBy.CODE or proved is None else with_evidence(event, proved))


def _way(
    passkeys: Passkeys, proved: Proved | None, codes: Sequence[str], now: datetime
) -> tuple[EnrolledBy, tuple[str, ...]]:
    """Return what authorises the enrolment; InvalidInput if nothing does."""
    told = proved is not None and proved.wrong is None and proved.statement != ""
    if passkeys.valid:
        if told and proved is not None and proved.by is Proof.PASSKEY:
            return EnrolledBy.PASSKEY, ()
        raise InvalidInput(f"Nothing was enrolled. {needs(passkeys)}")
    vouched = _opened(passkeys, codes, now)
    if codes and len(vouched) < len({*codes}):
        raise InvalidInput(
            "A code is wrong, was used, or is past its time. Nothing was enrolled; ask the admin for another one."
        )
    if len({*vouched}) >= (2 if passkeys.keys else 1):
        return EnrolledBy.CODE, tuple(sorted({*vouched}))
    if not passkeys.keys and told and proved is not None and proved.by is Proof.OIDC and proved.login is not None:
        return EnrolledBy.LOGIN, ()
    raise InvalidInput(f"Nothing was enrolled. {needs(passkeys)}")


def _opened(passkeys: Passkeys, codes: Sequence[str], now: datetime) -> list[str]:
    """List the makers of the typed codes, leaving out codes that do not match."""
    typed = {digest_of(code_letters(code)) for code in codes}
    return [
        code.by
        for code in passkeys.codes
        if now < code.ends_at and any(hmac.compare_digest(code.digest, one) for one in typed)
    ]


def code_letters(code: str) -> str:
    """Return the letters of a typed code, without its hyphens and spaces."""
    return "".join(letter for letter in code.lower() if letter in _LETTERS)


def why_no_code(admin: Actor, user: UserId, admins: frozenset[UserId]) -> str | None:
    """Return why this person may not make a code for the user; None if they may."""
    if (nobody := why_nobody(admin, admin.workspace)) is not None:
        return nobody.value
    if not admin.administers(admins):
        return "Only workspace admins and people named in ADMINS can make enrolment codes. No code was made."
    return "You can't make a code for yourself; ask another admin. No code was made." if admin.user == user else None


def make_code(passkeys: Passkeys, by: str, now: datetime) -> tuple[Passkeys, str, Event]:
    """Make a code, shown once; a maker's newer code replaces their older one.

    `by` is the admin's user id, or the operator's account as `operator <name>`.
    """
    letters = "".join(secrets.choice(_LETTERS) for _ in range(4 * _GROUPS))
    code = EnrolmentCode(digest_of(letters), by, now + CODE_LASTS)
    others = tuple(one for one in passkeys.codes if one.by != by and now < one.ends_at)[1 - _MOST_CODES :]
    event = _event(EventType.PASSKEY_CODE_MADE, passkeys, None, now, by, until=code.ends_at.isoformat())
    written = "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))
    return replace(passkeys, codes=(*others, code)), written, event


def why_not_revoke(passkeys: Passkeys, actor: Actor, admins: frozenset[UserId]) -> str | None:
    """Return why this person may not revoke these passkeys; None if they may."""
    if (nobody := why_nobody(actor, passkeys.workspace)) is not None:
        return nobody.value
    if actor.user == passkeys.user or actor.administers(admins):
        return None
    return "Only its owner and admins can revoke a passkey. It still counts; ask one of them."


def revoke(passkeys: Passkeys, credential: str, by: str, now: datetime) -> tuple[Passkeys, Event] | None:
    """Revoke a passkey for good; None if it is unknown or already revoked."""
    key = passkeys.get(credential)
    if key is None or key.revoked_at is not None:
        return None
    revoked = replace(key, revoked_at=now, revoked_by=by)
    keys = tuple(revoked if one.id == credential else one for one in passkeys.keys)
    # A code made while the person still had a passkey does not authorise recovery.
    after = replace(passkeys, keys=keys, codes=())
    return after, _event(EventType.PASSKEY_REVOKED, after, revoked, now, by)


def used(passkeys: Passkeys, credential: str, sign_count: int, now: datetime) -> Passkeys:
    """Note that a passkey signed, and its counter."""
    return replace(
        passkeys,
        keys=tuple(
            replace(key, sign_count=sign_count, used_at=now) if key.id == credential else key for key in passkeys.keys
        ),
    )


def renamed(passkeys: Passkeys, credential: str, name: str) -> Passkeys:
    """Give a passkey another name."""
    called = readable_name(name) or "Passkey"
    return replace(
        passkeys, keys=tuple(replace(key, name=called) if key.id == credential else key for key in passkeys.keys)
    )


def _kept(keys: tuple[Passkey, ...]) -> tuple[Passkey, ...]:
    revoked = [key for key in keys if key.revoked_at is not None]
    dropped = revoked[: max(0, len(keys) - _KEPT)]
    return tuple(key for key in keys if key not in dropped)


def _event(kind: EventType, passkeys: Passkeys, key: Passkey | None, now: datetime, by: str, **more: str) -> Event:
    data = {"holder": str(passkeys.user), "by": by, **more}
    if key is not None:
        data |= {
            "passkey": key.id,
            "public_key": key.public_key,
            "name": key.name,
            "rp_id": key.rp_id,
            "device": key.device,
            "synced": "yes" if key.synced else "no",
            "enrolled_by": key.enrolled_by.value,
            "vouched_by": " ".join(key.vouched_by),
            "enrolled_at": key.enrolled_at.isoformat(),
            "usable_at": key.usable_at.isoformat(),
        }
        if key.login is not None:
            data |= {"issuer": key.login.issuer, "subject": key.login.subject, "login_at": key.login.at.isoformat()}
    return Event(kind, now, workspace=passkeys.workspace, user=passkeys.user, data=data)
