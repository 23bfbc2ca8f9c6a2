"""Bugs in how a run survives: leases, the journal, wake-ups, parking."""

from typing import Final

from planted.bug import Bug

_FLOWS = "tests/bot/test_flows.py::"
_PARKING = "tests/bot/test_parking.py::"
_JOURNAL = "tests/agents/test_journal.py::"
_DOUBTS = "tests/agents/test_doubts.py::"
_SCRIBE = "tests/slack/test_scribe.py::"
_LEASES = "tests/store/test_leases.py::"
_FROZEN = "tests/agents/test_frozen.py::"
_LETTING_GO = "tests/agents/test_letting_go.py::"

RUNNING: Final = (
    Bug(
        "`started` is not written before the tool",
        "R4",
        "agents/journal.py",
        "    stands = await journal.record(key, mine, replace=again)\n",
        "    stands = mine\n",
        (_DOUBTS + "test_a_worker_killed_while_it_acts_leaves_a_question_and_people_say_that_it_ran",),
    ),
    Bug(
        "nobody asks right before the action whether it is still wanted",
        "R4",
        "agents/journal.py",
        "        await wanted()\n",
        "        pass\n",
        (
            _JOURNAL + "test_an_effect_that_is_no_longer_wanted_is_not_done",
            _DOUBTS + "test_a_worker_that_froze_right_before_the_action_does_not_act",
        ),
    ),
    Bug(
        "the journal's key leaves out the occurrence",
        "R4",
        "agents/journal.py",
        'return f"{name}/{self._times[name] - 1}"',
        'return f"{name}/0"',
        (_JOURNAL + "test_a_failure_may_be_tried_again_as_another_step",),
    ),
    Bug(
        "the journal is not fenced",
        "R4",
        "bot/store/record.lua",
        "~= ARGV[1] then return nil end",
        "~= ARGV[1] and false then return nil end",
        (_JOURNAL + "test_who_lost_the_run_does_nothing_outside",),
    ),
    Bug(
        "the run's checkpoint is not fenced",
        "R4",
        "bot/store/commit.lua",
        "if plan.fence and tonumber",
        "if false and tonumber",
        (
            _FLOWS + "test_a_lost_lease_writes_nothing",
            _PARKING + "test_a_parked_run_has_no_lease_and_its_last_holder_changes_nothing",
        ),
    ),
    Bug(
        "progress is written without the lease",
        "R4",
        "bot/flows/running.py",
        "change = Change(runs=(Put(step.run, seen.version),), events=step.events, lease=lease, delivered=delivered)",
        "change = Change(runs=(Put(step.run, seen.version),), events=step.events, delivered=delivered)",
        (_FLOWS + "test_a_lost_lease_writes_nothing",),
    ),
    Bug(
        "a model's call does not end with its run",
        "R4",
        "agents/journaled_model.py",
        "            self._token.link_future(call)\n",
        "",
        (_LETTING_GO + "test_a_worker_told_to_stop_while_a_team_plans_hands_it_over_at_once[ledger-structured]",),
    ),
    Bug(
        "a lost lease comes out of the model as an error",
        "R4",
        "agents/journaled_model.py",
        "if self._token.is_cancelled():",
        "if False:",
        (_JOURNAL + "test_a_lost_lease_is_told_past_autogen_which_turns_errors_into_text",),
    ),
    Bug(
        "two workers hold one lease",
        "R4",
        "bot/store/lease.lua",
        "tonumber(held[3]) > now and held[2] ~= owner then return 0 end",
        "tonumber(held[3]) > now and false then return 0 end",
        (_LEASES + "test_a_lease_is_one_owners_until_it_lets_go",),
    ),
    Bug(
        "a claim keeps the fence",
        "R4",
        "bot/store/lease.lua",
        "math.max(last + 1, now)",
        "math.max(last, 1)",
        (_LEASES + "test_an_owner_that_claims_again_fences_its_own_past",),
    ),
    Bug(
        "an old holder renews and releases",
        "R4",
        "bot/store/lease.lua",
        "if held[2] ~= owner or (mine >= 0 and last ~= mine) then return 0 end",
        "",
        (
            _LEASES + "test_a_lease_whose_time_is_over_is_anybodys_and_its_old_holder_has_no_say",
            _LEASES + "test_one_process_draws_slack_until_it_lets_go",
        ),
    ),
    Bug(
        "a worker that stops keeps its leases",
        "R4",
        "agents/runner.py",
        "            await self._store.release(lease)\n",
        "",
        (_LETTING_GO + "test_a_worker_told_to_stop_while_a_team_plans_hands_it_over_at_once[ledger-structured]",),
    ),
    Bug(
        "a worker that stops asks nobody to go on",
        "R4",
        "agents/runner.py",
        "await self._queue.advance(lease.run, after=SOON)",
        "pass",
        (_FROZEN + "test_a_run_of_a_worker_told_to_stop_is_in_the_hands_of_another_within_a_second",),
    ),
    Bug(
        "an action in doubt is done again",
        "R4",
        "agents/journal.py",
        "again = idempotent and before is not None",
        "again = before is not None",
        (_JOURNAL + "test_an_effect_that_was_started_and_never_ended_is_not_repeated",),
    ),
    Bug(
        "changed code asks nobody",
        "R4",
        "agents/doubts.py",
        "            if unused := self._unused(agent):\n",
        "            if False and (unused := self._unused(agent)):\n",
        (_DOUBTS + "test_people_may_stop_a_run_whose_code_changed",),
    ),
    Bug(
        "what a killed scribe had in hand is not read again",
        "R4",
        "bot/store/outbox.py",
        'what was handed out but not finished."""\n        self._undelivered = "0"\n',
        'what was handed out but not finished."""\n        self._undelivered = ">"\n',
        (_SCRIBE + "test_what_a_killed_scribe_had_in_hand_is_drawn_by_the_next_at_once",),
    ),
    Bug(
        "no read-back after a resubscribe",
        "R5",
        "bot/store/wakeups.py",
        "elif message is not None or loop.time() >= read_back_at:",
        "elif read_back_at == 0.0 or loop.time() >= read_back_at:",
        (_FLOWS + "test_a_decision_made_while_the_subscription_was_cut_is_read_back",),
    ),
    Bug(
        "a run parks though the last answer has just come",
        "R5",
        "bot/store/commit.lua",
        "ipairs({plan.records, plan.unchanged})",
        "ipairs({plan.records})",
        (_PARKING + "test_a_decision_that_comes_while_a_run_parks_keeps_it_in_memory",),
    ),
    Bug(
        "a decision does not ask for its parked run",
        "R5",
        "bot/store/commit.lua",
        "return 'done, parked' end",
        "return 'done' end",
        (_PARKING + "test_a_decision_asks_for_a_parked_run_by_a_signal_of_its_own",),
    ),
    Bug(
        "a parked run whose job was lost is not found",
        "R5",
        "agents/runner.py",
        "for request in await self._store.undelivered(10_000, UNHEARD):",
        "for request in []:",
        ("tests/agents/test_parked_runs.py::test_a_decision_whose_job_was_lost_is_found_counted_and_logged",),
    ),
    Bug(
        "a signal that comes while a run is let go is lost",
        "R5",
        "bot/store/queue.py",
        "            self._again.add(of)\n",
        "            pass\n",
        ("tests/store/test_queue.py::test_a_signal_is_heard_though_the_job_of_its_run_is_just_ending",),
    ),
    Bug(
        "the agent is not told that a no is a no in every way",
        "R16",
        "agents/wording.py",
        '"REJECTED", "Rejected by {by} at {at}. It was not done and must not be done.", _SAY_IT + _NOT_ALLOWED',
        '"REJECTED", "Rejected by {by} at {at}. It was not done and must not be done.", _SAY_IT',
        ("tests/agents/test_answers.py::test_what_was_not_allowed_is_not_allowed_in_another_way",),
    ),
    Bug(
        "a run that waits never leaves memory",
        "R22",
        "agents/runner.py",
        "if await patiently(lambda: flows.park(self._store, lease, context.activity.asked)):",
        "if False:",
        ("tests/agents/test_parked_runs.py::test_a_run_leaves_memory_for_every_question_and_repeats_nothing",),
    ),
    Bug(
        "a tool in an agent's own list is not seen",
        "R19",
        "agents/doors.py",
        "    if door:\n",
        "    if False:\n",
        ("tests/agents/test_doors.py::test_a_door_past_the_gate_is_refused_before_anything_is_done[a function]",),
    ),
    Bug(
        "a client that has every attribute is taken for one that asks",
        "R19",
        "agents/toolbox.py",
        'return inspect.isroutine(thing) and getattr(thing, "asks_itself", False) is True',
        'return bool(getattr(thing, "asks_itself", False))',
        ("tests/agents/test_doors.py::test_a_door_past_the_gate_is_refused_before_anything_is_done[a client]",),
    ),
    Bug(
        "a team inside a team is not looked into",
        "R19",
        "agents/doors.py",
        "            if isinstance(thing, ChatAgent | Team):\n",
        "            if isinstance(thing, ChatAgent):\n",
        ("tests/agents/test_doors.py::test_a_door_past_the_gate_is_refused_before_anything_is_done[a team in a team]",),
    ),
)
