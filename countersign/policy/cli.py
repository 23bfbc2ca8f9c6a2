"""Check or explain a workspace's policy before it is used, or print its schema."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from countersign.domain.channel_settings import IN_RULES, say_value
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.domain.ids import ChannelId
from countersign.policy import file
from countersign.policy.evaluation import Action, Effect, Judgement, judge


def main(arguments: list[str]) -> int:
    """Run one command; 0 if all is well, 1 for a policy with problems, 2 for wrong use.

    A file that cannot be read is a problem of the policy: nothing would start with it either.
    """
    given = _parser().parse_args(arguments)
    if given.command == "schema":
        print(json.dumps(file.PolicyInFile.model_json_schema(), indent=2))
        return 0
    try:
        book = file.read(given.file)
    except WrongSettings as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    if given.command == "check":
        count = len(book.clauses)
        print(f"{given.file}: {count} rule{'' if count == 1 else 's'}, no problem.")
        return 0
    try:
        channel = ChannelId(given.channel) if given.channel else None
        action = Action(given.team, given.agent, given.tool, _arguments(given.args), channel)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    team_says = None if given.team_says is None else Effect(given.team_says)
    print("\n".join(_lines(judge(book, action, team_says))))
    return 0


def _lines(judgement: Judgement) -> list[str]:
    reason = (
        f"“{judgement.clause}”"
        if judgement.clause
        else "no rule counts, so it is as the team's code says, or else people are asked"
    )
    lines = [f"{judgement.effect}: {reason}", f"  risk: {judgement.risk}"]
    if judgement.why:
        lines.append(f"  why: {judgement.why}")
    settings = {setting.label: getattr(judgement.terms, name) for name, setting in IN_RULES.items()}
    lines += [f"  {label}: {say_value(value)}" for label, value in settings.items() if value is not None]
    return [*lines, *(f"  {line}" for line in judgement.trail)]


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidInput(f"--args “{text[:80]}” is not a JSON object. Write it like: --args '{{\"amount\": 600}}'")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="countersign policy", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    default = Path(os.environ.get("POLICY") or "approvals.yaml")
    common.add_argument("file", type=Path, nargs="?", default=default, help="default: POLICY, else approvals.yaml")
    commands.add_parser("check", parents=[common], help="list all problems of the file, each with its line")
    explain = commands.add_parser("explain", parents=[common], help="show what happens to an action, and by which rule")
    explain.add_argument("--team", required=True, help="the name of the team")
    explain.add_argument("--tool", default="", help="the name of the tool; leave it out for a question in words")
    explain.add_argument("--agent", default="", help="the name of the agent that asks")
    explain.add_argument(
        "--channel", default="", help="the id of the channel where the run was started, like C0GENERAL"
    )
    explain.add_argument("--args", default="{}", help="the arguments of the call, a JSON object")
    explain.add_argument("--team-says", choices=[effect.value for effect in Effect], help="what the team's code says")
    commands.add_parser("schema", help="print the JSON schema of the file, for editors")
    return parser
