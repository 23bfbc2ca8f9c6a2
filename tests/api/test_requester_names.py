"""The requester by name: `@alice` is the one person of that name, and nobody is guessed."""

import httpx
import pytest

from countersign.domain.ids import RequestId, RunId, WorkerId
from countersign.domain.run_calls import Start
from countersign.runs.area import WebAddress
from countersign.runs.service import HttpService
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.api.test_requests import REFUND, ask
from tests.sample_requests import ALICE, HERE


async def requester(store: Store, answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    seen = await store.request(RequestId(answer.json()["id"]))
    assert seen is not None
    return seen.value.requester


@pytest.mark.parametrize("name", ["@alice", "@Alice Adams", "@ALICE"])
async def test_requester_is_found_by_display_or_real_name(store: Store, program: httpx.AsyncClient, name: str) -> None:
    """The request is the same as with the id, so the person cannot decide on it."""
    assert await requester(store, await ask(program, **REFUND, requester=name)) == ALICE


async def test_repeated_question_by_name_is_the_same_request(store: Store, program: httpx.AsyncClient) -> None:
    first = await ask(program, key="one", **REFUND, requester="@alice")
    assert (await ask(program, key="one", **REFUND, requester=ALICE)).json()["id"] == first.json()["id"]


@pytest.mark.parametrize("of", ["nobody", "two", "a bot", "somebody deactivated"])
async def test_unknown_or_ambiguous_requester_name_is_refused(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, of: str
) -> None:
    """R9: names can be edited, and two people may have the same."""
    if of == "two":
        for number in (1, 2):
            slack.workspace.users[slack.add_user(f"sam{number}").id].real_name = "Sam Smith"
    elif of != "nobody":
        account = slack.workspace.users[slack.add_user("sam").id]
        account.real_name = "Sam Smith"
        account.is_bot, account.deleted = of == "a bot", of == "somebody deactivated"
    answer = await ask(program, **REFUND, requester="@Sam Smith")
    assert answer.status_code == 400
    assert "“@Sam Smith” isn't the name of exactly one person" in answer.json()["detail"]
    assert "Copy member ID" in answer.json()["detail"] and (await program.get("/v1/requests")).json()["requests"] == []


async def test_failed_look_up_of_a_requester_is_temporary(slack: LocalSlack, program: httpx.AsyncClient) -> None:
    """R9: a failed look-up refuses."""
    slack.faults.add("server_error", on="users.list", times=None)
    answer = await ask(program, **REFUND, requester="@alice")
    assert answer.status_code == 503 and "retry-after" in answer.headers


async def test_script_starts_its_run_for_a_named_person(store: Store, url: str, token: str) -> None:
    await store.set_workspace(HERE)

    async def resolve() -> WebAddress:
        return WebAddress((url,), token)

    async with HttpService(resolve) as service:
        lease = Lease(RunId("sone"), 0, WorkerId("one"))
        run = await service.call(lease, Start("general", "@alice", "script", "go"))  # type: ignore[arg-type]
    assert (run.requester, run.channel) == (ALICE, "C0GENERAL")
