"""Bugs in the order in which everything reaches a rebuilt team."""

from typing import Final

from tests.mutants.mutant import Bug

_ORDER: Final = "tests/autogen/test_replay_order.py::"
_CHANGES: Final = "tests/autogen/test_changed_code.py::"
_DOUBTS: Final = "tests/autogen/test_unknown_outcomes.py::"
_JOURNAL: Final = "tests/autogen/test_journal.py::"
_NOTHING_AWAITED: Final = "tests/autogen/test_kill_shapes.py::test_result_is_returned_without_waiting_after_its_turn"
_KILLS: Final = "tests/autogen/test_kill_shapes.py::test_run_killed_at_any_entry_ends_the_same"
_LATE: Final = "tests/autogen/test_late_cancellation.py::"
_CAME: Final = "test_recorded_answer_returns_before_a_later_cancellation"
_SHAPES: Final = "tests/autogen/test_rebuild_shapes.py::test_run_of_any_shape_survives_loss_at_any_entry"

REPLAYING: Final = (
    Bug(
        "asyncio tells once more why a late note was not written",
        "R5",
        "countersign/runs/write_behind.py",
        "        self._last.add_done_callback(_retrieve)\n",
        "",
        ("tests/autogen/test_write_behind.py::test_failed_delivery_note_without_a_waiter_leaves_no_warning",),
    ),
    Bug(
        "a question is taken back by an id that it does not have",
        "R5",
        "countersign/frameworks/autogen/people/run_questions.py",
        "id = request_id(self.held.run.id, question)",
        'id = request_id(self.held.run.id, replace(question, salt=""))',
        ("tests/autogen/test_gated_tools.py::test_abandoned_question_is_withdrawn_and_stays_unanswered",),
    ),
    Bug(
        "a result passes before the turns that had ended",
        "R4",
        "countersign/runs/replay_order.py",
        "if self._events[0] is not event or self._settling:",
        "if self._settling:",
        (
            _ORDER + "test_results_and_turns_wait_for_each_others_recorded_order",
            _SHAPES + "[local_work-near]",
        ),
    ),
    Bug(
        "a result passes before what had been asked for is asked for again",
        "R4",
        "countersign/runs/replay_order.py",
        "return not event.recorded or all(self.wait(name).asked for name in event.asked)",
        "return True",
        (_ORDER + "test_result_waits_until_its_recorded_questions_are_asked",),
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
        (_LATE + "test_abandoned_call_is_begun_before_it_is_abandoned",),
    ),
    Bug(
        "the turn of an agent whose call was left keeps its place",
        "R4",
        "countersign/runs/replay_order.py",
        "            event.automatic = True\n            self.notify()\n            raise\n",
        "            raise\n",
        (_ORDER + "test_turn_of_an_abandoned_agent_keeps_no_place",),
    ),
    Bug(
        "an event needs a key inside a call that is left again before that key",
        "R4",
        "countersign/runs/run_journal.py",
        "            await self._begin_nothing_in_a_left_call()\n        self.order.begin_wait(key)\n",
        "            self.order.begin_wait(key)\n            await self._begin_nothing_in_a_left_call()\n",
        (_LATE + "test_abandoned_event_names_no_key_inside_its_call",),
    ),
    Bug(
        "a doubt that the team leaves is in no entry",
        "R4",
        "countersign/frameworks/autogen/unknown_outcomes.py",
        "            self._journal.abandon(asked)\n",
        "",
        (_DOUBTS + "test_abandoned_doubtful_step_is_abandoned_again",),
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
        "        if self.closed:  # it speaks",
        "        if False:  # it speaks",
        (_ORDER + "test_turns_after_leaving_are_recorded_nowhere",),
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
        (_ORDER + "test_branches_settle_before_the_next_replayed_event",),
    ),
    Bug(
        "calls at once do not settle between two events",
        "R4",
        "countersign/runs/replay_order.py",
        "if self._in_branches() or self.several_calls():",
        "if self._in_branches():",
        (_ORDER + "test_simultaneous_calls_settle_before_the_next_replayed_event",),
    ),
    Bug(
        "the order is given up without asking people",
        "R4",
        "countersign/runs/replay_order.py",
        "                self.stuck(name)\n",
        "                self._events = [event for event in self._events if event.awaited]\n",
        (_ORDER + "test_missing_recorded_step_is_reported_and_blocks",),
    ),
    Bug(
        "an entry of another version is read as far as it fits",
        "R29",
        "countersign/runs/entries.py",
        'ConfigDict(extra="forbid")',
        'ConfigDict(extra="ignore")',
        (_JOURNAL + "test_invalid_entry_is_refused_by_name",),
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
        ("tests/autogen/test_gated_tools.py::test_abandoned_question_is_withdrawn_and_stays_unanswered",),
    ),
    Bug(
        "two doubts about the same words are one question",
        "R4",
        "countersign/frameworks/autogen/unknown_outcomes.py",
        "            notes=_which_action(key),\n",
        "",
        (_DOUBTS + "test_identical_actions_in_doubt_are_two_questions",),
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
        (_CHANGES + "test_reviewers_may_stop_a_run_whose_code_changed",),
    ),
    Bug(
        "calls are asked about as changed code while the store tells of the others' decisions",
        "R4",
        "countersign/runs/replay_order.py",
        "return any(call.agent == agent and not call.asked for call in self._calls)",
        "return False",
        (_CHANGES + "test_late_found_decisions_are_not_a_code_change[allowed automatically]",),
    ),
)
