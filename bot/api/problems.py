"""Problems as answers, by RFC 9457: the cause, and what to do next."""

from typing import Final

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from countersign.domain.errors import (
    PROBLEM,
    Conflict,
    CountersignError,
    GivenUp,
    InvalidInput,
    LeaseLost,
    NewerSchema,
    NotFound,
    Refused,
    StoreUnavailable,
    UnknownSchema,
)

MEDIA_TYPE: Final = "application/problem+json"
_TITLES: Final = {
    400: "Invalid request",
    401: "Invalid key",
    403: "Not allowed for this key",
    404: "Not found",
    405: "Method not allowed",
    408: "Body too slow",
    409: "Conflict with an earlier call",
    413: "Body too large",
    415: "Body is not JSON",
    422: "Blocked by policy, or nobody can decide",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Temporarily unavailable",
}


class Problem(Exception):
    """Error answer.

    `kind` names it for programs, the text is for people.
    """

    def __init__(self, status: int, kind: str, detail: str, retry_after: int = 0) -> None:
        self.status, self.kind, self.detail, self.retry_after = status, kind, detail, retry_after
        super().__init__(detail)


def answer(problem: Problem) -> Response:
    """Return the HTTP answer for a problem."""
    body = {
        "type": f"{PROBLEM}{problem.kind}",
        "title": _TITLES[problem.status],
        "status": problem.status,
        "detail": problem.detail,
    }
    headers = {"retry-after": str(problem.retry_after)} if problem.retry_after else {}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def of_error(error: CountersignError) -> Problem:
    """Return the problem that describes one of our errors."""
    text = str(error)
    match error:
        case Conflict():
            return Problem(409, "conflict", text)
        case Refused():
            return Problem(422, f"refused-{error.refusal.name.lower().replace('_', '-')}", text)
        case LeaseLost():
            return Problem(409, "lease-lost", text)
        case GivenUp():
            return Problem(422, "given-up", text)
        case NotFound():
            return Problem(404, "not-found", text)
        case InvalidInput():
            return Problem(400, "invalid", text)
        case StoreUnavailable():
            return Problem(503, "store-unavailable", text, retry_after=2)
        case NewerSchema():
            return Problem(500, "newer", text)
        case UnknownSchema():
            return Problem(500, "unreadable", text)
        case _:
            return _internal()


def of_validation(wrong: ValidationError) -> Problem:
    """Describe a body of another form, with each place and without its values."""
    places = (
        f"{'.'.join(map(str, error['loc'])) or 'the body'}: {error['msg'].removeprefix('Value error, ')}"
        for error in wrong.errors(include_url=False, include_context=False, include_input=False)[:20]
    )
    return Problem(400, "invalid", "; ".join(places) + ".")


async def on_problem(_: Request, error: Exception) -> Response:
    """Starlette's handler for problems, and for errors of ours and its own."""
    match error:
        case Problem():
            return answer(error)
        case CountersignError():
            return answer(of_error(error))
        case HTTPException(status_code=404):
            return answer(Problem(404, "not-found", "There is nothing at this address."))
        case HTTPException(status_code=405):
            return answer(Problem(405, "method", "Use another method here."))
        case HTTPException():
            return answer(Problem(400, "invalid", "The request couldn't be read."))
        case _:
            return answer(_internal())


def _internal() -> Problem:
    return Problem(500, "internal", "Something went wrong. The log of `web` says more.")
