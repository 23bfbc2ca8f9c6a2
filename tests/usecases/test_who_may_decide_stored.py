"""Some lines of `tests/data/who_may_decide.md` on a real store, with its clock and its step."""

import pytest

from countersign import usecases
from countersign.domain.errors import Refused
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from tests.sample_requests import NOW
from tests.store_fixtures import NoQueue
from tests.who_may_decide import AGAIN, DOES, Row, attempt, rows, scene

DECIDING = [row for row in rows() if row.does.removesuffix(AGAIN) in DOES and "another rule" not in row.does]
SAMPLE = [row for row in DECIDING if "nights" not in row.request][::13]
"""Every thirteenth; the store's clock shows no night when a test wants one."""


@pytest.mark.parametrize("row", SAMPLE, ids=str)
async def test_store_decides_as_the_tables_say(row: Row, store: Store, lease: Lease) -> None:
    """R3, R9, R20: identity, content and deadline are judged on what the store holds, by its own clock."""
    passed = scene(row).now - NOW
    asked = scene(row, await store.now() - passed).request
    await store.commit(Change(requests=(Put(asked, 0),)))
    try:
        done = await usecases.decide(store, NoQueue(), asked.id, attempt(row, asked))
    except Refused as refused:
        assert refused.refusal is not None and refused.refusal.name.lower() == row.answer
        seen = await store.request(asked.id)
        assert seen is not None and (seen.value.votes, seen.value.rules) == (asked.votes, asked.rules)
        return
    if row.answer == "counted before":
        assert done == asked
    elif row.answer == "vote":
        assert done.status is Status.PENDING and len(done.votes) >= len(asked.votes)
    else:
        assert done.status == row.answer


def test_store_sample_has_twenty_lines_from_most_tables() -> None:
    """The sample of the tables in `tests/data/who_may_decide.md`."""
    assert len(SAMPLE) >= 20
    assert len({row.group for row in SAMPLE}) >= 8
