"""Bugs in what happens while nobody decides, and in who stands in."""

from typing import Final

from tests.mutants.mutant import Bug

_SCHEDULE = "tests/domain/test_schedule.py::"
_STANDING_IN = "tests/domain/test_delegation.py::"
_ATTENDING = "tests/usecases/test_presence.py::"
_MEANWHILE = "tests/slack/test_pending_state.py::"
_WEEKEND = "tests/slack/test_weekend.py::"
_UNREADABLE = "tests/store/test_unreadable.py::"
_SILENCE = "tests/usecases/test_silence.py::"

_THREAD = "tests/slack/test_run_thread.py::"
_NATIVE = "tests/slack/test_agent_features.py::"

WAITING: Final = (
    Bug(
        "the steps of a run are drawn before the card of its new question, and again with it",
        "R36",
        "bot/slack/projector/thread_drawing.py",
        "    if not steps_first and (run.over or streamed or not card_is_coming):",
        "    if not steps_first:",
        (_THREAD + "test_steps_are_drawn_with_the_next_card[True]",),
    ),
    Bug(
        "the steps of a quick run stand below its outcome",
        "R6",
        "bot/slack/projector/thread_drawing.py",
        "    steps_first = run.over and ",
        "    steps_first = False and ",
        (_THREAD + "test_run_outcome_stands_below_its_steps",),
    ),
    Bug(
        "a reply in the thread of a run does not find it",
        "R2",
        "countersign/store/commit_plan.py",
        "        about = message.request or message.head_of\n",
        "        about = message.request\n",
        (
            "tests/store/test_messages.py::test_messages_of_one_hour_share_a_small_hash",
            "tests/slack/test_conversations.py::test_only_the_requesters_thread_reply_answers_a_conversation",
        ),
    ),
    Bug(
        "whoever has left the channel is not told how it ended",
        "R21",
        "bot/slack/projector/thread_drawing.py",
        "    elif actor.groups is not None and channel not in actor.groups:\n",
        "    elif False:\n",
        (_THREAD + "test_requester_who_left_the_channel_gets_a_direct_message",),
    ),
    Bug(
        "what Slack refuses of its own means is asked for each time",
        "R36",
        "bot/slack/projector/agent_features.py",
        "                self._refused[method] = self._clock() + REFUSED_FOR\n",
        "                pass\n",
        (
            _NATIVE + "test_workspace_without_agent_features_is_asked_once",
            _NATIVE + "test_agent_feature_that_slack_refuses_becomes_an_ordinary_message"
            "[agents.sessions.setStatus-feature_disabled]",
        ),
    ),
    Bug(
        "silence approves what nobody could see",
        "R32",
        "countersign/usecases/decisions.py",
        "    if seen.card is None or not request_endings.seen_long_enough(request, since, seen.now):\n",
        "    if seen.card is None:\n        return step\n    if False:\n",
        (
            _SILENCE + "test_silence_approves_only_cards_visible_for_the_whole_time",
            _SILENCE + "test_outage_past_the_deadline_approves_nothing",
        ),
    ),
    Bug(
        "silence approves what somebody took away",
        "R32",
        "countersign/usecases/decisions.py",
        "return step if there else unseen",
        "return step",
        (
            _SILENCE + "test_silence_does_not_approve_a_deleted_card[deleted]",
            _SILENCE + "test_silence_does_not_approve_a_deleted_card[its channel archived]",
            _SILENCE + "test_unanswered_card_look_up_is_retried_with_a_limit[None-expired]",
        ),
    ),
    Bug(
        "what is settled is said to wait because its card cannot be changed",
        "R32",
        "bot/slack/projector/card_drawing.py",
        "unposted, post=self.card.pending)",
        "unposted)",
        (_SILENCE + "test_silence_does_not_approve_a_deleted_card[its channel archived]",),
    ),
    Bug(
        "whatever stands next to a deleted card is taken for it",
        "R32",
        "bot/slack/people/users_and_groups.py",
        'named.get(card.ts) == {"name": card.name}',
        'bool(page["messages"])',
        (
            _SILENCE + "test_silence_does_not_approve_a_deleted_card[deleted]",
            _SILENCE + "test_silence_does_not_approve_a_deleted_card[deleted, and had replies]",
        ),
    ),
    Bug(
        "a card whose metadata a response URL took is taken for gone",
        "R32",
        "bot/slack/people/users_and_groups.py",
        '.get("event_payload", {"name": card.name})',
        '.get("event_payload")',
        (_SILENCE + "test_silence_approves_a_card_that_lost_its_metadata[False]",),
    ),
    Bug(
        "what Slack did not say about a card is asked for ever",
        "R32",
        "countersign/usecases/deadlines.py",
        "if there is None and (more := left.get(card.name, looks) - 1):",
        "if there is None and (more := looks):",
        (_SILENCE + "test_unanswered_card_look_up_is_retried_with_a_limit[None-expired]",),
    ),
    Bug(
        "a click that comes too late approves what nobody looked for",
        "R32",
        "countersign/usecases/decisions.py",
        "    if there is None:\n        return unchanged\n",
        "    if there is None:\n        return step\n",
        (
            _SILENCE + "test_late_click_cannot_approve_without_a_card_look_up",
            _SILENCE + "test_unanswered_card_look_up_is_retried_with_a_limit",
        ),
    ),
    Bug(
        "the card is not looked at in the step that settles",
        "R32",
        "countersign/usecases/decisions.py",
        "            shown=(seen.card,) if silent and seen.card is not None else (),\n",
        "",
        (_SILENCE + "test_card_deleted_during_settlement_approves_nothing",),
    ),
    Bug(
        "time counts from the question though its card came late",
        "R32",
        "bot/slack/projector/card_drawing.py",
        "        if message is not None and message.stands_since is not None:\n",
        "        if False:\n",
        (_SILENCE + "test_late_card_extends_the_deadline",),
    ),
    Bug(
        "one record that nobody can read hides from everybody what waits",
        "R4",
        "countersign/store/records.py",
        'self.name(f"{kind} {name}", wrong)',
        "raise",
        (
            _UNREADABLE + "test_waiting_requests_are_listed_without_the_unreadable_one",
            _UNREADABLE + "test_runs_are_listed_without_the_unreadable_one",
        ),
    ),
    Bug(
        "a request that cannot be read is dropped from the lists as if it were gone",
        "R5",
        "countersign/store/records.py",
        'self.name(f"{kind} {name}", wrong)',
        "results[name] = None  # type: ignore[assignment]",
        (_UNREADABLE + "test_unreadable_request_stays_in_the_lists_until_readable",),
    ),
    Bug(
        "people are reminded in quiet hours",
        "R20",
        "countersign/domain/schedule.py",
        "at = request.rules.quiet.end(max(at, request.held_until or at))",
        "at = max(at, request.held_until or at)",
        (
            _SCHEDULE + "test_weekend_is_quiet_but_keeps_the_deadline",
            _SCHEDULE + "test_reminder_after_a_dst_night_comes_at_eight_locally",
        ),
    ),
    Bug(
        "what comes next is not moved when something happened",
        "R20",
        "countersign/store/commit_plan.py",
        "else:\n            coming =",
        "elif version == 0:\n            coming =",
        (_ATTENDING + "test_snooze_delivered_repeatedly_counts_once",),
    ),
    Bug(
        "an escalation that circles may be set",
        "R10",
        "countersign/domain/channel_settings.py",
        "if here in reached:",
        "if False:",
        (_SCHEDULE + "test_circular_or_late_escalation_is_refused",),
    ),
    Bug(
        "a channel's escalation joins those whom the policy asks",
        "R9",
        "countersign/policy/evaluation.py",
        "if terms.reviewers is not None:  # without",
        "if False:  # without",
        ("tests/policy/test_evaluation.py::test_rule_with_reviewers_drops_the_channels_escalation",),
    ),
    Bug(
        "a stand-in decides for a requester who may not",
        "R10",
        "countersign/domain/eligibility.py",
        "        and (rules.own_requests or away.user != request.requester)\n",
        "",
        (_STANDING_IN + "test_standing_in_cannot_evade_the_own_requests_rule",),
    ),
    Bug(
        "a reviewer and their stand-in are two of a quorum",
        "R11",
        "countersign/domain/eligibility.py",
        "vote.seat or vote.user",
        "vote.user",
        (_STANDING_IN + "test_quorum_counts_each_person_and_seat_once",),
    ),
    Bug(
        "people are reminded of what is decided",
        "R6",
        "bot/slack/projector/reminders.py",
        "note, request=card.rows[0].id, post=card.pending, importance",
        "note, request=card.rows[0].id, post=True, importance",
        (_MEANWHILE + "test_decided_request_gets_no_late_reminder",),
    ),
    Bug(
        "who snoozes is promised a reminder that does not come",
        "R7",
        "bot/slack/handlers/card_buttons.py",
        "filter(None, map(schedule.next_reminder, changed))",
        "filter(None, (request.snoozed_until for request in changed))",
        (
            _WEEKEND + "test_snooze_past_the_deadline_promises_no_reminder",
            _WEEKEND + "test_snooze_into_quiet_hours_names_the_reminders_time",
        ),
    ),
    Bug(
        "a card says of a reminder that was put off into quiet hours that it comes in them",
        "R7",
        "bot/slack/views/request_text.py",
        "moment(remind or request.snoozed_until, ",
        "moment(request.snoozed_until, ",
        (_WEEKEND + "test_snooze_into_quiet_hours_names_the_reminders_time",),
    ),
    Bug(
        "words behind one that stands alone are not read",
        "R7",
        "bot/slack/handlers/approvals_command.py",
        "                if word.alone and rest:\n",
        "                if False:\n",
        (_MEANWHILE + "test_extra_argument_of_a_command_is_refused",),
    ),
    Bug(
        "one spelling of Slack's wish to wait is taken for a refusal for good",
        "R21",
        "bot/slack_errors.py",
        '    | {"ratelimited", "rate_limited"}',
        '    | {"rate_limited"}',
        ("tests/slack/test_connection.py::test_retry_after_in_either_spelling_is_obeyed[ratelimited]",),
    ),
)
