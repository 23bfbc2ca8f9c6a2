"""While versions change: what a newer worker began is neither failed nor repeated by an older one (R4)."""

import json

import pytest

from countersign.domain.errors import NewerSchema
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Status
from countersign.store.codec import decompress
from tests.autogen.harness import House
from tests.autogen.test_runner import Counting

pytest_plugins = ["tests.redis_server"]
RUN = RunId("r1")


async def of_a_newer_version(house: House, what: str, asked: Request) -> None:
    """What is stored of the run, as this version writes it but for its number; done once more it is as it was."""
    client, keys = house.store.client, house.store.keys
    if what == "journal":
        key = house.area.keys.journal(RUN)
        for field, raw in (await client.hgetall(key)).items():
            entry = json.loads(decompress(raw))
            await client.hset(key, field, json.dumps({**entry, "schema": 101 - entry["schema"]}))
        return
    key = keys.run(RUN) if what == "run" else keys.request(asked.id)
    head, _, body = (await client.get(key)).partition(b"\n")
    version, _, schema = head.partition(b" ")
    await client.set(key, b"%s %d\n%s" % (version, 101 - int(schema), body), keepttl=True)


@pytest.mark.parametrize("what", ["journal", "run", "request", "request that was answered"])
async def test_run_of_a_newer_version_is_left_for_it(house: House, what: str) -> None:
    """R4: no model is asked, and the run continues at a worker of that version."""
    await house.start()
    model = Counting()
    async with house.worker(model=model) as worker:
        worker.advance()
        first = await house.asked()
        await house.decide(first, Verb.RESPOND, "make it shorter")
        asked = await house.asked(not_this=first)
    answered = model.asked
    newer = first if what == "request that was answered" else asked
    await of_a_newer_version(house, what, newer)
    async with house.worker(model=model) as worker:
        await worker.advance()
        assert worker.queue.asked == [RUN]
    async with house.worker(model=model, script=RUN) as script:
        with pytest.raises(NewerSchema):
            await script.runner.advance(RUN)
        assert script.queue.asked == []
    await of_a_newer_version(house, what, newer)
    assert not (await house.run()).over
    async with house.worker(model=model) as worker:
        worker.advance()
        await house.decide(asked, Verb.APPROVE)
        assert (await house.over()).status is Status.FINISHED
    assert model.asked == answered and len(house.mails()) == 1
