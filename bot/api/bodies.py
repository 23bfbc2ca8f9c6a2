"""Bodies of requests: read only up to their size, and JSON that means one thing."""

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from countersign.domain.calls import canonical

from .problems import Problem, of_validation

LARGEST: Final = 4 * 2**20
"""Bytes of a body: a million characters of arguments, escaped."""
MOST_VALUES: Final = 20_000
"""Values in an object, however nested: to make more of them readable would hold up everybody else."""
DEEPEST: Final = 100
B = TypeVar("B", bound=BaseModel)


async def read(request: Request, model: type[B]) -> B:
    """Read a JSON body of this form.

    Problem if it is none, or too large.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "no-json", "Send the body as `application/json`.")
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > LARGEST:
                raise Problem(413, "too-large", f"The body can have at most {LARGEST:,} bytes.")
    except ClientDisconnect:
        raise Problem(400, "gone", "The connection closed before the whole body arrived.") from None
    try:
        return model.model_validate(read_json(bytes(raw)))
    except ValidationError as wrong:
        raise of_validation(wrong) from None
    except (ValueError, RecursionError) as wrong:
        reason = f" ({wrong})" if type(wrong) is ValueError else ""
        raise Problem(400, "no-json", f"The body isn't valid JSON{reason}.") from None


def read_json(raw: bytes) -> Any:
    """Read JSON. ValueError or RecursionError if it is none."""
    return json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_once_each)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} isn't JSON")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that names one thing twice could be shown as one and run as the other."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same name twice")
    return value


def _readable(value: dict[str, Any]) -> dict[str, Any]:
    """Check that an object can be stored and shown.

    JSON may hold text that UTF-8 cannot encode, and nest without end.
    """
    level: list[Any] = [value]
    depth = count = 0
    while level:
        children = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
        level = [child for child in children if isinstance(child, dict | list)]
        depth, count = depth + 1, count + len(children)
        if depth > DEEPEST or count > MOST_VALUES:
            raise ValueError(f"an object can have at most {MOST_VALUES:,} values, nested at most {DEEPEST} deep")
    try:
        canonical(value).encode()
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair") from None
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_readable)]
