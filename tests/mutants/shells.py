"""Bugs in `countersign run` and `countersign hook`."""

from typing import Final

from tests.mutants.mutant import Bug

_RUN: Final = "tests/commands/test_run.py::"
_HOOK: Final = "tests/hook/test_hook.py::"

GATING: Final = (
    Bug(
        "a shell command that changed after its approval runs",
        "R37",
        "countersign/commands/run.py",
        "    if is_approved(now, approved):\n",
        "    if is_approved(now, approved) or True:\n",
        (f"{_RUN}test_run_refuses_changes_since_the_approval[file]",),
    ),
    Bug(
        "a shell command runs a second time under its key",
        "R8",
        "countersign/commands/run.py",
        "= given.idempotent, (_NothingRan,)",
        "= True, (_NothingRan,)",
        ("tests/commands/test_killed_runs.py::test_command_of_a_killed_run_is_asked_about",),
    ),
    Bug(
        "an approval of a coding agent's call is used twice",
        "R1",
        "countersign/hook/gate.py",
        "            if await _begun(decision):\n",
        "            if await _begun(decision) or True:\n",
        (f"{_HOOK}test_lost_state_reuses_no_approval",),
    ),
    Bug(
        "a hook lets a call run if it fails",
        "R21",
        "countersign/hook/cli.py",
        "    except BaseException as wrong:  # a hook that fails in any other way would let the call run\n",
        "    except ZeroDivisionError as wrong:\n",
        ("tests/hook/test_install.py::test_failing_hook_blocks_with_a_sentence",),
    ),
    Bug(
        "a standing permission for a command covers an unclear script",
        "R24",
        "countersign/hook/call_question.py",
        "    if verdict.exact or len(name) > _LONGEST_NAME:\n",
        "    if len(name) > _LONGEST_NAME:\n",
        (f"{_HOOK}test_permission_covers_a_command_in_its_repository",),
    ),
    Bug(
        "a pass rule of the hook fits what a wrapper runs",
        "R19",
        "countersign/hook/rules.py",
        "            return not command.perhaps and any(_begins",
        "            return any(_has(command, pattern) for pattern in self._patterns) or any(_begins",
        ("tests/hook/test_rules.py::test_allowing_rule_matches_narrowly",),
    ),
)
