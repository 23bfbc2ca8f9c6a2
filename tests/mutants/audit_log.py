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
        (_REPORT + "test_report_memory_does_not_grow_with_the_log",),
    ),
    Bug(
        "an action begins before the disk has its approval",
        "R4",
        "countersign/runs/side_effects.py",
        "    stored = await journal.record(key, started, replace=repeat, on_disk=True)\n",
        "    stored = await journal.record(key, started, replace=repeat)\n",
        ("tests/store/test_durability.py::test_action_waits_until_its_approval_is_on_disk",),
    ),
    Bug(
        "nobody is told that Redis loses the last second",
        "R4",
        "countersign/store/redis/durability.py",
        "            return _LATER\n",
        '            return ""\n',
        ("tests/store/test_durability.py::test_start_logs_what_redis_may_lose",),
    ),
    Bug(
        "a digest is made without the salt",
        "R15",
        "countersign/domain/requests.py",
        'parts += ["salt", question.salt] if question.salt else []',
        "parts += []",
        (_AUDIT_CLI + "test_digests_in_the_audit_log_reveal_no_short_secret",),
    ),
    Bug(
        "a report does not tell by which policy a call passed",
        "R25",
        "countersign/usecases/run_progress.py",
        '        "policy": str(ruling.version),\n',
        '        "policy": "0",\n',
        ("tests/autogen/test_gate_policy.py::test_call_allowed_by_policy_is_logged_with_its_rule",),
    ),
    Bug(
        "a path is hidden where a secret's name stands before it",
        "R30",
        "countersign/domain/text_checks.py",
        "return bool(_PATH.match(text)) and not _is_base64(text)",
        "return False",
        (_SECRETS + "test_commands_and_paths_are_never_hidden_by_name[@/root/.ssh/id_rsa]",),
    ),
    Bug(
        "all that stands below a secret name is hidden",
        "R30",
        "countersign/domain/redaction.py",
        "str(key) if _is_secret_name(str(key)) else (name and _BELOW)",
        "str(key) if _is_secret_name(str(key)) else name",
        (_SECRETS + "test_only_secrets_are_hidden_below_a_secret_name",),
    ),
    Bug(
        "a list keeps what is in it from being hidden",
        "R15",
        "countersign/domain/redaction.py",
        "places = on | places if name.isdecimal() else on",
        "places = on",
        (_SECRETS + "test_path_hides_its_value_in_lists_too",),
    ),
    Bug(
        "what our guess hides is approved by one click",
        "R30",
        "bot/slack/views/reviewed_content.py",
        "return _has_room(shown) and not shown.guessed",
        "return _has_room(it)",
        ("tests/slack/test_review.py::test_value_hidden_by_guess_prevents_one_click_approval",),
    ),
    Bug(
        "a name that looks like a formula of TeX ends the report",
        "R15",
        "bot/audit/plots.py",
        '    "text.parse_math": False,\n',
        "",
        (_REPORT + "test_hostile_names_neither_break_nor_escape_the_report[TeX]",),
    ),
    Bug(
        "a terminal obeys what a worker says",
        "R15",
        "countersign/terminal.py",
        "rows = [[printable(cell) for cell in row] for row in rows]",
        "rows = [[*row] for row in rows]",
        (_REPORT + "test_hostile_names_neither_break_nor_escape_the_report[a turned name]",),
    ),
    Bug(
        "quiet hours cannot be written down",
        "R4, R25",
        "countersign/domain/events.py",
        "if isinstance(value, datetime | time):",
        "if isinstance(value, time):\n        return value\n    if isinstance(value, datetime):",
        (_AUDITOR + "test_quiet_hours_are_logged_and_stop_no_auditor",),
    ),
    Bug(
        "events leave that somebody has in hand",
        "R5, R25",
        "countersign/store/trim_audit.lua",
        "held[#held + 1] = one[1]",
        "local _ = one[1]",
        (_LEAVING + "test_event_in_hand_is_kept_and_found_when_overlooked",),
    ),
    Bug(
        "events leave that the record does not have yet",
        "R25",
        "countersign/store/trim_audit.lua",
        "local least, held = after(head[2])",
        "local least, held = after('99999999999999-0')",
        (_LEAVING + "test_drawn_but_unchained_events_stay",),
    ),
    Bug(
        "one event that is never drawn keeps all that follow it",
        "R4",
        "countersign/store/trim_audit.lua",
        "redis.call('XDEL', KEYS[3], entry[1])",
        "local _ = entry[1]",
        (_LEAVING + "test_undrawable_event_keeps_no_later_event",),
    ),
    Bug(
        "an entry that says nothing of when ends who trims the record",
        "R4",
        "countersign/store/audit_log.py",
        "except (ValueError, KeyError, OverflowError, OSError):",
        "except ValueError:",
        (_AUDIT_CLI + "test_damaged_entry_is_reported_without_a_traceback[no fields]",),
    ),
    Bug(
        "an entry that is damaged becomes what the rest is verified from",
        "R25",
        "countersign/store/audit_log.py",
        " or not entries[1][1].follows(entries[0][1].hash):",
        ":",
        (_TRIMMING + "test_damaged_entry_never_becomes_the_checkpoint",),
    ),
    Bug(
        "who trims the record drops one entry too many",
        "R25",
        "countersign/store/trim_audit.lua",
        "redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', n + 1))",
        "redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', n + 2))",
        (_TRIMMING + "test_audit_log_is_trimmed_to_the_entry_and_once[no reply-20]",),
    ),
    Bug(
        "a start that is refused is not on record",
        "R25",
        "bot/slack/handlers/ack_deadline.py",
        "    except CountersignError as error:\n",
        "    except CountersignError as error:\n        if error:\n            raise\n",
        (_COMMANDS + "test_each_refused_submit_of_the_task_window_is_logged",),
    ),
    Bug(
        "a start that is refused is on record as often as Slack delivers it",
        "R8, R25",
        "countersign/usecases/recorded_events.py",
        "event = Event(EventType.START_REFUSED, await store.now(), workspace=workspace, user=requester, data=data)\n"
        "    await store.commit(Change(events=(event,), once=attempt))",
        "event = Event(EventType.START_REFUSED, await store.now(), workspace=workspace, user=requester, data=data)\n"
        "    await store.commit(Change(events=(event,)))",
        (_COMMANDS + "test_each_refused_submit_of_the_task_window_is_logged",),
    ),
    Bug(
        "a click on what is gone is not on record",
        "R25",
        "countersign/usecases/recorded_events.py",
        'data={"verb": verb, "refusal": refusal.name.lower(), "words": words},\n    )\n'
        "    await store.commit(Change(events=(event,), once=attempt))",
        'data={"verb": verb, "refusal": refusal.name.lower(), "words": words},\n    )\n'
        "    await store.commit(Change(once=attempt))",
        (_CLICKS + "test_click_on_unknown_request_is_answered_and_logged_once[Approve]",),
    ),
    Bug(
        "`/approvals` that nobody could read is not on record",
        "R25",
        "countersign/usecases/recorded_events.py",
        'data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}\n',
        'return\n    data = {"channel": channel, "words": shortened(hide(words)[0]), "problems": hide(why)[0]}\n',
        (
            "tests/slack/test_approvals_command.py::test_refused_settings_command_is_logged_once"
            "[timeout-Give a duration, like `/approvals timeout 15m`.]",
        ),
    ),
    Bug(
        "a replay takes the mark of a secret for what it was",
        "R15",
        "countersign/domain/events.py",
        "return Unrecorded() if isinstance(value, str) and MARK.search(value) else value",
        "return value",
        (_REPLAYED + "test_policy_replay_cannot_judge_by_a_secret",),
    ),
    Bug(
        "a replay guesses where a rule may have fitted",
        "R25",
        "countersign/policy/simulation.py",
        "        (uncertain if gap else certain).append(at)",
        "        certain.append(at)",
        (_REPLAYING + "test_missing_logged_value_leaves_the_replay_undecided[deny-card == 'x']",),
    ),
    Bug(
        "a replay forgets what the old policy had changed",
        "R25",
        "countersign/policy/simulation.py",
        "rules = apply(judgement, was.settings)",
        "rules = apply(judgement, was.rules or was.settings)",
        (_REPLAYING + "test_old_policy_terms_are_not_taken_for_channel_settings",),
    ),
    Bug(
        "the Home shows a key that no receipt was signed with",
        "R25",
        "bot/audit/receipts.py",
        "return public_pems(path) if path.exists() else",
        "return public_pem(Ed25519PrivateKey.generate()) if path.exists() else",
        (_HOMES + "test_receipt_is_verifiable_with_the_public_key_alone",),
    ),
)
