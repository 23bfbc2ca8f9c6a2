"""A worker whose way to `web` fails: lost answers, a `web` that is away, moved, or says no."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.autogen.people.run_outcomes import Conclusion
from countersign.autogen.run_context import RunContext
from countersign.autogen.team import Team, Teams
from countersign.runs.area import WebAddress
from countersign.runs.service import HttpService
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]
_CALL = re.compile(rb"(?:POST|PUT|GET) /v1/(?:runs/[^/ ]+/)?([a-z_]+)")


class Wire:
    """The network between a worker and `web`.

    `losing`: the first answer to each of these calls is lost. `away_at`: nothing comes through once this call is made.
    `silent`: streams stay open, and nothing comes through them.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.losing: set[str] = set()
        self.lost: list[str] = []
        self.away_at = ""
        self.away = asyncio.Event()
        self.silent = False
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Cut every connection; a new one comes through, unless `away`."""
        for writer in self._writers:
            writer.close()

    def back(self) -> None:
        """Let everything through again."""
        self.away_at = ""
        self.away.clear()

    async def connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.away.is_set():
            back.close()
            return
        web, there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {back, there}
        call = ""

        async def asks() -> None:
            nonlocal call
            while data := await client.read(1 << 16):
                call = found[1].decode() if (found := _CALL.match(data)) else call
                if call == self.away_at:
                    self.away.set()
                    self.cut()
                there.write(data)

        async def answers() -> None:
            while data := await web.read(1 << 16):
                if call in self.losing:
                    self.losing.discard(call)
                    self.lost.append(call)
                    return
                if not (self.silent and call == "stream"):
                    back.write(data)

        ways = [asyncio.create_task(way) for way in (asks(), answers())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (back, there):
            writer.close()
            self._writers.discard(writer)


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Wire]:
    """The house's worker reaches `web` over this wire."""
    address = house.web.address
    wire = Wire(urlsplit(address.urls[0]).port or 0)
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def resolve() -> WebAddress:
        return WebAddress((f"http://127.0.0.1:{port}",), address.key)

    async with HttpService(resolve) as service:
        house.service = service
        yield wire
    server.close()
    wire.cut()
    await server.wait_closed()


CALLS = ("claim", "plan", "say", "ask", "deliver", "park", "judge", "verdict", "begin", "step_done", "report", "finish")


def team(acted: list[str]) -> Teams:
    """A team whose run makes each of these calls."""

    def build(run: RunContext) -> AutoGenTeam:
        writer = AssistantAgent("writer", run.model("writer"))
        return RoundRobinGroupChat([writer, run.reviewer("people")], max_turns=2)

    async def count(item: str) -> str:
        """Count."""
        acted.append(f"counted {item}")
        return "3"

    async def send() -> str:
        acted.append("sent")
        return "It is sent."

    async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
        await run.plan(["send"])
        await run.tools("clerk", [count], ask=False).call_tool("count", {"item": "pens"})
        approved = await run.request(run.outcomes.newest[0].request)
        return Conclusion(await run.step("send", send, approved=approved))

    return Teams({"t": Team("t", "", build, conclude)}, {})
