"""MODEL_CONFIG: every documented example loads, a real request goes out, and whatever is wrong is one sentence."""

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, SystemMessage, UserMessage

from countersign.domain.errors import WrongSettings
from countersign.domain.ids import Digest
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.models.demo import DemoModel
from tests.autogen.model_calls import answer_of, component
from tests.autogen.model_calls import written as several
from tests.openai_server import Fails, OpenAIServer

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
EXAMPLES = re.findall(r"^## (.+?)\n.*?^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
KEYS = dict.fromkeys(
    ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_SERVER_KEY"), "sk-not-a-real-key"
)
SECRET = "sk-a: 'very' \"secret\" # {key}"


def written(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Nowhere:
    """Keeps nothing."""

    async def get(self, question: Digest) -> bytes | None:
        return None

    async def put(self, question: Digest, answer: bytes, kept: timedelta) -> None: ...


def refused(path: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(WrongSettings) as caught:
        load_model(path, environment or {})
    assert len(caught.value.problems) == 1
    assert "Traceback" not in str(caught.value)
    return caught.value.problems[0]


def test_missing_configuration_uses_the_demo_model() -> None:
    assert isinstance(load_model(None, {}), DemoModel)


def test_documentation_has_an_example_for_each_vendor() -> None:
    titles = {title for title, _ in EXAMPLES}
    assert {"OpenAI", "Azure OpenAI", "Anthropic", "Ollama"} <= titles


@pytest.mark.slow
@pytest.mark.parametrize(("title", "text"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
async def test_each_documented_example_loads(title: str, text: str, tmp_path: Path) -> None:
    client = load_model(written(tmp_path, text), KEYS, answers=Nowhere())
    try:
        assert isinstance(client, ChatCompletionClient)
        assert not isinstance(client, DemoModel)
    finally:
        await client.close()


def test_missing_model_file_is_named(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "nothing.yaml")


def test_folder_as_model_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path)


def test_binary_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"provider: \xff\xfe")
    assert "cannot be read" in refused(path)


def test_invalid_yaml_is_located_without_quoting_keys(tmp_path: Path) -> None:
    """R15: the file may hold a key in the line with the error."""
    sentence = refused(written(tmp_path, "provider: x\nconfig:\n  api_key: sk-secret: [\n"))
    assert "not YAML in line 3" in sentence
    assert "sk-secret" not in sentence


@pytest.mark.parametrize(
    "text",
    ["", "just words", "- a\n- list\n", "provider: 3\nconfig: {}\n", "provider: a.B\n", "provider: a.B\nconfig: 3\n"],
)
def test_model_file_without_a_component_is_refused(text: str, tmp_path: Path) -> None:
    assert "not a component" in refused(written(tmp_path, text))


@pytest.mark.parametrize(
    "provider", ["openai", "nobody.models.Client", "autogen_ext.models.openai.Nothing", "a..b", ""]
)
def test_unknown_provider_is_named(provider: str, tmp_path: Path) -> None:
    assert f"there is no provider “{provider}”" in refused(written(tmp_path, f"provider: '{provider}'\nconfig: {{}}\n"))


def test_component_other_than_a_model_is_refused(tmp_path: Path) -> None:
    text = "provider: autogen_agentchat.conditions.MaxMessageTermination\nconfig: {max_messages: 3}\n"
    assert "is not a model client" in refused(written(tmp_path, text))
    assert "is not a model client" in refused(written(tmp_path, "provider: pathlib.Path\nconfig: {}\n"))


def test_missing_provider_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    (tmp_path / "needs_more.py").write_text("import package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "provider: needs_more.Client\nconfig: {}\n"
    assert "“package_that_nobody_has”, which is not installed" in refused(written(tmp_path, text))
    sys.modules.pop("needs_more", None)


def test_all_missing_variables_are_named_together(tmp_path: Path) -> None:
    text = "provider: a.B\nconfig:\n  key: ${FIRST}\n  list: ['${SECOND}', '${FULL}']\n  # ${IN_A_COMMENT}\n"
    sentence = refused(written(tmp_path, text), {"FULL": "x", "SECOND": ""})
    assert "FIRST, SECOND" in sentence
    assert "FULL" not in sentence
    assert "COMMENT" not in sentence


def test_invalid_model_option_is_named_without_the_key(tmp_path: Path) -> None:
    """R15: each wrong field by its name."""
    text = (
        "provider: autogen_ext.models.openai.OpenAIChatCompletionClient\n"
        "config: {model: gpt-4.1, api_key: '${KEY}', timeout: 'soon ${KEY}', max_retries: '${KEY}'}\n"
    )
    sentence = refused(written(tmp_path, text), {"KEY": SECRET})
    assert "timeout" in sentence
    assert "max_retries" in sentence
    assert "secret" not in sentence


def test_provider_error_is_reported_without_the_key(tmp_path: Path) -> None:
    """R15: also where the provider's own text would have it."""
    text = (
        "provider: autogen_ext.models.openai.OpenAIChatCompletionClient\nconfig: {model: '${KEY}', api_key: '${KEY}'}\n"
    )
    sentence = refused(written(tmp_path, text), {"KEY": SECRET})
    assert "model_info" in sentence
    assert "secret" not in sentence


async def test_configured_model_is_called_over_http_and_streams(openai: OpenAIServer, tmp_path: Path) -> None:
    text = f"""
provider: autogen_ext.models.openai.OpenAIChatCompletionClient
config:
  model: my-model
  base_url: {openai.url}
  api_key: ${{MY_KEY}}
  model_info: {{vision: false, function_calling: true, json_output: true, structured_output: false, family: unknown}}
"""
    client = load_model(written(tmp_path, text), {"MY_KEY": "sk-#1: 'x'"})
    messages: list[LLMMessage] = [SystemMessage(content="You write."), UserMessage(content="Write.", source="user")]
    try:
        result = await client.create(messages)
        assert result.content == "Dear vendor"
        assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (7, 2)
        pieces = [piece async for piece in client.create_stream(messages)]
    finally:
        await client.close()
    assert pieces[:-1] == ["Dear ", "vendor"]
    last = pieces[-1]
    assert isinstance(last, CreateResult)
    assert last.content == "Dear vendor"
    assert openai.authorization == ["Bearer sk-#1: 'x'"] * 2
    assert [message["content"] for message in openai.asked[0]["messages"]] == ["You write.", "Write."]


def test_all_problems_of_several_models_are_reported_together(tmp_path: Path) -> None:
    """R15: without a key."""
    text = """
models:
  - provider: nobody.models.Client
    config: {api_key: sk-written-down}
  - provider: autogen_ext.models.openai.OpenAIChatCompletionClient
    config: {model: gpt-4.1, api_key: sk-written-down, max_retries: sk-written-down}
    timeout: soon
    retries: 3
  - provider: autogen_ext.models.openai.OpenAIChatCompletionClient
    config: {model: gpt-4.1, api_key: "${FIRST}"}
  - gpt-4.1
  - provider: autogen_ext.models.openai.OpenAIChatCompletionClient
timeout: 0s
cash: 1d
cache: for ever
"""
    with pytest.raises(WrongSettings) as caught:
        load_model(written(tmp_path, text), {})
    problems = "\n".join(caught.value.problems)
    for part in (
        "“cash” is not known here; known: models, timeout, cache",
        "model 1: there is no provider “nobody.models.Client”",
        "model 2: “retries” is not known here",
        "model 2: timeout: “soon” is not a duration",
        "model 2: autogen_ext.models.openai.OpenAIChatCompletionClient does not take this configuration",
        "model 3: it uses FIRST",
        "model 4: this is not a component",
        "model 5: this is not a component",
        "timeout: “0s” is out of range",
        "cache: “for ever” is not a duration",
    ):
        assert part in problems
    assert len(caught.value.problems) == 10
    assert "sk-written-down" not in problems


@pytest.mark.parametrize("text", ["models: []\n", "models: gpt-4.1\n", "models:\n"])
def test_invalid_list_of_models_is_refused(text: str, tmp_path: Path) -> None:
    assert "“models:” must be a list of components" in refused(written(tmp_path, text))


def test_misspelt_model_option_is_refused(tmp_path: Path) -> None:
    text = "provider: autogen_ext.models.openai.OpenAIChatCompletionClient\nconfig: {model: gpt-4.1, api_key: x}\n"
    assert "“tiemout” is not known here" in refused(written(tmp_path, text + "tiemout: 5s\n"))


async def test_models_of_the_same_name_are_numbered(openai: OpenAIServer, tmp_path: Path) -> None:
    same = component(openai, "same", max_retries=0)
    openai.will("same", Fails(500), Fails(503))
    client = load_model(several(tmp_path, [same, same, {**same, "label": "spare"}]), {})
    _, answer = await answer_of(client, streaming=False)
    await client.close()
    assert answer.by == "spare"
    assert answer.instead_of == ["same failed (HTTP 500)", "same (2) failed (HTTP 503)"]
