"""`countersign ask`: ask people from a shell, and print their decision.

    countersign ask --channel "#deploys" "Deploy 2.1 to production?" && make deploy
    region=$(countersign ask "Which region?" --option eu --option us)

It prints the answer: the options that people chose, a line each; a filled-in form as JSON; with `--edit` the message
that may be used; or the text by which changes were requested. With `--json` it prints the whole decision, whatever it
is. It ends with 0 if people approved, chose or filled in; docs/run.md lists the other exit statuses.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from countersign.client.client import Client
from countersign.client.exchange import Decision, ServiceRefused
from countersign.client.questions import Question
from countersign.commands import waiting
from countersign.commands.exit_statuses import ExitStatus, reason_of, status_of, status_of_refusal
from countersign.commands.waiting import Interrupted
from countersign.domain.errors import CountersignError, InvalidInput


def main(arguments: Sequence[str]) -> int:
    """Ask, print the decision and return the exit status."""
    given = parser().parse_args(arguments)
    try:
        with waiting.interruptible():
            asked = _question(given)
            with waiting.noted(quiet=given.quiet), Client(timeout=given.timeout) as client:
                decision = client.judge(asked, on_interrupt=given.on_interrupt)
    except Interrupted as interrupted:
        return interrupted.status
    except ServiceRefused as refused:
        print(f"countersign ask: {refused}", file=sys.stderr)
        return status_of_refusal(refused)
    except CountersignError as wrong:
        print(f"countersign ask: {wrong}", file=sys.stderr)
        return ExitStatus.WRONG_USAGE
    status = ExitStatus.OK if given.form and decision.arguments is not None else status_of(decision)
    if given.json:
        print(json.dumps(_written(decision), ensure_ascii=False))
    elif text := _answer(decision, given):
        print(text)
    if status:
        print(f"countersign ask: {reason_of(decision)}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """Make the parser of the arguments."""
    made = argparse.ArgumentParser(
        prog="countersign ask", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("title", help="the question; title of the card")
    waiting.add_options(made)
    made.add_argument("--message", default="", help="text to judge; by default the title")
    made.add_argument("--message-file", default="", metavar="FILE", help="the same from a file; - is standard input")
    made.add_argument("--option", action="append", default=[], metavar="TEXT", help="an answer to choose from")
    made.add_argument("--several", action="store_true", help="more than one --option may be chosen")
    made.add_argument("--edit", action="store_true", help="people may change the message; it is printed")
    made.add_argument("--form", default="", metavar="FILE", help="JSON schema of a form to fill in")
    made.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    return made


def _question(given: argparse.Namespace) -> Question:
    if given.message and given.message_file:
        raise InvalidInput("Give --message or --message-file, not both. Nobody was asked.")
    message = _read(given.message_file) if given.message_file else given.message
    try:
        form = json.loads(_read(given.form)) if given.form else None
    except ValueError as wrong:
        raise InvalidInput(f"{given.form} is not a JSON schema: {wrong}. Nobody was asked.") from None
    return Question(
        given.channel,
        given.title,
        message,
        given.option,
        several=given.several,
        edit=given.edit,
        form=form,
        requester=given.requester,
        key=given.key,
    )


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode()
    except OSError as wrong:
        raise InvalidInput(f"{name} can't be read: {wrong.strerror}. Nobody was asked.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not UTF-8 text. Nobody was asked.") from None


def _answer(decision: Decision, given: argparse.Namespace) -> str:
    """Return what a shell script reads; "" if there is nothing besides the exit status."""
    if given.form and decision.arguments is not None:
        return json.dumps(decision.arguments, ensure_ascii=False)
    if decision.chosen:
        return "\n".join(decision.chosen)
    if decision.outcome == "answered":
        return decision.words
    return decision.message or "" if given.edit else ""


def _written(decision: Decision) -> dict[str, Any]:
    """Return the decision as JSON, with the names of docs/http-api.md."""
    fields = {field.name: getattr(decision, field.name) for field in dataclasses.fields(decision)}
    reported = None if decision.reported is None else dataclasses.asdict(decision.reported)
    return {**fields, "at": decision.at.isoformat(), "approved": decision.approved, "reported": reported}
