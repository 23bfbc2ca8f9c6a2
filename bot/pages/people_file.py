"""Read the file that maps signed-in people to Slack users.

An identity is mapped to a user by its issuer and subject, which a provider gives nobody else. By e-mail it is mapped
only where the provider's entry switches that on, and only by an address that the provider verified.
"""

import logging
from pathlib import Path
from typing import Final, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator

from countersign.domain.errors import WrongSettings
from countersign.domain.ids import UserId, WorkspaceId

from .providers import OidcIdentity, Provider

_LARGEST: Final = 10_000_000
_log = logging.getLogger(__name__)


class PersonEntry(BaseModel):
    """One line of the file: an identity, and the user that it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    subject: str = ""
    email: str = ""
    user: UserId
    mail: str = ""
    """Where they are told by mail what waits for them; "" if they are not."""
    workspace: WorkspaceId | None = None
    """Which one, where the app serves several."""

    @field_validator("email")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and plain_email(value) is None:
            raise ValueError("must be an address of plain ASCII characters; name this person by `subject` instead")
        return value

    @field_validator("mail")
    @classmethod
    def _mailbox(cls, value: str) -> str:
        if value and not is_mail_address(value):
            raise ValueError("must be a plain address like bob@example.com")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.subject) == bool(self.email):
            raise ValueError("name either the `subject` or the `email`")
        return self


class Person(NamedTuple):
    """A Slack user; `workspace` is None where the app serves only one."""

    user: UserId
    workspace: WorkspaceId | None
    mail: str = ""


class PeopleFile:
    """The file of people.

    It is read again when it changes, so removing a person takes effect at once.
    """

    def __init__(self, file: Path, providers: tuple[Provider, ...]) -> None:
        """Read it. WrongSettings says what is wrong."""
        self._file = file
        self._by_email = {one.issuer for one in providers if one.verified_email}
        self._known = _read(file)
        self._read_at = self._changed_at()

    def person(self, identity: OidcIdentity) -> Person | None:
        """Return who this identity is.

        None if the file does not list them or can no longer be read.
        """
        self._refresh()
        found = self._known.get((identity.issuer, "subject", identity.subject))
        email = plain_email(identity.email)
        if found is None and email is not None and identity.issuer in self._by_email:
            found = self._known.get((identity.issuer, "email", email))
        return found

    def addresses(self, workspace: WorkspaceId) -> dict[UserId, str]:
        """Return the mail addresses of the workspace's people who have one."""
        self._refresh()
        here = [one for one in self._known.values() if one.mail and one.workspace in (None, workspace)]
        return {one.user: one.mail for one in here}

    def _refresh(self) -> None:
        changed = self._changed_at()
        if changed == self._read_at:
            return
        self._read_at = changed
        try:
            self._known = _read(self._file)
        except WrongSettings as wrong:  # a person may have been removed from it
            _log.error("Nobody can sign in to the pages until this is fixed. %s", wrong)
            self._known = {}

    def _changed_at(self) -> tuple[int, int]:
        try:
            state = self._file.stat()
        except OSError:
            return (0, 0)
        return (state.st_mtime_ns, state.st_size)


def plain_email(address: str) -> str | None:
    """Return an address as it is compared: in small letters.

    None for one with other than ASCII characters, which may look like another person's.
    """
    plain = address.isascii() and address.isprintable() and address.count("@") == 1 and " " not in address
    return address.lower() if plain else None


def is_mail_address(text: str) -> bool:
    """Tell whether this is an address to which, or from which, mails may go."""
    name, _, host = text.partition("@")
    plain = text.isascii() and text.isprintable() and not set(" ,;<>\"'()[]\\:") & set(text)
    return plain and bool(name and host) and "@" not in host and len(text) <= 254


def _read(file: Path) -> dict[tuple[str, str, str], Person]:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise WrongSettings([f"OIDC_PEOPLE: {file.name} is larger than {_LARGEST:,} bytes."])
        entries = TypeAdapter(list[PersonEntry]).validate_python(yaml.safe_load(text) or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as wrong:
        raise WrongSettings([f"OIDC_PEOPLE: {file.name} can't be read ({wrong})."]) from None
    except ValidationError as wrong:
        problems = [f"OIDC_PEOPLE: {'.'.join(map(str, one['loc']))}: {one['msg']}." for one in wrong.errors()[:20]]
        raise WrongSettings(problems) from None
    known: dict[tuple[str, str, str], Person] = {}
    for entry in entries:
        key = (
            (entry.issuer, "subject", entry.subject)
            if entry.subject
            else (entry.issuer, "email", plain_email(entry.email) or "")
        )
        if key in known:
            raise WrongSettings([f"OIDC_PEOPLE: {entry.subject or entry.email} appears twice; keep one entry."])
        known[key] = Person(entry.user, entry.workspace, entry.mail)
    return known
