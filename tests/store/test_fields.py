"""The fields of every kind of stored record, under its schema number: a golden, as an older version reads them.

A version that does not know a field drops it when it writes the record back, as during an upgrade both versions do. So
a field that comes, goes or changes its name is a new schema number of its record, which an older version leaves alone.
`GOLDEN=1 pytest tests/store/test_fields.py` writes the file anew; until the first release the numbers stay.
"""

import dataclasses
import json
import os
import typing
from pathlib import Path
from types import UnionType
from typing import Any

from countersign.domain.events import EventType
from countersign.runs import entries
from countersign.store import record_codecs
from countersign.store.codec import Codec

GOLDEN = Path(__file__).parent.parent / "data" / "fields.json"


def fields_of(kind: Any, seen: frozenset[type] = frozenset()) -> Any:
    """Names all the way down; of an enum its values, for an older version refuses those that it does not know."""
    inner = [one for one in typing.get_args(kind) if one not in (type(None), ...)]
    if typing.get_origin(kind) in (typing.Union, UnionType) or inner:
        found = [made for one in inner if (made := fields_of(one, seen))]
        return found[0] if len(found) == 1 else found
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in seen:
        hints = typing.get_type_hints(kind)
        return {_name(field): fields_of(hints[field.name], seen | {kind}) for field in dataclasses.fields(kind)}
    return None


def _name(field: "dataclasses.Field[Any]") -> str:
    """With its default: it is left out where it has that, so another default would be read into what was stored."""
    given = field.default is not dataclasses.MISSING
    return f"{field.name} = {field.default!r}" if given else field.name


def kinds() -> dict[str, Any]:
    codecs = [value for value in vars(record_codecs).values() if isinstance(value, Codec)]
    found = {codec.name: {"schema": codec.schema, "fields": fields_of(codec.adapter._type)} for codec in codecs}
    found["journal"] = {"schema": entries.SCHEMA, "fields": fields_of(entries.Entry)}
    found["event types"] = {"schema": record_codecs.EVENTS.schema, "fields": sorted(EventType)}
    return found


def test_changed_record_fields_need_a_new_schema_number() -> None:
    """R4: else an older version, which runs beside a newer one for a while, drops what it does not know."""
    now = json.loads(json.dumps(kinds()))
    if os.environ.get("GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    before = json.loads(GOLDEN.read_text())
    for name, kind in now.items():
        if kind["schema"] == before.get(name, kind)["schema"]:
            assert kind == before.get(name), f"{name}: other fields or defaults need another schema number"
    assert now == before, "the golden is to be written anew"
