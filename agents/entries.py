"""One entry of a run's journal, as it is stored."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter

from bot.core.errors import NewerSchema, UnknownSchema

SCHEMA: Final = 2
_Number = Annotated[int, Field(ge=0, le=2**53)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded effect.

    `value` is the result, or the sentence of a failure; `attempt` tells whose `started` it is, and `at` when that was.
    `left`: whoever waited for it went on without it. `place` counts what reached the team from 1, 0 is none; `turns`
    ended before it, `after` is the number of those before them, and `asked` had been asked for by then. `inside`: of an
    effect that is recorded itself.
    """

    state: Literal["started", "done", "failed", "unknown"]
    value: str = ""
    attempt: str = ""
    at: str = ""
    place: _Number = 0
    left: bool = False
    after: _Number = 0
    turns: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    inside: bool = False

    def dump(self) -> bytes:
        """JSON with its schema number; what is empty is left out."""
        return json.dumps({"schema": SCHEMA, **{name: value for name, value in asdict(self).items() if value}}).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """From JSON. NewerSchema if a newer version of this program wrote it, UnknownSchema if another one did."""
        with suppress(ValueError, TypeError, RecursionError):  # what is no entry at all, or has other fields
            fields = dict(json.loads(raw))
            schema = fields.pop("schema", None)
            if isinstance(schema, int) and schema > SCHEMA:
                raise NewerSchema(
                    "A newer version of the worker wrote a step of this run, so it waits for one; nothing was repeated."
                )
            if schema == SCHEMA:
                return _ENTRY.validate_python(fields)  # type: ignore[return-value]
        raise UnknownSchema(
            "A recorded step of this run was written by another version of the worker, so the run cannot be "
            "rebuilt by this one. Nothing was repeated; please start the task anew."
        )


_ENTRY: Final = TypeAdapter(Entry)
