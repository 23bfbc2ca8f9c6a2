"""The question about a coding agent's call: the call, the diff and the place."""

import difflib
import getpass
import hashlib
import json
import socket
from collections.abc import Mapping
from typing import Any, Final

from countersign.client.questions import Call
from countersign.domain.calls import canonical, schema_of
from countersign.hook.repository import Repository
from countersign.hook.rules import HookRules, HookVerdict
from countersign.hook.tool_calls import Deed, ToolCall, resolved

LONGEST_DIFF: Final = 60_000
"""Characters of a diff on the card; the call's arguments, which have all of it, come first."""
_LONGEST_FILE: Final = 2_000_000
_LONGEST_NAME: Final = 120


def question_of(call: ToolCall, verdict: HookVerdict, rules: HookRules, repository: Repository, *, edits: bool) -> Call:
    """Make the question, still without its key."""
    arguments = shown_arguments(call)
    schema = schema_of(arguments) if edits else None
    return Call(
        rules.channel,
        name_of(call, verdict, rules, repository),
        arguments,
        schema,
        message="\n".join(_facts(call, verdict, repository)),
        agent=call.agent,
        task=f"{call.agent} in {repository.name}",
    )


def shown_arguments(call: ToolCall) -> dict[str, Any]:
    """Return the arguments that people judge.

    The description of a command is left out: it is the model's text for its user, decides nothing and is another one at
    each call.
    """
    return {
        name: value for name, value in call.arguments.items() if call.deed is not Deed.SHELL or name != "description"
    }


def name_of(call: ToolCall, verdict: HookVerdict, rules: HookRules, repository: Repository) -> str:
    """Name the tool for policy and standing permissions.

    The name is as wide as the scope "any values" may be. `git push in acme/shop` covers this command with any arguments
    in this repository. An unclear script has a name of its own, so a permission covers only that script.
    """
    name = verdict.name
    if verdict.exact or len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(canonical(shown_arguments(call)).encode(errors="replace")).hexdigest()[:12]
        name = f"{call.tool} {digest}"
    where = {"session": f"session {call.session[:40]}", "repository": repository.name, "channel": ""}[rules.permissions]
    named = f"{name} in {where}" if where else name
    return " ".join("".join(letter if letter.isprintable() else "?" for letter in named).split())[:200].strip()


def _facts(call: ToolCall, verdict: HookVerdict, repository: Repository) -> list[str]:
    branch = f", branch {repository.branch}" if repository.branch else ""
    facts = [
        f"Repository: {repository.name}{branch}",
        f"Folder: {call.folder}",
        f"Session: {call.session[:80]} of {call.agent}",
        f"Host: {_account()}@{socket.gethostname()}",
        *(f"Asked because {why}" for why in verdict.why),
    ]
    facts = [" ".join(fact.split()) for fact in facts]  # a branch's name cannot look like another fact
    if diff := diff_of(call):
        facts += ["", diff]
    return facts


def diff_of(call: ToolCall) -> str:
    """Write what a tool would change in its file; "" if that is not known."""
    if call.deed is not Deed.WRITE or len(call.paths) != 1:
        return ""
    before = _content(call)
    after = _after(call.arguments, before)
    if before is None or after is None:
        return ""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    text = "\n".join(line[:1000] for line in lines)
    return text if len(text) <= LONGEST_DIFF else f"{text[:LONGEST_DIFF]}\n… the arguments above have all of it"


def _content(call: ToolCall) -> str | None:
    path = resolved(call.paths[0], call.folder)
    try:
        if not path.exists():
            return ""
        if not path.is_file() or path.stat().st_size > _LONGEST_FILE:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _after(arguments: Mapping[str, Any], before: str | None) -> str | None:
    whole = arguments.get("content", arguments.get("file_text"))
    if isinstance(whole, str):
        return whole if len(whole) <= _LONGEST_FILE else None
    old = arguments.get("old_string", arguments.get("old_str"))
    new = arguments.get("new_string", arguments.get("new_str"))
    if before is None or not isinstance(old, str) or not isinstance(new, str) or not old or old not in before:
        return None
    return before.replace(old, new) if arguments.get("replace_all") is True else before.replace(old, new, 1)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def key_of(call: ToolCall, asked: Call, number: int) -> str:
    """Return the idempotency key of a session's call, asked for the n-th time."""
    content = json.dumps([call.agent, call.session, asked.body], sort_keys=True)
    return f"hook-{hashlib.sha256(content.encode()).hexdigest()}-{number}"
