"""Forms of programs: people fill in a JSON schema in Slack, and the program gets its model."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel, Field

from countersign.client.ask import ask
from countersign.client.exchange import NotApproved
from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.sample_requests import rules


class Region(StrEnum):
    EU = "eu"
    US = "us"


class Rollout(BaseModel):
    """The form of a rollout."""

    region: Region
    percent: Annotated[int, Field(ge=1, le=100)]
    notify: list[str] = []
    note: str = ""


class Contact(BaseModel):
    """Whom to call."""

    name: str
    phone: str | None = None


pytestmark = pytest.mark.usefixtures("service_in_environment")


async def test_submitted_form_returns_its_model(slack: LocalSlack, store: Store) -> None:
    """No policy that lets calls pass fills it in."""
    await store.set_rulebook(Rulebook((Clause("all", Action.ALLOW, 1, tool="*"),)))
    asking = asyncio.create_task(ask("#general", "How far?", "Version 2.1.", form=Rollout))
    card = await slack.wait_message("#approvals", lambda m: "How far?" in text_of(m) and bool(m.buttons))
    bob = slack.user("bob")
    await bob.click(card, "Fill in")
    await bob.wait_modal("Percent")
    wrong = await bob.submit({"Region": "eu", "Percent": "20.5"})
    assert "whole number" in str(wrong)
    assert not await bob.submit({"Region": "eu", "Percent": "20", "Notify": "ops\nweb"})
    assert await asking == Rollout(region=Region.EU, percent=20, notify=["ops", "web"])
    await slack.wait_message("#approvals", lambda m: "Filled in" in text_of(m))


class Stage(BaseModel):
    """One step of a rollout."""

    percent: int
    pause: bool = False


class Staged(BaseModel):
    """The form of a rollout in steps."""

    contact: Contact
    stages: list[Stage]


async def test_nested_objects_of_a_form_have_their_own_fields(slack: LocalSlack) -> None:
    asking = asyncio.create_task(ask("#general", "Which steps?", form=Staged))
    card = await slack.wait_message("#approvals", lambda m: "Which steps?" in text_of(m) and bool(m.buttons))
    bob = slack.user("bob")
    await bob.click(card, "Fill in")
    await bob.wait_modal("Stages 1 (new): Percent")
    assert "required" in str(await bob.submit({"Contact: Name": "Ann"}))
    stages = {"Stages 1 (new): Percent": "5", "Stages 2 (new): Percent": "100", "Stages 1 (new): Pause": "Yes"}
    assert not await bob.submit({"Contact: Name": "Ann", **stages})
    contact, first, last = Contact(name="Ann"), Stage(percent=5, pause=True), Stage(percent=100)
    assert await asking == Staged(contact=contact, stages=[first, last])


async def test_rejected_form_returns_no_model(slack: LocalSlack) -> None:
    asking = asyncio.create_task(ask("#general", "How far?", form=Rollout))
    card = await slack.wait_message("#approvals", lambda m: "How far?" in text_of(m) and bool(m.buttons))
    bob = slack.user("bob")
    await bob.click(card, "Reject")
    await bob.wait_modal()
    await bob.submit()
    with pytest.raises(NotApproved) as refused:
        await asking
    assert refused.value.decision.outcome == "rejected"


NEVER_ENDS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "$ref": "#/x", "x": {"$ref": "#/x"}}


NOT_SHOWN: list[tuple[dict[str, Any], str]] = [
    ({"type": "string"}, "describes no such form"),
    ({"type": "object"}, "describes no such form"),
    ({}, "describes no such form"),
    ({"type": "object", "properties": {"password": {"type": "string"}}}, "cannot show password"),
    (
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"n": {}, "token": {}}}}},
        "cannot show A: Token",
    ),
    ({"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(91)}}, "1 to 90 named fields"),
    ({"$ref": "#"}, "describes no such form"),
    (NEVER_ENDS, "describes no such form"),
    ({"type": "object", "properties": {"": {"type": "string"}}}, "form"),
    ({"type": "object", "properties": {"x": {"enum": ["y" * 70 + str(n) for n in range(4000)]}}}, ""),
]


async def test_unshowable_schema_is_refused_with_a_sentence(
    program: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for form, says in NOT_SHOWN:
        with subtests.test(form=form):
            answer = await program.post(
                "/v1/requests", json={"title": "t", "form": form}, headers={"idempotency-key": "x"}
            )
            assert answer.status_code in ((400,) if says else (201, 400)), answer.text
            if says:
                assert says in answer.json()["detail"]
                assert (await program.get("/v1/requests")).json() == {"requests": []}


async def test_deeply_nested_schema_gets_an_answer(program: httpx.AsyncClient) -> None:
    for depth, statuses in ((50, (201, 400)), (3000, (400,))):
        text = '{"type":"object","properties":{"in":' * depth + '{"type":"string"}' + "}}" * depth
        answer = await program.post(
            "/v1/requests",
            content=f'{{"title":"t","form":{text}}}',
            headers={"idempotency-key": str(depth), "content-type": "application/json"},
        )
        assert answer.status_code in statuses, answer.text


async def test_form_with_a_quorum_is_refused(store: Store, program: httpx.AsyncClient) -> None:
    await store.set_defaults(rules(quorum=2))
    answer = await program.post(
        "/v1/requests",
        json={"title": "t", "form": Rollout.model_json_schema()},
        headers={"idempotency-key": "x"},
    )
    assert (answer.status_code, "one person fills in a form" in answer.json()["detail"]) == (400, True)
