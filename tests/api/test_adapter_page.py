"""docs/write-an-adapter.md: its programs run as they stand, and our adapters import only what the page names."""

import ast
import asyncio
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import countersign
from countersign import client
from countersign.client import AsyncClient, Client
from localslack import LocalSlack, text_of

HERE = Path(__file__).resolve().parents[2]
PAGE = (HERE / "docs" / "write-an-adapter.md").read_text()
ADAPTER, QUESTIONS, SEVERAL = re.findall(r"```python\n(.*?)```", PAGE, re.S)
ADAPTERS = {
    *("ag2", "ag2_classic", "agent_framework", "claude_agent", "google_adk"),
    *("langgraph", "openai_agents", "pydantic_ai", "strands"),
}
TEAMS = {"agent_framework/team.py", "agent_framework/model.py", "openai_agents/team.py", "openai_agents/model.py"}
"""They belong to teams that the worker runs."""


@pytest.fixture
def started(url: str, token: str) -> Callable[..., Any]:
    """Starts a program of the page."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token}

    async def start(program: str, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-c", program, *arguments)
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)

    return start


async def pressed(slack: LocalSlack, asks: str, button: str) -> None:
    card = await slack.wait_message("#approvals", lambda m: asks in text_of(m) and button in m.buttons)
    await slack.user("bob").click(card, button)


async def test_the_pages_adapter_asks_and_runs_what_was_approved(
    slack: LocalSlack, started: Callable[..., Any]
) -> None:
    assert len(ADAPTER.splitlines()) <= 40
    running = await started(ADAPTER)
    await pressed(slack, "order 17", "Approve")
    await pressed(slack, "order 18", "Approve")
    printed, _ = await running.communicate()
    assert printed.decode() == "45.00 EUR were paid back.\n9.00 EUR were paid back.\n"
    again, _ = await (await started(ADAPTER)).communicate()
    assert again.decode().splitlines() == [
        "Done before: 45.00 EUR were paid back.",
        "Done before: 9.00 EUR were paid back.",
    ]


async def test_the_pages_questions_get_their_answers(slack: LocalSlack, started: Callable[..., Any]) -> None:
    running = await started(QUESTIONS)
    await pressed(slack, "Which region?", "us")
    await pressed(slack, "Deploy 2.1?", "Approve")
    assert (await running.communicate())[0].decode() == "us\nDeployed.\n"


async def test_the_pages_program_ends_and_fetches_its_decisions_later(
    slack: LocalSlack, started: Callable[..., Any], program: httpx.AsyncClient
) -> None:
    """The call that did nothing stays open for another execution; the other one is done before."""
    first = await started(SEVERAL)
    _, why = await first.communicate()
    assert (first.returncode, "2 calls wait for people." in why.decode()) == (1, True), why.decode()
    await pressed(slack, "order 17", "Approve 2")
    printed, why = await (await started(SEVERAL, "--wait")).communicate()
    assert printed.decode() == "Paid back: {'order': 17}\n", why.decode()
    printed, _ = await (await started(SEVERAL)).communicate()
    assert printed.decode() == "Done before: Paid back.\n"


def verbs(kind: type) -> dict[str, dict[str, Any]]:
    """Each public method of a client, with its parameters; `aclose` is asyncio's word for `close`."""
    return {
        {"aclose": "close"}.get(name, name): {
            parameter.name: (parameter.kind, parameter.default)
            for parameter in inspect.signature(method).parameters.values()
        }
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if name[0] != "_"
    }


def test_sync_and_async_clients_have_the_same_verbs() -> None:
    assert verbs(Client) == verbs(AsyncClient)
    assert len(verbs(Client)) > 10


def test_clients_ask_with_the_keywords_of_ask() -> None:
    function = [*inspect.signature(countersign.ask).parameters]
    assert function == [*inspect.signature(countersign.ask_sync).parameters]
    assert [*verbs(Client)["ask"]] == ["self", *(name for name in function if name != "timeout")]


def test_adapters_import_only_the_public_client() -> None:
    folder = HERE / "countersign" / "frameworks"
    modules = [path for name in ADAPTERS for path in (folder / name).glob("*.py")]
    modules += [folder / f"{name}.py" for name in ("hooked_calls", "saved_runs", "run_files", "resume")]
    for path in modules:
        if str(path.relative_to(folder)) in TEAMS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("countersign"):
                continue
            if str(node.module).startswith("countersign.frameworks"):
                continue
            if node.module == "countersign.whole_files":  # a file in one step: nothing that asks people
                continue
            assert node.module == "countersign.client", (path, node.module)
            assert {alias.name for alias in node.names} <= {*client.__all__}, path


def test_the_page_names_every_verb() -> None:
    assert {name for name in verbs(Client) if f"{name}(" not in PAGE} <= {"close"}
