"""The workspace's policy at the gate, beside what a team's own code says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from countersign.domain.actions import Action
from countersign.domain.activity import NOT_DONE, ActionReport
from countersign.domain.calls import canonical
from countersign.domain.errors import Refused, WrongTeam
from countersign.domain.requests import Verb
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.tools.team_policy import Ask, Proposal, Verdict
from countersign.policy import file
from countersign.runs.journal_storage import RedisJournal
from countersign.usecases.ports import Lease
from tests.autogen.harness import House
from tests.autogen.test_approval_gate import Till, asking, count
from tests.autogen.test_gated_tools import call, life
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
BIG = canonical({"order": 17, "amount": 5000})


async def policy(house: House, rule: str, risks: str = "{}") -> None:
    text = f"version: 1\nrisks: {risks}\nrules:\n  - {{name: refunds, tool: refund, why: Because., {rule}}}\n"
    await house.store.set_rulebook(file.understand(text))


@pytest.mark.parametrize("ask", [None, False, {"refund": Action.ALLOW}], ids=["nothing", "never", "allow"])
async def test_call_allowed_by_policy_is_logged_with_its_rule(house: House, ask: Ask) -> None:
    """S10, R25."""
    await house.start()
    await policy(house, "if: amount <= 20, then: allow")
    till = Till()
    async with life(house) as run:
        assert await asking(run, till, ask=ask) == ("paid 20", False)
    (passed,) = [event for event in await house.events() if event["type"] == "call_passed"]
    assert "rule “refunds”. Because." in passed["why"]
    assert passed["policy"] == str((await house.store.rulebook()).version) == "1"


async def test_allowed_calls_are_counted_once_despite_a_rebuild(house: House) -> None:
    """R26: the requester reads one line at the end; R4."""
    await house.start()
    await policy(house, "then: allow")
    till = Till()
    for _ in range(2):
        async with life(house) as run:
            assert await asking(run, till) == ("paid 20", False)
    seen = await house.store.run(run.run.id)
    assert seen is not None
    (passed,) = seen.value.passed
    assert (passed.tool, passed.times) == ("refund", 1)
    assert "rule “refunds”" in passed.why


@pytest.mark.parametrize("rule", ["if: amount > 10, then: ask", "then: allow"])
async def test_stricter_of_team_and_policy_counts(house: House, rule: str) -> None:
    """The team's own code lets pass and the policy asks, or the other way round."""
    await house.start()
    await policy(house, rule)
    till = Till()
    async with life(house) as run:
        job = asking(run, till, ask="allow" in rule)
        request = await house.asked()
        assert request.rules.clause == ("" if "allow" in rule else "refunds")
        assert not till.paid
        await house.decide(request, Verb.APPROVE)
        assert await job == ("paid 20", False)


async def test_call_refused_by_policy_tells_the_model_the_rule(house: House) -> None:
    """R19: whatever the team's code says; R25: and it is in the record."""
    await house.start()
    await policy(house, "then: deny")
    till = Till()
    async with life(house) as run:
        text, failed = await asking(run, till, ask=False)
    assert failed
    assert "rule “refunds”. Because." in text
    assert not till.paid
    assert await count(house, "call_refused") == 1


async def test_undecidable_condition_allows_nothing(house: House) -> None:
    await house.start()
    await policy(house, "if: customer.vip, then: allow")
    async with life(house) as run:
        job = asking(run, Till())
        await house.decide(await house.asked(), Verb.REJECT)
        assert (await job)[1]


async def test_rebuilt_run_keeps_the_policy_verdict_of_before(house: House) -> None:
    """R4: a policy that became stricter meanwhile does not ask about what was done."""
    await house.start()
    await policy(house, "then: allow")
    till = Till()
    for rule in ("then: allow", "then: deny"):
        await policy(house, rule)
        async with life(house) as run:
            assert await asking(run, till) == ("paid 20", False)
    assert till.paid == [(17, 20)]


@pytest.mark.parametrize("then", ["deny", "ask, quorum: 2, reviewers: [U0BOB, U0EVE]", "ask, reviewers: [U0EVE]"])
async def test_edit_cannot_evade_the_policy(house: House, then: str) -> None:
    """R7, R19: told at the click, and a change within the same rule counts."""
    await house.start()
    await policy(house, f"if: amount > 500, then: {then}")
    till = Till()
    async with life(house) as run:
        job = asking(run, till)
        request = await house.asked()
        with pytest.raises(Refused, match="Another rule"):
            await house.decide(request, Verb.EDIT, arguments=BIG)
        await house.decide(request, Verb.EDIT, arguments=canonical({"order": 17, "amount": 50}))
        await job
    assert till.paid == [(17, 50)]


async def test_edit_cannot_evade_the_teams_own_rules(house: House) -> None:
    """R19, R45: only the worker knows that code, so the gate says no after the click, and the card says so."""
    await house.start()
    till = Till()

    def only_small(proposal: Proposal) -> Verdict:
        return Verdict(Action.DENY, "Too much.") if proposal.arguments["amount"] > 500 else Verdict(Action.ASK)

    async with life(house) as run:
        job = asking(run, till, ask=only_small)
        request = await house.asked()
        await house.decide(request, Verb.EDIT, arguments=BIG)
        text, failed = await job
        await run._journal.late_writes.written()
    assert failed
    assert "> Too much." in text
    assert not till.paid
    assert await count(house, "call_refused") == 1
    assert (await house.run()).reported == (ActionReport(request.id, failed=True, words="Too much.", done=NOT_DONE),)


async def test_card_omits_a_team_note_that_policy_overrules(house: House) -> None:
    """R13: the note would be untrue."""
    await house.start()
    await policy(house, "then: ask")
    async with life(house) as run:
        job = asking(run, Till(), ask=lambda proposal: Verdict(Action.ALLOW, "Small amounts ask nobody."))
        request = await house.asked()
        assert request.question.notes == ()
        await house.decide(request, Verb.APPROVE)
        await job


@requires_approval(ask=False)
async def pay(amount: int) -> str:
    """Pay."""
    return "paid"


async def test_rules_for_a_self_gated_tool_are_refused(house: House) -> None:
    """R19: they would not count."""
    await house.start()
    async with life(house) as run:
        with pytest.raises(WrongTeam, match="asks people itself"):
            run.tools("clerk", [pay], ask={"pay": Action.DENY})


class Meanwhile(RedisJournal):
    """Somebody applies another policy between the verdict on a call and the question about it."""

    then: Callable[[], Awaitable[None]] | None = None

    async def record(self, lease: Lease, key: str, value: bytes, **how: bool) -> bytes:
        if self.then is not None and key.startswith("gate/"):
            await self.then()
            self.then = None
        return await super().record(lease, key, value, **how)


async def test_stricter_policy_denies_a_call_judged_before(house: House) -> None:
    """R19: the run failed. R4, R25: a rebuilt run reads the same under whatever policy, and it is recorded once."""
    await house.start()
    await policy(house, "then: ask")
    till, journal, said = Till(), Meanwhile(house.area), []
    journal.then = lambda: policy(house, "then: deny")
    for _ in range(2):
        async with life(house, journal=journal) as run:
            said.append(await asyncio.wait_for(asking(run, till), PATIENCE))
            assert run.error is None
        await policy(house, "then: ask")
    assert said[0] == said[1]
    text, failed = said[0]
    assert failed and not till.paid
    assert text.startswith("DECISION: REFUSED BY POLICY\n")
    assert "rule “refunds”: Because." in text
    assert await count(house, "call_refused") == 1


async def test_identical_call_after_a_policy_denial_is_judged_separately(house: House) -> None:
    """R26, R4: nothing waits for the turn of a question that was never asked."""
    await house.start()
    await policy(house, "then: ask")
    till, journal = Till(), Meanwhile(house.area)
    journal.then = lambda: policy(house, "then: deny")
    async with life(house, journal=journal) as run:
        assert (await asyncio.wait_for(asking(run, till), PATIENCE))[1]
    await policy(house, "then: ask")
    async with life(house, journal=journal) as run:
        tools = run.tools("clerk", [till.refund])
        denied, again = [asyncio.create_task(call(tools, "refund", order=17, amount=20)) for _ in range(2)]
        await house.decide(await house.asked(), Verb.APPROVE)
        assert (await asyncio.wait_for(denied, PATIENCE))[1]
        assert await asyncio.wait_for(again, PATIENCE) == ("paid 20", False)
