"""Agents of Strands and of Google ADK, whose calls people decide; the programs are those of the documentation."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from countersign.domain.actions import Action
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.framework_programs import HERE, Program, examples
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.slow
STRANDS_MODELS = """
import json

from countersign.client import executions
from strands.models import Model

executions.LOOKS = 0

class Script(Model):
    def __init__(self, *calls):
        self.calls = calls

    def update_config(self, **_):
        pass

    def get_config(self):
        return {}

    def structured_output(self, *_, **__):
        raise NotImplementedError

    async def stream(self, messages, *_, **__):
        read = [part["toolResult"] for part in messages[-1]["content"] if "toolResult" in part]
        yield {"messageStart": {"role": "assistant"}}
        if read:
            stop("before the end")
            yield {"contentBlockStart": {"start": {}}}
            text = str([part.get("text") for one in read for part in one["content"]])
            yield {"contentBlockDelta": {"delta": {"text": text}}}
            yield {"contentBlockStop": {}}
        for number, (name, arguments) in enumerate([] if read else self.calls):
            use = {"name": name, "toolUseId": f"{name}-{number}"}
            yield {"contentBlockStart": {"start": {"toolUse": use}}}
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": text}}}}
            yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if read else "tool_use"}}

model = Script(*[(name, arguments) for _, name, arguments in CALLS])
"""
ADK_MODELS = """
from countersign.client import executions
from google.adk.models import BaseLlm, LlmResponse
from google.genai import types

executions.LOOKS = 0

class Script(BaseLlm):
    model: str = "script"
    calls: list = []

    async def generate_content_async(self, request, stream=False):
        parts = request.contents[-1].parts or []
        read = [str(part.function_response.response) for part in parts if part.function_response]
        if read:
            stop("before the end")
            said = [types.Part(text=str(read))]
        else:
            said = [types.Part.from_function_call(name=name, args=arguments) for name, arguments in self.calls]
        yield LlmResponse(content=types.Content(role="model", parts=said))

model = Script(calls=[(name, arguments) for _, name, arguments in CALLS])
"""


@dataclass(frozen=True)
class Framework:
    """A framework in an environment of its own: its example, and the model that plays a script in it."""

    name: str
    section: str
    models: str
    model: tuple[str, str]
    """What the example says of its model, and what names ours."""

    @property
    def python(self) -> Path:
        return HERE / ".frameworks" / self.name / "bin" / "python"

    @property
    def example(self) -> str:
        (example,) = examples("adapters.md", self.section)
        return example

    @property
    def code(self) -> str:
        return self.example.replace(*self.model)


STRANDS = Framework(
    "strands",
    "Strands Agents",
    STRANDS_MODELS,
    ("Agent(tools", "Agent(model=my_models.model, callback_handler=None, tools"),
)
ADK = Framework(
    "google-adk",
    "Google Agent Development Kit",
    ADK_MODELS,
    ('model="gemini-2.5-flash"', "model=my_models.model"),
)
FRAMEWORKS = {one.name: one for one in (STRANDS, ADK)}
OF_STRANDS = STRANDS.code.replace(
    'print(clerk("Refund 45 EUR for order 17."))',
    """
clerk.name = "clerk"
delegate = clerk.as_tool(name="delegate", description="Let the clerk do it.")
script = my_models.Script(("delegate", {"input": "Refund."}))
print(Agent(model=script, callback_handler=None, tools=[delegate])("Refund."))
""",
)
RUN = "runner = InMemoryRunner("
BOSS = 'boss = Agent(name="boss", model=my_models.Script(calls=[(CALL)]), MORE)\n'


def of_adk(call: str, more: str) -> str:
    boss = "from google.adk.tools.agent_tool import AgentTool\n" + BOSS.replace("CALL", call).replace("MORE", more)
    return ADK.code.replace(RUN, f"{boss}{RUN}").replace("InMemoryRunner(clerk", "InMemoryRunner(boss")


Make = Callable[..., Program]


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    found = FRAMEWORKS[request.param]
    if not found.python.exists():
        pytest.skip(f"needs {found.section}: `make frameworks` sets it up")
    return found


@pytest.fixture
async def make(framework: Framework, tmp_path: Path) -> AsyncIterator[Make]:
    """Make a program in the environment of the framework."""
    made: list[Program] = []

    def program(code: str = "", **env: str) -> Program:
        env = {**os.environ, "TASK": "refund", **env}
        made.append(Program(tmp_path, code or framework.code, framework.models, env, framework.python))
        made[-1].env["PYTHONPATH"] = str(HERE)
        return made[-1]

    yield program
    for one in made:
        if one.running:
            await one.kill()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_documented_example_is_short(name: str) -> None:
    assert len([line for line in FRAMEWORKS[name].example.splitlines() if line]) <= 20


@pytest.mark.parametrize(
    ("button", "window", "done", "reads"),
    [
        ("Approve", None, ["17 45.0"], "45.00 EUR were paid back."),
        ("Edit", {"Euros": "40", "why": "the fee"}, ["17 40"], "40.00 EUR were paid back."),
        ("Reject", {"reason": "too much"}, [], "too much"),
    ],
)
async def test_call_runs_only_as_decided(
    slack: LocalSlack, bob: Bob, make: Make, button: str, window: Any, done: list[str], reads: str
) -> None:
    """R13, R16."""
    program = await make().start()
    await bob.presses("Refund:", button, window)
    assert reads in await program.ended()
    assert [line.removesuffix(".0") for line in program.done()] == [line.removesuffix(".0") for line in done]
    assert cards(slack) == 1


async def test_expired_call_does_not_run(bob: Bob, make: Make) -> None:
    """R17, R20."""
    program = await make().start()
    await bob.card("Refund:")
    await bob.lets_time_run_out()
    assert "NOBODY ANSWERED" in await program.ended()
    assert program.done() == []


async def test_policy_refuses_a_call(slack: LocalSlack, store: Store, make: Make) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    program = await make().start()
    assert "Use the till." in await program.ended()
    assert (program.done(), cards(slack)) == ([], 0)


async def test_refused_key_blocks_every_call(bob: Bob, make: Make) -> None:
    await bob.loses_its_key()
    program = await make().start()
    await program.wait()
    assert program.done() == []


@pytest.mark.parametrize(
    ("framework", "code"),
    [
        ("strands", OF_STRANDS),
        ("google-adk", of_adk("'transfer_to_agent', {'agent_name': 'clerk'}", "sub_agents=[clerk]")),
        ("google-adk", of_adk("'clerk', {'request': 'Refund.'}", "tools=[AgentTool(clerk)]")),
    ],
    indirect=["framework"],
    ids=["strands: agent as tool", "ADK: sub-agent", "ADK: agent as tool"],
)
async def test_calls_of_a_sub_agent_ask_people(bob: Bob, make: Make, code: str) -> None:
    """R19: a hook is the agent's, and goes where it goes; a plugin is the runner's, and holds for all agents."""
    program = await make(code).start()
    await bob.presses("Refund:", "Reject", {"reason": "too much"})
    assert "too much" in await program.ended()
    assert program.done() == []


async def test_killed_program_finds_its_card(slack: LocalSlack, bob: Bob, make: Make) -> None:
    """R8."""
    program = await make().start()
    await bob.card("Refund:")
    await program.kill()
    await bob.presses("Refund:", "Approve")
    await program.start()
    assert "45.00 EUR were paid back." in await program.ended()
    await program.start()
    assert "Done before: 45.00 EUR" in await program.ended()
    assert (program.done(), cards(slack)) == (["17 45.0"], 1)


@pytest.mark.parametrize(
    ("answer", "done"), [("1. It was done", 1), ("2. It wasn't done: run it now", 2)], ids=["done", "again"]
)
async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, make: Make, answer: str, done: int
) -> None:
    """R8, R10: killed in the call."""
    program = make()
    program.stops("in the call")
    await program.start()
    await bob.presses("Refund:", "Approve")
    await program.stopped("in the call")
    await program.kill()
    await program.start()
    await bob.presses("” happen?", "Choose", {"options": answer})
    await program.ended()
    assert (program.done(), cards(slack)) == (["17 45.0"] * done, 2)


@pytest.mark.parametrize("framework", ["strands"], indirect=True)
@pytest.mark.parametrize("arguments", ['{"order": 17, "euros": NaN}', '{"order": 17, "euros": 1e400}'])
async def test_hostile_arguments_are_refused(slack: LocalSlack, make: Make, arguments: str) -> None:
    """R13: nobody is asked, nothing runs, and the program ends well."""
    program = await make(
        STRANDS.code.replace("my_models.model", f"my_models.Script(('refund', {arguments!r}))")
    ).start()
    await program.ended()
    assert (program.done(), cards(slack)) == ([], 0)
