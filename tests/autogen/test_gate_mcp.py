"""An MCP server's tools pass the gate like all others (R19)."""

import sys
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.domain.requests import Request, Verb
from countersign.frameworks.autogen.run_context import Run
from tests.autogen.harness import House
from tests.autogen.test_gate_bypasses import agent, running

pytest_plugins = ["tests.redis_server"]

SERVER = """
import sys
from mcp.server.fastmcp import FastMCP

server = FastMCP("files")

@server.tool()
def wipe(path: str) -> str:
    with open(sys.argv[1], "a") as done:
        done.write(path)
    return f"{path} is gone"

server.run()
"""


def there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize("approved", [False, True])
async def test_mcp_tool_does_nothing_before_its_approval(house: House, approved: bool) -> None:
    """R13, R19: a real server in a process of its own."""
    mcp = pytest.importorskip("autogen_ext.tools.mcp", reason="the package mcp is not installed", exc_type=ImportError)
    done = house.folder / "done"
    bench: Any = mcp.McpWorkbench(mcp.StdioServerParams(command=sys.executable, args=["-c", SERVER, str(done)]))

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([agent(run, "clerk", workbench=run.tools("clerk", bench))], max_turns=1)

    async def answer(request: Request) -> None:
        assert not there(done)
        assert request.question.call is not None
        assert '"path"' in request.question.call.schema
        await house.decide(request, Verb.APPROVE if approved else Verb.REJECT)

    asked = await running(house, build, {"clerk": [[("wipe", {"path": "/data"})], "done"]}, "wipe", answer)
    assert len(asked) == 1
    assert there(done) == ("/data" if approved else "")
