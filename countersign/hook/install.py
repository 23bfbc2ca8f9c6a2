"""`countersign hook install` and `countersign hook doctor`."""

import asyncio
import difflib
import os
import shlex
import sys
from pathlib import Path
from typing import Final

from countersign.client.client import AsyncClient
from countersign.client.connection import Address
from countersign.domain.errors import CountersignError, InvalidInput
from countersign.hook.protocols import PROTOCOLS
from countersign.hook.rules import STARTER, read_rules
from countersign.hook.settings_files import (
    PLACES,
    command_in,
    hook_command,
    our_entry,
    path_of,
    read_settings,
    replace_file,
    seconds_in,
    with_hook,
    written,
)

_MARGIN: Final = 60
"""Seconds between the hook's own end and the agent's timeout."""


def rules_path() -> Path:
    """Return the place of the rules for all agents of this account."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "countersign" / "hook.yaml"


def install(agent: str, *, project: bool, rules: Path | None, yes: bool) -> int:
    """Show the changes of an agent's settings, and write them if the person agrees.

    Return 1 if nothing was written.
    """
    place = rules or rules_path()
    path = path_of(agent, project=project)
    before = read_settings(path)
    changes = [(path, _text(path), written(with_hook(agent, before, hook_command(agent, place.absolute()))))]
    if not place.exists():
        changes.append((place, "", STARTER.read_text(encoding="utf-8")))
    else:
        read_rules(place)
    changes = [(file, old, new) for file, old, new in changes if old != new]
    if not changes:
        print(f"{path} has the hook already. Nothing was changed.")
        return 0
    for file, old, new in changes:
        print("".join(_diff(file, old, new)), end="")
    if not yes and not _agreed():
        print("Nothing was written.", file=sys.stderr)
        return 1
    for file, _, new in changes:
        replace_file(file, new)
        print(f"Wrote {file}.")
    if agent == "codex":
        print("Codex runs a new hook only after you trusted it: open Codex and enter /hooks.")
    print(f"Check it: countersign hook doctor {agent}")
    return 0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _diff(path: Path, old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"{path} (now)", f"{path} (with the hook)")
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("Nobody is there to agree. Read the changes, and run it again with --yes.", file=sys.stderr)
        return False
    return input("Write this? [y/N] ").strip().lower() in ("y", "yes")


def doctor(agents: list[str], *, project: bool) -> int:
    """Check settings, rules and service; return 1 if something is to be fixed."""
    found = [agent for agent in agents or PLACES if agents or our_entry(agent, _settings(agent, project=project))]
    problems = [] if found else ["No agent has the hook. Write it: countersign hook install claude-code"]
    for agent in found:
        problems += _problems_of(agent, project=project)
    problems += _problems_of_service()
    for problem in problems:
        print(f"FIX  {problem}")
    print("All is well." if not problems else f"{len(problems)} to fix.")
    return 1 if problems else 0


def _settings(agent: str, *, project: bool) -> dict[str, object]:
    try:
        return read_settings(path_of(agent, project=project))
    except InvalidInput:
        return {}


def _problems_of(agent: str, *, project: bool) -> list[str]:
    path, title = path_of(agent, project=project), PROTOCOLS[agent].title
    try:
        settings = read_settings(path)
    except InvalidInput as wrong:
        return [str(wrong)]
    if (entry := our_entry(agent, settings)) is None:
        return [f"{title}: {path} has no hook of Countersign. Write it: countersign hook install {agent}"]
    problems = []
    if settings.get("disableAllHooks"):
        problems.append(f"{title}: disableAllHooks in {path} switches the hook off.")
    command = command_in(entry)
    words = shlex.split(command.removesuffix("|| exit 2"))
    if not os.access(words[0], os.X_OK):
        problems.append(f"{title}: {words[0]} can't be executed, so nothing is asked. Run `hook install` again.")
    if not command.rstrip().endswith("|| exit 2"):
        problems.append(f"{title}: the command in {path} must end with `|| exit 2`, or a failing hook lets calls run.")
    if agent == "claude-code" and entry.get("onFailure") != "block":
        problems.append(f'{title}: the hook in {path} needs "onFailure": "block", or a timeout lets the call run.')
    rules = Path(words[words.index("--rules") + 1]) if "--rules" in words[:-1] else None
    try:
        wait = read_rules(rules).wait.total_seconds()
    except InvalidInput as wrong:
        return [*problems, f"{title}: {wrong}"]
    if wait + _MARGIN > (timeout := seconds_in(agent, entry)):
        problems.append(
            f"{title}: the hook waits {wait:.0f} s and {title} only {timeout:.0f} s. Set `wait` in the rules at least "
            f"{_MARGIN} s below the timeout in {path}."
        )
    if not problems:
        print(f"ok   {title}: {path} has the hook, and its rules can be read.")
    return problems


def _problems_of_service() -> list[str]:
    async def reached() -> None:
        async with AsyncClient(timeout=5) as client:
            await client.pending()

    try:
        asyncio.run(reached())
    except CountersignError as wrong:
        return [str(wrong)]
    print(f"ok   {Address.of(None, None).url} answers and knows the key.")
    return []
