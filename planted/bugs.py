"""The bugs that we plant: each breaks one promise in one place, and names the tests that must notice.

The rules are those that stand in the tests' docstrings.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bug:
    """`file` holds `old` exactly once; with `new` in its place each of `tests` fails.

    The tests are pytest's node ids, with or without parameters.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_DECIDING = "tests/core/test_deciding.py::"
_POLICY = "tests/core/test_policy.py::"
_FLOWS = "tests/bot/test_flows.py::"
_PARKING = "tests/bot/test_parking.py::"
_JOURNAL = "tests/agents/test_journal.py::"
_DOUBTS = "tests/agents/test_doubts.py::"
_CLICKS = "tests/slack/test_clicks.py::"
_CARDS = "tests/slack/test_cards.py::"
_SCRIBE = "tests/slack/test_scribe.py::"
_OVERTAKEN = "tests/slack/test_overtaken.py::"
_LEASES = "tests/store/test_leases.py::"
_LETTING_GO = "tests/agents/test_letting_go.py::"

BUGS: Final = (
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
        "bot/flows.py",
        "                changed.append(Put(back.request, before.version))\n                events += back.events\n",
        "                pass\n",
        (_FLOWS + "test_other_words_in_the_same_place_withdraw_what_was_asked_before",),
    ),
    Bug(
        "after a lost reply the card is posted without a look",
        "R2, R6",
        "bot/slack/poster.py",
        "            else:\n                found = await self._find(seen.value)\n",
        "            else:\n                found = None\n",
        (_SCRIBE + "test_a_lost_reply_does_not_make_a_second_card",),
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
        "bot/flows.py",
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
        "'fence', last + 1, 'owner'",
        "'fence', last, 'owner'",
        (_LEASES + "test_an_owner_that_claims_again_fences_its_own_past",),
    ),
    Bug(
        "an old holder renews and releases",
        "R4",
        "bot/store/lease.lua",
        "if held[2] ~= owner or (fence >= 0 and last ~= fence) then return 0 end",
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
        "what is settled stays for ever",
        "R4",
        "bot/store/store.py",
        "KEPT if settled else None",
        "None",
        (_FLOWS + "test_what_is_settled_ends_by_itself_and_what_waits_does_not",),
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
        "guard.version then return 'stale' end",
        "guard.version and false then return 'stale' end",
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
        "an event is ticked off before it is drawn",
        "R5",
        "bot/slack/scribe.py",
        "                    await self._until_drawn(run, [event for _, event in entries])\n"
        "                    for entry, _ in entries:\n"
        "                        await self._outbox.done(entry)\n",
        "                    for entry, _ in entries:\n"
        "                        await self._outbox.done(entry)\n"
        "                    await self._until_drawn(run, [event for _, event in entries])\n",
        (_SCRIBE + "test_another_process_draws_on_when_the_scribe_is_gone",),
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
        "a settled card keeps its buttons",
        "R6",
        "bot/slack/cards.py",
        "blocks + _outcome(request, request.decision)\n",
        'blocks + _outcome(request, request.decision) + [{"type": "actions", "elements": _buttons(request)}]\n',
        (_CARDS + "test_only_pending_cards_have_buttons_that_decide",),
    ),
    Bug(
        "a second copy of a card stays",
        "R6",
        "bot/slack/poster.py",
        "                await self._drop_orphan(name, known)\n",
        "                pass\n",
        (_OVERTAKEN + "test_a_scribe_that_is_put_down_finishes_its_post_and_deletes_the_second_copy",),
    ),
    Bug(
        "an old picture is drawn over a newer one",
        "R6, R20",
        "bot/slack/scribe.py",
        "                    if await self._state(run, events) == before:\n                        return\n",
        "                    return\n",
        (_OVERTAKEN + "test_a_scribe_that_draws_over_something_newer_draws_that_again",),
    ),
    Bug(
        "a refused click is acked and nothing is said",
        "R7",
        "bot/slack/clicks.py",
        "        if result is not None:\n            await tell(desk.client, body, result)\n",
        "",
        (_CLICKS + "test_a_late_click_gets_the_sentence",),
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
        "by, attempt.words.strip(), attempt.id)",
        "by, attempt.words.strip())",
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
        "if actor.user == request.requester and not rules.own_requests:",
        "if False:",
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
        "the digest of what was shown is not compared",
        "R13",
        "bot/core/deciding.py",
        "if attempt.digest != request.digest:",
        "if False:",
        (_CLICKS + "test_a_card_that_shows_other_content_decides_nothing",),
    ),
    Bug(
        "too long for a card, and no file",
        "R14",
        "bot/slack/scribe.py",
        "if card is not None and pending and cards.needs_file(request):",
        "if False:",
        (_SCRIBE + "test_a_long_request_is_in_a_file_in_the_thread_of_its_card",),
    ),
    Bug(
        "text is not escaped",
        "R15",
        "bot/slack/text.py",
        'return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")',
        "return text",
        (_CARDS + "test_what_models_and_people_write_does_not_act",),
    ),
    Bug(
        "invisible characters stay invisible",
        "R15",
        "bot/slack/text.py",
        'return unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")',
        'return unicodedata.category(c) not in ("Cc",)',
        ("tests/slack/test_slack_text.py::test_what_hides_is_made_visible_and_the_rest_stays",),
    ),
    Bug(
        "Slack fetches what a model wrote",
        "R15",
        "bot/slack/poster.py",
        '"unfurl_links": False',
        '"unfurl_links": True',
        (_SCRIBE + "test_slack_fetches_no_address_that_a_model_wrote",),
    ),
    Bug(
        "the agent is not told that a no is a no in every way",
        "R16",
        "agents/answers.py",
        'do only what does not need it.\\n"\n                + _NOT_ALLOWED,',
        'do only what does not need it.\\n",',
        ("tests/agents/test_answers.py::test_what_was_not_allowed_is_not_allowed_in_another_way",),
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
        "bot/flows.py",
        "events=step.events, before=seen.value.deadline)",
        "events=step.events)",
        (_FLOWS + "test_a_click_that_was_judged_in_time_and_is_stored_late_is_refused_and_settles",),
    ),
    Bug(
        "a settled request stays in the index of deadlines",
        "R20",
        "bot/store/store.py",
        '            self.plan["remove"].append({"key": self._key(self.names.pending), "member": request.id})\n',
        "",
        (_FLOWS + "test_deadlines_are_kept_while_somebody_waits",),
    ),
    Bug(
        "a card that Slack refuses is given up",
        "R21",
        "bot/slack/scribe.py",
        'card = await post(f"{name}/instead", Place(root.channel, root.ts))',
        "card = None",
        (_SCRIBE + "test_a_card_that_cannot_be_posted_goes_to_the_thread_and_the_requester_is_told",),
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
        "every timeout approves",
        "R23",
        "bot/core/requests.py",
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
        "bot/core/requests.py",
        "        and question.kind not in ABOUT_THE_RUN\n",
        "",
        (_CARDS + "test_no_timeout_approves_what_only_people_can_know",),
    ),
    Bug(
        "a refused attempt is not recorded",
        "R25",
        "bot/flows.py",
        "            await store.commit(Change(events=step.events, once=attempt.id))\n",
        "",
        (_FLOWS + "test_a_refused_attempt_is_in_the_record_with_who_and_why",),
    ),
)
