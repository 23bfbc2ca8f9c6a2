"""Calls of a worker with values that no worker sends."""

from dataclasses import replace
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.calls import LONGEST_CONTENT, Call
from countersign.domain.errors import GivenUp, InvalidInput
from countersign.domain.ids import AttemptId
from countersign.domain.run_calls import Ask, Attach, Finish, Judge, RunCall
from countersign.domain.runs import Verb
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from countersign.usecases.run_calls import answer
from tests.sample_requests import call, question

ODD = Call("refund", '{"euros": 5, "euros": 9000}')
WRONG: list[RunCall[Any]] = [
    Ask(replace(call(), call=ODD)),
    Judge("clerk", ODD, AttemptId("one")),
    Judge("clerk", Call("refund", "{}"), AttemptId("one"), team_says="perhaps"),
    Attach((("a.txt", "no base64"),)),
    *(Finish(verb, "Over.") for verb in Verb if verb not in (Verb.FINISH, Verb.FAIL)),
]


async def test_invalid_values_in_a_call_are_refused(store: Store, lease: Lease, subtests: pytest.Subtests) -> None:
    """R28, R29, R9: they are the caller's mistake; and only people stop a run."""
    before = await store.run(lease.run)
    for wrong in WRONG:
        with subtests.test(call=wrong), pytest.raises(InvalidInput, match=r"Nothing was|not judged"):
            await answer(store, lease, wrong)
    assert before is not None
    after = await store.run(lease.run)
    assert after is not None
    assert after.value == before.value


async def test_too_long_question_is_refused_with_a_reason(store: Store, lease: Lease) -> None:
    """R14, R21"""
    with pytest.raises(GivenUp, match="Nobody was asked"):
        await usecases.ask(store, lease, question("x" * (LONGEST_CONTENT + 1)))
    asked = await usecases.ask(store, lease, question("\x00" * 10 + "x" * (LONGEST_CONTENT - 10)))
    assert await store.requests([asked.id]) == [asked]
