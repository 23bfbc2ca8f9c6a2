"""Bugs in the interface for programs, and in the client."""

from typing import Final

from tests.mutants.mutant import Bug

_REQUESTS: Final = "tests/api/test_requests.py::"
_BAD: Final = "tests/api/test_bad_programs.py::"
_CALLBACKS: Final = "tests/api/test_callbacks.py::"
_GUARDED: Final = "tests/api/test_guarded_functions.py::"
_TERMINAL: Final = "tests/api/test_terminal.py::"

ASKING: Final = (
    Bug(
        "an outcome of what was not approved is taken",
        "R5",
        "countersign/usecases/program_requests.py",
        "    if not _may_act(found.request):\n        raise",
        "    if False:\n        raise",
        (_REQUESTS + "test_an_outcome_of_what_was_not_approved_is_refused_and_the_card_shows_none[rejected]",),
    ),
    Bug(
        "a question that is asked twice in a run has one decision",
        "R8",
        "countersign/client/question_keys.py",
        "self._times[digest] += 1",
        "self._times[digest] = 1",
        ("tests/api/test_client.py::test_a_proxy_whose_program_died_finds_its_cards_by_its_key",),
    ),
    Bug(
        "a request that was rejected waits a day for its outcome",
        "R17",
        "countersign/usecases/program_requests.py",
        "        if not _may_act(found.request):\n            await _end",
        "        if False:\n            await _end",
        (_REQUESTS + "test_an_outcome_of_what_was_not_approved_is_refused_and_the_card_shows_none[rejected]",),
    ),
    Bug(
        "an error that nobody foresaw is an answer in plain text",
        "R7",
        "bot/api/endpoints.py",
        "handlers[Exception] = on_problem",
        "handlers[Problem] = on_problem",
        (_REQUESTS + "test_an_error_that_nobody_foresaw_is_a_problem_without_details",),
    ),
    Bug(
        "whom a program names approves alone",
        "R9",
        "countersign/domain/decision_rules.py",
        "known = not request.run.of_program",
        "known = True",
        (_BAD + "test_whom_a_program_names_gets_no_right_and_is_shown_as_its_word",),
    ),
    Bug(
        "whom a program names stops its request",
        "R9",
        "countersign/usecases/run_end.py",
        " or run.program is not None",
        "",
        (_BAD + "test_whom_a_program_names_gets_no_right_and_is_shown_as_its_word",),
    ),
    Bug(
        "a request of which nothing was reported counts as done",
        "R17",
        "countersign/domain/runs.py",
        " and self.ended_as != UNREPORTED",
        "",
        (_REQUESTS + "test_a_request_of_which_nothing_is_reported_ends_and_says_so",),
    ),
    Bug(
        "a function that ran and was reported runs again",
        "R8",
        "countersign/client/approval_decorator.py",
        "if decision.reported is not None:",
        "if False:",
        (_GUARDED + "test_what_was_reported_before_does_not_run_again[thread-False-Done before.]",),
    ),
    Bug(
        "a report that is refused hides the result of what was done",
        "R5",
        "countersign/client/exchange.py",
        "        _log.warning(",
        "        raise\n        _log.warning(",
        (_GUARDED + "test_a_report_that_is_refused_hides_no_result[thread-False]",),
    ),
    Bug(
        "a poll tells the decision to a key that was revoked meanwhile",
        "R9",
        "bot/api/endpoints.py",
        "            await self._key(request)  # which may have been revoked meanwhile\n",
        "",
        (_REQUESTS + "test_a_poll_whose_key_is_revoked_meanwhile_tells_nothing",),
    ),
    Bug(
        "a channel that the app joined just now is not known for a minute",
        "R9",
        "bot/api/endpoints.py",
        "for anew in (False, True):",
        "for anew in (False, False):",
        (_REQUESTS + "test_a_channel_that_the_app_joined_just_now_is_known",),
    ),
    Bug(
        "requests at once pass the limit of their key",
        "R29",
        "countersign/store/api_keys.py",
        "number = int(await self._client.incr(name))",
        "number = int(await self._client.get(name) or 0) + 1\n            await self._client.set(name, number)",
        (_BAD + "test_a_limit_holds_for_requests_at_once",),
    ),
    Bug(
        "requests asked at once all have room",
        "R29",
        "bot/api/endpoints.py",
        "await self.keys.has_room(key, ahead)",
        "await self.keys.has_room(key)",
        (_BAD + "test_no_more_requests_wait_than_a_key_may_have_also_of_those_asked_at_once",),
    ),
    Bug(
        "an object of any depth and size is drawn",
        "R29",
        "bot/api/bodies.py",
        "if depth > DEEPEST or count > MOST_VALUES:",
        "if False:",
        (_BAD + "test_json_that_cannot_be_kept_or_shown_is_refused_in_a_sentence[deep-of a call]",),
    ),
    Bug(
        "a callback reaches a network that was local before IPv6 had private ones",
        "R29",
        "bot/api/callback_addresses.py",
        "address.is_multicast or address.is_reserved or local",
        "address.is_multicast or address.is_reserved",
        (_CALLBACKS + "test_no_address_inside_is_reached_unless_its_network_is_named[fec0::1]",),
    ),
    Bug(
        "the record does not name the key that asked",
        "R25",
        "countersign/usecases/program_requests.py",
        'about = {"team": key.name, "program": key.id, ',
        'about = {"team": key.name, ',
        (_BAD + "test_the_record_names_the_key_that_asked",),
    ),
    Bug(
        "one receiver of callbacks takes all places",
        "R29",
        "bot/api/callbacks.py",
        "if receiver.queued >= QUEUE or ",
        "if ",
        (_CALLBACKS + "test_one_slow_receiver_holds_no_other_back",),
    ),
    Bug(
        "a callback goes to whatever the name says when it connects",
        "R29",
        "bot/api/callbacks.py",
        'f"{target.scheme}://{literal}:{target.port}{target.path}"',
        'f"{target.scheme}://{target.host}:{target.port}{target.path}"',
        (_CALLBACKS + "test_a_name_that_moves_between_two_look_ups_leads_nowhere_else",),
    ),
    Bug(
        "Ctrl-C leaves the question to people",
        "R5",
        "countersign/client/client.py",
        "        except KeyboardInterrupt:\n            if not left:\n",
        "        except KeyboardInterrupt:\n            if left:\n",
        (_TERMINAL + "test_ctrl_c_takes_the_question_back",),
    ),
    Bug(
        "an answer waits for the acknowledgement of its first part",
        "R2",
        "bot/slack/connection_limits.py",
        "    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n",
        "",
        ("tests/slack/test_http_bounds.py::test_an_answer_waits_for_no_acknowledgement_of_its_first_part",),
    ),
)
