"""States that programs keep with their requests: opaque, bounded, for their own key alone, and never an older one."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from countersign.domain import api_keys
from countersign.domain.program_states import LONGEST_STATE
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases import unreported_outcomes
from localslack import LocalSlack, text_of
from tests.api.test_requests import REFUND, ask, decided
from tests.slack.socket_bot import events
from tests.slack.test_projector import card_of

SEALED = "gAAAAABsecretstate"


async def keeping(program: httpx.AsyncClient, number: int, sealed: str, key: str = "one") -> httpx.Response:
    body = {**REFUND, "title": f"Refund {key}?"}
    return await ask(program, key, **body, state={"number": number, "sealed": sealed})


async def test_a_state_is_returned_to_its_key_and_shown_to_nobody(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """R9: not on the card, in the record, in a log or in another answer."""
    asked = await keeping(program, 1, SEALED)
    name = asked.json()["id"]
    card = await card_of(slack)
    assert (await program.get(f"/v1/requests/{name}/state")).json() == {"number": 1, "sealed": SEALED}
    other = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(other.key)
    theirs = {"authorization": f"Bearer {other.token}"}
    assert (await program.get(f"/v1/requests/{name}/state", headers=theirs)).status_code == 404
    assert (await program.get("/v1/requests?kept=true", headers=theirs)).json() == {"requests": []}
    listed = await program.get("/v1/requests?kept=true")
    assert [one["id"] for one in listed.json()["requests"]] == [name]
    await slack.user("bob").click(card, "Approve")
    answers = [asked, listed, await program.get(f"/v1/requests/{name}?wait=60")]
    shown = [answer.text for answer in answers] + [repr(event) for event in await events(store)] + [caplog.text]
    assert not [text for text in (*shown, text_of(card)) if SEALED in text]


async def test_a_state_is_replaced_by_a_newer_one_alone(program: httpx.AsyncClient) -> None:
    """R8: of two programs that go on with one state the second is refused, and so is whoever has an old one."""
    name = (await keeping(program, 1, "a")).json()["id"]
    steps = [(1, "a", 200), (1, "b", 409), (2, "b", 200), (2, "b", 200), (2, "c", 409), (1, "a", 409)]
    assert [(await keeping(program, number, text)).status_code for number, text, _ in steps] == [s[2] for s in steps]
    assert (await program.get(f"/v1/requests/{name}/state")).json() == {"number": 2, "sealed": "b"}
    assert (await keeping(program, 2, "")).status_code == 409
    for _ in range(2):
        assert (await keeping(program, 3, "")).status_code == 200
    assert (await program.get(f"/v1/requests/{name}/state")).status_code == 404
    assert (await keeping(program, 4, "d")).status_code == 409, "what was dropped does not come back"
    same = await ask(program, **{**REFUND, "title": "Refund one?"})
    assert (same.status_code, same.json()["id"]) == (200, name)


NO_STATES: list[dict[str, Any]] = [
    {"number": 1, "sealed": "x" * (LONGEST_STATE + 1)},
    {"number": 1, "sealed": '{"task": "Refund it."}'},
    {"number": 0, "sealed": "x"},
    {"number": 1},
]


async def test_a_state_that_cannot_be_one_is_refused_and_nothing_is_asked(
    program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for state in NO_STATES:
        with subtests.test(state=str(state)[:60]):
            answer = await ask(program, **REFUND, state=state)
            assert (answer.status_code, answer.json()["detail"].startswith("state.")) == (400, True)
            assert (await program.get("/v1/requests")).json() == {"requests": []}


async def test_a_state_ends_with_the_outcome_or_when_the_request_is_taken_back(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    names = [(await keeping(program, 1, "a")).json()["id"]]
    assert (await program.post(f"/v1/requests/{names[0]}/withdraw", json={})).status_code == 200
    assert (await program.get(f"/v1/requests/{names[0]}/state")).status_code == 404
    for key in ("two", "three", "four"):  # one after the other: requests at once may share a message
        names.append((await keeping(program, 1, "a", key)).json()["id"])
        card = await slack.wait_message("#approvals", lambda m, key=key: f"Refund {key}" in text_of(m) and m.buttons)  # type: ignore[misc]
        await slack.user("bob").click(card, "Approve")
        await decided(program, names[-1])
    assert (await program.post(f"/v1/requests/{names[1]}/outcome", json={"succeeded": True})).status_code == 200
    assert (await program.get(f"/v1/requests/{names[1]}/state")).status_code == 404
    kept = {"succeeded": True, "keep_state": True}
    for _ in range(2):
        assert (await program.post(f"/v1/requests/{names[3]}/outcome", json=kept)).status_code == 200
    assert (await program.get(f"/v1/requests/{names[3]}/state")).status_code == 200, "its program asks again soon"
    assert await store.client.pttl(store.keys.program_state(names[3])) > 0
    assert (await keeping(program, 2, "", "four")).status_code == 200
    assert (await program.get(f"/v1/requests/{names[3]}/state")).status_code == 404
    await unreported_outcomes.end_all(store, timedelta(0))
    assert (await program.get(f"/v1/requests/{names[2]}/state")).status_code == 200, "its program may come yet"
    assert (await keeping(program, 2, "b", "three")).status_code == 200
    assert await store.client.pttl(store.keys.program_state(names[2])) > 0


async def test_states_count_against_what_a_key_may_have_open(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    small = api_keys.issue("small", ("C0GENERAL",), await store.now(), most_open=1)
    await ApiKeys(store).put(small.key)
    program.headers["authorization"] = f"Bearer {small.token}"
    name = (await keeping(program, 1, "a")).json()["id"]
    await slack.user("bob").click(await card_of(slack), "Approve")
    await decided(program, name)
    assert (await program.get("/v1/requests")).json() == {"requests": []}
    assert (await ask(program, "two")).json()["type"] == "urn:countersign:open"
    assert (await program.post(f"/v1/requests/{name}/outcome", json={"succeeded": True})).status_code == 200
    assert (await ask(program, "two")).status_code == 201
