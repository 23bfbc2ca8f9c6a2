"""Bugs in the record: what is in it, whose word it takes, and what is told of it."""

from typing import Final

from tests.mutants.mutant import Bug

_AUDITOR = "tests/audit/test_auditor.py::"
_LEAVING = "tests/audit/test_leaving.py::"
_TRIMMING = "tests/audit/test_trimming.py::"
_AUDIT_CLI = "tests/audit/test_audit_cli.py::"
_REPLAYING = "tests/policy/test_simulation.py::"
_REPLAYED = "tests/autogen/test_replayed.py::"
_COMMANDS = "tests/slack/test_agent_command.py::"
_CLICKS = "tests/slack/test_actions.py::"
_HOMES = "tests/slack/test_home_publisher.py::"
_SECRETS = "tests/domain/test_redaction.py::"
_REPORT: Final = "tests/audit/test_report.py::"

RECORDING: Final = (
    Bug(
        "the report keeps each entry that it has read",
        "",
        "bot/audit/figures.py",
        "            entry = json.loads(kept.entry)\n",
        '            entry = self.__dict__.setdefault("kept", [{}]) and json.loads(kept.entry)\n'
        '            self.__dict__["kept"].append(entry)\n',
        (_REPORT + "test_a_record_six_times_as_long_takes_no_more_memory",),
    ),
    Bug(
        "an action begins before the disk has its approval",
        "R4",
        "countersign/runs/side_effects.py",
        "    stored = await journal.record(key, started, replace=repeat, on_disk=True)\n",
        "    stored = await journal.record(key, started, replace=repeat)\n",
        ("tests/store/test_durability.py::test_an_action_waits_until_the_disk_has_its_approval",),
    ),
    Bug(
        "nobody is told that Redis loses the last second",
        "R4",
        "countersign/store/redis/durability.py",
        "            return _LATER\n",
        '            return ""\n',
        ("tests/store/test_durability.py::test_each_process_says_at_its_start_what_redis_may_lose",),
    ),
    Bug(
        "a digest is made without the salt",
        "R15",
        "countersign/domain/requests.py",
        'parts += ["salt", question.salt] if question.salt else []',
        "parts += []",
        (_AUDIT_CLI + "test_a_short_secret_is_found_by_no_digest_that_the_record_shows",),
    ),
    Bug(
        "a report does not tell by which policy a call passed",
        "R25",
        "countersign/usecases/run_progress.py",
        '        "policy": str(ruling.version),\n',
        '        "policy": "0",\n',
        ("tests/autogen/test_gate_policy.py::test_what_the_policy_lets_pass_passes_and_is_recorded_with_its_rule",),
    ),
    Bug(
        "a path is hidden where a secret's name stands before it",
        "R30",
        "countersign/domain/text_checks.py",
        "return bool(_PATH.match(text)) and not _is_base64(text)",
        "return False",
        (_SECRETS + "test_what_could_act_is_hidden_by_no_name[@/root/.ssh/id_rsa]",),
    ),
    Bug(
        "all that stands below a secret name is hidden",
        "R30",
        "countersign/domain/redaction.py",
        "str(key) if _is_secret_name(str(key)) else (name and _BELOW)",
        "str(key) if _is_secret_name(str(key)) else name",
        (_SECRETS + "test_only_what_is_secret_is_hidden_below_a_secret_name",),
    ),
    Bug(
        "a list keeps what is in it from being hidden",
        "R15",
        "countersign/domain/redaction.py",
        "places = on | places if name.isdecimal() else on",
        "places = on",
        (_SECRETS + "test_what_a_path_names_is_hidden_also_in_lists_and_under_any_name",),
    ),
    Bug(
        "what our guess hides is approved by one click",
        "R30",
        "bot/slack/views/reviewed_content.py",
        "return _has_room(shown) and not shown.guessed",
        "return _has_room(it)",
        ("tests/slack/test_review.py::test_what_is_hidden_by_our_guess_is_not_approved_by_one_click",),
    ),
    Bug(
        "a name that looks like a formula of TeX ends the report",
        "R15",
        "bot/audit/plots.py",
        '    "text.parse_math": False,\n',
        "",
        (_REPORT + "test_no_name_of_a_rule_or_tool_ends_the_report_or_acts_in_a_terminal[TeX]",),
    ),
    Bug(
        "a terminal obeys what a worker says",
        "R15",
        "countersign/terminal.py",
        "rows = [[printable(cell) for cell in row] for row in rows]",
        "rows = [[*row] for row in rows]",
        (_REPORT + "test_no_name_of_a_rule_or_tool_ends_the_report_or_acts_in_a_terminal[a turned name]",),
    ),
    Bug(
        "quiet hours cannot be written down",
        "R4, R25",
        "countersign/domain/events.py",
        "if isinstance(value, datetime | time):",
        "if isinstance(value, time):\n        return value\n    if isinstance(value, datetime):",
        (_AUDITOR + "test_quiet_hours_are_on_record_and_stop_nobody",),
    ),
    Bug(
        "events leave that somebody has in hand",
        "R5, R25",
        "countersign/store/trim_audit.lua",
        "held[#held + 1] = one[1]",
        "local _ = one[1]",
        (_LEAVING + "test_an_event_in_somebodys_hand_is_never_dropped_and_is_found_when_it_is_overlooked",),
    ),
    Bug(
        "events leave that the record does not have yet",
        "R25",
        "countersign/store/trim_audit.lua",
        "local least, held = after(head[2])",
        "local least, held = after('99999999999999-0')",
        (_LEAVING + "test_events_that_are_drawn_and_not_chained_yet_stay",),
    ),
    Bug(
        "one event that is never drawn keeps all that follow it",
        "R4",
        "countersign/store/trim_audit.lua",
        "redis.call('XDEL', KEYS[3], entry[1])",
        "local _ = entry[1]",
        (_LEAVING + "test_however_many_follow_one_that_can_never_be_drawn_they_leave",),
    ),
    Bug(
        "an entry that says nothing of when ends who trims the record",
        "R4",
        "countersign/store/audit_log.py",
        "except (ValueError, KeyError, OverflowError, OSError):",
        "except ValueError:",
        (_AUDIT_CLI + "test_a_damaged_entry_is_said_and_is_no_traceback[no fields]",),
    ),
    Bug(
        "an entry that is damaged becomes what the rest is verified from",
        "R25",
        "countersign/store/audit_log.py",
        " or not entries[1][1].follows(entries[0][1].hash):",
        ":",
        (_TRIMMING + "test_an_entry_that_is_damaged_is_never_what_the_rest_is_verified_from",),
    ),
    Bug(
        "who trims the record drops one entry too many",
        "R25",
        "countersign/store/trim_audit.lua",
        "redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', n + 1))",
        "redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', n + 2))",
        (_TRIMMING + "test_a_record_is_trimmed_to_the_entry_and_once[no reply-20]",),
    ),
    Bug(
        "a start that is refused is not on record",
        "R25",
        "bot/slack/handlers/ack_deadline.py",
        "    except CountersignError as error:\n",
        "    except CountersignError as error:\n        if error:\n            raise\n",
        (_COMMANDS + "test_each_refused_try_of_a_window_is_on_record_and_the_start_at_last_is_none",),
    ),
    Bug(
        "a start that is refused is on record as often as Slack delivers it",
        "R8, R25",
        "countersign/usecases/recorded_events.py",
        "event = Event(EventType.START_REFUSED, await store.now(), workspace=workspace, user=requester, data=data)\n"
        "    await store.commit(Change(events=(event,), once=attempt))",
        "event = Event(EventType.START_REFUSED, await store.now(), workspace=workspace, user=requester, data=data)\n"
        "    await store.commit(Change(events=(event,)))",
        (_COMMANDS + "test_each_refused_try_of_a_window_is_on_record_and_the_start_at_last_is_none",),
    ),
    Bug(
        "a click on what is gone is not on record",
        "R25",
        "countersign/usecases/recorded_events.py",
        'data={"verb": verb, "refusal": refusal.name.lower(), "words": words},\n    )\n'
        "    await store.commit(Change(events=(event,), once=attempt))",
        'data={"verb": verb, "refusal": refusal.name.lower(), "words": words},\n    )\n'
        "    await store.commit(Change(once=attempt))",
        (_CLICKS + "test_a_click_on_what_is_no_longer_known_is_answered_and_on_record_once[Approve]",),
    ),
    Bug(
        "`/approvals` that nobody could read is not on record",
        "R25",
        "countersign/usecases/recorded_events.py",
        'data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}\n',
        'return\n    data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}\n',
        (
            "tests/slack/test_approvals_command.py::test_words_that_change_nothing_are_on_record_once"
            "[timeout-Give a duration, like `/approvals timeout 15m`.]",
        ),
    ),
    Bug(
        "a replay takes the mark of a secret for what it was",
        "R15",
        "countersign/domain/events.py",
        "return Unrecorded() if isinstance(value, str) and MARK.search(value) else value",
        "return value",
        (_REPLAYED + "test_where_a_rule_looks_at_a_secret_the_record_cannot_tell",),
    ),
    Bug(
        "a replay guesses where a rule may have fitted",
        "R25",
        "countersign/policy/simulation.py",
        "        (uncertain if gap else certain).append(at)",
        "        certain.append(at)",
        (_REPLAYING + "test_what_the_record_does_not_hold_is_not_guessed[deny-card == 'x']",),
    ),
    Bug(
        "a replay forgets what the old policy had changed",
        "R25",
        "countersign/policy/simulation.py",
        "rules = apply(judgement, was.settings)",
        "rules = apply(judgement, was.rules or was.settings)",
        (_REPLAYING + "test_what_the_old_policy_added_is_not_taken_for_the_channels_own_settings",),
    ),
    Bug(
        "the Home shows a key that no receipt was signed with",
        "R25",
        "bot/audit/receipts.py",
        "return public_pems(path) if path.exists() else",
        "return public_pem(Ed25519PrivateKey.generate()) if path.exists() else",
        (_HOMES + "test_a_third_party_checks_a_receipt_with_nothing_but_the_key_of_the_home",),
    ),
)
