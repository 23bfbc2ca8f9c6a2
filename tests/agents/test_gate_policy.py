"""The workspace's policy at the gate, beside what a team's own code says."""

from typing import Any

import pytest

from agents.policies import Ask, Tier
from bot import policy_file
from bot.core.policy import Risk
from bot.core.requests import Verb
from tests.agents.house import House
from tests.agents.test_gate import Till, asking, count
from tests.agents.test_tools import call, life

pytest_plugins = ["tests.redis_server"]


async def policy(house: House, rule: str, risks: str = "{}") -> None:
    text = f"version: 1\nrisks: {risks}\nrules:\n  - {{name: refunds, tool: refund, why: Because., {rule}}}\n"
    await house.store.set_rulebook(policy_file.understand(text))


@pytest.mark.parametrize("ask", [None, False, {"refund": Tier.PASS}], ids=["nothing", "never", "pass"])
async def test_what_the_policy_lets_pass_passes_and_is_recorded_with_its_rule(house: House, ask: Ask) -> None:
    """S10, R25."""
    await house.start()
    await policy(house, "if: amount <= 20, then: pass")
    till = Till()
    async with life(house) as run:
        assert await asking(run, till, ask=ask) == ("paid 20", False)
    (passed,) = [event for event in await house.events() if event["type"] == "call_passed"]
    assert "rule “refunds”. Because." in passed["why"]


@pytest.mark.parametrize("rule", ["if: amount > 10, then: ask", "then: pass"])
async def test_the_stricter_of_team_and_policy_asks(house: House, rule: str) -> None:
    """The team's own code lets pass and the policy asks, or the other way round."""
    await house.start()
    await policy(house, rule)
    till = Till()
    async with life(house) as run:
        job = asking(run, till, ask="pass" in rule)
        request = await house.asked()
        assert request.rules.clause == ("" if "pass" in rule else "refunds")
        assert not till.paid
        await house.decide(request, Verb.APPROVE)
        assert await job == ("paid 20", False)


async def test_what_the_policy_refuses_does_not_run_and_the_model_reads_by_which_rule(house: House) -> None:
    """R19: whatever the team's code says; R25: and it is in the record."""
    await house.start()
    await policy(house, "then: refuse")
    till = Till()
    async with life(house) as run:
        text, failed = await asking(run, till, ask=False)
    assert failed
    assert "rule “refunds”. Because." in text
    assert not till.paid
    assert await count(house, "call_refused") == 1


async def test_a_condition_that_cannot_be_judged_lets_nothing_pass(house: House) -> None:
    await house.start()
    await policy(house, "if: customer.vip, then: pass")
    async with life(house) as run:
        job = asking(run, Till())
        await house.decide(await house.asked(), Verb.REJECT)
        assert (await job)[1]


async def test_a_rebuilt_run_goes_by_the_policy_of_when_it_was_judged(house: House) -> None:
    """R4: a policy that became stricter meanwhile does not ask about what was done."""
    await house.start()
    await policy(house, "then: pass")
    till = Till()
    for rule in ("then: pass", "then: refuse"):
        await policy(house, rule)
        async with life(house) as run:
            assert await asking(run, till) == ("paid 20", False)
    assert till.paid == [(17, 20)]


async def test_the_risk_that_the_policy_names_is_on_the_request(house: House) -> None:
    await house.start()
    await policy(house, "then: ask, quorum: 1", "{refund: high}")
    async with life(house) as run:
        job = asking(run, Till())
        request = await house.asked()
        assert (request.rules.risk, request.rules.why) == (Risk.HIGH, "Because.")
        await house.decide(request, Verb.APPROVE)
        await job


async def test_a_rule_may_be_for_one_agent(house: House) -> None:
    """S17."""
    await house.start()
    await policy(house, "agent: cl*, then: refuse")
    till: Any = Till()
    async with life(house) as run:
        assert (await call(run.tools("clerk", [till.refund]), "refund", order=1, amount=2))[1]
        job = call(run.tools("other", [till.refund], ask=False), "refund", order=1, amount=2)
        assert await job == ("paid 2", False)
