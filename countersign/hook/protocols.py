"""The hook protocols of the coding agents, and how each fails closed.

All write one JSON object to the hook's standard input. They differ in the answer, and in what a hook that fails does:

- Claude Code, Codex and Gemini CLI block a call at exit status 2 and show the model standard error; every other status
  than 0 and 2 lets the call run. So the installed command ends with `|| exit 2`.
- Copilot denies a call at every status but 0. A hook that takes longer than its timeout lets the call run in all of
  them, except with Claude Code's `onFailure: block`; so the hook ends before that, with a refusal.

Sources: code.claude.com/docs/en/hooks; developers.openai.com/codex/hooks and codex-rs/hooks/schema of openai/codex;
docs/hooks/reference.md of google-gemini/gemini-cli; content/copilot/reference/hooks-reference.md of github/docs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

BLOCK: Final = 2
"""The exit status at which each of the agents blocks the call."""


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """The hook's answer: whether the call may run, why, and with which arguments."""

    allowed: bool
    reason: str
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """One agent's protocol."""

    name: str
    title: str
    write: Callable[[str, HookAnswer], Mapping[str, Any] | None]
    """Makes the answer to an event; None is an empty answer, after which the agent's own permissions decide."""

    def edits(self, event: str) -> bool:
        """Tell whether people may change the arguments.

        Codex takes none as the answer to its own question.
        """
        return event != "PermissionRequest"

    def output(self, event: str, answer: HookAnswer) -> str:
        """Return what the hook prints."""
        written = self.write(event, answer)
        return "" if written is None else json.dumps(written, ensure_ascii=True)


def _claude_code(event: str, answer: HookAnswer) -> Mapping[str, Any]:
    changed = {} if answer.arguments is None else {"updatedInput": answer.arguments}
    decision = {"permissionDecision": _word(answer), "permissionDecisionReason": answer.reason}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision, **changed}}


def _codex(event: str, answer: HookAnswer) -> Mapping[str, Any] | None:
    if event == "PermissionRequest":
        message = {} if answer.allowed else {"message": answer.reason}
        decision = {"behavior": _word(answer), **message}
        return {"hookSpecificOutput": {"hookEventName": event, "decision": decision}}
    if answer.allowed and answer.arguments is None:
        return None  # Codex takes "allow" only together with changed arguments
    return _claude_code(event, answer)


def _gemini(event: str, answer: HookAnswer) -> Mapping[str, Any]:
    changed = {} if answer.arguments is None else {"hookSpecificOutput": {"tool_input": answer.arguments}}
    return {"decision": _word(answer), "reason": answer.reason, **changed}


def _copilot(event: str, answer: HookAnswer) -> Mapping[str, Any]:
    changed = {} if answer.arguments is None else {"modifiedArgs": answer.arguments}
    return {"permissionDecision": _word(answer), "permissionDecisionReason": answer.reason, **changed}


def _word(answer: HookAnswer) -> str:
    return "allow" if answer.allowed else "deny"


PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (
        Protocol("claude-code", "Claude Code", _claude_code),
        Protocol("codex", "Codex", _codex),
        Protocol("gemini", "Gemini CLI", _gemini),
        Protocol("copilot", "Copilot", _copilot),
    )
}
