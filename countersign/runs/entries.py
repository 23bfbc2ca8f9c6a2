"""The entries of a run's journal as they are stored, and the values of some kinds."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter

from countersign.domain.actions import Action
from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.ids import RequestId

SCHEMA: Final = 4
_STRICT: Final = ConfigDict(extra="forbid")
_Number = Annotated[int, Field(ge=0, le=2**53)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded effect, and its place in the order of the run.

    For example, a payment whose result was the third thing that reached the team, as it is stored under the key
    `tool/clerk/3f0c52d1a4b7e6908d21c5aa/0`:

        {"schema": 4, "state": "done", "value": "45.00 EUR were paid back.", "place": 3, "after": 1,
         "turns": ["clerk"], "asked": ["model/desk/9a0b4c2dd18f53e7aa10c6b2/0"]}

    Earlier places record one ended turn; after them a turn of the clerk ended, and the desk waited for its model.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    state: Literal["started", "done", "failed", "unknown"]
    """`failed`: an action certainly did not happen. `unknown`: nobody knows, because of the error that ended it."""
    value: str = ""
    """The result, or why it failed or is unknown."""
    attempt: str = ""
    """A random name of the attempt that started an action, which no other attempt may then perform.

    Empty if no action was begun.
    """
    at: str = ""
    """When it was started, in ISO format."""
    place: _Number = 0
    """The entry's number in the order in which results reached the team, from 1; 0 means no place."""
    left: bool = False
    """True if the team continued without it."""
    held: _Number = 0
    """If `left`: the seconds for which its process had held the run, which no passed deadline can exceed."""
    after: _Number = 0
    """How many ends of turns are recorded with earlier places."""
    turns: tuple[str, ...] = ()
    """The agents whose turns ended after those, before this reached the team, in order."""
    asked: tuple[str, ...] = ()
    """The other awaited keys that no earlier entry lists."""
    inside: bool = False
    """Whether this was recorded inside another effect, whose own entry makes it needless."""

    def dump(self) -> bytes:
        """Write JSON with its schema number, without empty fields."""
        return _json({"schema": SCHEMA, **asdict(self)}).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Read an entry from JSON.

        NewerSchema if a newer version of this program wrote it, UnknownSchema if another version did.
        """
        with suppress(ValueError, TypeError, RecursionError):  # not an entry at all, or one with other fields
            fields = dict(json.loads(raw))
            schema = fields.pop("schema", None)
            if isinstance(schema, int) and schema > SCHEMA:
                raise NewerSchema(
                    "A newer version of the worker wrote a step of this run, so it waits for one; nothing was repeated."
                )
            if schema == SCHEMA:
                entry: Self = _ADAPTERS[cls].validate_python(fields)
                return entry
        raise _unknown("A recorded step of this run")


@dataclass(frozen=True, slots=True)
class _Note:
    """The value of an entry of the kind `KIND`, as JSON."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    KIND: ClassVar[str]

    def dump(self) -> str:
        """Write JSON without empty fields."""
        return _json(asdict(self))

    @classmethod
    def load(cls, value: str) -> Self:
        """Read a note from JSON; UnknownSchema, with the kind, if it cannot be read."""
        with suppress(ValueError, TypeError, RecursionError):
            note: Self = _ADAPTERS[cls].validate_python(json.loads(value))
            return note
        raise _unknown(f"What this run has recorded as “{cls.KIND}”")


@dataclass(frozen=True, slots=True)
class Numbered(_Note):
    """A question of the run: its number and its subject.

    `about` is a digest; inside an effect also the effect's place.
    """

    KIND = "asks"

    number: _Number = 0
    about: str = ""


@dataclass(frozen=True, slots=True)
class Judged(_Note):
    """The gate's record of an action: the policies' verdict and its outcome.

    `says` is the effect that the team's own policy wants, `clause` the applied rule of the workspace's policy, `policy`
    that policy's version. `question` is the question put to people, or `same` the request that refused the same call
    before. `recorded`: the refusal has been recorded.
    """

    KIND = "gate"

    action: Action
    why: str = ""
    says: str = ""
    clause: str = ""
    policy: int = 0
    question: Numbered | None = None
    same: RequestId | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Aside(_Note):
    """The entries and turns that people let a run with changed code skip.

    `keys` are the entries' keys, `turns` the numbers of the ends of turns.
    """

    KIND = "aside"

    keys: tuple[str, ...] = ()
    turns: tuple[_Number, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a waiting team, with its own id.

    `yes_no`: people may also approve it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    agent: str
    text: str
    options: tuple[str, ...] = ()
    yes_no: bool = False


@dataclass(frozen=True, slots=True)
class TeamState(_Note):
    """A team's own state where it stopped.

    `times` counts how often each key had been given out, `plans` is the number of announced plans, and `open_steps` are
    the places of the newest plan's unfinished steps. The team continues once the questions are answered.
    """

    KIND = "state"

    state: str
    times: dict[str, _Number] = field(default_factory=dict)
    questions: tuple[Asked, ...] = ()
    plans: _Number = 0
    open_steps: dict[_Number, str] = field(default_factory=dict)


_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind) for kind in (Entry, Numbered, Judged, Aside, TeamState)
}


def _json(fields: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))


def _unknown(entry: str) -> UnknownSchema:
    return UnknownSchema(
        f"{entry} was written by another version of the worker, so the run cannot be rebuilt by this one. Nothing was "
        "repeated; start the task again."
    )


def whole(text: str) -> str:
    """Replace each half of a surrogate pair by `?`, because UTF-8 cannot encode it.

    Models that stream cut pairs in two, and names of files may hold halves. Such a text could neither be recorded nor
    sent to a model.
    """
    return text.encode("utf-8", "replace").decode()
