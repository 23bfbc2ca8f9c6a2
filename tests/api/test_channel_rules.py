"""The rules of a channel count for programs as for teams: high risk, reviewers, timeouts, reminders."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from bot.slack.views import review_modals
from countersign import usecases
from countersign.domain.actions import Action
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.ids import RequestId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Request
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob
from tests.api.test_requests import REFUND, ask
from tests.sample_requests import ALICE, CAROL
from tests.slack.test_projector import all_drawn, card_of
from tests.store_fixtures import NoQueue, configure
from tests.usecases.test_presence import asked_before

HOUR = timedelta(hours=1)


async def asked(store: Store, program: httpx.AsyncClient, **more: str) -> Request:
    answer = await ask(program, **REFUND, **more)
    assert answer.status_code == 201, answer.text
    seen = await store.request(RequestId(answer.json()["id"]))
    assert seen is not None
    return seen.value


async def status(program: httpx.AsyncClient, request: Request) -> str:
    return str((await program.get(f"/v1/requests/{request.id}")).json()["status"])


async def test_high_risk_call_is_approved_by_typing_its_name(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R13: the card has no button that approves, and a wrong word approves nothing."""
    await store.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH),)))
    request = await asked(store, program)
    card = await slack.wait_message("#approvals", lambda m: "Review…" in m.buttons)
    assert "High risk" in text_of(card) and "Approve" not in card.buttons
    bob = slack.user("bob")
    await bob.click(card, "Review…")
    await bob.wait_modal("refund")
    assert review_modals.WORD in (await bob.submit({review_modals.WORD: "approve"}))
    assert await status(program, request) == "pending"
    assert await bob.submit({review_modals.WORD: "refund"}) == {}
    assert await status(program, request) == "approved"


async def test_only_reviewers_other_than_the_named_requester_decide(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient
) -> None:
    """R9, R10: what the program says of the requester takes a right away, and gives none."""
    await configure(store, reviewers=Reviewers(frozenset({ALICE, CAROL})))
    request = await asked(store, program, requester=ALICE)
    card = await card_of(slack)
    for name, why in (("bob", "not a reviewer"), ("alice", "your own requests")):
        await slack.user(name).click(card, "Approve")
        await slack.user(name).wait_ephemeral(why)
        assert await status(program, request) == "pending"
    await slack.user("carol").click(card, "Approve")
    found = (await program.get(f"/v1/requests/{request.id}")).json()
    assert found["decision"]["by"] == [CAROL]


@pytest.mark.parametrize(("on_timeout", "ends"), [(OnTimeout.REJECT, "expired"), (OnTimeout.WAIT, "pending")])
async def test_channel_timeout_applies_to_programs(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, on_timeout: OnTimeout, ends: str
) -> None:
    """R17, R20"""
    await configure(store, timeout=2 * HOUR, on_timeout=on_timeout)
    request = await asked(store, program)
    await card_of(slack)
    if request.deadline is not None:
        assert request.deadline - request.created_at == 2 * HOUR
        seen = await store.request(request.id)
        assert seen is not None
        past = replace(seen.value, deadline=seen.now - timedelta(seconds=1))
        await store.commit(Change(requests=(Put(past, seen.version),)))
    await usecases.catch_up(store, NoQueue(), request.id)
    assert await status(program, request) == ends


async def test_program_requests_are_reminded(
    slack: LocalSlack, store: Store, program: httpx.AsyncClient, bob: Bob
) -> None:
    await configure(store, timeout=timedelta(days=2), remind_after=HOUR)
    request = await asked(store, program)
    card = await card_of(slack)
    await asked_before(store, request, 3 * HOUR)
    await usecases.catch_up(store, NoQueue(), request.id)
    await all_drawn(slack, store)
    (reminder,) = [m for m in slack.channel("#approvals").thread(card.ts) if m.ts != card.ts]
    assert "your decision is still missing" in text_of(reminder)


async def test_claimed_team_and_agent_names_pass_no_call(store: Store, program: httpx.AsyncClient) -> None:
    """R43: a key called like a team, and the agent that its program names, are no team and no agent of ours."""
    by_name = (Clause("team", Action.ALLOW, 1, team="ci"), Clause("agent", Action.ALLOW, 2, agent="clerk"))
    await store.set_rulebook(Rulebook(by_name))
    assert (await ask(program, key="first", **REFUND, agent="clerk")).json()["status"] == "pending"
    await store.set_rulebook(Rulebook((*by_name, Clause("key", Action.ALLOW, 3, program="ci"))))
    passed = (await ask(program, key="second", **REFUND, agent="other")).json()
    assert (passed["status"], passed["decision"]["how"]) == ("approved", "policy")
