"""Messages of each protocol, as their sources have them, and the answers that they take.

Sources. Claude Code: recorded from 2.1.332 with a scripted model, and code.claude.com/docs/en/hooks. Codex: recorded
from 0.169.0, and codex-rs/hooks/schema/generated of openai/codex. Gemini CLI: recorded from 0.61.0, and
docs/hooks/reference.md of google-gemini/gemini-cli. Copilot: content/copilot/reference/hooks-reference.md of
github/docs, in both of its spellings.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from countersign.hook.protocols import PROTOCOLS, HookAnswer
from countersign.hook.tool_calls import Deed, read_call, read_message

CLAUDE_CODE = {
    "session_id": "0ec4860f-22fa-4230-b7ff-8b3d7a492434",
    "transcript_path": "/srv/.claude/projects/shop/0ec4860f.jsonl",
    "cwd": "/srv/shop",
    "prompt_id": "f56d35c7-2449-4dcf-bdf8-1b3465ac2701",
    "permission_mode": "default",
    "effort": {"level": "medium"},
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "git push", "description": "Push"},
    "tool_use_id": "toolu_0",
}
CODEX = {
    "session_id": "0199a213",
    "turn_id": "1",
    "transcript_path": None,
    "cwd": "/srv/shop",
    "hook_event_name": "PreToolUse",
    "model": "gpt-5",
    "permission_mode": "default",
    "tool_name": "Bash",
    "tool_input": {"command": "git push"},
    "tool_use_id": "call_1",
}
GEMINI = {
    "session_id": "b2c1",
    "transcript_path": "/srv/.gemini/tmp/chat.json",
    "cwd": "/srv/shop",
    "hook_event_name": "BeforeTool",
    "timestamp": "2026-11-25T10:00:00Z",
    "tool_name": "run_shell_command",
    "tool_input": {"command": "git push"},
}
COPILOT = {
    "sessionId": "85a696df",
    "timestamp": 1788992290306,
    "cwd": "/srv/shop",
    "toolName": "bash",
    "toolArgs": {"command": "git push", "mode": "sync"},
}
COPILOT_TEXT = {**COPILOT, "toolArgs": '{"command": "git push"}'}
COPILOT_PASCAL = {
    "hook_event_name": "PreToolUse",
    "session_id": "85a696df",
    "timestamp": "2026-11-25T10:00:00Z",
    "cwd": "/srv/shop",
    "tool_name": "Bash",
    "tool_input": {"command": "git push"},
}


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("claude-code", CLAUDE_CODE),
        ("codex", CODEX),
        ("gemini", GEMINI),
        ("copilot", COPILOT),
        ("copilot", COPILOT_TEXT),
        ("copilot", COPILOT_PASCAL),
    ],
)
def test_messages_of_every_agent_are_read(agent: str, message: dict[str, Any]) -> None:
    call = read_call(agent, read_message(json.dumps(message).encode()))
    assert (call.deed, call.script, call.folder) == (Deed.SHELL, "git push", Path("/srv/shop"))
    assert call.session


DENY = HookAnswer(False, "No.")
CHANGED = HookAnswer(True, "Yes.", {"command": "ls"})


@pytest.mark.parametrize(
    ("agent", "event", "answer", "printed"),
    [
        (
            "claude-code",
            "PreToolUse",
            DENY,
            {
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "deny",
                    "permissionDecisionReason": "No.",
                }
            },
        ),
        (
            "claude-code",
            "PreToolUse",
            CHANGED,
            {
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "allow",
                    "permissionDecisionReason": "Yes.",
                    "updatedInput": {"command": "ls"},
                }
            },
        ),
        (
            "codex",
            "PreToolUse",
            DENY,
            {
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "deny",
                    "permissionDecisionReason": "No.",
                }
            },
        ),
        ("codex", "PreToolUse", HookAnswer(True, "Yes."), None),
        (
            "codex",
            "PreToolUse",
            CHANGED,
            {
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "allow",
                    "permissionDecisionReason": "Yes.",
                    "updatedInput": {"command": "ls"},
                }
            },
        ),
        (
            "codex",
            "PermissionRequest",
            DENY,
            {
                "hookSpecificOutput": {
                    "hookEventName": "PermissionRequest",
                    "decision": {"behavior": "deny", "message": "No."},
                }
            },
        ),
        (
            "codex",
            "PermissionRequest",
            HookAnswer(True, "Yes."),
            {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}},
        ),
        ("gemini", "BeforeTool", DENY, {"decision": "deny", "reason": "No."}),
        (
            "gemini",
            "BeforeTool",
            CHANGED,
            {"decision": "allow", "reason": "Yes.", "hookSpecificOutput": {"tool_input": {"command": "ls"}}},
        ),
        ("copilot", "", DENY, {"permissionDecision": "deny", "permissionDecisionReason": "No."}),
        (
            "copilot",
            "",
            CHANGED,
            {"permissionDecision": "allow", "permissionDecisionReason": "Yes.", "modifiedArgs": {"command": "ls"}},
        ),
    ],
)
def test_answers_have_the_form_of_each_protocol(
    agent: str, event: str, answer: HookAnswer, printed: dict[str, Any] | None
) -> None:
    """An empty answer leaves the call to the agent's own permissions."""
    written = PROTOCOLS[agent].output(event, answer)
    assert (json.loads(written) if written else None) == printed
