"""What counts as going on in a run, so that nobody parks it meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from countersign.domain.actions import Action
from countersign.domain.requests import Verb
from countersign.domain.run_calls import Ask, Judge, R, RunCall
from countersign.usecases.ports import Lease
from tests.autogen.harness import House, Through, fact
from tests.autogen.test_approval_gate import Till, asking
from tests.autogen.test_ask_human_tool import resting
from tests.autogen.test_gated_tools import call, life
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]


class Holding(Through):
    """Keeps calls of `kind` back until `go` is set."""

    def __init__(self, house: House) -> None:
        super().__init__(house.service)
        self.kind: type[RunCall[Any]] | None = None
        self.held, self.go = asyncio.Event(), asyncio.Event()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        if type(call) is self.kind:
            self.held.set()
            await self.go.wait()
        return await super().call(lease, call)


@pytest.mark.parametrize(("tier", "kind"), [(Action.DENY, Judge), (Action.ALLOW, Judge), (Action.ASK, Ask)])
async def test_run_storing_something_is_not_at_rest(house: House, tier: Action, kind: type[RunCall[Any]]) -> None:
    """R22: what a policy refuses or lets pass, and the next question, beside one that waits for people."""
    service = Holding(house)
    house = replace(house, service=service)
    await house.start()
    till = Till()
    async with life(house) as run:
        first = asking(run, till)
        asked = await house.asked()
        await fact(lambda: resting(run))
        service.kind = kind
        other = asyncio.create_task(
            call(run.tools("other", [till.refund], ask={"refund": tier}), "refund", order=18, amount=5)
        )
        await asyncio.wait_for(service.held.wait(), PATIENCE)
        assert run.activity.asked
        assert not run.activity.resting
        service.go.set()
        if tier is Action.ASK:
            await house.decide(await house.asked(not_this=asked), Verb.REJECT)
        await other
        await fact(lambda: resting(run))
        await house.decide(asked, Verb.REJECT)
        await first
    assert till.paid == ([(18, 5)] if tier is Action.ALLOW else [])
