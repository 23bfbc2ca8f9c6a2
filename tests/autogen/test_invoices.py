"""The invoices team: several payments at once, each decided by itself."""

import asyncio
import json

from countersign.domain.requests import Request, Verb
from tests.autogen.demo_runs import playing
from tests.autogen.harness import House, fact

pytest_plugins = ["tests.redis_server"]


async def test_payments_are_asked_together_and_only_approved_paid(house: House) -> None:
    """R13, R26: four requests wait at once; three pay, and the rejected one does not."""
    async with playing(house, "invoices", "pay what is due") as play:

        async def all_asked() -> list[Request] | None:
            run = await house.run()
            seen = [await house.store.request(name) for name in run.open.values()]
            return [one.value for one in seen if one] if len(seen) == 4 else None

        asked = await fact(all_asked)
        in_order = sorted(asked, key=lambda request: request.question.asked)
        assert [json.loads(one.question.call.arguments)["invoice"] for one in in_order if one.question.call] == [
            "2041",
            "2042",
            "2043",
            "2044",
        ]
        assert "Pay 980.00 EUR to “Fast Freight”" in {request.question.title for request in asked}
        *approved, rejected = asked
        await asyncio.gather(*(house.decide(request, Verb.APPROVE) for request in approved))
        await house.decide(rejected, Verb.REJECT, "Already paid by card.")
        run = await play.over()
    paid = (house.folder / "invoices" / "paid.csv").read_text().splitlines()
    assert len({line.split(",")[0] for line in paid}) == len(paid) == 3
    assert run.result.endswith("Not paid: 1, because it was rejected (“Already paid by card.”).")
    assert "3 of 4 invoices were paid." in run.words
    assert (run.ended_as, {one.done for one in run.reported}) == ("Paid 3 of 4", {"paid"})
