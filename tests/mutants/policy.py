"""Bugs in the workspace's policy: what passes, what is asked, and under which rules."""

from typing import Final

from tests.mutants.mutant import Bug

_RULEBOOK = "tests/policy/test_evaluation.py::"
_IN_FORCE = "tests/policy/test_policy_in_force.py::"
_AT_THE_GATE = "tests/autogen/test_gate_policy.py::"
_EDITS = "tests/domain/test_edits_and_choices.py::"
_CONDITIONS = "tests/policy/test_conditions.py::"
_ONE = "tests/autogen/test_one_value.py::"
_SETTINGS = "tests/domain/test_channel_settings.py::"
_CLICKS = "tests/slack/test_actions.py::"

POLICY: Final = (
    Bug(
        "the members of another channel decide",
        "R9",
        "countersign/domain/channel_settings.py",
        "step.reviewers.at(step.channel or there)",
        "step.reviewers.at(there)",
        (_SETTINGS + "test_the_members_of_a_channel_are_those_of_the_one_that_the_card_goes_to",),
    ),
    Bug(
        "only the first page of a channel's members is read",
        "R9",
        "bot/slack/people/directory.py",
        "if not cursor:\n                return frozenset(found)",
        "if found:\n                return frozenset(found)",
        (_CLICKS + "test_members_of_the_channel_decide_and_nobody_else",),
    ),
    Bug(
        "the mildest rule wins",
        "R19",
        "countersign/policy/evaluation.py",
        "strictest = max(fitting,",
        "strictest = min(fitting,",
        (_RULEBOOK + "test_the_strictest_that_fits_wins_and_in_doubt_people_are_asked",),
    ),
    Bug(
        "a condition that cannot be judged lets pass",
        "R19",
        "countersign/policy/evaluation.py",
        "        if clause.effect is Effect.PASS:\n            return",
        "        if False:\n            return",
        (_AT_THE_GATE + "test_a_condition_that_cannot_be_judged_lets_nothing_pass",),
    ),
    Bug(
        "a policy makes the quorum smaller",
        "R11",
        "countersign/domain/channel_settings.py",
        '"quorum", max)',
        '"quorum")',
        (_RULEBOOK + "test_a_policy_makes_a_channels_settings_stricter_and_never_milder",),
    ),
    Bug(
        "high risk is approved by timeout",
        "R23",
        "countersign/policy/evaluation.py",
        "if asked.risk is Risk.HIGH and asked.on_timeout is OnTimeout.APPROVE:",
        "if False:",
        (
            _RULEBOOK + "test_high_risk_is_never_approved_by_timeout",
            _IN_FORCE + "test_high_risk_is_not_approved_by_timeout_though_the_channel_says_so",
        ),
    ),
    Bug(
        "what the policy refuses is asked",
        "R19",
        "countersign/usecases/effective_settings.py",
        "        if said.effect is Effect.REFUSE:\n",
        "        if False:\n",
        (_IN_FORCE + "test_what_the_policy_refuses_is_asked_of_nobody_and_is_in_the_record",),
    ),
    Bug(
        "a refusal by policy is on record each time the run is rebuilt",
        "R25",
        "countersign/usecases/questions.py",
        "Change(events=(event,), lease=lease, once=AttemptId(read.request))",
        "Change(events=(event,), lease=lease)",
        (_IN_FORCE + "test_what_the_policy_refuses_is_asked_of_nobody_and_is_in_the_record",),
    ),
    Bug(
        "a request that nobody could decide is asked",
        "R10",
        "countersign/usecases/effective_settings.py",
        "Ruled(rules, settings, None if nobody is None else _refused(Refusal.NOBODY_COULD, nobody))",
        "Ruled(rules, settings)",
        (_IN_FORCE + "test_a_request_that_nobody_could_decide_is_refused_before_it_is_asked",),
    ),
    Bug(
        "nobody looks into the policy",
        "R19",
        "countersign/usecases/effective_settings.py",
        "evaluation.judge(await store.rulebook(), action, team_says)",
        "evaluation.judge(evaluation.Rulebook(), action, team_says)",
        (
            _AT_THE_GATE + "test_what_the_policy_refuses_does_not_run_and_the_model_reads_by_which_rule",
            _AT_THE_GATE + "test_the_stricter_of_team_and_policy_asks",
        ),
    ),
    Bug(
        "one of several may change the content",
        "R11, R13",
        "countersign/domain/decision_rules.py",
        "        if request.rules.quorum > 1:\n            return Refusal.EDIT_NEEDS_ONE\n",
        "",
        (_EDITS + "test_where_several_must_approve_one_person_cannot_change_the_content",),
    ),
    Bug(
        "other arguments come along with an approval",
        "R13",
        "countersign/domain/decision_rules.py",
        "    if attempt.arguments:\n        return Refusal.NOT_OFFERED\n",
        "",
        (_EDITS + "test_other_arguments_do_not_come_along_with_another_verb",),
    ),
    Bug(
        "an agent's rule does not count where its run has two humans",
        "R19",
        "countersign/usecases/effective_settings.py",
        "judge(store, run, asker(question), question.call, Effect.ASK)",
        "judge(store, run, question.agent, question.call, Effect.ASK)",
        (_IN_FORCE + "test_a_rule_that_names_an_agent_counts_whichever_of_several_humans_it_asks",),
    ),
    Bug(
        "a condition looks into a text of any length",
        "R19",
        "countersign/policy/conditions.py",
        "if isinstance(side, str) and len(side) > LOOKED_AT:",
        "if False:",
        (_CONDITIONS + "test_an_argument_too_long_to_be_looked_at_cannot_be_judged",),
    ),
    Bug(
        "capitals pass a condition by",
        "R28",
        "countersign/domain/json_comparison.py",
        "left == right or _doubted(_folded(left) == _folded(right))",
        "left == right",
        (_CONDITIONS + "test_what_a_tool_may_take_for_the_same_is_neither_the_same_nor_different",),
    ),
    Bug(
        "a character that nobody sees passes a condition by",
        "R28",
        "countersign/domain/json_comparison.py",
        "    return char in EMPTY or _SELECTS.match(char) is not None\n",
        "    return False\n",
        (_CONDITIONS + "test_what_a_tool_may_take_for_the_same_is_neither_the_same_nor_different",),
    ),
    Bug(
        "another JSON type passes a condition by",
        "R28",
        "countersign/domain/json_comparison.py",
        '        raise CannotTell(f"{kinds[0]} and {kinds[1]} cannot be compared")\n',
        "        return False\n",
        (_CONDITIONS + "test_what_a_tool_may_take_for_the_same_is_neither_the_same_nor_different",),
    ),
    Bug(
        "a rule lets tools pass that are called almost like the one that it names",
        "R28",
        "countersign/policy/evaluation.py",
        "exactly=clause.effect is Effect.PASS",
        "exactly=False",
        (_RULEBOOK + "test_the_strictest_that_fits_wins_and_in_doubt_people_are_asked",),
    ),
    Bug(
        "whom a rule names for small things decides on large ones by an edit",
        "R19",
        "countersign/usecases/decisions.py",
        "return rules.quorum > 1 or not alone",
        "return rules.quorum > 1",
        (_IN_FORCE + "test_who_changes_a_call_is_one_who_may_decide_on_the_changed_one",),
    ),
    Bug(
        "a doubt is decided by the channel's rules, whatever the policy says of its tool",
        "R11",
        "countersign/usecases/effective_settings.py",
        "rules = evaluation.apply(await _of_doubt(store, run, question, settings), settings)",
        "pass",
        (_IN_FORCE + "test_whether_it_is_done_again_needs_those_who_may_have_it_done",),
    ),
    Bug(
        "what the model wrote is judged, and what the tool makes of it runs",
        "R28",
        "countersign/autogen/tools/gated_tools.py",
        "name, written(taken), self._ask",
        "name, written(given), self._ask",
        (
            _ONE + "test_every_kind_of_tool_is_judged_by_the_value_that_it_takes",
            _ONE + "test_what_is_judged_shown_digested_recorded_and_run_is_one_value",
        ),
    ),
    Bug(
        "a workbench's schema is not looked at",
        "R28",
        "countersign/autogen/tools/arguments.py",
        "    if wrong := why_not(taken, closed(parameters), parameters, whole=True):\n",
        "    if wrong := None:\n",
        (
            _ONE
            + "test_every_kind_of_tool_is_judged_by_the_value_that_it_takes[a workbench with a schema-the team's code]",
            _ONE + "test_what_a_workbench_does_not_name_is_refused_or_seen[more0]",
        ),
    ),
    Bug(
        "what a reviewer entered runs as the tool reads it",
        "R28",
        "countersign/autogen/tools/arguments.py",
        "    if not _holds(taken, entered):\n",
        "    if False:\n",
        (_ONE + "test_what_a_reviewer_enters_is_what_runs_or_nothing_does",),
    ),
    Bug(
        "a drawn call keeps what its tool does not describe to itself",
        "R13",
        "countersign/autogen/tools/gated_tools.py",
        "            show = None\n",
        "            pass\n",
        (_ONE + "test_what_a_workbench_does_not_name_is_refused_or_seen[more2]",),
    ),
    Bug(
        "a tool that comes later passes because others were named",
        "R19",
        "countersign/autogen/tools/gated_tools.py",
        "            if isinstance(rules.ask, str | Collection) and not isinstance(rules.ask, Mapping):\n",
        "            if False:\n",
        (_ONE + "test_a_tool_that_a_workbench_has_only_later_asks_though_others_are_named",),
    ),
    Bug(
        "hidden is only what was there when it was asked",
        "R15",
        "countersign/autogen/tools/approval_gate.py",
        "    return Call(wanted.tool, wanted.arguments, wanted.schema, wanted.hide)",
        "    return Call(wanted.tool, wanted.arguments, wanted.schema)",
        (_ONE + "test_what_is_hidden_stays_so_in_changes_and_in_errors",),
    ),
    Bug(
        "the errors of tools tell what is hidden",
        "R15",
        "countersign/autogen/tools/arguments.py",
        "    return unspoken(told, given, hide)\n",
        "    return told\n",
        (_ONE + "test_what_is_hidden_stays_so_in_changes_and_in_errors",),
    ),
    Bug(
        "who asked does not read why a rule refused",
        "R16",
        "countersign/autogen/tools/approval_gate.py",
        "self.outcomes.add(replace(outcome, reason=why), text)",
        "self.outcomes.add(outcome, text)",
        (_ONE + "test_why_a_rule_refuses_is_read_by_who_asked_and_by_the_model",),
    ),
)
