"""Bugs in what bounds that which comes from the other side, or from anybody at the port."""

from typing import Final

from tests.mutants.mutant import Bug

_BOUNDS = "tests/store/test_bounds.py::"
_STRAYS = "tests/store/test_strays.py::"
_HTTP = "tests/slack/test_http_bounds.py::"
_SCHEMAS = "tests/bot/test_schemas.py::"

BOUNDING: Final = (
    Bug(
        "a window that names no channel leaves work that nobody awaits",
        "R29",
        "bot/slack/handlers/responses.py",
        '    channel = channel_of(body["view"])\n    work = begin()\n',
        '    work = begin()\n    channel = channel_of(body["view"])\n',
        ("tests/fuzz/test_fuzz.py::test_a_window_that_names_no_channel_begins_no_work_that_nobody_awaits",),
    ),
    Bug(
        "what is no index of workers keeps them all from saying what they run",
        "R4",
        "countersign/store/workers.py",
        'not in (b"zset", b"none"):',
        'in (b"nothing",):',
        (_STRAYS + "test_what_is_no_index_of_workers_is_begun_anew_by_the_next_that_says_its_teams",),
    ),
    Bug(
        "a part of a tool's schema that names another dialect is judged without a guard",
        "R29",
        "countersign/json_schema.py",
        "    made.evolve = evolve\n",
        "",
        (_SCHEMAS + "test_a_schema_cannot_make_its_check_run_for_ever_or_leave_the_document",),
    ),
    Bug(
        "what costs too much to check passes the gate",
        "R29",
        "countersign/json_schema.py",
        'nested too deep, to be checked." if whole else None',
        'nested too deep, to be checked." if not whole else None',
        (_SCHEMAS + "test_a_schema_cannot_make_its_check_run_for_ever_or_leave_the_document",),
    ),
    Bug(
        "an error is kept for each item of a record",
        "R29",
        "countersign/store/codec.py",
        "SchemaValidator(within(self.adapter.core_schema))",
        "SchemaValidator(self.adapter.core_schema)",
        (
            _BOUNDS + "test_a_sequence_of_a_record_stops_at_its_first_error",
            _BOUNDS + "test_each_sequence_text_number_and_time_of_a_record_has_a_bound",
        ),
    ),
    Bug(
        "a record of any number of values is parsed",
        "R29",
        "countersign/store/codec.py",
        "or crowded(plain)",
        "",
        (_BOUNDS + "test_a_record_of_eight_hundred_thousand_items_is_refused_at_once",),
    ),
    Bug(
        "a record of another schema is read as if it were ours",
        "R4",
        "countersign/store/codec.py",
        'if schema != b"%d" % self.schema:',
        'if schema == b"":',
        ("tests/store/test_compression.py::test_a_record_of_another_schema_is_refused_by_name[1]",),
    ),
    Bug(
        "a few compressed bytes may be very many",
        "R29",
        "countersign/store/codec.py",
        "return min(LARGEST, max(ROOM, TIMES * len(packed)))",
        "return 2**40",
        ("tests/store/test_compression.py::test_a_few_bytes_do_not_fill_the_memory",),
    ),
    Bug(
        "what could not be read is tried again each time",
        "R29",
        "countersign/store/codec.py",
        "self.unreadable[_digest(body)] = unread",
        "pass",
        (_BOUNDS + "test_what_cannot_be_read_is_not_tried_again_and_not_all_of_it_is_remembered",),
    ),
    Bug(
        "a key that holds no text is taken for a store that is away",
        "R29",
        "countersign/store/reads.py",
        "redis.pcall('GETRANGE'",
        "redis.call('GETRANGE'",
        (_BOUNDS + "test_what_is_large_or_no_text_in_redis_is_not_taken_for_a_store_that_is_away",),
    ),
    Bug(
        "names of nothing stay in the index of deadlines",
        "R29",
        "countersign/usecases/deadlines.py",
        'those("settled"), those("unknown"))',
        'those("settled"), [])',
        (_STRAYS + "test_names_of_nothing_in_the_index_of_deadlines_are_removed_counted_and_logged",),
    ),
    Bug(
        "an index that is none stops each commit half-way",
        "R4",
        "countersign/store/commit.lua",
        "if is ~= kind and is ~= 'none' then",
        "if false then",
        (_STRAYS + "test_an_index_that_a_worker_made_something_else_of_is_begun_anew",),
    ),
    Bug(
        "a body of any size is read before its signature is looked at",
        "R29",
        "bot/slack/http.py",
        "if len(body) > LARGEST:",
        "if False:",
        (_HTTP + "test_of_a_body_without_end_no_more_is_read_than_slack_sends",),
    ),
    Bug(
        "what is sent half stays open",
        "R29",
        "bot/slack/connection_limits.py",
        "self._hurry = self.loop.call_later(WITHIN, self.transport.abort)",
        "pass",
        (_HTTP + "test_what_is_sent_half_is_closed",),
    ),
    Bug(
        "there may be any number of connections",
        "R29",
        "bot/slack/connection_limits.py",
        "if len(self.connections) > CONNECTIONS:",
        "if False:",
        (_HTTP + "test_there_are_only_so_many_connections",),
    ),
    Bug(
        "jobs are unpickled",
        "R29",
        "countersign/store/job_queue.py",
        "        job_codec.mend_docket()\n",
        "",
        ("tests/store/test_job_queue.py::test_no_job_runs_code_in_a_worker_and_the_next_one_is_advanced",),
    ),
    Bug(
        "a name that leads to the demo's mailbox reads its mails",
        "R29",
        "demo/mailbox.py",
        'if host not in (LOOPBACK, "localhost"):',
        "if False:",
        ("tests/demo/test_mailbox.py::test_a_page_of_another_site_reads_no_mail_by_giving_its_name_our_address",),
    ),
    Bug(
        "a part of Redis' password stands in a traceback",
        "R15",
        "countersign/settings.py",
        "        except ValueError:  # whose words hold a part of the password\n            wrong = True",
        "        except ZeroDivisionError:\n            wrong = True",
        ("tests/test_settings.py::test_an_address_that_cannot_be_used_is_told_without_its_password",),
    ),
)
