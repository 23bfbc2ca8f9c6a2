"""A worker's calls over HTTP: one of each that is right, from which wrong ones are made."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from countersign.domain import run_calls
from countersign.domain.activity import Delay, Writing
from countersign.domain.calls import Call, canonical
from countersign.domain.ids import AttemptId, ExecutionId, RequestId, TeamName, digest_of
from countersign.domain.made_files import MadeFile
from countersign.domain.run_calls import RUN_CALLS
from countersign.domain.runs import Verb
from countersign.usecases.ports import Announcement, TeamInfo
from tests.sample_requests import ALICE, GENERAL, NOW, call, choice, editable, question

REQUEST: Final = RequestId("qrequest")
"""Stands for a request of the run."""
EXECUTION: Final = ExecutionId("x" + "0" * 24)
EMAIL: Final = TeamName("email")
_CALLS: Final[Sequence[run_calls.RunCall[Any]]] = (
    run_calls.Claim((EMAIL,)),
    run_calls.Ask(question()),
    run_calls.Ask(call(), limit=50, team_says="allow"),
    run_calls.Ask(editable()),
    run_calls.Ask(choice("a", "b", "c", several=True)),
    run_calls.Find(REQUEST),
    run_calls.CardLink(REQUEST),
    run_calls.TakeBack(REQUEST, "nobody waits for it"),
    run_calls.Deliver(REQUEST),
    run_calls.Judge("clerk", Call("refund", canonical({"order": 17})), AttemptId("once"), team_says="allow"),
    run_calls.Say("clerk", "I have refunded it.", NOW),
    run_calls.Write(Writing("clerk", 100, "I have", done=True)),
    run_calls.Wait(Delay("The model is busy.", NOW + timedelta(seconds=5))),
    run_calls.Plan(1, ("read", "write")),
    run_calls.StepDone(1, 0),
    run_calls.Report(EXECUTION, "It was refunded.", done="refunded"),
    run_calls.Begin(EXECUTION),
    run_calls.Begin(EXECUTION, REQUEST, digest_of("x"), again=REQUEST, idempotent=True),
    run_calls.Park(frozenset({REQUEST})),
    run_calls.Finish(Verb.FINISH, "Done.", "All is done."),
    run_calls.Attach.of([MadeFile("a.txt", b"text")]),
    run_calls.Start(GENERAL, ALICE, EMAIL, "tell the vendor"),
    run_calls.Read(),
)  # fmt: skip
RIGHT: Final = tuple((one.name, TypeAdapter(type(one)).dump_python(one, mode="json")) for one in _CALLS)
"""The name and the plain value of each call."""
ANNOUNCED: Final = TypeAdapter(Announcement).dump_python(
    Announcement((TeamInfo("other", "writes a mail"),), ()), mode="json"
)
"""Another team than that of the run, which is its own worker's."""
WAITED: Final = {"requests": [REQUEST], "runs": ["rtest"]}


assert {name for name, _ in RIGHT} == set(RUN_CALLS)


def about(value: Any, request: str) -> Any:
    """The value with this request in place of `REQUEST`."""
    return json.loads(json.dumps(value).replace(REQUEST, request))
