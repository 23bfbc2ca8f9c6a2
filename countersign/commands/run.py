"""`countersign run`: run a command after people approved exactly this command.

    countersign run --channel "#deploys" --title "Apply plan 42" --attach plan.txt -- terraform apply plan.tfplan

It asks, waits, runs the approved argument vector without a shell, and reports the exit status and the last lines of the
output to the card. It ends with the status of the command, or with another one that says why nothing ran: docs/run.md.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from countersign.client.client import Client
from countersign.client.exchange import AlreadyRan, Decision, NotApproved, ServiceRefused
from countersign.client.questions import Call
from countersign.commands import waiting
from countersign.commands.approved_command import TOOL, CannotRun, Command, attached, differences
from countersign.commands.execution import HeldSignals, execute, held_signals
from countersign.commands.exit_statuses import ExitStatus, reason_of, status_of, status_of_refusal
from countersign.commands.waiting import Interrupted
from countersign.domain.errors import CountersignError
from countersign.domain.json_arguments import is_approved

LINES = 10
"""Lines of the output that the card shows."""
_LONGEST_REPORT = 1900


def main(arguments: Sequence[str]) -> int:
    """Ask, run the command and return its exit status; another one if nothing ran."""
    reader = parser()
    ours, separator, vector = split(arguments)
    given, rest = reader.parse_known_args(ours)
    if rest and separator:
        reader.error(f"unrecognized arguments: {' '.join(rest)}")
    if not separator or not vector:
        reader.error("write the command after --, as in: countersign run --title Deploy -- make deploy")
    command = Command(tuple(vector), (*given.env, *given.hide), tuple(given.file), given.host)
    try:
        with waiting.interruptible():
            return _run(command, given)
    except Interrupted as interrupted:
        return interrupted.status
    except CannotRun as wrong:
        return _ended(wrong.status, f"{wrong} Nobody was asked, and nothing ran.")
    except ServiceRefused as refused:
        return _ended(status_of_refusal(refused), f"{refused} Nothing ran.")
    except NotApproved as stopped:
        return _ended(status_of(stopped.decision), f"{stopped} Nothing ran.")
    except CountersignError as wrong:
        return _ended(ExitStatus.WRONG_USAGE, str(wrong))


def parser() -> argparse.ArgumentParser:
    """Make the parser of the options."""
    made = argparse.ArgumentParser(
        prog="countersign run",
        usage="countersign run [options] -- COMMAND [ARGUMENT …]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    waiting.add_options(made)
    made.add_argument("--title", default="", help="title of the card; by default it names the command")
    made.add_argument("--attach", action="append", default=[], metavar="FILE", help="text that the card shows")
    made.add_argument("--env", action="append", default=[], metavar="NAME", help="variable approved with its value")
    made.add_argument("--hide", action="append", default=[], metavar="NAME", help="like --env, with a hidden value")
    made.add_argument("--file", action="append", default=[], metavar="FILE", help="file approved with its content")
    made.add_argument("--host", default="", help="name of the machine on the card (default: its own)")
    made.add_argument(
        "--lines", type=int, default=LINES, help=f"last lines of the output on the card (default: {LINES}); 0: none"
    )
    made.add_argument(
        "--idempotent", action="store_true", help="run it again where a run with this --key reported nothing"
    )
    return made


def split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    """Split at the first `--`: everything behind it is the command, as it is."""
    if "--" not in arguments:
        return [*arguments], False, []
    place = arguments.index("--")
    return [*arguments[:place]], True, [*arguments[place + 1 :]]


def _run(command: Command, given: argparse.Namespace) -> int:
    asked = command.as_it_is()
    call = Call(
        given.channel,
        TOOL,
        asked,
        hidden=[f"environment.{name}" for name in given.hide],
        title=given.title,
        message=attached(given.attach),
        requester=given.requester,
        key=given.key,
    )
    with Client(timeout=given.timeout) as client, ExitStack() as waits, ExitStack() as holds:
        waits.enter_context(waiting.noted(quiet=given.quiet))
        decision = client.judge(call, on_interrupt=given.on_interrupt)
        if not decision.approved:
            return _ended(status_of(decision), f"{reason_of(decision)} Nothing ran.")
        if differs := _differs(decision, command):
            return _ended(ExitStatus.DIFFERS, differs)

        def execution(_: Mapping[str, Any]) -> tuple[int, str]:
            """Run the command, once the service let it begin; signals wait until its outcome is reported."""
            waits.close()
            return _execute(decision, command, given, holds.enter_context(held_signals()))

        idempotent, did_nothing = given.idempotent, (_NothingRan,)
        try:
            status, _ = client.perform(
                decision, call, execution, idempotent=idempotent, outcome=_outcome, did_nothing=did_nothing
            )
        except AlreadyRan as before:
            return _ran_before(before)
        except _NothingRan as why:
            why.held.refuse()
            return _ended(why.status, why.text)
        return status


class _NothingRan(Exception):
    """The command did not start."""

    def __init__(self, status: ExitStatus, text: str, held: HeldSignals) -> None:
        super().__init__(text)
        self.status, self.text, self.held = status, text, held


def _execute(decision: Decision, command: Command, given: argparse.Namespace, held: HeldSignals) -> tuple[int, str]:
    """Run what was approved, if it still is what would run; return its exit status, and a report for the card."""
    if held.came or (differs := _differs(decision, command)):
        raise _NothingRan(ExitStatus.DIFFERS, "" if held.came else differs, held)
    began = time.monotonic()
    try:
        status, output = execute(command.vector, (decision.arguments or {})["program"], held, given.lines)
    except OSError as wrong:
        why = f"{command.vector[0]}: {wrong.strerror}. Nothing ran."
        raise _NothingRan(ExitStatus.NOT_EXECUTABLE, why, held) from wrong
    for name in given.hide:  # the command may print what nobody was shown
        if value := os.environ.get(name):
            output = output.replace(value, f"[{name}]")
    return status, _report(status, time.monotonic() - began, output)


def _outcome(result: tuple[int, str]) -> tuple[bool, str]:
    status, report = result
    return status == 0, report


def _differs(decision: Decision, command: Command) -> str:
    """Say what differs between the approved command and the one that would run now; "" if nothing does."""
    approved: Mapping[str, Any] = decision.arguments or {}
    try:
        now = command.as_it_is()
    except CannotRun as gone:
        return f"This is no longer what was approved: {gone} Nothing ran."
    if is_approved(now, approved):
        return ""
    what = differences(approved, now) or "its arguments"
    return f"This is no longer what was approved: it differs in {what}. Nothing ran."


def _report(status: int, seconds: float, output: str) -> str:
    ended = f"Exit status {status} after {seconds:.0f} s."
    if not output:
        return ended
    room = _LONGEST_REPORT - len(ended)
    return f"{ended}\n{output if len(output) <= room else '…' + output[-room + 1 :]}"


def _ran_before(before: AlreadyRan) -> int:
    reported = before.decision.reported
    if reported is None:
        return _ended(
            ExitStatus.IN_DOUBT,
            "A run with this --key began, and nobody knows whether it did its work. Nothing ran now. Look, and use "
            "another --key to run it again.",
        )
    status = ExitStatus.OK if reported.succeeded else ExitStatus.RAN_AND_FAILED
    return _ended(status, f"A run with this --key has ended, so nothing ran now. {reported.text}")


def _ended(status: int, text: str) -> int:
    print(f"countersign run: {text}", file=sys.stderr)
    return int(status)
