"""Read request bodies: bounded in size and time, and unambiguous JSON.

Each key may have one large body read and parsed at a time, in a thread, so no body blocks other callers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from countersign.domain.calls import canonical
from countersign.domain.json_arguments import read_json, too_many_values

from . import json_bounds
from .problems import Problem, of_validation

LARGEST: Final = 4 * 2**20
"""Bytes of a question: a million characters of arguments, escaped."""
SMALL: Final = 64 * 2**10
"""Bytes of any other body, and of a question that need not wait for its turn."""
WITHIN: Final = 10.0
"""Seconds for a body to arrive."""
_QUICK: Final = 8 * 2**10
"""Bytes that are parsed at once, without a thread."""
B = TypeVar("B", bound=BaseModel)
R = TypeVar("R")


async def read(request: Request, model: type[B], turn: asyncio.Semaphore) -> B:
    """Read a small JSON body of this form.

    Problem if it has another form or is too large.
    """
    async with whole(request, turn, SMALL) as raw:
        return await aside(raw, lambda: parsed(raw, model))


@asynccontextmanager
async def whole(request: Request, turn: asyncio.Semaphore, largest: int = LARGEST) -> AsyncIterator[bytes]:
    """Read a body, and hold the `turn` while a large one is in memory.

    Problem if it is not JSON by its type, too large, or late.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "no-json", "Send the body as `application/json`.")
    raw, chunks = bytearray(), request.stream()
    if await _filled(raw, chunks, SMALL):
        yield bytes(raw)
        return
    async with turn:
        if largest == SMALL or not await _filled(raw, chunks, largest):
            raise Problem(413, "too-large", f"The body can have at most {largest:,} bytes.")
        yield bytes(raw)


async def _filled(raw: bytearray, chunks: AsyncIterator[bytes], most: int) -> bool:
    """Read to the end of the body; False if it has more bytes than this."""
    try:
        async with asyncio.timeout(WITHIN):
            async for chunk in chunks:
                raw += chunk
                if len(raw) > most:
                    return False
    except ClientDisconnect:
        raise Problem(400, "gone", "The connection closed before the whole body arrived.") from None
    except TimeoutError:
        raise Problem(408, "late", f"The body didn't arrive within {WITHIN:.0f} seconds.") from None
    return True


async def aside(raw: bytes, work: Callable[[], R]) -> R:
    """Do work on a body: in a thread, unless it is short."""
    return work() if len(raw) <= _QUICK else await asyncio.to_thread(work)


def parsed(raw: bytes, model: type[B]) -> B:
    """Parse a JSON body of this form. Problem if it has another form."""
    try:
        json_bounds.check(raw)  # before anything is built of it
        return model.model_validate(read_json(_text(raw)))
    except ValidationError as wrong:
        raise of_validation(wrong) from None
    except (ValueError, RecursionError) as wrong:
        reason = f" ({wrong})" if type(wrong) is ValueError else ""
        raise Problem(400, "no-json", f"The body isn't valid JSON{reason}.") from None


def _text(raw: bytes) -> str:
    """Decode UTF-8.

    The parser would also take UTF-16 bytes, in which the check of the bounds would see other parts than the parser.
    """
    try:
        return str(raw, "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it isn't UTF-8") from None


def _readable(value: dict[str, Any]) -> dict[str, Any]:
    """Check that an object can be stored and shown.

    JSON may hold text that UTF-8 cannot encode, and nest without end.
    """
    if problem := too_many_values(value):
        raise ValueError(problem)
    try:
        canonical(value).encode()
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair") from None
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_readable)]
