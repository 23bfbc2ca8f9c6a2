"""The OpenAPI document: well-formed by the rules of 3.1, and every kind of answer is what it says."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from httpx import ASGITransport
from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.api import problems
from bot.api.callbacks import CallbackDelivery
from bot.api.endpoints import Interface, app
from bot.api.problems import Problem
from bot.slack import http
from countersign.domain import api_keys
from countersign.domain.actions import Action
from countersign.domain.ids import ChannelId
from countersign.domain.run_calls import RUN_CALLS
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob
from tests.api.conftest import DOCUMENT, LOOPBACK, fits
from tests.api.test_requests import REFUND, ask

SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}, "note": {"type": "string"}}}
ONE = "/v1/requests/{id}"


def checked(answer: httpx.Response, method: str, path: str, status: int) -> dict[str, Any]:
    """The answer, which is of this status and what the document says of it."""
    assert answer.status_code == status, answer.text
    content = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]
    (media,) = content
    assert answer.headers["content-type"] == media
    body: dict[str, Any] = answer.json()
    fits(body, content[media]["schema"])
    return body


def inside(part: Any) -> Iterator[dict[str, Any]]:
    """All objects of the document."""
    if isinstance(part, dict):
        yield part
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from inside(one)


def test_problem_example_is_a_real_problem() -> None:
    (example,) = DOCUMENT["components"]["schemas"]["ProblemView"]["properties"]["type"]["examples"]
    assert json.loads(bytes(problems.answer(Problem(401, "unknown-key", "Who?")).body))["type"] == example


def test_openapi_document_is_well_formed() -> None:
    """OpenAPI 3.1, by its sections 4.8: no validator of it is installed here."""
    assert set(DOCUMENT) <= {"openapi", "info", "servers", "paths", "webhooks", "components", "security", "tags"}
    assert re.fullmatch(r"3\.1\.\d", DOCUMENT["openapi"])
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        Draft202012Validator.check_schema(schema)
    for part in inside(DOCUMENT):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith("/") and set(item) <= {"get", "post", "put", "delete"}
        for operation in item.values():
            known = [(one["in"], one["name"]) for one in operation["parameters"]]
            assert len(set(known)) == len(known)
            assert {name for place, name in known if place == "path"} == set(re.findall(r"{(\w+)}", path))
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
            for parameter in operation["parameters"]:
                Draft202012Validator.check_schema(parameter["schema"])
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status) and response["description"]
    assert set(DOCUMENT["security"][0]) == set(DOCUMENT["components"]["securitySchemes"])


def test_openapi_document_has_every_route(interface: Interface) -> None:
    routes = {
        (method.lower(), route.path.replace("{call}", name))
        for route in app(interface).routes
        if isinstance(route, Route) and route.path != "/v1/openapi.json"
        for method in (route.methods or set()) - {"HEAD"}
        for name in (RUN_CALLS if "{call}" in route.path else ("",))
    }
    assert routes == {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}


def test_openapi_document_describes_each_worker_call() -> None:
    for name, kind in RUN_CALLS.items():
        operation = DOCUMENT["paths"][f"/v1/runs/{{run}}/{name}"]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        schema = DOCUMENT["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        assert schema["properties"]["call"] == {"$ref": f"#/components/schemas/{kind.__name__}"}


@pytest.mark.parametrize(
    ("body", "button", "window", "status"),
    [
        (REFUND, "Approve", None, "approved"),
        ({"call": {**REFUND["call"], "schema": SCHEMA}}, "Edit", {"Order": "18", "why": "typo"}, "edited"),
        (REFUND, "Reject", {"reason": "no"}, "rejected"),
        (REFUND, "Request changes", {"answer": "Ask first."}, "answered"),
        ({"message": "Dear vendor", "edit": True}, "Approve", None, "approved"),
        ({"options": ["eu", "us"]}, "us", None, "answered"),
        ({"form": SCHEMA}, "Fill in", {"Order": "18", "Note": "n"}, "edited"),
        (REFUND, "", None, "expired"),
    ],
)
async def test_decided_request_of_each_kind_matches_the_openapi_document(
    bob: Bob, program: httpx.AsyncClient, body: dict[str, Any], button: str, window: Any, status: str
) -> None:
    name = checked(await ask(program, **{**body, "title": "Really?"}), "post", "/v1/requests", 201)["id"]
    await bob.card("Really")
    if button:
        await bob.presses("Really", button, window)
    else:
        await bob.lets_time_run_out()
    found = checked(await program.get(f"/v1/requests/{name}", params={"wait": 60}), "get", ONE, 200)
    assert found["decision"]["outcome"] == found["status"]
    report = {"succeeded": True, "words": "It was made."}
    if found["status"] in ("approved", "edited"):
        told = checked(await program.post(f"/v1/requests/{name}/outcome", json=report), "post", f"{ONE}/outcome", 200)
        assert told["outcome"] == report
        other = await program.post(f"/v1/requests/{name}/outcome", json={**report, "succeeded": False})
        checked(other, "post", f"{ONE}/outcome", 409)
    assert found["status"] == status


async def test_each_refusal_matches_the_openapi_document(
    store: Store, interface: Interface, program: httpx.AsyncClient, token: str
) -> None:
    """RFC 9457: 400, 401, 403, 404, 413, 415, 422, 429 and 503."""
    path = "/v1/requests"
    checked(await ask(program, title="t"), "post", path, 400)
    checked(await ask(program, title="t", message="m", channel="#secret"), "post", path, 403)
    more = {"content-type": "application/json", "idempotency-key": "x"}
    checked(await program.post(path, content=b'"' + b"x" * 10_000_000 + b'"', headers=more), "post", path, 413)
    checked(await program.post(path, content=b"{}", headers=more | {"content-type": "text/plain"}), "post", path, 415)
    await store.set_rulebook(Rulebook((Clause("no cash", Action.DENY, 1, tool="cash", why="Use the till."),)))
    checked(await ask(program, "cash", title="Pay?", call={"tool": "cash", "arguments": {}}), "post", path, 422)
    verbs: dict[str, dict[str, Any]] = {"withdraw": {}, "outcome": {"succeeded": True}, "begin": {"execution": "a"}}
    for verb, body in verbs.items():
        checked(await program.post(f"{path}/qnone/{verb}", json=body), "post", f"{ONE}/{verb}", 404)
        big = {"why": "x" * 10_000_000}
        checked(await program.post(f"{path}/qnone/{verb}", json=big), "post", f"{ONE}/{verb}", 413)
        plain = await program.post(f"{path}/qnone/{verb}", content=b"{}", headers={"content-type": "text/plain"})
        checked(plain, "post", f"{ONE}/{verb}", 415)
    few = api_keys.issue("few", ("C0GENERAL",), await store.now(), most_open=9, per_minute=1)
    await ApiKeys(store).put(few.key)
    program.headers["authorization"] = f"Bearer {few.token}"
    checked([await ask(program, str(number)) for number in range(3)][-1], "post", path, 429)
    program.headers["authorization"] = "Bearer x"
    for method, one in (("get", path), ("get", ONE), ("post", f"{ONE}/withdraw")):
        checked(await program.request(method, one.format(id="qnone")), method, one, 401)

    async def silent(*, anew: bool = False) -> dict[str, ChannelId] | None:
        return None

    away = ASGITransport(app(replace(interface, channels=silent)))
    async with httpx.AsyncClient(
        transport=away, base_url="http://web", headers={"authorization": f"Bearer {token}"}
    ) as client:
        checked(await ask(client, "new"), "post", path, 503)


async def test_callback_matches_the_openapi_document(
    slack: LocalSlack, store: Store, bob: Bob, program: httpx.AsyncClient
) -> None:
    posted: list[tuple[dict[str, str], Any]] = []

    async def take(request: Request) -> Response:
        posted.append((dict(request.headers), await request.json()))
        return Response(status_code=204)

    async with http.serving(Starlette(routes=[Route("/", take, methods=["POST"])]), "127.0.0.1", 0) as port:
        await ask(program, **REFUND, callback_url=f"http://127.0.0.1:{port}/")
        await bob.presses("Refund 45", "Approve")
        delivery = CallbackDelivery(store, "web", LOOPBACK)
        await delivery.begin()
        for task in list(delivery.in_hand.values()):
            await task
    ((sent, body),) = posted
    described = DOCUMENT["paths"]["/v1/requests"]["post"]["callbacks"]["decided"]["{$request.body#/callback_url}"][
        "post"
    ]
    fits(body, described["requestBody"]["content"]["application/json"]["schema"])
    assert {one["name"] for one in described["parameters"]} <= set(sent)
