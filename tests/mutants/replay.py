"""Bugs in the order in which everything reaches a rebuilt team."""

from typing import Final

from tests.mutants.mutant import Bug

_ORDER: Final = "tests/autogen/test_replay_order.py::"
_CHANGES: Final = "tests/autogen/test_changed_code.py::"
_DOUBTS: Final = "tests/autogen/test_unknown_outcomes.py::"
_JOURNAL: Final = "tests/autogen/test_journal.py::"
_NOTHING_AWAITED: Final = "tests/autogen/test_kill_shapes.py::test_nothing_is_awaited_between_turn_and_return"
_KILLS: Final = "tests/autogen/test_kill_shapes.py::test_run_killed_at_any_entry_ends_the_same"
_LATE: Final = "tests/autogen/test_late_cancellation.py::"
_CAME: Final = "test_an_answer_that_had_come_comes_again_though_a_deadline_passes_before"
_SHAPES: Final = (
    "tests/autogen/test_rebuild_shapes.py::test_a_run_of_any_shape_lost_at_any_entry_ends_as_if_nothing_had_been"
)

REPLAYING: Final = (
    Bug(
        "asyncio tells once more why a late note was not written",
        "R5",
        "countersign/runs/write_behind.py",
        "        self._last.add_done_callback(_retrieve)\n",
        "",
        ("tests/autogen/test_write_behind.py::test_a_note_that_nobody_waits_for_leaves_no_error_behind",),
    ),
    Bug(
        "a question is taken back by an id that it does not have",
        "R5",
        "countersign/frameworks/autogen/people/run_questions.py",
        "id = request_id(self.held.run.id, question)",
        'id = request_id(self.held.run.id, replace(question, salt=""))',
        (
            "tests/autogen/test_gated_tools.py::test_a_question_that_the_team_leaves_is_withdrawn_and_never_answered_again",
        ),
    ),
    Bug(
        "a result passes before the turns that had ended",
        "R4",
        "countersign/runs/replay_order.py",
        "if self._events[0] is not event or self._settling:",
        "if self._settling:",
        (
            _ORDER + "test_a_result_waits_for_the_turns_that_had_ended_and_a_turn_for_the_results_that_had_come",
            _SHAPES + "[local_work-near]",
        ),
    ),
    Bug(
        "a result passes before what had been asked for is asked for again",
        "R4",
        "countersign/runs/replay_order.py",
        "return not event.recorded or all(self.wait(name).asked for name in event.asked)",
        "return True",
        (_ORDER + "test_a_result_waits_until_what_had_been_asked_for_is_asked_for_again",),
    ),
    Bug(
        "a deadline of the team's own ends the wait for an answer that had come in time",
        "R4",
        "countersign/runs/run_journal.py",
        "if self.is_leaving() or self.order.closed:",
        "if True:",
        (_LATE + _CAME + "[asker]",),
    ),
    Bug(
        "a deadline ends a call that had begun before it is made again",
        "R4",
        "countersign/runs/run_journal.py",
        "            return not self._begun()\n",
        "            return True\n",
        (_LATE + "test_deadline_waits_for_a_call_that_had_begun",),
    ),
    Bug(
        "something before a left call is left in its place",
        "R4",
        "countersign/runs/run_journal.py",
        "        left = event.name in keys and self._entries[event.name].left\n"
        "        return left and self.order.wait(event.name).asked and",
        "        return self._entries[event.name].left and",
        (_LATE + "test_call_that_was_left_is_asked_for_before_it_is_left_again",),
    ),
    Bug(
        "the turn of an agent whose call was left keeps its place",
        "R4",
        "countersign/runs/replay_order.py",
        "            event.automatic = True\n            self.notify()\n            raise\n",
        "            raise\n",
        (_ORDER + "test_turn_of_a_left_agent_keeps_no_place",),
    ),
    Bug(
        "an event needs a key inside a call that is left again before that key",
        "R4",
        "countersign/runs/run_journal.py",
        "            await self._begin_nothing_in_a_left_call()\n        self.order.begin_wait(key)\n",
        "            self.order.begin_wait(key)\n            await self._begin_nothing_in_a_left_call()\n",
        (_LATE + "test_event_names_no_key_inside_a_left_call",),
    ),
    Bug(
        "a doubt that the team leaves is in no entry",
        "R4",
        "countersign/frameworks/autogen/unknown_outcomes.py",
        "            self._journal.abandon(asked)\n",
        "",
        (_DOUBTS + "test_step_that_was_left_in_doubt_is_left_again",),
    ),
    Bug(
        "what is asked inside an effect is counted with what is asked around it",
        "R4",
        "countersign/runs/run_journal.py",
        "times, about = (self.times, content) if around is None else",
        "times, about = (self.times, content) if True else",
        (_KILLS + "[clock_and_luck]",),
    ),
    Bug(
        "a call that was left cannot be left again",
        "R4",
        "countersign/runs/run_journal.py",
        "        if event is not None:\n            event.automatic = True\n",
        "        if event is not None:\n",
        (_KILLS + "[left_call]",),
    ),
    Bug(
        "what an agent says because its call was cut off is in the run's order",
        "R4",
        "countersign/runs/replay_order.py",
        "        if self.closed:  # it says",
        "        if False:  # it says",
        (_ORDER + "test_turns_and_waits_after_leaving_are_in_no_entry",),
    ),
    Bug(
        "the gate reads the store between the turn of its verdict and the agent",
        "R4",
        "countersign/frameworks/autogen/tools/approval_gate.py",
        "        same = await self._recorded_refusal(key)\n        entry = await self._journal.replayed(key)\n",
        "        entry = await self._journal.replayed(key)\n        same = await self._recorded_refusal(key)\n",
        (_NOTHING_AWAITED + "[as_they_come-13]",),
    ),
    Bug(
        "branches do not settle between two events",
        "R4",
        "countersign/runs/replay_order.py",
        "            self._settle(SETTLED)\n",
        "            self._settle(0)\n",
        (_ORDER + "test_branches_settle_between_two_events",),
    ),
    Bug(
        "calls at once do not settle between two events",
        "R4",
        "countersign/runs/replay_order.py",
        "if self._in_branches() or self.several_calls():",
        "if self._in_branches():",
        (_ORDER + "test_calls_at_once_settle_between_two_events",),
    ),
    Bug(
        "the order is given up without asking people",
        "R4",
        "countersign/runs/replay_order.py",
        "                self.stuck(name)\n",
        "                self._events = [event for event in self._events if event.awaited]\n",
        (_ORDER + "test_what_nobody_comes_to_any_more_is_told_and_nothing_passes_without_it",),
    ),
    Bug(
        "an entry of another version is read as far as it fits",
        "R29",
        "countersign/runs/entries.py",
        'ConfigDict(extra="forbid")',
        'ConfigDict(extra="ignore")',
        (_JOURNAL + "test_an_entry_that_is_none_is_refused_by_name",),
    ),
    Bug(
        "a model's error is not recorded",
        "R4",
        "countersign/frameworks/autogen/models/answer_recorder.py",
        '                            await self._journal.record_result(key, Entry("failed", dump_error(error)))\n',
        "                            pass\n",
        (_SHAPES + "[retrying-near]",),
    ),
    Bug(
        "what the team left is given to it all the same when it is rebuilt",
        "R4",
        "countersign/runs/run_journal.py",
        "        elif entry.left:\n",
        "        elif False:\n",
        (_SHAPES + "[impatient-near]",),
    ),
    Bug(
        "a question that nobody waits for any more stays open",
        "R5",
        "countersign/frameworks/autogen/people/run_questions.py",
        "                self.held.call_behind(TakeBack(id, _GONE))\n",
        "",
        (
            "tests/autogen/test_gated_tools.py::test_a_question_that_the_team_leaves_is_withdrawn_and_never_answered_again",
        ),
    ),
    Bug(
        "two doubts about the same words are one question",
        "R4",
        "countersign/frameworks/autogen/unknown_outcomes.py",
        "            notes=_which_action(key),\n",
        "",
        (_DOUBTS + "test_two_identical_actions_in_doubt_are_two_questions",),
    ),
    Bug(
        "“Continue” leaves the missing turn in its place",
        "R4",
        "countersign/frameworks/autogen/changed_code.py",
        "{*self._unused(who), divergence.missing}",
        "{*self._unused(who)}",
        (_CHANGES + "test_continuing_leaves_out_the_missing_turn_too",),
    ),
    Bug(
        "changed code asks nobody",
        "R4",
        "countersign/frameworks/autogen/changed_code.py",
        "        if not known and self._unused(who) and",
        "        if False and not known and self._unused(who) and",
        (_CHANGES + "test_people_may_stop_a_run_whose_code_changed",),
    ),
    Bug(
        "calls are asked about as changed code while the store tells of the others' decisions",
        "R4",
        "countersign/runs/pending_calls.py",
        "return any(call.agent == agent and not call.asked for call in self._calls)",
        "return False",
        (_CHANGES + "test_calls_whose_decisions_are_found_late_are_no_change_of_the_code[allowed automatically]",),
    ),
)
