"""Proof: how strongly the deciding person was authenticated, and what they signed.

A click in Slack proves control of a Slack session. `oidc` is a fresh login at the identity provider for one decision,
and `passkey` a signature of the person's own passkey. Both are bound to a `Statement`: its canonical text names
everything that is decided, its SHA-256 is the challenge of WebAuthn or the nonce of OpenID Connect, and its own nonce
makes it valid once. The text contains only ids and digests, so the audit log keeps it as it was signed, and anybody can
check a receipt without us.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event
from countersign.domain.ids import Digest, UserId, WorkspaceId

VERSION: Final = 1
"""Version of the signed text; older versions stay readable."""
CHALLENGE_LASTS: Final = timedelta(minutes=5)
EVIDENCE: Final = "proved"
"""Key of the evidence in an event's data."""
_KIND: Final = "countersign statement"


class Proof(StrEnum):
    """The strengths of proof, the weakest first."""

    SLACK = "slack"
    """A click or a form in Slack."""
    OIDC = "oidc"
    """A login at the identity provider, made for this decision."""
    PASSKEY = "passkey"
    """A signature of the person's passkey over this decision."""

    def reaches(self, needed: "Proof") -> bool:
        """Tell whether this proof is at least as strong."""
        return _STRENGTH[self] >= _STRENGTH[needed]


_STRENGTH: Final = {proof: at for at, proof in enumerate(Proof)}


def strictest(*proofs: Proof) -> Proof:
    """Return the strongest of these proofs; `slack` without any."""
    return max(proofs, key=_STRENGTH.__getitem__, default=Proof.SLACK)


def weakest(*proofs: Proof) -> Proof:
    """Return the weakest of these proofs; `slack` without any."""
    return min(proofs, key=_STRENGTH.__getitem__, default=Proof.SLACK)


class Subject(NamedTuple):
    """One thing that a statement is about.

    For a request: its id, the digest of its content, the digest of its rules (`channel_settings.digest_of_rules`), and
    the digest of everything the person entered (`requests.digest_of_answer`), "" if nothing.
    """

    id: str
    digest: str
    rules: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Everything that one signature, or one fresh login, says.

    `permission` is the scope and span of a standing permission, and `alone` says that the requester breaks the glass.
    """

    workspace: WorkspaceId
    user: UserId
    verb: str
    about: tuple[Subject, ...]
    nonce: str
    permission: str = ""
    alone: bool = False

    def write(self) -> str:
        """Write the canonical text: sorted keys, no spaces, ASCII."""
        fields: dict[str, Any] = {**asdict(self), "about": [list(one) for one in self.about]}
        return json.dumps(
            {"is": _KIND, "v": VERSION, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )


def read_statement(text: str) -> Statement:
    """Read a statement; InvalidInput unless `Statement.write` writes exactly this."""
    try:
        fields = json.loads(text)
        if (fields.pop("is"), fields.pop("v")) != (_KIND, VERSION):
            raise ValueError("another kind")
        about = tuple(Subject(*map(str, one)) for one in fields.pop("about"))
        workspace, user = WorkspaceId(fields.pop("workspace")), UserId(fields.pop("user"))
        statement = Statement(workspace=workspace, user=user, about=about, **fields)
        if statement.write() != text:
            raise ValueError("not canonical")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidInput("This isn't a statement that this program can read.") from None
    return statement


def challenge_of(statement: str) -> bytes:
    """Return the challenge to sign for a statement: the SHA-256 of its text."""
    return hashlib.sha256(statement.encode()).digest()


def new_nonce() -> str:
    """Draw a nonce, 192 random bits."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A statement that waits to be signed, for one session of one user.

    `session` is a digest of the session's id.
    """

    statement: str
    user: UserId
    session: Digest
    made_at: datetime

    @property
    def nonce(self) -> str:
        """The nonce, which is the key it is stored under."""
        return read_statement(self.statement).nonce

    @property
    def raw(self) -> bytes:
        """The challenge for the passkey."""
        return challenge_of(self.statement)

    @property
    def oidc_nonce(self) -> str:
        """The same challenge as the `nonce` of a request to an identity provider."""
        return encoded(self.raw)

    def why_not(self, user: UserId, session: Digest, now: datetime) -> Refusal | None:
        """Return why this session may not answer the challenge now; None if it may."""
        if (user, session) != (self.user, self.session):
            return Refusal.PROOF_NOT_YOURS
        return None if self.made_at <= now < self.made_at + CHALLENGE_LASTS else Refusal.PROOF_LATE


@dataclass(frozen=True, slots=True)
class Assertion:
    """A passkey's answer, as the browser sent it; each field is base64url."""

    credential: str
    client_data: str
    authenticator_data: str
    signature: str


@dataclass(frozen=True, slots=True)
class OidcLogin:
    """A login that an identity provider vouches for; `at` is its `auth_time`."""

    issuer: str
    subject: str
    at: datetime
    acr: str = ""
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that checks an assertion, and the enrolment it rests on.

    `public_key` is the COSE key in base64url. `enrolled_by` is the way of enrolment, and `vouched_by` the person who
    handed over a code. `rp_id` is the host that the key is for.
    """

    credential: str
    public_key: str
    enrolled_at: datetime
    usable_at: datetime
    enrolled_by: str
    vouched_by: tuple[str, ...] = ()
    login: OidcLogin | None = None
    rp_id: str = ""


@dataclass(frozen=True, slots=True)
class Proved:
    """The proof that came with an attempt to decide.

    The default is a click in Slack. A page whose session is a login of this morning passes `Proved(Proof.OIDC)`, which
    suffices where a click would. Rules that need `oidc` or `passkey` need a `statement` that names the attempt, with
    the `login` or the `assertion` bound to it. `wrong` is the reason why such a proof was refused: it also refuses the
    attempt, and is in the audit log.
    """

    by: Proof = Proof.SLACK
    statement: str = ""
    login: OidcLogin | None = None
    assertion: Assertion | None = None
    key: SigningKey | None = None
    wrong: Refusal | None = None

    @property
    def shown(self) -> Proof:
        """Return the recorded proof: a session without a statement counts as a click."""
        return self.by if self.statement else Proof.SLACK


CLICK: Final = Proved()
"""A click in Slack."""


def why_not_proved(needed: Proof, proved: Proved, says: Statement, now: datetime) -> Refusal | None:
    """Return why the proof is weaker than needed or wrong; None if it suffices.

    `says` is the statement that the person must have made, with any nonce. This is the only place that compares a proof
    with the needed proof.
    """
    if proved.wrong is not None:
        return proved.wrong
    if needed is Proof.SLACK and not proved.statement:
        return None
    weak = Refusal.NEEDS_PASSKEY if needed is Proof.PASSKEY else Refusal.NEEDS_LOGIN
    if not proved.by.reaches(needed) or not proved.statement:
        return weak
    if proved.by is Proof.PASSKEY:
        if proved.assertion is None or proved.key is None:
            return weak
        if now < proved.key.usable_at:
            return Refusal.PASSKEY_TOO_NEW
    elif proved.login is None:
        return weak
    try:
        said = read_statement(proved.statement)
    except InvalidInput:
        return Refusal.PROOF_OF_OTHER
    return None if covers(said, says) else Refusal.PROOF_OF_OTHER


def covers(said: Statement, needed: Statement) -> bool:
    """Tell whether a statement includes all of another, which may have fewer subjects."""
    same = ("workspace", "user", "verb", "permission", "alone")
    return set(needed.about) <= set(said.about) and all(getattr(said, n) == getattr(needed, n) for n in same)


def evidence(proved: Proved) -> dict[str, Any]:
    """Write a proof for the audit log, so that others can check it off-line.

    It contains only ids, digests, keys and signatures, so nothing in it is ever hidden.
    """
    parts: dict[str, Any] = {"by": proved.by.value, "statement": proved.statement}
    if proved.login is not None:
        parts["login"] = _plain_login(proved.login)
    if proved.assertion is not None:
        parts["assertion"] = asdict(proved.assertion)
    if (key := proved.key) is not None:
        times = {"enrolled_at": key.enrolled_at.isoformat(), "usable_at": key.usable_at.isoformat()}
        login = {} if key.login is None else {"login": _plain_login(key.login)}
        parts["key"] = {**asdict(key), "vouched_by": list(key.vouched_by), **times, **login}
        if key.login is None:
            del parts["key"]["login"]
    return parts


def with_evidence(event: Event, proved: Proved) -> Event:
    """Add the evidence of a proof to an event; a click adds nothing."""
    if proved == CLICK:
        return event
    return replace(event, data={**event.data, EVIDENCE: json.dumps(evidence(proved), sort_keys=True)})


def _plain_login(login: OidcLogin) -> dict[str, Any]:
    return {**asdict(login), "at": login.at.isoformat(), "amr": list(login.amr)}


def encoded(raw: bytes) -> str:
    """Write bytes in base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
