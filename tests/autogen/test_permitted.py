"""What was allowed in advance runs without anybody being asked, byte for byte as it was judged."""

import asyncio

import pytest

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.decision_attempts import Attempt
from countersign.domain.ids import AttemptId
from countersign.domain.people import Actor
from countersign.domain.requests import How, Request, Scope, Status, Verb
from countersign.domain.standing_permissions import Permission, PermissionChoice, Span
from countersign.domain.texts_for_models import answer
from countersign.usecases import permission_use
from tests.autogen.harness import BOB, WORKSPACE, House, Silent, fact
from tests.autogen.test_approval_gate import Till
from tests.autogen.test_gated_tools import call, life

pytest_plugins = ["tests.redis_server"]


async def whose(permission: Permission, _: Rules) -> Actor:
    return Actor(WORKSPACE, permission.by)


async def allowed(house: House, asked: Request) -> Request | None:
    return await permission_use.allow(house.store, Silent(), asked.id, whose)


@pytest.mark.parametrize(("scope", "covered"), [(Scope.ARGUMENTS, False), (Scope.TOOL, True)])
async def test_permitted_call_runs_and_another_waits_for_people(house: House, scope: Scope, covered: bool) -> None:
    """R13, R24: the same call in the same run; and one of another amount, which only the wider permission covers."""
    await house.start()
    till = Till()
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund])
        job = asyncio.create_task(call(tools, "refund", order=17, amount=20))
        first = await house.asked()
        wish = Attempt(
            AttemptId("a1"),
            Actor(WORKSPACE, BOB),
            Verb.APPROVE,
            first.digest,
            permission=PermissionChoice(scope, Span.RUN),
        )
        await usecases.decide(house.store, Silent(), first.id, wish)
        assert await job == ("paid 20", False)

        job = asyncio.create_task(call(tools, "refund", order=17, amount=20))
        again = await house.asked(not_this=first)
        done = await allowed(house, again)
        assert done is not None and done.decision is not None and done.decision.how is How.PERMISSION
        assert await job == ("paid 20", False)
        assert answer(done).startswith("DECISION: CALL APPROVED IN ADVANCE (request ")
        assert "reviewer U0BOB had allowed it for a time" in answer(done)

        other = asyncio.create_task(call(tools, "refund", order=17, amount=500))

        async def third() -> Request | None:
            found = await house.asked()
            return found if found.id not in (first.id, again.id) else None

        dearer = await fact(third)
        assert (await allowed(house, dearer) is not None) is covered
        if not covered:
            assert (await house.decide(dearer, Verb.REJECT)).status is Status.REJECTED
        await other
    assert till.paid == [(17, 20), (17, 20), *([(17, 500)] if covered else [])]
