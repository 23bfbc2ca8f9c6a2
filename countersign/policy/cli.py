"""Check or explain a workspace's policy before it is used, or print its schema."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from countersign.domain.actions import Action
from countersign.domain.channel_settings import IN_POLICY, say_value
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.domain.ids import ChannelId
from countersign.policy import file as policy_file
from countersign.policy.evaluation import Judgement, Rulebook, WantedAction, judge
from countersign.terminal import command_line, run

app = command_line("Check, explain or suggest a policy.")
File = Annotated[
    Path,
    typer.Argument(
        default_factory=lambda: Path(os.environ.get("POLICY") or "approvals.yaml"),
        show_default="POLICY, else approvals.yaml",
    ),
]


def main(arguments: list[str]) -> int:
    """Run one command.

    Returns 0 for a valid policy, 1 for a policy with problems, 2 for wrong usage. An unreadable file counts as a
    problem of the policy, because `web` would not start with it either.
    """
    return run(app, arguments, "countersign policy")


@app.command()
def check(file: File) -> None:
    """List all problems of the file, each with its line."""
    count = len(read(file).clauses)
    print(f"{file}: {count} rule{'' if count == 1 else 's'}, no problem.")


@app.command()
def explain(
    file: File,
    team: Annotated[str, typer.Option(help="The name of the team, if a team asks.")] = "",
    tool: Annotated[str, typer.Option(help="The name of the tool; leave it out for a question in words.")] = "",
    agent: Annotated[str, typer.Option(help="The name of the agent that asks.")] = "",
    program: Annotated[str, typer.Option(help="The name of the program, if a program asks with a key.")] = "",
    channel: Annotated[str, typer.Option(help="The id of the channel where the run started, like C0GENERAL.")] = "",
    args: Annotated[str, typer.Option(help="The arguments of the call, a JSON object.")] = "{}",
    team_says: Annotated[Action | None, typer.Option(help="What the team's code says.")] = None,
) -> None:
    """Show what happens to an action, and by which rule."""
    book = read(file)
    if bool(team) == bool(program):
        raise InvalidInput("Name the team with --team, or the program with --program.")
    place = ChannelId(channel) if channel else None
    action = WantedAction(team or program, agent, tool, _arguments(args), place, program)
    print("\n".join(_lines(judge(book, action, team_says))))


@app.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    print(json.dumps(policy_file.PolicyInFile.model_json_schema(), indent=2))


def read(file: Path) -> Rulebook:
    """Read the policy.

    Ends the command with status 1 and all problems if it cannot be used.
    """
    try:
        return policy_file.read(file)
    except WrongSettings as error:
        print("\n".join(error.problems), file=sys.stderr)
        raise typer.Exit(1) from None


def _lines(judgement: Judgement) -> Iterator[str]:
    reason = (
        f"“{judgement.clause}”"
        if judgement.clause
        else "no rule applies: the team's own code decides, and otherwise people are asked"
    )
    yield from (f"{judgement.then}: {reason}", f"  risk: {judgement.risk}")
    if judgement.why:
        yield f"  why: {judgement.why}"
    settings = {setting.label: getattr(judgement.terms, name) for name, setting in IN_POLICY.items()}
    yield from (f"  {label}: {say_value(value)}" for label, value in settings.items() if value is not None)
    yield from (f"  {line}" for line in judgement.trail)


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidInput(f"--args “{text[:80]}” is not a JSON object. Write it like: --args '{{\"amount\": 600}}'")
    return arguments
