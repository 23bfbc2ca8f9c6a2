"""The Claude Agent SDK: hooks before and after its tools, decided in Slack.

A `PreToolUse` hook is asked about each call, also those of sub-agents and those that a rule of `allowed_tools` or a
permission mode lets pass. `can_use_tool` is not asked about these, so it can't be the gate.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from countersign.client import schema_of
from countersign.frameworks import extra
from countersign.frameworks.hooked_calls import HookedCalls

with extra("claude-agent"):
    from claude_agent_sdk import HookMatcher

_LONGEST_WAIT: Final = 30 * 24 * 3600.0
"""Seconds that the SDK waits for a hook, which is a minute by default; people have the time that their channel says."""


def slack_hooks(
    channel: str, tools: str = "*", *, run: str = "", requester: str = "", idempotent: Collection[str] = ()
) -> dict[Any, list[HookMatcher]]:
    """Make the `hooks` of `ClaudeAgentOptions`, which ask people about these tools.

    `tools` are names as the SDK matches them: `Bash|Write`, `mcp__till__.*`, or `*` for all. If people changed the
    input, the tool gets the changed one. `run` names this run: a program that dies and runs again under the same name
    finds its decisions. Of a call that began, and of which nothing was reported, people say whether it was done, unless
    its tool is in `idempotent`: then it runs again. If a hook fails, the call is blocked.
    """
    calls = HookedCalls(channel, run=run, requester=requester, idempotent=idempotent)

    async def before(given: Any, name: str | None, context: Any) -> Any:
        place = (
            f"In {given['cwd']}, by the sub-agent {kind}" if (kind := given.get("agent_type")) else f"In {given['cwd']}"
        )
        arguments = given["tool_input"]
        judged = await calls.before(
            given["tool_use_id"], given["tool_name"], arguments, schema=schema_of(arguments), note=place
        )
        answer: dict[str, Any] = {"hookEventName": "PreToolUse", "permissionDecision": "allow"}
        if judged.arguments is None:
            answer |= {"permissionDecision": "deny", "permissionDecisionReason": judged.text}
        else:
            answer["updatedInput"] = judged.arguments
        return {"hookSpecificOutput": answer}

    async def after(given: Any, name: str | None, context: Any) -> Any:
        await calls.after(given["tool_use_id"], succeeded=True, words=_text(given["tool_response"]))
        return {}

    async def failed(given: Any, name: str | None, context: Any) -> Any:
        await calls.after(given["tool_use_id"], succeeded=False, words=str(given["error"]))
        return {}

    def matcher(hook: Any) -> list[HookMatcher]:
        return [HookMatcher(matcher=tools, hooks=[hook], timeout=_LONGEST_WAIT, on_failure="block")]

    return {
        "PreToolUse": matcher(before),
        "PostToolUse": matcher(after),
        "PostToolUseFailure": matcher(failed),
    }


def _text(response: Any) -> str:
    """Write what a tool returned: the output of a command, the texts of an MCP server, or all of it."""
    if isinstance(response, Mapping):
        return str(response.get("stdout") or response.get("content") or dict(response))
    if isinstance(response, list):
        return " ".join(str(part.get("text", "")) for part in response if isinstance(part, Mapping))
    return str(response)
