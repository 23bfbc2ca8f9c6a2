"""What can be chosen when a task is started: what a team may offer, and how old announcements and runs are read."""

from typing import Any

import pytest

from countersign.domain.run_options import Option
from countersign.domain.runs import Run
from countersign.store.codec import Codec
from countersign.usecases.ports import TeamInfo


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "Mode"}, "small letters"),
        ({"name": "with space"}, "small letters"),
        ({"name": ""}, "small letters"),
        ({"choices": ()}, "1 to 100 choices"),
        ({"choices": ("a", "a"), "default": "a"}, "each once"),
        ({"choices": tuple(map(str, range(101))), "default": "1"}, "1 to 100 choices"),
        ({"choices": ("a b",), "default": "a b"}, "no word"),
        ({"choices": ("x" * 76,), "default": "x" * 76}, "no word of 1 to 75"),
        ({"default": "other"}, "none of its choices"),
    ],
)
def test_option_that_slack_cannot_show_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    """R14: when the team is loaded."""
    with pytest.raises(ValueError, match=sentence):
        Option(**{"name": "mode", "label": "Mode", "choices": ("always", "never"), "default": "never", **wrong})


def test_records_from_before_options_load() -> None:
    teams = Codec(list[TeamInfo]).load(b'[{"name":"email","line":"writes","problem":""}]')
    assert teams == [TeamInfo("email", "writes")]
    run = Codec(Run).load(
        b'{"id":"r1","workspace":"T1","channel":"C1","requester":"U1","team":"email","task":"x",'
        b'"created_at":"2026-03-06T17:00:00Z"}'
    )
    assert run.options == {}


def test_worker_announces_options_completely() -> None:
    codec: Codec[list[TeamInfo]] = Codec(list[TeamInfo])
    told = [TeamInfo("chat", "talks", options=(Option("mode", "Mode", ("a", "b"), "b", "how"),))]
    assert codec.load(codec.dump(told)) == told
