"""The OpenAPI 3.1 document, made of the models and one table of operations."""

from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .schemas import (
    AskBody,
    BeginBody,
    CallbackView,
    ListView,
    OutcomeBody,
    ProblemView,
    RequestView,
    StateView,
    WithdrawBody,
)

_REFERENCE: Final = "#/components/schemas/{model}"
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_WAIT: Final = {
    "name": "wait",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
    "description": "Seconds to wait for the decision; the answer comes as soon as there is one.",
}
_KEPT: Final = {
    "name": "kept",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "List the requests that keep a state instead, pending or decided.",
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "The same key again is the same request, also after a restart of the program.",
}
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
    body: type[BaseModel] | None
    view: type[BaseModel]
    answers: dict[int, str]
    parameters: tuple[dict[str, Any], ...] = ()
    calls_back: bool = False


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
    Operation("get", "/v1/requests", "List pending requests", None, ListView, {200: "the pending requests"}, (_KEPT,)),
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
        *("get", "/v1/requests/{id}/state", "Get the state that is kept with a request", None, StateView),
        {200: "the state, as the program sealed it", 404: ""},
        (_ID,),
    ),
    Operation(
        *("post", "/v1/requests/{id}/withdraw", "Withdraw a request", WithdrawBody, RequestView),
        {200: "the request: withdrawn, or as it was decided", 404: "", 429: "", 408: "", 413: "", 415: ""},
        (_ID,),
    ),
    Operation(
        *("post", "/v1/requests/{id}/begin", "Begin what was approved", BeginBody, RequestView),
        {
            200: "the request: act only if `begun_by` is your attempt",
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
)
_ALWAYS: Final = {400: "", 401: "", 500: "", 503: ""}


def document() -> dict[str, Any]:
    """The whole document."""
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in bodies]
    models += [(model, "serialization") for model in (CallbackView, ListView, RequestView, StateView, ProblemView)]
    models.sort(key=lambda pair: pair[0].__name__)
    _, schemas = models_json_schema(models, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Countersign", "version": "1", "description": "Ask people in Slack, and wait for them."},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key: `csk_…`."}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "parameters": list(operation.parameters)}
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    described["responses"] = {
        str(status): {
            "description": words or "a problem",
            "content": _content("application/json", operation.view)
            if status < 300
            else _content("application/problem+json", ProblemView),
        }
        for status, words in sorted({**operation.answers, **_ALWAYS}.items())
    }
    if operation.calls_back:
        described["callbacks"] = {"decided": {"{$request.body#/callback_url}": {"post": _decided()}}}
    return described


def _decided() -> dict[str, Any]:
    """The body that is posted to `callback_url`."""
    return {
        "summary": "The decision, signed",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": words}
            for name, words in _SIGNED.items()
        ],
        "requestBody": {"required": True, "content": _content("application/json", CallbackView)},
        "responses": {
            "2XX": {"description": "taken"},
            "410": {"description": "gone: it is not posted again"},
            "default": {"description": "posted again later, for two days"},
        },
    }


def _content(media: str, model: type[BaseModel]) -> dict[str, Any]:
    return {media: {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}
