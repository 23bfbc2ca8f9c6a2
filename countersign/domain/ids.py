"""Ids, each a type of its own with one strict form (R27).

Redis keys and Slack mentions are built from ids, so every id is checked against the form of its kind, whether an API
caller sent it or a record contains it. No form allows a `:`, which separates the parts of a key.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from countersign.domain.errors import InvalidId


class Id(str):
    """A text of one strict form, checked on construction.

    InvalidId, which is an InvalidInput, if it has another form.
    """

    __slots__ = ()
    noun: ClassVar[str]
    form: ClassVar[re.Pattern[str]]

    def __init_subclass__(cls, *, noun: str, form: str) -> None:
        cls.noun, cls.form = noun, re.compile(form)

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        if not isinstance(text, str) or cls.form.fullmatch(text) is None:
            raise InvalidId(f"{ascii(text)[:60]} is not {cls.noun}, so nothing was done with it.")
        return super().__new__(cls, text)

    @classmethod
    def named(cls, text: str | bytes) -> Self | None:
        """Read an id from untrusted text; None if the text is not an id."""
        try:
            return cls(text.decode() if isinstance(text, bytes) else text)
        except (InvalidId, UnicodeDecodeError):
            return None

    @classmethod
    def among(cls, members: Iterable[bytes]) -> list[Self]:
        """List the ids among the members of an index, skipping all other members.

        Workers can write to these indexes too.
        """
        return [name for member in members if (name := cls.named(member)) is not None]

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> dict[str, Any]:
        """Tell pydantic how to read one in a record."""
        function = {"type": "no-info", "function": cls}
        return {"type": "function-after", "function": function, "schema": {"type": "str", "strict": True}}


class WorkspaceId(Id, noun="the id of a workspace", form="[TE][A-Z0-9]{1,30}"):
    """Slack's team id, `T…`, or an organisation's, `E…`.

    It is called workspace here, because a team is a team of agents.
    """


class UserId(Id, noun="the id of a user", form="[UW][A-Z0-9]{1,30}"):
    """Slack's user id, `U…` or `W…`; means something only together with its workspace."""


class GroupId(Id, noun="the id of a user group or channel", form="[SCGD][A-Z0-9]{1,30}"):
    """Slack's user group id, `S…`, or a channel's, which stands for its members."""


class ChannelId(Id, noun="the id of a channel", form="[CGD][A-Z0-9]{1,30}"):
    """Slack's id of a channel, `C…` or `G…`, or of a direct message, `D…`."""


class RunId(Id, noun="the id of a run", form="[rsp][a-z0-9_-]{1,40}"):
    """A run's id: `r…` from Slack, `s…` of a script, `p…` for a program's request."""

    @property
    def of_script(self) -> bool:
        """Tell whether a person's own program advances the run, instead of a worker."""
        return self.startswith(("s", "p"))

    @property
    def of_program(self) -> bool:
        """Tell whether it is a program's request over HTTP, which only web writes."""
        return self.startswith("p")


class RequestId(Id, noun="the id of a request", form="q[a-z0-9]{1,40}"):
    """A request's id, derived from the run and the question."""


class PermissionId(Id, noun="the id of a permission", form="p[a-z0-9]{1,40}"):
    """A permission's id, derived from its request and attempt."""


class ApiKeyId(Id, noun="the id of an API key", form="k[a-z0-9]{8,40}"):
    """The public part of a program's key."""


class AttemptId(Id, noun="the id of an attempt", form="[A-Za-z0-9-]{1,100}"):
    """One click of one person, however often it is delivered (R8)."""


class ExecutionId(Id, noun="the id of an execution", form="x[0-9a-f]{24}(-[0-9]{1,6})?"):
    """Derived from an action's place in its run and its number of repeats."""


class WorkerId(Id, noun="the id of a worker", form="[A-Za-z0-9-]{1,160}"):
    """A worker process: its host, its process id, and random digits."""


class TeamName(Id, noun="the name of a team", form="[A-Za-z0-9][A-Za-z0-9_.-]{0,59}"):
    """The name of a team of agents: one word, which cannot format a Slack message."""


class Digest(Id, noun="the digest of a content", form="[0-9a-f]{64}"):
    """SHA-256, in hex, of exactly the content that a request shows."""


_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def worker_id(host: str, process: int, chance: str) -> WorkerId:
    """Make the id of a worker process on this host.

    Characters of the host's name that an id may not contain become hyphens.
    """
    return WorkerId(f"{re.sub('[^A-Za-z0-9-]', '-', host)[:60]}-{process}-{chance}")


def digest_of(*parts: str | bytes) -> Digest:
    """Digest the parts; their borders count, so ("ab", "c") and ("a", "bc") differ.

    A text counts as its UTF-8.
    """
    whole = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        whole.update(len(raw).to_bytes(8, "big"))
        whole.update(raw)
    return Digest(whole.hexdigest())


def short_name(*parts: str, length: int) -> str:
    """Derive a readable name without 0/o and 1/l/i; equal parts give equal names."""
    number = int(digest_of(*parts), 16)
    letters = []
    for _ in range(length):
        number, at = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[at])
    return "".join(letters)
