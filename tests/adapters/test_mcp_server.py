"""`countersign mcp` asks people for a client of the protocol; here the client is the SDK's own."""

import asyncio
import json
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from countersign.domain.actions import Action
from countersign.frameworks import mcp_server
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.adapters.framework_programs import HERE, cards, environment, examples
from tests.adapters.stage import time_runs_out
from tests.slack.test_projector import card_of
from tests.test_wheel import UV, wheel

__all__ = ["wheel"]
REFUND = {"key": "refund-17", "action": "refund", "arguments": {"order": 17, "euros": 45.0}}


@asynccontextmanager
async def client(
    env: dict[str, str], *more: str, python: str | Path = sys.executable, folder: Path = HERE
) -> AsyncIterator[ClientSession]:
    """A client with a server of its own, started as the documentation says."""
    config = json.loads(examples("adapters.md", "MCP: any client", "json")[0])["mcpServers"]["people"]
    assert (config["command"], sorted(config["env"])) == ("countersign", ["COUNTERSIGN_KEY", "COUNTERSIGN_URL"])
    arguments = ["-m", "countersign", *config["args"], *more]
    server = StdioServerParameters(command=str(python), args=arguments, env=env, cwd=folder)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


async def answer(session: ClientSession, tool: str, arguments: dict[str, Any]) -> str:
    result = await session.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_any_mcp_client_can_ask_people(slack: LocalSlack, url: str, token: str) -> None:
    """Approved, changed, chosen and rejected by one server; what the service refuses is told."""
    bob = slack.user("bob")
    async with client(environment(url, token)) as session:
        assert {tool.name for tool in (await session.list_tools()).tools} == {"ask_human", "request_approval"}
        asking = asyncio.create_task(answer(session, "request_approval", {**REFUND, "why": "It broke."}))
        card = await card_of(slack)
        assert "It broke." in text_of(card)
        await bob.click(card, "Edit")
        await bob.wait_modal()
        assert await bob.submit({"Euros": "40", "why": "Less the fee."}) == {}
        decided = json.loads(await asking)
        assert (decided["approved"], decided["arguments"]) == (True, {"order": 17, "euros": 40.0})
        assert (
            decided["decision"].startswith("DECISION: APPROVED WITH CHANGES") and "Less the fee." in decided["decision"]
        )
        assert "Nothing has run yet. Make this call once, with exactly these arguments." in decided["decision"]
        assert "was made" not in decided["decision"]
        choice = {"key": "region", "question": "Which region?", "options": ["eu", "us"]}
        asking = asyncio.create_task(answer(session, "ask_human", choice))
        await bob.click(await slack.wait_message("#approvals", lambda m: "eu" in m.buttons), "eu")
        assert "eu" in await asking
        asking = asyncio.create_task(answer(session, "request_approval", {**REFUND, "key": "again"}))
        await bob.click(await card_of(slack), "Reject")
        assert await bob.submit({"reason": "Once is enough."}) == {}
        decided = json.loads(await asking)
        assert (decided["approved"], decided["arguments"]) == (False, None)
        assert "Once is enough." in decided["decision"]
        other = await session.call_tool("request_approval", {**REFUND, "arguments": {"order": 18}})
        assert other.isError
        assert "another" in str(other.content)


@pytest.mark.slow
async def test_long_call_returns_early_and_continues_by_key(slack: LocalSlack, url: str, token: str) -> None:
    """R8: also after the client and the server were started again."""
    env = environment(url, token)
    async with client(env, "--wait", "1") as session:
        assert "not decided yet" in await answer(session, "request_approval", REFUND)
    async with client(env) as session:
        asking = asyncio.create_task(answer(session, "request_approval", REFUND))
        await slack.user("bob").click(await card_of(slack), "Approve")
        assert json.loads(await asking)["approved"] is True
    assert cards(slack, "Refund:") == 1


async def killed_in_the_call(env: dict[str, str], asked: Callable[[], Awaitable[object]]) -> None:
    """A server that is killed by kill -9 once this has happened."""
    begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": begin},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "request_approval", "arguments": REFUND}},
    ]
    command = (sys.executable, "-m", "countersign", "mcp", "--channel", "#general")
    server = await asyncio.create_subprocess_exec(*command, cwd=HERE, env=env, stdin=PIPE, stdout=PIPE)
    assert server.stdin is not None
    for message in messages:
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    await asked()
    server.kill()
    await server.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["asked", "decided"])
async def test_killed_server_leaves_one_card_and_its_decision(
    slack: LocalSlack, url: str, token: str, when: str
) -> None:
    """R8: killed while people are asked, or after the decision; and asked twice more, for one call."""
    env = environment(url, token)

    async def decided() -> None:
        await slack.user("bob").click(await card_of(slack), "Approve")

    await killed_in_the_call(env, decided if when == "decided" else lambda: card_of(slack))
    if when == "asked":
        await decided()
    given = []
    for _ in range(2):
        async with client(env) as session:
            given.append(json.loads(await answer(session, "request_approval", REFUND)))
    if when == "asked":  # a server that was killed after the decision may have given it
        assert [one["approved"] for one in given] == [True, False]
    assert given[1]["arguments"] is None and "given to you before" in given[1]["decision"]
    assert cards(slack, "Refund:") == 1


async def test_approval_is_given_to_one_client_call(slack: LocalSlack, url: str, token: str) -> None:
    """R3, R37: two calls at once with one key, and a later one: one of them may act."""
    people = mcp_server.PeopleTools("#general", 60)
    calls = [asyncio.create_task(people.request_approval("17", "refund", {"order": 17})) for _ in range(2)]
    await slack.user("bob").click(await card_of(slack), "Approve")
    given = [json.loads(await call) for call in calls]
    given.append(json.loads(await people.request_approval("17", "refund", {"order": 17})))
    assert sorted(one["approved"] for one in given) == [False, False, True]
    assert sum("given to you before" in one["decision"] for one in given) == 2
    assert [one["arguments"] for one in given if one["approved"]] == [{"order": 17}]


@pytest.mark.slow
async def test_expired_call_is_not_approved(
    slack: LocalSlack, store: Store, url: str, token: str, program: httpx.AsyncClient
) -> None:
    """R20."""
    async with client(environment(url, token)) as session:
        asking = asyncio.create_task(answer(session, "request_approval", REFUND))
        await card_of(slack)
        await time_runs_out(store, program)
        decided = json.loads(await asking)
    assert (decided["approved"], decided["arguments"]) == (False, None)
    assert "NOBODY ANSWERED" in decided["decision"]


async def test_policy_refusal_is_returned_with_its_reason(
    slack: LocalSlack, store: Store, url: str, token: str
) -> None:
    """R16, R19: as a decision, not as an error."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    async with client(environment(url, token)) as session:
        decided = json.loads(await answer(session, "request_approval", REFUND))
    assert (decided["approved"], decided["arguments"], "Use the till." in decided["decision"]) == (False, None, True)
    assert slack.channel("#approvals").messages == []


def test_mcp_server_without_a_service_says_what_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COUNTERSIGN_URL", raising=False)
    assert mcp_server.main([]) == 2
    assert "countersign demo" in capsys.readouterr().err


@pytest.fixture(scope="module")
def next_sdk(wheel: Path) -> Path:
    """An environment with the next major version of the SDK, and of our wheel only what a client needs."""
    python = wheel.parent / "next" / "bin" / "python"
    install: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", python]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, wheel.parent / "next"], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)
    subprocess.run([*install, "mcp>=2.2,<3", "httpx", "pydantic"], check=True)
    return python


@pytest.mark.slow
async def test_mcp_server_works_with_both_sdk_major_versions(
    slack: LocalSlack, url: str, token: str, next_sdk: Path, tmp_path: Path
) -> None:
    """The frameworks beside it want one or the other."""
    async with client(environment(url, token), python=next_sdk, folder=tmp_path) as session:
        asking = asyncio.create_task(answer(session, "request_approval", REFUND))
        await slack.user("bob").click(await card_of(slack), "Approve")
        assert json.loads(await asking)["approved"] is True
