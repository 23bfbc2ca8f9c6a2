"""A program at a terminal: what the person there reads while it waits, and what Ctrl-C does."""

import asyncio
import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

import countersign
from bot.api.endpoints import CONNECTIONS, Interface, app
from bot.slack import http
from countersign.client import connection
from countersign.client.client import Client
from countersign.client.connection import Address
from countersign.client.exchange import ServiceRefused
from countersign.domain.errors import InvalidInput
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.api.test_requests import decided
from tests.processes import hear_interrupts
from tests.sample_requests import HERE
from tests.slack.test_projector import card_of

SYNC = "with countersign.client.Client() as c: print(c.ask(*asked, key=key).text)"
ASYNC = """
async def main():
    async with countersign.client.AsyncClient() as c: print((await c.ask(*asked, key=key)).text)
asyncio.run(main())
"""
PROGRAM = """
import asyncio, countersign
asked, key = ("#general", "Deploy?", "To staging."), {key!r}
{ask}
"""


class Terminal:
    """A program whose errors go to a terminal."""

    def __init__(self, program: str, url: str, token: str, **env: str) -> None:
        there = {"COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token, **env}
        self._program, self._env = program, {k: v for k, v in os.environ.items() if k != "REDIS_URL"} | there
        self._shown = b""

    async def start(self) -> None:
        self._ours, theirs = os.openpty()
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", self._program),
            env=self._env,
            stderr=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=hear_interrupts,
        )
        os.close(theirs)

    async def shows(self, words: str) -> str:
        """All that it showed, once the words are among it."""
        while not re.search(words.encode(), self._shown):
            try:
                more = await asyncio.to_thread(os.read, self._ours, 4096)
            except OSError:  # the program closed it
                more = b""
            assert more, f"{words!r} is not in {self._shown.decode()}"
            self._shown += more
        return self._shown.decode()

    async def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return await self.process.wait()


@pytest.mark.parametrize("ask", [SYNC, ASYNC], ids=["thread", "asyncio"])
async def test_ctrl_c_withdraws_the_question(
    slack: LocalSlack, url: str, token: str, program: httpx.AsyncClient, ask: str
) -> None:
    """The person reads where the card is and until when; the card is settled."""
    terminal = Terminal(PROGRAM.format(key=None, ask=ask), url, token)
    await terminal.start()
    await terminal.shows(r"Waiting for a decision in #approvals until (\w+ \d+, )?\d\d:\d\d\. Ctrl-C withdraws")
    await card_of(slack)
    name = (await program.get("/v1/requests")).json()["requests"][0]["id"]
    assert await terminal.interrupt() != 0
    assert (await decided(program, name))["decision"]["outcome"] == "withdrawn"


RUN_HERE = """
import asyncio
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient
from countersign.teams import run_here
def build(run):
    return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer")), run.reviewer("human")], max_turns=2)
model = ReplayChatCompletionClient(["Ten percent off, please."])
asyncio.run(run_here(build, "Write.", channel="#general", requester="@alice", model=model))
"""
SLACK_INPUT = """
import asyncio, countersign
asyncio.run(countersign.slack_input("#general")("Deploy?"))
"""


@pytest.mark.parametrize(
    "source",
    [
        *(PROGRAM.format(key=None, ask=ask) for ask in (SYNC, ASYNC)),
        SLACK_INPUT,
        pytest.param(RUN_HERE, marks=pytest.mark.slow),
    ],
    ids=["thread", "asyncio", "slack_input", "run_here"],
)
async def test_terminal_links_to_the_card_and_shows_the_decision(
    slack: LocalSlack, store: Store, url: str, token: str, tmp_path: Path, source: str
) -> None:
    """Whether or not the program prints anything."""
    await store.set_workspace(HERE)
    terminal = Terminal(source, url, token, DATA_DIR=str(tmp_path))
    await terminal.start()
    await terminal.shows("Waiting for a decision in (#approvals|Slack)")
    card = await card_of(slack)
    await terminal.shows(rf"Card: http\S+/archives/C0APPROVALS/p{card.ts.replace('.', '')}\s")
    await slack.user("bob").click(card, "Approve")
    await terminal.shows(r"\d\d:\d\d: approved by bob\.")
    assert await terminal.process.wait() == 0


@pytest.mark.slow
@pytest.mark.real_clock("under libfaketime 0.9.10 each time.sleep of Python 3.11 raises EINVAL")
@pytest.mark.parametrize("source", [SLACK_INPUT, RUN_HERE], ids=["slack_input", "run_here"])
async def test_terminal_says_when_the_service_responds_again(
    slack: LocalSlack, store: Store, interface: Interface, token: str, tmp_path: Path, source: str
) -> None:
    """The same question is still there, and its decision ends the wait."""
    await store.set_workspace(HERE)
    async with AsyncExitStack() as first:
        port = await first.enter_async_context(http.serving(app(interface), "127.0.0.1", 0, CONNECTIONS))
        terminal = Terminal(source, f"http://127.0.0.1:{port}", token, DATA_DIR=str(tmp_path))
        await terminal.start()
        await terminal.shows("Card: http")
        interface.stop()
    await terminal.shows("(Can't reach the service|No decisions are heard)")
    interface.stopping.clear()
    async with http.serving(app(interface), "127.0.0.1", port, CONNECTIONS):
        await terminal.shows("The service responds again.")
        await slack.user("bob").click(await card_of(slack), "Approve")
        await terminal.shows("approved by bob")
        assert await terminal.process.wait() == 0


async def test_ctrl_c_leaves_a_question_with_a_key(
    slack: LocalSlack, url: str, token: str, program: httpx.AsyncClient
) -> None:
    terminal = Terminal(PROGRAM.format(key="mine", ask=SYNC), url, token)
    await terminal.start()
    await terminal.shows("Ctrl-C leaves the request open")
    await card_of(slack)
    assert await terminal.interrupt() != 0
    await terminal.shows("The request stays open. Ask again with the same key to get the decision.")
    assert len((await program.get("/v1/requests")).json()["requests"]) == 1


async def test_question_left_without_a_key_is_announced_as_lost(slack: LocalSlack, url: str, token: str) -> None:
    source = PROGRAM.format(key=None, ask=SYNC.replace("key=key", "key=key, on_interrupt='leave'"))
    terminal = Terminal(source, url, token)
    await terminal.start()
    await terminal.shows("Ctrl-C leaves the request open")
    await card_of(slack)
    assert await terminal.interrupt() != 0
    await terminal.shows("The request stays open. Nothing can pick up its decision; with key=…")


LEAVES = {
    "ask": 'asyncio.run(countersign.ask("#general", "Deploy?", key={key!r}, on_interrupt={on_interrupt!r}))',
    "slack_input": """
answer = countersign.slack_input("#general", key={key!r}, on_interrupt={on_interrupt!r})
asyncio.run(answer("Deploy?"))
""",
    "a function": """
@countersign.requires_approval("#general", key={key!r} and (lambda call: {key!r}), on_interrupt={on_interrupt!r})
def deploy(): pass
deploy()
""",
    "a coroutine function": """
@countersign.requires_approval("#general", key={key!r} and (lambda call: {key!r}), on_interrupt={on_interrupt!r})
async def deploy(): pass
asyncio.run(deploy())
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("way", LEAVES)
async def test_ctrl_c_follows_the_programs_on_interrupt_option(
    slack: LocalSlack, url: str, token: str, program: httpx.AsyncClient, way: str, leave: bool
) -> None:
    """Whatever its key would mean: without one a question is taken back, and with one it is left."""
    source = "import asyncio, countersign\n" + LEAVES[way].format(
        key=None if leave else "mine", on_interrupt="leave" if leave else "withdraw"
    )
    terminal = Terminal(source, url, token)
    await terminal.start()
    await terminal.shows("Ctrl-C leaves the request open" if leave else "Ctrl-C withdraws the request")
    await card_of(slack)
    name = (await program.get("/v1/requests")).json()["requests"][0]["id"]
    assert await terminal.interrupt() != 0
    assert (await program.get(f"/v1/requests/{name}")).json()["status"] == ("pending" if leave else "withdrawn")


@pytest.mark.real_clock("under libfaketime 0.9.10 each time.sleep of Python 3.11 raises EINVAL")
async def test_ctrl_c_ends_a_program_whose_service_is_away(token: str) -> None:
    """It says what is wrong, tries a few times to take the question back, and ends."""
    terminal = Terminal(PROGRAM.format(key=None, ask=SYNC), "http://127.0.0.1:9", token)
    await terminal.start()
    await terminal.shows("Can't reach the service at http://127.0.0.1:9")
    assert await terminal.interrupt() != 0
    await terminal.shows("Couldn't withdraw the request")


@pytest.mark.parametrize(
    ("url", "key", "says"),
    [
        ("127.0.0.1:4005", "csk_x", "COUNTERSIGN_URL"),
        ("https://", "csk_x", "COUNTERSIGN_URL"),
        ("http://x", "csk_x\r\ny: z", "COUNTERSIGN_KEY"),
        ("http://x", "csk_é", "COUNTERSIGN_KEY"),
    ],
)
def test_invalid_address_or_key_is_refused_immediately(url: str, key: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Client(url, key)


def test_address_of_a_client_overrides_connect_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client is given counts more than `connect`, and that more than the environment."""
    monkeypatch.setattr(connection, "_connected", None)
    monkeypatch.setenv("COUNTERSIGN_URL", "https://environment")
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_environment")
    assert Address.of(None, None) == Address("https://environment", "csk_environment")
    countersign.connect(url="https://here.example/", key=" csk_here\n")
    assert Address.of(None, None) == Address("https://here.example", "csk_here")
    assert Address.of("https://there", "csk_there") == Address("https://there", "csk_there")
    with pytest.raises(InvalidInput, match="like https://host"):
        countersign.connect(url="here.example", key="csk_here")
    with pytest.raises(InvalidInput, match="connect"):
        countersign.connect(url="https://here.example", key="")
    assert Address.of(None, None).url == "https://here.example"


async def test_connect_applies_to_every_way_of_asking(
    slack: LocalSlack, url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question, AutoGen's proxy and a guarded function, without a word in the environment."""
    monkeypatch.setattr(connection, "_connected", None)
    monkeypatch.delenv("COUNTERSIGN_URL", raising=False)
    monkeypatch.delenv("COUNTERSIGN_KEY", raising=False)
    countersign.connect(url=url, key=token)

    @countersign.requires_approval("#general")
    def remove(path: str) -> str:
        return f"{path} is gone"

    people = countersign.slack_input("#general")
    for words, ask in (
        ("Go?", lambda: countersign.ask("#general", "Go?")),
        ("Stay?", lambda: people("Stay?")),
        ("Remove: path /x?", lambda: asyncio.to_thread(remove, "/x")),
    ):
        running = asyncio.ensure_future(ask())
        card = await slack.wait_message("#approvals", lambda m, words=words: words in text_of(m))  # type: ignore[misc]
        await slack.user("bob").click(card, "Approve")
        assert await running


async def test_wrong_key_ends_the_wait_with_a_sentence(url: str) -> None:
    with Client(url, "csk_kwrongwrong_" + "x" * 43) as client, pytest.raises(ServiceRefused, match="keys create"):
        await asyncio.to_thread(lambda: client.ask("", "t", "m"))


async def test_https_proxy_and_no_proxy_of_the_environment_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    proxy = Address.of("https://outside.example", "k").pool()["proxy"]
    assert (proxy.url.host, proxy.url.port, proxy.auth) == (b"proxy.example", 3128, (b"user", b"p@ss"))
    for direct in ("https://inside.example", "https://localhost", "https://127.0.0.1:8080", "https://[::1]"):
        assert "proxy" not in Address.of(direct, "k").pool()
