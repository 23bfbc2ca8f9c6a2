"""What the tests of models share: a file of models on the local server, and one call of a client."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, SystemMessage, UserMessage
from autogen_core.tools import ToolSchema

from countersign.frameworks.autogen.models.wrapper import Answer
from tests.openai_server import OpenAIServer

KEY = "sk-very-secret"
MESSAGES: list[LLMMessage] = [SystemMessage(content="You write."), UserMessage(content="Write.", source="user")]
ABLE: ModelInfo = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": False,
    "family": "unknown",
}
TOOL: ToolSchema = {"name": "order", "description": "orders", "parameters": {"type": "object", "properties": {}}}


def component(server: OpenAIServer, model: str, **config: Any) -> dict[str, Any]:
    """One model of the server, as MODEL_CONFIG names it."""
    settings = {"model": model, "base_url": server.url, "api_key": KEY, "model_info": ABLE} | config
    return {"provider": "autogen_ext.models.openai.OpenAIChatCompletionClient", "config": settings}


def written(folder: Path, models: Sequence[dict[str, Any]], **more: Any) -> Path:
    """The file of MODEL_CONFIG."""
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": list(models), **more}), encoding="utf-8")
    return path


async def answer_of(client: ChatCompletionClient, *, streaming: bool, **call: Any) -> tuple[str, Answer]:
    """What was streamed, and the answer."""
    if not streaming:
        result = await client.create(MESSAGES, **call)
        assert isinstance(result, Answer)
        return "", result
    pieces = [piece async for piece in client.create_stream(MESSAGES, **call)]
    last = pieces[-1]
    assert isinstance(last, Answer)
    assert sum(isinstance(piece, CreateResult) for piece in pieces) == 1
    return "".join(piece for piece in pieces if isinstance(piece, str)), last
