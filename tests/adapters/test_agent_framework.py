"""Agents and workflows of Microsoft Agent Framework ask people; the programs are those of the documentation."""

import re
import signal
from pathlib import Path

import pytest

from bot.api.endpoints import Interface
from countersign.domain.errors import InvalidInput
from countersign.frameworks.run_files import opened
from localslack import LocalSlack, text_of
from tests.adapters.framework_programs import HERE, Program, cards, environment, examples
from tests.autogen.harness import fact
from tests.processes import Process
from tests.slack.test_projector import card_of

MODELS = """
from agent_framework import BaseChatClient, ChatMiddlewareLayer, ChatResponse, Content, FunctionInvocationLayer, Message

class Script(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    async def _inner_get_response(self, *, messages, stream, options, **_):
        results = [c for m in messages for c in m.contents if c.type == "function_result"]
        if results:
            stop("before the end")
            return ChatResponse(messages=[Message("assistant", [str([one.result for one in results])])])
        calls = [Content.from_function_call(call, name, arguments=arguments) for call, name, arguments in CALLS]
        return ChatResponse(messages=[Message("assistant", calls)])

client = Script()
"""
AUTOGEN_MODELS = """
import json
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, ModelFamily, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

can = ModelInfo(vision=False, function_calling=True, json_output=True, family="unknown", structured_output=False)
calls = [FunctionCall(call, json.dumps(arguments), name) for call, name, arguments in CALLS]
turn = CreateResult(finish_reason="function_calls", content=calls, usage=RequestUsage(0, 0), cached=False)
model = ReplayChatCompletionClient([turn], model_info=can)
"""
AGENT, WORKFLOW = examples("adapters.md", "Microsoft Agent Framework")


def test_documented_example_is_short() -> None:
    for code in (AGENT, WORKFLOW):
        assert len([line for line in code.splitlines() if line]) <= 20


@pytest.mark.slow
async def test_agent_moved_from_autogen_keeps_its_card(slack: LocalSlack, url: str, token: str, tmp_path: Path) -> None:
    """R8: before and after the migration that the page shows."""
    before, after = re.findall(
        r"```python\n(.*?)```", (HERE / "docs" / "from-autogen-to-agent-framework.md").read_text(), re.S
    )
    drawn = []
    for name, code, models in (("before", before, AUTOGEN_MODELS), ("after", after, MODELS)):
        (tmp_path / name).mkdir()
        program = await Program(tmp_path / name, code, models, environment(url, token)).start()
        card = await card_of(slack)
        drawn.append((text_of(card).split("\n")[0].replace("program", "clerk"), card.buttons))
        await slack.user("bob").click(card, "Approve")
        assert "45.00 EUR were paid back." in await program.ended()
        assert program.done() == ["17 45.0"]
        await card_of(slack, pending=False)
    assert drawn[0] == drawn[1]


def test_run_has_one_program_and_one_task(tmp_path: Path) -> None:
    """A second program, or another task under the key, is refused."""
    with opened(tmp_path, "order-17", "Refund it.") as run:
        run.save()
        with pytest.raises(InvalidInput, match="Another program is running “order-17”"):
            opened(tmp_path, "order-17", "Refund it.").__enter__()
    with pytest.raises(InvalidInput, match="belongs to another task"):
        opened(tmp_path, "order-17", "Refund it again.").__enter__()


@pytest.mark.slow
async def test_workflow_continues_from_its_checkpoint(slack: LocalSlack, url: str, token: str, tmp_path: Path) -> None:
    program = await Program(tmp_path, WORKFLOW, MODELS, environment(url, token)).start()
    card = await card_of(slack)
    await program.kill()
    await slack.user("bob").click(card, "Approve")
    await program.start()
    assert await program.ended() == "Deploy 2.1? Deployed."
    assert cards(slack, "Deploy 2.1?") == 1


@pytest.mark.slow
async def test_run_resumed_before_the_decision_keeps_waiting(
    slack: LocalSlack, interface: Interface, url: str, token: str, tmp_path: Path
) -> None:
    """R8: started again, resumed, interrupted: one card, nothing done, nothing changed."""

    async def waits() -> bool | None:
        return True if interface.polls or not resuming.running else None

    code = AGENT.replace('folder="runs"', 'folder="runs", leave=True')
    program = Program(tmp_path, code, MODELS, environment(url, token))
    for _ in range(2):
        await program.start()
        await program.said("Stopped to wait for people.")
        assert await program.wait() == 1
    (kept,) = (tmp_path / "runs").glob("*.json")
    before = kept.read_bytes()
    resuming = Process("countersign", program.env, "resume", str(tmp_path / "runs"))
    await resuming.start()
    await resuming.said("“order-17” is waiting for people.")
    await fact(waits)
    assert await resuming.kill(signal.SIGINT) == 130
    assert resuming.lines[-2].startswith("Stopped. The runs are still waiting;")
    assert "Traceback" not in "".join(resuming.lines)
    assert (kept.read_bytes(), program.done(), cards(slack, "Refund:")) == (before, [], 1)
    await resuming.start()
    await resuming.said("“order-17” is waiting for people.")
    await slack.user("bob").click(await card_of(slack), "Approve")
    assert await resuming.wait() == 0
    assert "45.00 EUR were paid back." in "".join(resuming.lines)
    assert (program.done(), cards(slack, "Refund:")) == (["17 45.0"], 1)
    await resuming.start()
    await resuming.said(f"No run in {tmp_path / 'runs'} is waiting for people.")
    assert await resuming.wait() == 0
