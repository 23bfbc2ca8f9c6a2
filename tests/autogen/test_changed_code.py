"""Questions about changed code: whom they name, and what is left out once people continue."""

import asyncio
from datetime import timedelta

import pytest

from countersign.domain.requests import Kind, Verb
from countersign.frameworks.autogen.changed_code import _who
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from tests.autogen.harness import House
from tests.autogen.test_gated_tools import life
from tests.autogen.test_journal import claimed

pytest_plugins = ["tests.redis_server"]
KEY = "0" * 24 + "/0"


@pytest.mark.parametrize(
    ("missing", "who", "agent"),
    [
        ("clerk", "clerk", "clerk"),
        ("society/inner/writer", "society/inner/writer", "writer"),
        (f"tool/clerk/{KEY}", "tool/clerk", "clerk"),
        (f"step/send mail/{KEY}/again1", "step/send mail", "send mail"),
        (f"gate/clerk/{KEY}/changed", "gate/clerk", "clerk"),
        (f"human/writer to second/{KEY}", "human/writer to second", "writer"),
    ],
)
def test_missing_step_names_its_agent(missing: str, who: str, agent: str) -> None:
    """R45: for nested turns the card named the society, or a path, and not the agent."""
    assert _who(missing) == (who, agent)


async def test_continuing_leaves_out_the_missing_turn_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: “Continue” set aside the later question of that agent, and asked about its turn again and again."""
    monkeypatch.setattr("countersign.runs.replay_order.LAST_RESORT", timedelta(milliseconds=20))
    question, answer = f"human/human/{KEY}", f"model/writer/{KEY}"
    await house.start()
    lease = await claimed(house)
    recorded = {question: Entry("done", place=1, turns=("human",)), answer: Entry("done", place=2, after=1)}
    for key, entry in recorded.items():
        await RedisJournal(house.area).record(lease, key, entry.dump())
    await house.lapse()
    async with life(house, "w2") as run:
        replaying = asyncio.create_task(run.held.journal.replayed(answer))
        asked = await house.asked()
        assert asked.question.kind is Kind.DIVERGED
        await house.decide(asked, Verb.APPROVE)
        again = asyncio.create_task(house.asked(not_this=asked))
        await asyncio.wait({replaying, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        assert replaying.done(), "the same question was asked again"
