"""A line of progress stands once in the run's thread, whatever the connection to Redis does."""

from typing import ClassVar

from countersign.domain.errors import StoreUnavailable
from countersign.domain.requests import Verb
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]


class Deafened(Store):
    """Each change that tells a line is stored, and its first reply is lost."""

    lost: ClassVar[set[str]] = set()

    async def commit(self, change: Change) -> Committed:
        answer = await super().commit(change)
        for event in change.events:
            if event.type == "run_progressed" and event.data["words"] not in self.lost:
                self.lost.add(event.data["words"])
                raise StoreUnavailable("The connection was cut.")
        return answer


async def test_a_line_whose_reply_was_lost_is_told_once(house: House) -> None:
    """R4: `patiently` says it again; that is no second line."""
    house.store = Deafened(house.store.client, house.namespace)
    await house.start()
    async with house.worker() as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        run = await house.over()
    lines = [event["words"] for event in await house.events() if event["type"] == "run_progressed"]
    assert lines
    assert len(set(lines)) == len(lines) == len(run.progress)
    assert Deafened.lost == set(lines)
