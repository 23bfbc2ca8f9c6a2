"""One entry of a run's journal, as it is stored."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from bot.core.errors import NewerSchema, UnknownSchema

SCHEMA: Final = 2


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
    place: int = 0
    left: bool = False
    after: int = 0
    turns: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    inside: bool = False

    def dump(self) -> bytes:
        """JSON with its schema number; what is empty is left out."""
        return json.dumps({"schema": SCHEMA, **{name: value for name, value in asdict(self).items() if value}}).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """From JSON. NewerSchema if a newer version of this program wrote it, UnknownSchema if another one did."""
        fields: dict[str, Any] = json.loads(raw)
        schema = fields.pop("schema", None)
        if isinstance(schema, int) and schema > SCHEMA:
            raise NewerSchema(
                "A recorded step of this run was written by a newer version of the worker, so the run waits for one. "
                "Nothing was repeated."
            )
        if schema != SCHEMA:
            raise UnknownSchema(
                "A recorded step of this run was written by another version of the worker, so the run cannot be "
                "rebuilt by this one. Nothing was repeated; please start the task anew."
            )
        for name in ("turns", "asked"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)
