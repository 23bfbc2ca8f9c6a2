"""The OpenAPI 3.1 document, made of the models and one table of operations.

The calls of workers are those of `countersign.domain.run_calls`, with the bodies and answers of `.worker_calls`.
"""

from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter

from countersign.domain.requests import Request
from countersign.domain.run_calls import RUN_CALLS, RunCall
from countersign.runs.decision_stream import WaitingAnswer
from countersign.usecases.ports import Announcement

from . import worker_calls
from .schemas import (
    AskBody,
    BeginBody,
    CallbackView,
    ListView,
    OutcomeBody,
    ProblemView,
    RequestView,
    WithdrawBody,
)

_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_WAIT: Final = {
    "name": "wait",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
    "description": "Seconds to wait for the decision; the answer comes as soon as there is one.",
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "The same key again is the same request, also after a restart of the program.",
}
_RUN: Final = {"name": "run", "in": "path", "required": True, "schema": {"type": "string"}}
_WORKER: Final = {"name": "worker", "in": "path", "required": True, "schema": {"type": "string"}}
_SIGNED: Final = {
    "webhook-id": "The same for all attempts; a decision may arrive more than once.",
    "webhook-timestamp": "The time of the attempt, in seconds since 1970.",
    "webhook-signature": "`v1,` and the signature by the key's secret, as Standard Webhooks has it.",
}


class Operation(NamedTuple):
    """One operation; `answers` are its statuses besides 400, 401, 500 and 503."""

    method: str
    path: str
    summary: str
    body: Any
    """The type of the body; None if there is none."""
    view: Any
    """The type of the answer, which for a stream is that of a line."""
    answers: dict[int, str]
    parameters: tuple[dict[str, Any], ...] = ()
    calls_back: bool = False
    media: str = "application/json"


class EndedRun(BaseModel):
    """A line that says that a run has ended."""

    ended: str


class Missed(BaseModel):
    """A line after which a worker reads back what it waits for."""

    missed: bool


class Heartbeat(BaseModel):
    """A line that says nothing; one comes every five seconds."""

    model_config = ConfigDict(extra="forbid")


def _summary(kind: type[RunCall[Any]]) -> str:
    """The first line of the call's own documentation."""
    return str(kind.__doc__).partition("\n")[0].rstrip(".")


_READ: Final = {408: "", 413: "", 415: "", 429: "this program makes too many calls"}
_OF_RUN: Final = {
    200: "done, also if an earlier copy of the call did it",
    404: "the run does not exist, or the key does not reach it",
    409: "`lease-lost`: the fence is not the run's, or the run has ended; nothing was changed",
    **_READ,
}
_REFUSED: Final = {
    "ask": {422: "`given-up`: the run asks too much; `refused-…`: nobody could decide, or a rule blocks the call"},
    "start": {403: "the key does not ask in this channel"},
}


OPERATIONS: Final = (
    Operation(
        *("post", "/v1/requests", "Ask people", AskBody, RequestView),
        {
            200: "the request that this key made before",
            201: "asked now",
            403: "",
            408: "",
            409: "",
            413: "",
            415: "",
            422: "",
            429: "",
        },
        (_IDEMPOTENCY,),
        calls_back=True,
    ),
    Operation("get", "/v1/requests", "List pending requests", None, ListView, {200: "the pending requests"}),
    Operation(
        "get",
        "/v1/requests/{id}",
        "Get a request, or wait for its decision",
        None,
        RequestView,
        {200: "the request", 404: "", 429: ""},
        (_ID, _WAIT),
    ),
    Operation(
        *("post", "/v1/requests/{id}/withdraw", "Withdraw a request", WithdrawBody, RequestView),
        {200: "the request: withdrawn, or as it was decided", 404: "", 429: "", 408: "", 413: "", 415: ""},
        (_ID,),
    ),
    Operation(
        *("post", "/v1/requests/{id}/begin", "Begin what was approved", BeginBody, RequestView),
        {
            200: "the request: act only if `begun_by` is your execution",
            404: "",
            409: "it was not approved, or people stopped it",
            408: "",
            413: "",
            415: "",
            429: "",
        },
        (_ID,),
    ),
    Operation(
        *("post", "/v1/requests/{id}/outcome", "Report the outcome", OutcomeBody, RequestView),
        {
            200: "reported",
            404: "",
            409: "it was not approved, or another outcome was reported",
            408: "",
            413: "",
            415: "",
        },
        (_ID,),
    ),
    *(
        Operation(
            *("post", f"/v1/runs/{{run}}/{name}", _summary(kind), worker_calls.BODIES[name], kind.answer),
            _OF_RUN | _REFUSED.get(name, {}),
            (_RUN,),
        )
        for name, kind in RUN_CALLS.items()
    ),
    Operation(
        *("put", "/v1/workers/{worker}", "Announce the worker, its teams and the runs that it holds", Announcement),
        None,
        {204: "kept for 15 seconds", 403: "", **_READ},
        (_WORKER,),
    ),
    Operation(
        *("delete", "/v1/workers/{worker}", "Withdraw the announcement", None, None),
        {204: "withdrawn", 403: "", 429: ""},
        (_WORKER,),
    ),
    Operation(
        *("post", "/v1/waiting", "Read back what a worker waits for", worker_calls.Waited, WaitingAnswer),
        {200: "settled requests, requests that do not exist, and ended runs", **_READ},
    ),
    Operation(
        *("get", "/v1/stream", "Hear of decisions and ends of runs, a line of JSON each", None),
        Request | EndedRun | Missed | Heartbeat,
        {
            200: "a settled request; an ended run; `missed`, after which the worker reads back; `{}` every 5 seconds",
            429: "",
        },
        media="application/x-ndjson",
    ),
)
_ALWAYS: Final = {400: "", 401: "", 500: "", 503: ""}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    kinds = {
        **dict.fromkeys((operation.body, "validation") for operation in OPERATIONS if operation.body is not None),
        **dict.fromkeys((operation.view, "serialization") for operation in OPERATIONS if 204 not in operation.answers),
        **dict.fromkeys((view, "serialization") for view in (CallbackView, ProblemView)),
    }
    inputs: Any = [(kind, mode, TypeAdapter(kind)) for kind, mode in kinds]
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Countersign", "version": "1", "description": "Ask people in Slack, and wait for them."},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key: `csk_…`."}},
        },
    }


def _described(operation: Operation, schemas: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "parameters": list(operation.parameters)}
    if operation.body is not None:
        body = schemas[operation.body, "validation"]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    described["responses"] = {
        str(status): {"description": words or "a problem", **_content(operation, status, schemas)}
        for status, words in sorted({**operation.answers, **_ALWAYS}.items())
    }
    if operation.calls_back:
        posted = schemas[CallbackView, "serialization"]
        described["callbacks"] = {"decided": {"{$request.body#/callback_url}": {"post": _decided(posted)}}}
    return described


def _content(operation: Operation, status: int, schemas: Any) -> dict[str, Any]:
    if status == 204:
        return {}
    if status < 300:
        return {"content": {operation.media: {"schema": schemas[operation.view, "serialization"]}}}
    return {"content": {"application/problem+json": {"schema": schemas[ProblemView, "serialization"]}}}


def _decided(posted: dict[str, Any]) -> dict[str, Any]:
    """The body that is posted to `callback_url`."""
    return {
        "summary": "The decision, signed",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": words}
            for name, words in _SIGNED.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": posted}}},
        "responses": {
            "2XX": {"description": "taken"},
            "410": {"description": "gone: it is not posted again"},
            "default": {"description": "posted again later, for two days"},
        },
    }
