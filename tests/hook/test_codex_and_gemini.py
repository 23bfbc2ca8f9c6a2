"""The real Codex and Gemini CLI with the hook as it is installed, and a model that plays a script."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localslack import LocalSlack
from tests.adapters.stage import Bob, cards
from tests.hook.conftest import RULES
from tests.hook.real_agents import Session, Stage, program_of

pytestmark = pytest.mark.slow
COMMAND = "mkdir out && git push 2> out/log"
DONE = "All is done."
AGENTS = [
    pytest.param(
        agent, marks=pytest.mark.skipif(program_of(agent) is None, reason=f"needs {agent}: npm i -g {package}")
    )
    for agent, package in (("codex", "@openai/codex"), ("gemini", "@google/gemini-cli"))
]


class Model:
    """Calls one command and ends, in the form of OpenAI's responses or of Gemini's `generateContent`."""

    def __init__(self) -> None:
        self.url = ""
        self.results: list[str] = []

    async def respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in self._gemini(body) if "contents" in body else self._responses(body):
            name = f"event: {event['type']}\n" if "type" in event else ""
            await answer.write(f"{name}data: {json.dumps(event)}\r\n\r\n".encode())
        return answer

    def _responses(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        outputs = [item for item in body["input"] if item.get("type", "").endswith("_output")]
        self.results = [str(item["output"]) for item in outputs] or self.results
        item: dict[str, Any] = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "exec_command"}
        item["arguments"] = json.dumps({"cmd": COMMAND})
        if outputs:
            said = [{"type": "output_text", "text": DONE}]
            item = {"type": "message", "id": "m1", "role": "assistant", "content": said}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        return [
            {"type": "response.created", "response": {"id": "r1"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": "r1", "usage": usage}},
        ]

    def _gemini(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        parts = [part for content in body["contents"] for part in content["parts"]]
        results = [json.dumps(part["functionResponse"]) for part in parts if "functionResponse" in part]
        self.results = results or self.results
        call = {"name": "run_shell_command", "args": {"command": COMMAND, "description": "Push"}}
        said: dict[str, Any] = {"text": DONE} if results else {"functionCall": call}
        content = {"role": "model", "parts": [said]}
        return [{"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}]


@asynccontextmanager
async def served(model: Model) -> AsyncIterator[Model]:
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/{path:.*}", model.respond)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield model
    finally:
        await runner.cleanup()


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    async with served(Model()) as it:
        yield it


@pytest.fixture
def stage(url: str, token: str, tmp_path: Path) -> Stage:
    return Stage(tmp_path, url, token)


async def started(agent: str, stage: Stage, model: Model, rules: str = RULES) -> Session:
    if agent == "codex":
        provider = f'name = "local"\nbase_url = "{model.url}/v1"\nwire_api = "responses"\nenv_key = "LOCAL_KEY"\n'
        config = f'model = "gpt-5"\nmodel_provider = "local"\n[model_providers.local]\n{provider}'
        (stage.home / ".codex").mkdir()
        (stage.home / ".codex" / "config.toml").write_text(config)
    else:
        auth = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
        (stage.home / ".gemini").mkdir()
        (stage.home / ".gemini" / "settings.json").write_text(json.dumps(auth))
    await stage.install(agent)
    stage.rules.write_text(rules)
    keys = {"LOCAL_KEY": "sk-local", "GEMINI_API_KEY": "sk-local", "GOOGLE_GEMINI_BASE_URL": model.url}
    return await stage.session(agent, GEMINI_CLI_TRUST_WORKSPACE="true", **keys)


@pytest.mark.parametrize("agent", AGENTS)
async def test_agent_runs_approved_commands(
    agent: str, stage: Stage, model: Model, bob: Bob, slack: LocalSlack
) -> None:
    session = await started(agent, stage, model)
    await bob.presses("git push", "Approve")
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "out" / "log").exists(), model.results
    await slack.wait_message("#approvals", lambda m: f"{agent} reports that it ran" in str(m.blocks))


@pytest.mark.parametrize("agent", AGENTS)
async def test_agent_runs_the_edited_command(agent: str, stage: Stage, model: Model, bob: Bob) -> None:
    session = await started(agent, stage, model)
    await bob.presses("git push", "Edit", {"field_0": "mkdir other"})
    assert await session.wait() == 0, session.lines
    assert (stage.repository / "other").is_dir() and not (stage.repository / "out").exists()


@pytest.mark.parametrize("agent", AGENTS)
async def test_agent_tells_its_model_why_not(agent: str, stage: Stage, model: Model, bob: Bob) -> None:
    session = await started(agent, stage, model)
    await bob.presses("git push", "Reject", {"reason": "We are in a freeze."})
    assert await session.wait() == 0, session.lines
    assert "We are in a freeze." in model.results[-1]
    assert not (stage.repository / "out").exists()


@pytest.mark.parametrize("agent", AGENTS)
async def test_agent_runs_nothing_if_the_hook_fails(agent: str, stage: Stage, model: Model, slack: LocalSlack) -> None:
    """Rules with a problem: exit status 2 with a sentence, which the model reads."""
    session = await started(agent, stage, model, "version: 2\n")
    assert await session.wait() == 0, session.lines
    assert "have problems" in model.results[-1], model.results
    assert not (stage.repository / "out").exists() and cards(slack) == 0
