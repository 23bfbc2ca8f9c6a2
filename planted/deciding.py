"""Bugs in who may decide, when, and on what."""

from typing import Final

from planted.bug import Bug

_DECIDING = "tests/core/test_deciding.py::"
_POLICY = "tests/core/test_policy.py::"
_EDITS = "tests/core/test_edits_and_choices.py::"
_FLOWS = "tests/bot/test_flows.py::"
_TABLES = ("tests/core/test_who_may_decide.py::test_every_line_of_the_tables_is_what_the_rules_say",)
_CLICKS = "tests/slack/test_clicks.py::"
_CARDS = "tests/slack/test_cards.py::"
_HIGH_RISK = "tests/core/test_high_risk.py::"
_WINDOWS = "tests/slack/test_high_risk_windows.py::"
_IN_FORCE = "tests/bot/test_policy_in_force.py::"
_SCRIBE = "tests/slack/test_scribe.py::"
_FORGED_RULES = "tests/store/test_forged_rules.py::"
_FORGERY = "tests/store/test_forgery.py::"
_REVIEWING = "tests/slack/test_reviewing.py::"

DECIDING: Final = (
    Bug(
        "the id of a request leaves out its run",
        "R1",
        "bot/core/requests.py",
        "short_name(run, slot_of(question), digest(question), length=16)",
        "short_name(slot_of(question), digest(question), length=16)",
        (_DECIDING + "test_the_id_of_a_request_follows_from_run_place_and_content",),
    ),
    Bug(
        "the question that another one replaced stays open",
        "R1",
        "bot/flows/asking.py",
        "                changed.append(Put(back.request, before.version))\n                events += back.events\n",
        "                pass\n",
        (_FLOWS + "test_other_words_in_the_same_place_withdraw_what_was_asked_before",),
    ),
    Bug(
        "the script stores without comparing versions",
        "R3",
        "bot/store/commit.lua",
        "record.version then return 'stale' end",
        "record.version and false then return 'stale' end",
        (_FLOWS + "test_fifty_clicks_at_once_over_two_processes_decide_once",),
    ),
    Bug(
        "what is settled stays for ever",
        "R4",
        "bot/store/plan.py",
        "for request in settled:\n",
        "for request in settled[:0]:\n",
        (_FLOWS + "test_what_is_settled_ends_by_itself_and_what_waits_does_not",),
    ),
    Bug(
        "who voted once counts for ever",
        "R9",
        "bot/core/votes.py",
        "why_not(known[vote.user]) if vote.user in known else Refusal.NOT_CHECKED",
        "None",
        (*_TABLES, _CLICKS + "test_an_approval_of_somebody_who_left_completes_no_quorum"),
    ),
    Bug(
        "web does not look up who voted before",
        "R9",
        "bot/slack/stand_ins.py",
        "voter, *behind = await asyncio.gather(*(directory.actor(vote.workspace, name, groups) for name in names))",
        "voter, *behind = (Actor(vote.workspace, name, groups) for name in names)",
        (_CLICKS + "test_an_approval_of_somebody_who_left_completes_no_quorum",),
    ),
    Bug(
        "no attempt is recognised again",
        "R8",
        "bot/core/deciding.py",
        "if _counted(request, attempt):",
        "if False:",
        (_DECIDING + "test_the_same_click_delivered_again_counts_once_and_is_no_loser",),
    ),
    Bug(
        "a refused attempt that comes again is recorded again",
        "R8, R25",
        "bot/store/commit.lua",
        "if plan.once and redis.call('EXISTS'",
        "if false and redis.call('EXISTS'",
        (_FLOWS + "test_the_same_click_delivered_five_times_is_one_vote_and_one_record",),
    ),
    Bug(
        "a decision is stored without its attempt's id",
        "R8",
        "bot/core/deciding.py",
        "        attempt.id,\n        attempt.arguments,",
        "        None,\n        attempt.arguments,",
        (
            _DECIDING + "test_the_same_click_delivered_again_counts_once_and_is_no_loser",
            _FLOWS + "test_the_same_click_delivered_five_times_is_one_vote_and_one_record",
        ),
    ),
    Bug(
        "nobody checks who clicks",
        "R9",
        "bot/core/deciding.py",
        "(not_one := rules.reviewers.why_not(actor)) is not None",
        "(not_one := None) is not None",
        (
            _DECIDING + "test_what_does_not_count_is_refused_recorded_and_changes_nothing",
            _CLICKS + "test_only_reviewers_decide_and_the_others_are_told",
        ),
    ),
    Bug(
        "somebody whose account is closed decides",
        "R9",
        "bot/core/people.py",
        "if actor.is_deactivated:",
        "if False:",
        (_CLICKS + "test_somebody_who_left_the_reviewers_with_a_window_open_is_refused_at_the_submit",),
    ),
    Bug(
        "a failed look-up of a group allows",
        "R9",
        "bot/core/people.py",
        "return Refusal.NOT_CHECKED if self.groups else Refusal.NOT_A_REVIEWER",
        "return None if self.groups else Refusal.NOT_A_REVIEWER",
        (_DECIDING + "test_a_failed_look_up_of_a_group_refuses",),
    ),
    Bug(
        "an empty list of reviewers may be set",
        "R10",
        "bot/core/policy.py",
        "    problems = []\n    if not rules.reviewers:\n",
        "    problems = []\n    if False:\n",
        (_POLICY + "test_settings_with_which_nobody_could_decide_are_refused",),
    ),
    Bug(
        "requesters approve their own requests",
        "R10",
        "bot/core/deciding.py",
        "OWN_REQUEST if actor.user == request.requester and not rules.own_requests else None",
        "OWN_REQUEST if False else None",
        (_DECIDING + "test_the_requester_decides_on_their_own_request_only_where_the_channel_says_so",),
    ),
    Bug(
        "the first vote decides",
        "R11",
        "bot/core/deciding.py",
        "< request.rules.quorum:\n            voted",
        "< 1:\n            voted",
        (_DECIDING + "test_a_quorum_counts_each_person_once",),
    ),
    Bug(
        "text approves",
        "R12",
        "bot/core/requests.py",
        "Verb.RESPOND: Status.ANSWERED,",
        "Verb.RESPOND: Status.APPROVED,",
        (
            _DECIDING + "test_free_text_never_approves",
            _CLICKS + "test_free_text_is_never_an_approval",
        ),
    ),
    Bug(
        "an option can pass for a note in what is judged",
        "R13",
        "bot/core/requests.py",
        'else "one", str(len(question.options)), *question.options]',
        'else "one", *question.options]',
        (_EDITS + "test_what_moves_from_one_list_of_a_question_to_another_makes_another_request",),
    ),
    Bug(
        "the digest of what was shown is not compared",
        "R13",
        "bot/core/deciding.py",
        "if attempt.digest != request.digest:",
        "if False:",
        (_CLICKS + "test_a_card_that_shows_other_content_decides_nothing",),
    ),
    Bug(
        "what is of high risk needs no window",
        "R9, R13",
        "bot/core/high_risk.py",
        "    if opened_for != by:\n        return Refusal.NOT_OPENED\n",
        "",
        (
            _HIGH_RISK + "test_what_is_of_high_risk_is_approved_by_who_opened_all_of_it_and_typed_the_word",
            _WINDOWS + "test_the_window_of_somebody_else_approves_nothing",
        ),
    ),
    Bug(
        "any word approves what is of high risk",
        "R13",
        "bot/core/high_risk.py",
        "_letters(typed) != _letters(wanted)",
        "not _letters(typed)",
        (
            _HIGH_RISK + "test_what_is_of_high_risk_is_approved_by_who_opened_all_of_it_and_typed_the_word",
            _WINDOWS + "test_the_word_is_asked_where_all_of_it_is_shown",
        ),
    ),
    Bug(
        "silence approves where nobody wants that any more",
        "R23",
        "bot/flows/settling.py",
        "(await rules_for(store, run.value, request.question)).on_timeout is",
        "request.rules.on_timeout is",
        (_IN_FORCE + "test_silence_approves_only_where_that_is_still_so_when_time_runs_out",),
    ),
    Bug(
        "expired is rejected",
        "R17",
        "bot/core/requests.py",
        "Verb.EXPIRE: Status.EXPIRED,",
        "Verb.EXPIRE: Status.REJECTED,",
        (_DECIDING + "test_time_running_out_is_not_a_rejection",),
    ),
    Bug(
        "a late click is accepted by the rule",
        "R20",
        "bot/core/deciding.py",
        "if request.deadline is not None and now >= request.deadline:",
        "if False:",
        (
            _DECIDING + "test_a_click_at_the_deadline_is_late_and_one_before_is_not",
            _FLOWS + "test_a_late_click_settles_a_request_that_nobody_expired",
        ),
    ),
    Bug(
        "a late click is accepted by the script",
        "R20",
        "bot/store/commit.lua",
        "now >= plan.before then return 'late' end",
        "now >= plan.before and false then return 'late' end",
        (_FLOWS + "test_the_script_refuses_a_decision_that_was_judged_in_time_and_arrives_late",),
    ),
    Bug(
        "the script is not told the deadline",
        "R20",
        "bot/flows/settling.py",
        "events=step.events, before=seen.value.deadline)",
        "events=step.events)",
        (_FLOWS + "test_a_click_that_was_judged_in_time_and_is_stored_late_is_refused_and_settles",),
    ),
    Bug(
        "a settled request stays in the index of deadlines",
        "R20",
        "bot/store/plan.py",
        '            self.plan["remove"].append({"key": self._key(self.names.pending), "member": request.id})\n',
        "",
        (_FLOWS + "test_deadlines_are_kept_while_somebody_waits",),
    ),
    Bug(
        "every timeout approves",
        "R23",
        "bot/core/settling.py",
        "request.rules.on_timeout is OnTimeout.APPROVE",
        "request.rules.on_timeout is not OnTimeout.WAIT",
        (
            _DECIDING + "test_approval_by_timeout_only_where_the_channel_asked_for_it_and_says_so",
            _DECIDING + "test_time_running_out_is_not_a_rejection",
        ),
    ),
    Bug(
        "a timeout approves what only people can know",
        "R23",
        "bot/core/settling.py",
        "        and question.kind not in ABOUT_THE_RUN\n",
        "",
        (_CARDS + "test_no_timeout_approves_what_only_people_can_know",),
    ),
    Bug(
        "the rules that a worker wrote count",
        "R9",
        "bot/flows/admitting.py",
        "    if right == told:",
        "    if right:",
        (
            _FORGED_RULES + "test_nothing_is_decided_by_laxer_rules_that_a_worker_wrote",
            _FORGED_RULES + "test_a_smaller_quorum_counts_as_the_channels",
            _SCRIBE + "test_a_card_shows_the_rules_that_web_finds_and_not_those_of_the_worker",
        ),
    ),
    Bug(
        "a card vouches for nothing, so that new settings change what was asked before",
        "R9",
        "bot/slack/scribe.py",
        "claim=claim",
        'claim=""',
        (_SCRIBE + "test_a_card_vouches_for_the_rules_that_it_shows",),
    ),
    Bug(
        "a card vouches for whatever is written after it",
        "R9",
        "bot/store/sides.py",
        "if card is not None and MESSAGES.read(card)[0].vouches == claim else",
        "if card is not None else",
        (_FORGED_RULES + "test_what_is_written_after_the_card_was_drawn_is_not_what_the_card_vouches_for",),
    ),
    Bug(
        "a worker says whose run it is",
        "R9",
        "bot/store/sides.py",
        "if origin is None:",
        "if origin is None or origin:",
        (_FORGED_RULES + "test_whose_run_it_is_and_where_a_worker_cannot_say_of_what_web_started",),
    ),
    Bug(
        "a refused attempt is not recorded",
        "R25",
        "bot/flows/settling.py",
        "            await store.commit(Change(events=step.events, once=attempt.id))\n",
        "",
        (_FLOWS + "test_a_refused_attempt_is_in_the_record_with_who_and_why",),
    ),
    Bug(
        "a stand-in is told that they are no reviewer when Slack did not say the groups of whom they stand in for",
        "R9",
        "bot/core/deciding.py",
        " or rules.reviewers.why_not(a) is Refusal.NOT_CHECKED",
        "",
        _TABLES,
    ),
    Bug(
        "a click that was to open a window is judged a second time, and may count",
        "R13",
        "bot/slack/clicks.py",
        "seen.value.id, attempt, seen)\n    at = who(body)",
        "seen.value.id, attempt)\n    at = who(body)",
        (_REVIEWING + "test_a_click_that_opens_a_window_never_decides_though_its_person_was_named_meanwhile",),
    ),
    Bug(
        "the requester alone lets be done again what nobody knows the outcome of",
        "R10",
        "bot/core/deciding.py",
        " and request.question.kind not in ABOUT_THE_RUN",
        "",
        _TABLES,
    ),
    Bug(
        "an admin decides without being named",
        "R9",
        "bot/core/people.py",
        "        if actor.user in self.users:\n",
        "        if actor.user in self.users or actor.is_admin:\n",
        _TABLES,
    ),
)
