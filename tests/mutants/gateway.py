"""Bugs in what keeps an MCP client, or a hook of a framework, from acting otherwise than approved."""

from typing import Final

from tests.mutants.mutant import Bug

_GATEWAY: Final = "tests/adapters/test_mcp_gateway.py"
_PYDANTIC: Final = "tests/adapters/test_pydantic_ai.py"
_CALLS: Final = "countersign/frameworks/mcp_gateway/forwarded_calls.py"

GATEWAY: Final = (
    Bug(
        "a tool that changed while people decided is called",
        "R13",
        _CALLS,
        "if isinstance(now, str) or now.definition != tool.definition:",
        "if isinstance(now, str) and not now:",
        (f"{_GATEWAY}::test_tool_changed_during_the_question_is_not_called",),
    ),
    Bug(
        "a lost call is over, so that the next equal one is a new call",
        "R5",
        _CALLS,
        "is_idempotent(tool.name)\n"
        "            return _Ended(_refusal(_LOST_IDEMPOTENT if idempotent else _IN_DOUBT), over=False)",
        "is_idempotent(tool.name)\n"
        "            return _Ended(_refusal(_LOST_IDEMPOTENT if idempotent else _IN_DOUBT), over=True)",
        (f"{_GATEWAY}::test_dead_server_leaves_its_call_in_doubt",),
    ),
    Bug(
        "a server's result is returned with its credentials",
        "R15",
        _CALLS,
        "        return _Ended(self._without_secrets(result))\n",
        "        return _Ended(result)\n",
        (f"{_GATEWAY}::test_credentials_stay_at_the_gateway",),
    ),
    Bug(
        "a call that another capability of pydantic-ai approved runs",
        "R19",
        "countersign/frameworks/pydantic_ai/__init__.py",
        "                decision = await client.judge(asked)\n",
        "                return await handler(args)\n",
        (f"{_PYDANTIC}::test_another_capability_cannot_bypass_people",),
    ),
)
