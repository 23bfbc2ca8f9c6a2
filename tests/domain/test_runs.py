"""The life of a run."""

import pytest

from countersign.domain import runs
from countersign.domain.activity import Usage, Writing
from countersign.domain.ids import RunId
from countersign.domain.runs import MOVES, Status, Verb
from tests.sample_requests import ALICE, GENERAL, HERE, NOW, later


def queued() -> runs.Run:
    return runs.start(
        RunId("r1"), workspace=HERE, channel=GENERAL, requester=ALICE, team="email", task="write", now=NOW
    ).run


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("verb", list(Verb))
def test_run_makes_only_the_moves_in_the_table(status: Status, verb: Verb) -> None:
    from dataclasses import replace

    run = replace(queued(), status=status)
    moved = runs.move(run, verb, later(seconds=1))
    expected = MOVES[status].get(verb)
    assert (moved.status if moved else None) == expected
    if moved is not None:
        assert (moved.ended_at is not None) == moved.over


def test_ended_run_does_not_end_again() -> None:
    ended = runs.end(queued(), Verb.STOP, NOW, result="Stopped.", user=ALICE)
    assert ended.run.status is Status.STOPPED
    assert len(ended.events) == 1
    assert runs.end(ended.run, Verb.FAIL, later(seconds=1), result="no").run == ended.run


def test_run_keeps_recent_progress_and_events_keep_all() -> None:
    """R29: ten lines in the run's own record."""
    run = queued()
    for number in range(15):
        step = runs.note_progress(run, "drafter", f"draft {number}", later(seconds=number))
        assert step.events[0].data["words"] == f"draft {number}"
        run = step.run
    assert [p.words for p in run.progress] == [f"draft {n}" for n in range(5, 15)]


def test_text_being_written_is_shown_but_never_logged() -> None:
    """Until it is said, or the run ends."""
    step = runs.note_writing(queued(), Writing("drafter", 1240, "Dear vendor, the secret"), NOW)
    assert step.events[0].data == {"agent": "drafter", "words": "is writing 1,240 characters"}
    assert step.run.writing is not None
    assert runs.note_progress(step.run, "drafter", "Dear vendor", NOW).run.writing is None
    assert runs.end(step.run, Verb.STOP, NOW, result="Stopped.").run.writing is None


def test_plan_is_bounded_and_repeating_it_changes_nothing() -> None:
    """R29, R8: neither saying it again nor ticking a step twice."""
    run = runs.note_plan(queued(), 1, ["Release\n" * 40] * 30, NOW).run
    assert len(run.plan) == 20
    assert {len(step.title) for step in run.plan} == {80}
    done = runs.note_step(run, 1, 3, later(seconds=1)).run
    assert [place for place, step in enumerate(done.plan) if step.done_at] == [3]
    for again in (
        runs.note_plan(done, 1, ["Other"], later(seconds=2)),
        runs.note_step(done, 1, 3, later(seconds=2)),
        runs.note_step(done, 1, 20, later(seconds=2)),
    ):
        assert again == runs.Step(done)
    other = runs.note_plan(done, 2, ["Other"], later(seconds=3)).run
    assert [step.title for step in other.plan] == ["Other"]
    assert runs.note_step(other, 1, 0, later(seconds=4)).run == other, "a step of the plan before"


def test_ended_run_keeps_its_usage() -> None:
    usage = Usage(prompt_tokens=7, completion_tokens=2, calls=1)
    assert runs.end(queued(), Verb.FAIL, NOW, result="no", usage=usage).run.usage == usage
