"""`countersign policy check|explain|schema`: a policy looked at before it is used."""

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
    """The exit status: 0 if all is well, 1 if the policy has problems, 2 if the question makes no sense."""
    asked = _parser().parse_args(arguments)
    if asked.verb == "schema":
        print(json.dumps(file.PolicyInFile.model_json_schema(), indent=2))
        return 0
    try:
        book = file.read(asked.file)
    except WrongSettings as wrong:
        for problem in wrong.problems:
            print(problem, file=sys.stderr)
        return 1
    if asked.verb == "check":
        print(f"{asked.file}: {len(book.clauses)} rules, no problem.")
        return 0
    try:
        action = Action(asked.team, asked.agent, asked.tool, _arguments(asked.args), _channel(asked.channel))
    except InvalidInput as wrong:
        print(wrong, file=sys.stderr)
        return 2
    says = None if asked.team_says is None else Effect(asked.team_says)
    print("\n".join(_lines(judge(book, action, says))))
    return 0


def _channel(name: str) -> ChannelId | None:
    return ChannelId(name) if name else None


def _lines(said: Judgement) -> list[str]:
    because = (
        f"“{said.clause}”"
        if said.clause
        else "no rule counts, so it is as the team's code says, or else people are asked"
    )
    lines = [f"{said.effect}: {because}", f"  risk: {said.risk}"]
    if said.why:
        lines.append(f"  why: {said.why}")
    told = {setting.label: getattr(said.terms, name) for name, setting in IN_RULES.items()}
    lines += [f"  {label}: {say_value(value)}" for label, value in told.items() if value is not None]
    return [*lines, *(f"  {line}" for line in said.trail)]


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(f"--args “{text[:80]}” is no JSON object. Write it like: --args '{{\"amount\": 600}}'")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="countersign policy", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    file = argparse.ArgumentParser(add_help=False)
    default = Path(os.environ.get("POLICY") or "approvals.yaml")
    file.add_argument("file", type=Path, nargs="?", default=default, help="default: POLICY, else approvals.yaml")
    verbs.add_parser("check", parents=[file], help="say what is wrong with the file, all at once, with lines")
    explain = verbs.add_parser("explain", parents=[file], help="what becomes of an action, and by which rule")
    explain.add_argument("--team", required=True)
    explain.add_argument("--tool", default="", help="empty: a question that is no call")
    explain.add_argument("--agent", default="")
    explain.add_argument("--channel", default="", help="the id of the channel where the run was started")
    explain.add_argument("--args", default="{}", help="the call's arguments, a JSON object")
    explain.add_argument("--team-says", choices=[effect.value for effect in Effect], help="what the team's code says")
    verbs.add_parser("schema", help="the JSON schema of the file, for editors")
    return parser
