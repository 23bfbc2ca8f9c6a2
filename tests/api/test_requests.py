"""Programs ask over HTTP: one card, one decision, and the same answer to the same key."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from bot.api.endpoints import Interface
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from countersign.domain import api_keys, request_endings
from countersign.domain.actions import Action
from countersign.domain.events import EventType
from countersign.domain.ids import RequestId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Decision, How, Status
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases import unreported_outcomes
from countersign.usecases.ports import Change, Put
from countersign.usecases.run_end import stop
from localslack import LocalSlack, text_of
from tests.sample_requests import BOB
from tests.slack.socket_bot import events
from tests.slack.test_projector import card_of

REFUND: dict[str, Any] = {
    "title": "Refund 45.00 EUR for order 17?",
    "call": {"tool": "refund", "arguments": {"order": 17}},
}


async def ask(program: httpx.AsyncClient, key: str = "one", **body: Any) -> httpx.Response:
    return await program.post("/v1/requests", json=body or REFUND, headers={"idempotency-key": key})


async def decided(program: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """The request once it is decided."""
    while True:
        found: dict[str, Any] = (await program.get(f"/v1/requests/{name}", params={"wait": 60})).json()
        if found["status"] != "pending":
            return found


async def test_program_asks_waits_and_reports(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R1, R5: the wait ends with the decision, and the card says what came of it."""
    first = await ask(program)
    assert first.status_code == 201, first.text
    card = await card_of(slack)
    assert "the program ci" in text_of(card)
    waiting = asyncio.create_task(decided(program, first.json()["id"]))
    await slack.user("bob").click(card, "Approve")
    found = await waiting
    assert (found["decision"]["outcome"], found["decision"]["by"]) == ("approved", ["U0BOB"])
    assert found["decision"]["arguments"] == {"order": 17}
    report = {"succeeded": True, "words": "Refund 9 was made."}
    for _ in range(2):
        told = await program.post(f"/v1/requests/{found['id']}/outcome", json=report)
        assert (told.status_code, told.json()["outcome"]) == (200, report)
    await slack.wait_message("#approvals", lambda m: "Refund 9 was made." in text_of(m))
    other = await program.post(f"/v1/requests/{found['id']}/outcome", json={**report, "succeeded": False})
    assert (other.status_code, other.json()["type"]) == (409, "urn:countersign:conflict")


async def test_success_without_a_text_is_shown_as_done(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R5: the reviewers see that it was done, also if the program has nothing to say about it."""
    name = (await ask(program)).json()["id"]
    await slack.user("bob").click(await card_of(slack), "Approve")
    await decided(program, name)
    told = await program.post(f"/v1/requests/{name}/outcome", json={"succeeded": True})
    assert told.status_code == 200, told.text
    await slack.wait_message("#approvals", lambda m: "·\u00a0done" in text_of(m))


async def test_same_idempotency_key_is_the_same_request(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R8: a program that died asks again and finds its request and the decision; two at once make one."""
    answers = await asyncio.gather(*(ask(program) for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    assert len({a.json()["id"] for a in answers}) == 1
    await slack.user("bob").click(await card_of(slack), "Reject")
    other = await ask(
        program, title="Refund 45.00 EUR for order 17?", call={"tool": "refund", "arguments": {"order": 18}}
    )
    assert other.status_code == 409
    assert "arguments" in other.json()["detail"]
    assert [e.type for e in await events(store)].count(EventType.REQUEST_ASKED) == 1


async def test_withdrawn_request_leaves_the_list_and_settles_its_card(
    slack: LocalSlack, program: httpx.AsyncClient
) -> None:
    """Withdrawing it twice is the same."""
    name = (await ask(program)).json()["id"]
    await card_of(slack)
    assert [one["id"] for one in (await program.get("/v1/requests")).json()["requests"]] == [name]
    for _ in range(2):
        back = await program.post(f"/v1/requests/{name}/withdraw", json={"why": "not needed"})
        assert (back.status_code, back.json()["status"]) == (200, "withdrawn")
    assert (await program.get("/v1/requests")).json() == {"requests": []}
    await card_of(slack, pending=False)


async def test_policy_judges_programs_like_teams(store: Store, program: httpx.AsyncClient) -> None:
    """R19: a rule that refuses is told and on record once; one that lets pass decides at once, without a card."""
    refuse = Clause("no cash", Action.DENY, 1, tool="cash", why="Use the till.")
    await store.set_rulebook(Rulebook((refuse, Clause("small", Action.ALLOW, 2, tool="refund"))))
    for _ in range(2):
        answer = await ask(program, "cash", title="Pay?", call={"tool": "cash", "arguments": {}})
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:countersign:refused-by-policy")
        assert "Use the till." in answer.json()["detail"]
    passed = (await ask(program)).json()
    assert (passed["status"], passed["decision"]["how"]) == ("approved", "policy")
    (refused,) = [e.data for e in await events(store) if e.type is EventType.CALL_REFUSED]
    assert (refused["tool"], refused["clause"], refused["arguments"]) == ("cash", "no cash", "{}")


async def test_wrong_revoked_or_foreign_key_is_refused(store: Store, program: httpx.AsyncClient, token: str) -> None:
    """R9: a program sees its own requests, and those of no other key."""
    name = (await ask(program)).json()["id"]
    other = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(other.key)
    for wrong, status in ((other.token, 404), (token[:-1], 401), ("x", 401), (token.replace("csk_k", "csk_k0"), 401)):
        answer = await program.get(f"/v1/requests/{name}", headers={"authorization": f"Bearer {wrong}"})
        assert answer.status_code == status, wrong
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert parts is not None and key is not None
    assert parts[1] not in repr(key)
    await ApiKeys(store).put(api_keys.revoke(key, await store.now()))
    answer = await program.get(f"/v1/requests/{name}")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "revoked" in answer.json()["detail"]


ASK: dict[str, Any] = {"title": "t", "message": "m"}


BODIES: list[tuple[Any, str]] = [
    ({"title": "t"}, "one of `message`, `call`, `options` and `form`"),
    ({**ASK, "chanel": "x"}, "chanel: Extra inputs"),
    ({**ASK, "options": ["a", "a"]}, "has an option twice"),
    ({**ASK, "requester": "bob"}, "requester"),
    ({"title": "", "message": "m"}, "title"),
    ([], "the body"),
]


async def test_invalid_body_is_refused_with_the_errors_place(
    program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for body, says in BODIES:
        with subtests.test(body=body):
            answer = await program.post("/v1/requests", json=body, headers={"idempotency-key": "x"})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            assert says in answer.json()["detail"]
            assert (await program.get("/v1/requests")).json() == {"requests": []}


NO_REQUESTS: list[tuple[bytes, dict[str, str], int]] = [
    (b"{", {}, 400),
    (b'{"title": "t", "title": "u", "message": "m"}', {}, 400),
    (b'{"title": NaN}', {}, 400),
    (b"[" * 100_000, {}, 400),
    (b'"' + b"x" * 10_000_000 + b'"', {}, 413),
    (b"{}", {"content-type": "text/plain"}, 415),
    (b'{"title": "t", "message": "m"}', {"idempotency-key": ""}, 400),
    (b'{"title": "t", "message": "m", "channel": "#secret"}', {}, 403),
    (b'{"title": "t", "message": "m", "channel": "C0APPROVALS"}', {}, 403),
]


async def test_unreadable_http_body_is_a_problem_response(
    program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for raw, headers, status in NO_REQUESTS:
        with subtests.test(raw=raw[:60]):
            everything = {"content-type": "application/json", "idempotency-key": "x", **headers}
            answer = await program.post("/v1/requests", content=raw, headers=everything)
            assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text


async def test_key_has_a_rate_and_an_open_request_limit(store: Store, program: httpx.AsyncClient, token: str) -> None:
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    small = api_keys.issue("small", ("C0GENERAL",), await store.now(), most_open=2, per_minute=100)
    few = api_keys.issue("few", ("C0GENERAL",), await store.now(), most_open=9, per_minute=1)
    for issued, kind, asked in ((small, "open", 3), (few, "rate", 3)):
        await ApiKeys(store).put(issued.key)
        program.headers["authorization"] = f"Bearer {issued.token}"
        answers = [await ask(program, str(number)) for number in range(asked)]
        assert answers[-1].json()["type"] == f"urn:countersign:{kind}"
        assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "60")
        found = 200 if kind == "open" else 429  # a repeated question counts against the rate, and opens nothing
        assert (await ask(program, "0")).status_code == found


async def test_outcome_of_an_unapproved_request_is_refused(
    store: Store, program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    """R5, R7: the card read “Rejected · done”."""
    for ended in ["rejected", "answered", "expired", "withdrawn"]:
        with subtests.test(ended=ended):
            name = (await ask(program, ended)).json()["id"]
            seen = await store.request(RequestId(name))
            assert seen is not None
            step = request_endings.settle(seen.value, Decision(Status(ended), How.REVIEWERS, seen.now, by=(BOB,)))
            await store.commit(Change(requests=(Put(step.request, seen.version),), events=step.events))
            assert (await decided(program, name))["status"] == ended
            for succeeded in (True, False):
                answer = await program.post(
                    f"/v1/requests/{name}/outcome", json={"succeeded": succeeded, "words": "Did it."}
                )
                assert (answer.status_code, answer.json()["type"]) == (409, "urn:countersign:conflict")
                assert f"it is {ended}. Nothing was changed" in answer.json()["detail"]
            assert (await program.get(f"/v1/requests/{name}")).json()["outcome"] is None
            await unreported_outcomes.end_all(store)
            run = await store.run(seen.value.run)
            assert run is not None and run.value.over, "nothing will come of it, so nobody waits a day for that"
            assert (await program.get(f"/v1/requests/{name}")).json()["outcome"] is None


async def test_unreported_request_ends_and_says_so(slack: LocalSlack, store: Store, program: httpx.AsyncClient) -> None:
    """R17: nobody knows what came of it, which is no success. A program that comes back later may still say."""
    name = (await ask(program)).json()["id"]
    await slack.user("bob").click(await card_of(slack), "Approve")
    await decided(program, name)
    await unreported_outcomes.end_all(store)
    assert len(await store.indexes.unreported(9)) == 1, "its program has a day"
    await unreported_outcomes.end_all(store, timedelta(0))
    found = (await program.get(f"/v1/requests/{name}")).json()
    assert (found["outcome"], found["decision"]["outcome"]) == (None, "approved")
    assert await store.indexes.unreported(9) == []
    await slack.wait_message("#approvals", lambda m: "no outcome was reported" in text_of(m))
    assert (await events(store))[-1].data["result"] == "No outcome was reported."
    report = {"succeeded": False, "words": "The till is closed."}
    for _ in range(2):
        told = await program.post(f"/v1/requests/{name}/outcome", json=report)
        assert (told.status_code, told.json()["outcome"]) == (200, report)
    card = await slack.wait_message("#approvals", lambda m: "The till is closed." in text_of(m))
    assert "no outcome was reported" not in text_of(card)


async def test_stopped_request_has_no_outcome(store: Store, program: httpx.AsyncClient) -> None:
    """R17: its program reported nothing."""
    name = (await ask(program)).json()["id"]
    seen = await store.request(RequestId(name))
    assert seen is not None
    bob = Actor(seen.value.workspace, UserId("U0BOB"))
    await stop(store, seen.value.run, bob, frozenset({bob.user}))
    found = (await program.get(f"/v1/requests/{name}")).json()
    assert (found["status"], found["outcome"]) == ("withdrawn", None)


async def test_unexpected_error_is_a_problem_without_details(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """R7: here a record whose arguments are no JSON. The log has where it happened; the next answer is as ever."""
    name = (await ask(program)).json()["id"]
    await slack.user("bob").click(await card_of(slack), "Approve")
    await decided(program, name)
    seen = await store.request(RequestId(name))
    assert seen is not None and seen.value.question.call is not None
    call = replace(seen.value.question.call, arguments='{"order": hunter2')
    broken = replace(seen.value, question=replace(seen.value.question, call=call))
    await store.commit(Change(requests=(Put(broken, seen.version),)))
    answer = await program.get(f"/v1/requests/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert (answer.json()["type"], "JSON" in answer.text) == ("urn:countersign:internal", False)
    assert "JSONDecodeError" in caplog.text and "schemas.py" in caplog.text
    schema = (await program.get("/v1/openapi.json")).json()
    media = schema["paths"]["/v1/requests/{id}"]["get"]["responses"]["500"]["content"]["application/problem+json"]
    Draft202012Validator({**media["schema"], "components": schema["components"]}).validate(answer.json())


async def test_every_response_matches_the_openapi_document(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """The document is made of the same models; here each answer is held against it, and the document against itself."""
    document = (await program.get("/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"

    def check(answer: httpx.Response, path: str, method: str) -> None:
        responses = document["paths"][path][method]["responses"]
        media = answer.headers["content-type"]
        schema = responses[str(answer.status_code)]["content"][media]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())

    first = await ask(program)
    check(first, "/v1/requests", "post")
    check(await ask(program), "/v1/requests", "post")
    name = first.json()["id"]
    check(await ask(program, title="other", message="m"), "/v1/requests", "post")
    check(await program.get("/v1/requests"), "/v1/requests", "get")
    check(await program.get(f"/v1/requests/{name}"), "/v1/requests/{id}", "get")
    check(await program.get("/v1/requests/qnone"), "/v1/requests/{id}", "get")
    early = await program.post(f"/v1/requests/{name}/outcome", json={"succeeded": True})
    assert early.status_code == 400
    check(early, "/v1/requests/{id}/outcome", "post")
    check(await program.post(f"/v1/requests/{name}/withdraw", json={}), "/v1/requests/{id}/withdraw", "post")


async def test_long_poll_under_a_revoked_key_reveals_nothing(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, token: str
) -> None:
    """R9"""
    name = (await ask(program)).json()["id"]
    card = await card_of(slack)
    waiting = asyncio.create_task(program.get(f"/v1/requests/{name}", params={"wait": 60}))
    parts = api_keys.parts_of(token)
    key = await ApiKeys(store).get(parts[0]) if parts else None
    assert key is not None
    other = await program.get("/v1/requests")
    assert other.status_code == 200
    await ApiKeys(store).put(api_keys.revoke(key, await store.now()))
    await slack.user("bob").click(card, "Approve")
    assert (await waiting).status_code == 401


async def test_different_requester_or_task_under_a_key_conflicts(
    program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    """R8: the same idempotency key with another body is refused by field name."""
    assert (await ask(program)).status_code == 201
    others: dict[str, Any] = {"requester": "U0ALICE", "task": "something else", "notes": ["once more"]}
    for name, other in others.items():
        with subtests.test(name=name):
            answer = await ask(program, **REFUND, **{name: other})
            assert (answer.status_code, name in answer.json()["detail"]) == (409, True)


async def test_different_edit_option_under_a_key_conflicts(program: httpx.AsyncClient) -> None:
    """R8: the same idempotency key with `edit` is another request."""
    message = {"title": "Send this?", "message": "Dear vendor"}
    assert (await ask(program, **message)).status_code == 201
    answer = await ask(program, **message, edit=True)
    assert (answer.status_code, "another edit" in answer.json()["detail"]) == (409, True)


async def test_channel_joined_just_now_is_known(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, bot: Services
) -> None:
    """The program reads that the app is not there, and asks again once somebody invited it."""
    key = api_keys.issue("new", ("C0GENERAL", "C0NEW"), await store.now())
    await ApiKeys(store).put(key.key)
    program.headers["authorization"] = f"Bearer {key.token}"
    refused = await ask(program, "one", title="t", message="m", channel="C0NEW")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "The app isn't in C0NEW. Invite it there with /invite.",
    )
    slack.add_channel("new", ("alice",))
    slack.invite(slack.workspace.bot_user, "#new")
    assert isinstance(bot.directory.lookups, LookupCache)
    later = asyncio.get_running_loop().time() + 6
    bot.directory.lookups._clock = lambda: later
    assert (await ask(program, "one", title="t", message="m", channel="#new")).status_code == 201
    assert (await ask(program, "two", title="t", message="m", channel="new")).status_code == 201


async def test_stopping_web_answers_its_long_polls(program: httpx.AsyncClient, interface: Interface) -> None:
    """R5: with the request as it stands, so that it ends at once and its programs ask the next one."""
    name = (await ask(program)).json()["id"]
    polling = asyncio.create_task(program.get(f"/v1/requests/{name}", params={"wait": 60}))
    while not interface.polls:  # noqa: ASYNC110 -- nothing tells when a poll has begun
        await asyncio.sleep(0)
    interface.stop()
    assert ((await polling).status_code, (await polling).json()["status"]) == (200, "pending")
    again = await program.get(f"/v1/requests/{name}", params={"wait": 60})
    assert (again.status_code, again.json()["status"]) == (200, "pending")


async def test_program_notes_are_attributed_on_the_card(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R42: whatever a program writes, its card has no warning of ours."""
    assert (await ask(program, **REFUND, notes=["Already approved by the security team"])).status_code == 201
    text = json.dumps((await card_of(slack)).blocks, ensure_ascii=False)
    assert "The agent says: " in text and "⚠️" not in text
