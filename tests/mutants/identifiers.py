"""Bugs in what things are called: ids, the keys made of them, and who is mentioned."""

from typing import Final

from tests.mutants.mutant import Bug

NAMING: Final = (
    Bug(
        "an id is whatever text comes",
        "R27",
        "countersign/domain/ids.py",
        "if not isinstance(text, str) or cls.form.fullmatch(text) is None:",
        "if not isinstance(text, str):",
        ("tests/store/test_acl_file.py::test_no_key_is_made_of_what_is_no_id",),
    ),
    Bug(
        "the users of Redis are those of any namespace",
        "R27",
        "countersign/store/acl.py",
        "line.replace(_NAMESPACE, own)",
        'line.replace(_NAMESPACE, "*")',
        ("tests/store/test_acl_file.py::test_whatever_its_ids_a_key_is_reached_by_its_own_users",),
    ),
    Bug(
        "a worker's script keeps everybody else's from reading their plans",
        "R4",
        "countersign/store/commit.lua",
        "cjson.decode_max_depth(1000)",
        "",
        ("tests/store/test_acl.py::test_script_of_a_worker_keeps_web_from_nothing",),
    ),
    Bug(
        "a worker hears all namespaces",
        "R27",
        "countersign/store/users.acl",
        "user worker on #<WORKER> resetchannels",
        "user worker on #<WORKER> allchannels",
        ("tests/store/test_acl.py::test_user_learns_and_changes_nothing_of_the_server[worker]",),
    ),
    Bug(
        "a record counts under any name",
        "R3",
        "countersign/store/record_codecs.py",
        "if own != name:",
        "if own == '':",
        ("tests/store/test_unreadable.py::test_record_counts_under_its_own_name_only",),
    ),
    Bug(
        "a program is the team whose name it takes",
        "R24",
        "countersign/domain/runs.py",
        'return f"{self.team} (a program)" if self.by_script else self.team',
        "return self.team",
        ("tests/usecases/test_grant_usecases.py::test_a_program_that_calls_itself_by_a_teams_name_is_not_that_team",),
    ),
    Bug(
        "a program is whoever has a key of the same name",
        "R24",
        "countersign/domain/runs.py",
        'return f"{self.team} (the key {self.program})"',
        'return f"{self.team} (a program)"',
        ("tests/usecases/test_grant_usecases.py::test_a_permission_of_a_program_is_its_keys_alone",),
    ),
    Bug(
        "one run that cannot be asked for ends the repair of all",
        "R5",
        "countersign/usecases/requeued_runs.py",
        "        await store.now()  # raises",
        "        raise  # raises",
        ("tests/autogen/test_requeued_runs.py::test_what_cannot_be_repaired_of_one_run_keeps_nobody_from_the_others",),
    ),
    Bug(
        "a mention is drawn of any text",
        "R15",
        "bot/slack/views/slack_markup.py",
        "if UserId.named(name) is not None:",
        "if name:",
        ("tests/slack/test_slack_markup.py::test_only_an_id_is_mentioned",),
    ),
    Bug(
        "what a worker says of its teams is markup",
        "R15",
        "bot/slack/views/slack_markup.py",
        "else escape(part)",
        "else part",
        ("tests/slack/test_agent_command.py::test_what_a_worker_says_of_its_teams_is_only_text",),
    ),
    Bug(
        "a program starts in a channel without the app",
        "R21",
        "countersign/usecases/run_start.py",
        "if channels is not None and channel not in channels:",
        "if channels is None:",
        ("tests/usecases/test_run_start.py::test_a_program_is_told_that_the_app_is_not_in_its_channel",),
    ),
)
