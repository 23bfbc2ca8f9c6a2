"""Agents of the OpenAI Agents SDK ask people; the program is that of the documentation.

In a checkout the package `agents` is our own folder: so the programs run in an environment with our wheel.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo import scripted_model
from localslack import LocalSlack
from tests.adapters.framework_programs import HERE, examples
from tests.adapters.stage import Bob
from tests.test_wheel import Installed, python, wheel

__all__ = ["python", "wheel"]
pytestmark = pytest.mark.slow

MODELS = """
from agents import Model, ModelResponse, Usage, set_tracing_disabled
from agents.testing import assistant_message, function_call

set_tracing_disabled(True)

class Script(Model):
    async def get_response(self, system_instructions, input, *_, **__):
        results = [] if isinstance(input, str) else [i for i in input if i.get("type") == "function_call_output"]
        if results:
            stop("before the end")
            return ModelResponse([assistant_message(str([one["output"] for one in results]))], Usage(), None)
        calls = [function_call(name, arguments, call_id=call) for call, name, arguments in CALLS]
        return ModelResponse(calls, Usage(), None)

    def stream_response(self, *_, **__):
        raise NotImplementedError

model = Script()
"""
(AGENT,) = examples("adapters.md", "OpenAI Agents SDK")


def test_documented_example_is_short() -> None:
    assert len([line for line in AGENT.splitlines() if line]) <= 20


async def test_documented_example_runs_with_the_demo_model(
    slack: LocalSlack, bob: Bob, python: Path, tmp_path: Path
) -> None:
    """As it stands on the page."""
    async with scripted_model.served("127.0.0.1", 0) as model:
        keys = {"OPENAI_BASE_URL": model, "OPENAI_API_KEY": "demo", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
        program = Installed([python, "-uc", AGENT], tmp_path, {**os.environ, **keys})
        await program.start()
        await bob.presses("Refund:", "Approve")
        assert await program.wait() == 0, program.lines
    assert "45.00 EUR were paid back." in "".join(program.lines)


@pytest.mark.parametrize(
    "module",
    [
        "openai_agents/__init__.py",
        "openai_agents/team.py",
        "openai_agents/model.py",
    ],
)
def test_adapter_type_checks_with_the_real_sdk(python: Path, tmp_path: Path, module: str) -> None:
    (tmp_path / "adapter.py").write_text((HERE / "countersign" / "frameworks" / module).read_text())
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "adapter.py"]
    done = subprocess.run(command, cwd=tmp_path, check=False, text=True, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stdout
