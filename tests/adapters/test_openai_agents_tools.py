"""Tools of every kind with which the OpenAI Agents SDK interrupts a run, approved, or rejected with a reason."""

import json
from pathlib import Path

import pytest

from localslack import LocalSlack, text_of
from tests.adapters.framework_programs import Program, environment
from tests.adapters.stage import Bob, cards
from tests.test_wheel import python, wheel

__all__ = ["python", "wheel"]
pytestmark = pytest.mark.slow

MODELS = """
import json
from agents import Model, ModelResponse, Usage, set_tracing_disabled
from agents.testing import assistant_message, function_call
from openai.types.responses import (
    ResponseApplyPatchToolCall, ResponseCustomToolCall, ResponseFunctionShellToolCall
)
from openai.types.responses.response_output_item import McpApprovalRequest

set_tracing_disabled(True)

def shell(call):
    action = {"commands": ["rm -rf build"], "timeout_ms": 5000}
    return ResponseFunctionShellToolCall(id=call, call_id=call, action=action, status="completed", type="shell_call")

def patch(call):
    operation = {"type": "update_file", "path": "prices.py", "diff": "-VAT = 19"}
    return ResponseApplyPatchToolCall(
        id=call, call_id=call, operation=operation, status="completed", type="apply_patch_call"
    )

def sql(call):
    return ResponseCustomToolCall(call_id=call, input="DROP TABLE orders", name="sql", type="custom_tool_call")

def ship(call):
    return McpApprovalRequest(
        id=call, arguments='{"order": 18}', name="ship", server_label="depot", type="mcp_approval_request"
    )

def function(name, **arguments):
    return lambda call: function_call(name, arguments, call_id=call)

class Script(Model):
    def __init__(self, name, *turns):
        self.name, self.turns = name, turns

    async def get_response(self, system_instructions, input, *_, **__):
        items = [] if isinstance(input, str) else input
        results = [i for i in items if i.get("type", "").endswith(("_output", "_response"))]
        if len(results) == len(self.turns):
            return ModelResponse([assistant_message(json.dumps(results))], Usage(), None)
        return ModelResponse([self.turns[len(results)](f"{self.name}{len(results)}")], Usage(), None)

    def stream_response(self, *_, **__):
        raise NotImplementedError
"""
PROGRAM = """
import asyncio
import sys

from agents import Agent, ApplyPatchTool, CustomTool, HostedMCPTool, ShellTool, function_tool
from agents.mcp import MCPServer
from mcp.types import CallToolResult, TextContent, Tool
from my_models import Script, did, function, patch, shell, ship, sql

from countersign.frameworks.openai_agents import SlackApprovals

approvals = SlackApprovals("#general", folder="runs")


@function_tool(needs_approval=True, name_override="refund")
def another(order: int) -> str:
    did("another refund", order)
    return "refunded elsewhere"


@approvals.tool
def refund(order: int) -> str:
    did("refund", order)
    return "refunded"


class Editor:
    def update_file(self, operation):
        did(operation.path, operation.diff)
        return "patched"

    create_file = delete_file = update_file


class Scales(MCPServer):
    name = "scales"

    async def connect(self): ...

    cleanup = list_prompts = get_prompt = connect

    async def list_tools(self, run_context=None, agent=None):
        return [Tool(name="weigh", inputSchema={"type": "object", "properties": {"order": {"type": "integer"}}})]

    async def call_tool(self, tool_name, arguments, meta=None):
        did(tool_name, arguments["order"])
        return CallToolResult(content=[TextContent(type="text", text="weighed")])


async def execute(context, words):
    did(words)
    return "executed"


def run(request):
    did(*request.data.action.commands)
    return "cleared"


bank = Agent("bank", model=Script("bank", function("refund", order=21)), tools=[refund])
turns = [
    function("refund", order=17),
    shell,
    patch,
    sql,
    ship,
    function("weigh", order=19),
    function("bank", input="Pay order 20 back."),
]
clerk = Agent(
    "clerk",
    model=Script("clerk", *turns),
    tools=[
        another,
        ShellTool(run, needs_approval=True),
        ApplyPatchTool(Editor(), needs_approval=True),
        CustomTool("sql", "Run SQL.", execute, needs_approval=True),
        HostedMCPTool({"type": "mcp", "server_label": "depot", "server_url": "https://depot"}),
        bank.as_tool("bank", "Ask the bank.", needs_approval=True),
    ],
    mcp_servers=[Scales(require_approval="always")],
)
result = asyncio.run(approvals.run(clerk, "Do all of it.", key="all"))
print(result.final_output)
"""

KINDS = [
    ("Order: 17", "Refund: order 17", "another refund 17", "refunded elsewhere"),
    ("rm -rf build", "Shell: commands “rm -rf build”", "rm -rf build", "cleared"),
    ("VAT = 19", "Apply patch: diff “-VAT = 19”", "prices.py -VAT = 19", "patched"),
    ("DROP TABLE orders", "Sql: input “DROP TABLE orders”", "DROP TABLE orders", "executed"),
    ("Order: 18", "Ship: order 18", None, '"approve": true'),
    ("Order: 19", "Weigh: order 19", "weigh 19", "weighed"),
    ("Pay order 20 back.", "Bank: input “Pay order 20 back.”", None, None),
    ("Order: 21", "Refund: order 21", "refund 21", "refunded"),
]
"""What each card shows and its title; what is done, and what the model reads of it. OpenAI runs the fifth."""
DETAILS = {"Order: 18": "A tool of “depot”.", "Order: 19": "A tool of “scales”.", "VAT = 19": "Path: prices.py"}


@pytest.mark.parametrize("button", ["Approve", "Reject"])
async def test_tool_of_each_kind_runs_as_approved(
    slack: LocalSlack, bob: Bob, python: Path, url: str, token: str, tmp_path: Path, button: str
) -> None:
    """R8, R13: each time the program is killed while people are asked, and nothing is done twice."""
    approves = button == "Approve"
    program = Program(tmp_path, PROGRAM, MODELS, environment(url, token), python)
    kinds = KINDS if approves else KINDS[:-1]
    for words, title, _, _ in kinds:
        await program.start()
        card = await bob.card(words)
        await program.kill()
        assert title in text_of(card) and DETAILS.get(words, "") in text_of(card)
        edits = "Edit…" in json.dumps(card.blocks, ensure_ascii=False)
        assert edits == (words == "Order: 21"), "of other tools nobody may change the arguments"
        await bob.presses(words, button, None if approves else {"reason": f"not {words}"})
    output = await (await program.start()).ended()
    assert program.done() == [done for *_, done, _ in kinds if done and approves]
    results = json.loads(output)
    assert len(results) == 7
    for result, (words, _, _, reads) in zip(results, KINDS, strict=False):
        assert (reads or "refunded" if approves else f"not {words}") in json.dumps(result)
    assert cards(slack) == len(kinds)


@pytest.mark.parametrize(
    ("arguments", "reads"),
    [
        ("[19]", "its arguments aren't a JSON object"),
        ('{"order": 19, "order": 5}', "the same name twice"),
        ('{"order": NaN}', "NaN isn't JSON"),
        ('{"order": 1e400}', "a number is too large"),
        ('{"order": ' + "[" * 150 + "]" * 150 + "}", "nested at most 100 deep"),
    ],
)
async def test_model_reads_why_a_call_is_unshowable(
    slack: LocalSlack, python: Path, url: str, token: str, tmp_path: Path, arguments: str, reads: str
) -> None:
    """R13, R14, R37: nobody is asked, and it does not run; nor does another tool in the place of our question.

    Half of a surrogate pair ends the SDK itself (0.24.0), before anybody could be asked.
    """
    hidden = (
        PROGRAM.replace('name_override="refund"', 'name_override="ask_human"')
        .replace('    function("refund", order=17),', '    function("ask_human", order=17),')
        .replace("    shell,", '    lambda call: function_call("weigh", RAW, call_id=call),')
        .replace("    patch,\n    sql,\n    ship,\n", "")
        .replace('    function("weigh", order=19),\n    function("bank", input="Pay order 20 back."),\n', "")
        .replace("import Script", "import Script, function_call")
    )
    hidden = hidden.replace("\nbank = ", f"\nRAW = {arguments!r}\nbank = ")
    program = await Program(tmp_path, hidden, MODELS, environment(url, token), python).start()
    asks, wrong = json.loads(await program.ended())
    assert "“ask_human” is the name of the tool that asks people" in asks["output"]
    assert reads in wrong["output"]
    assert (program.done(), slack.channel("#approvals").messages) == ([], [])
