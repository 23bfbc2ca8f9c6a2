"""The processes under chaos, and what they may be made to suffer.

Each has its own wire to Redis, and workers and programs reach each `web` over a wire to its API port.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import Process as Subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import RunId
from countersign.runs.area import Area, AreaKeys
from countersign.runs.job_queue import Queue
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.keys import Keys
from countersign.store.redis.connection import connect
from countersign.usecases.ports import Lease
from localslack import Command, LocalSlack
from tests.chaos.mail_sink import Sink
from tests.chaos.plan import CHANNELS, REQUESTERS, REVIEWERS
from tests.chaos.proxy import Wire
from tests.free_ports import free_port
from tests.machine_env import MACHINE

HERE: Final = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "chaos"
LEASE: Final = 5.0
"""Seconds, the shortest that the settings allow; a worker that is frozen longer loses its runs."""
RATES: Final = {"chat.postMessage": 40.0, "chat.update": 30.0, "conversations.*": 5.0, "files.*": 5.0}
"""Calls a second that Slack takes: more than come on average, and less than what comes at once after an outage."""
HURRY: Final = 40.0
"""Of all other rates: minutes of chaos are hours of work."""
_BEGUN: Final = b"*3\r\n$3\r\nSET\r\n$9\r\nhalf-"
DISTANCE: Final = 0.001
"""Seconds to Redis, one way, for those who are far from it."""
MINUTES: Final = 300.0
"""Seconds to wait for what comes in a moment unless the machine is busy."""
_FAR: Final = ("web2", "worker3")
_READY: Final = {"web": r"port \d+\.$", "worker": r"is ready"}


def tear(folder: Path) -> None:
    """Begin a command at the end of the append-only file, the last of several; a torn one, which the next server has
    not mended yet, has no other end: two of them would be damage that no power cut does.
    """
    last = max(folder.glob("*.incr.aof"), key=lambda file: int(file.name.split(".")[-3]), default=None)
    if last is not None and not last.read_bytes().endswith(_BEGUN):
        with last.open("ab") as end:
            end.write(_BEGUN)


class Process:
    """A web or a worker that is started again after every end, until the deployment is told to close.

    `wire` is its way to Redis, `door` the way of others to the API port of a web.
    """

    def __init__(
        self, name: str, kind: str, module: str, env: dict[str, str], wire: Wire, log: Path, door: Wire | None = None
    ) -> None:
        self.name = name
        self.kind = kind
        self.wire = wire
        self.door = door
        self.log = log
        self.env = env
        self.frozen = False
        self._module = module
        self._process: Subprocess | None = None

    @property
    def wires(self) -> list[Wire]:
        return [self.wire] if self.door is None else [self.wire, self.door]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; `ready` waits for it."""
        self.frozen = False
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, cwd=HERE, env=self.env, stdout=log, stderr=log
            )

    def _says_ready(self) -> bool:
        return re.search(_READY[self.kind], self.log.read_text(errors="replace"), re.M) is not None

    async def ready(self, within: float = MINUTES) -> None:
        """AssertionError with its last words if it ends, or does not say so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.running:
                    if self._says_ready():
                        return
                    await asyncio.sleep(0.1)
        raise AssertionError(f"{self.name} is not ready:\n{self.log.read_text(errors='replace')[-3000:]}")

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still runs."""
        if self.running:
            assert self._process is not None
            self.frozen = number is signal.SIGSTOP or (self.frozen and number is not signal.SIGCONT)
            self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL, within: float = 20) -> int:
        """Send the signal and wait for the end (kill -9 if it takes too long); the exit status."""
        if self._process is None:
            return 0
        self.send(number)
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


class Deployment:
    """Everything there is: a local Slack in this process, Redis, a mail server, and our own processes."""

    def __init__(self, slack: LocalSlack, server: EmbeddedRedis, sink: Sink, folder: Path) -> None:
        self.slack = slack
        self.redis = server
        self.sink = sink
        self.folder = folder
        self.processes: list[Process] = []
        self.area_lost = False
        """Whether workers lost what they keep in Redis, at least once."""

    def of(self, kind: str) -> list[Process]:
        return [process for process in self.processes if process.kind == kind]

    def signal_redis(self, number: signal.Signals) -> None:
        """To the server itself; the supervisor starts a killed one again."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.redis.folder / "server.pid").read_text()), number)

    async def tear_redis_file(self) -> bool:
        """As a power cut leaves it: the last command is only begun. The server is ended before it writes another; False
        if it does not stand still, because somebody else ended it or let it go on.
        """
        self.signal_redis(signal.SIGSTOP)
        for _ in range(1000):
            if self._redis_stands_still():
                tear(self.redis.folder / "appendonlydir")
                self.signal_redis(signal.SIGKILL)
                return True
            await asyncio.sleep(0.002)
        self.signal_redis(signal.SIGCONT)
        return False

    def _redis_stands_still(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.redis.folder / "server.pid").read_text())
            return ") T " in Path(f"/proc/{pid}/stat").read_text()
        return False

    async def double_job(self, pick: float) -> bool:
        """End the lease of a run under way, and add a job for it, so that two workers have it; False if there is none.

        `pick` chooses the run (0 to 1).
        """
        with contextlib.suppress(redis.RedisError, OSError, CountersignError, TimeoutError):
            async with asyncio.timeout(5), connect(self.redis.url) as client, Queue(self.redis.url, NAMESPACE) as queue:
                area = Area(client, NAMESPACE)
                active: Any = await client.zrange(Keys(NAMESPACE).active, 0, -1)
                start = int(pick * len(active))
                for run in RunId.among([*active[start:], *active[:start]]):
                    held: Any = await client.hmget(area.keys.lease(run), "fence", "owner")
                    fence, owner = held
                    if (
                        fence
                        and owner
                        and await area.leases.renew(Lease(run, int(fence), owner.decode()), timedelta(0))
                    ):
                        await queue.pass_on(run)
                        return True
        return False

    async def lose_area(self) -> bool:
        """Delete what workers keep in Redis, but not where `web` is, nor journals of ended runs, which tell who waited.

        False if Redis does not answer.
        """
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(5), connect(self.redis.url) as client:
                names, going = AreaKeys(NAMESPACE), set[bytes]()
                for index in (Keys(NAMESPACE).active, Keys(NAMESPACE).parked):
                    members: Any = await client.zrange(index, 0, -1)
                    going |= set(members)
                journals = names.prefix.encode() + b"journal:"
                lost = [
                    key
                    async for key in client.scan_iter(names.prefix + "*", count=1000)
                    if key.decode() not in (names.web, names.web_key)
                    and (not key.startswith(journals) or key.removeprefix(journals) in going)
                ]
                self.area_lost = True
                await client.delete(*lost)
                return True
        return False

    async def redis_memory(self, limit: str) -> None:
        """What Redis may take at most; 0 for no limit. Nothing while it is away."""
        async with redis.asyncio.Redis.from_url(self.redis.url, socket_timeout=2) as admin:
            with contextlib.suppress(redis.RedisError, OSError):
                await admin.config_set("maxmemory", limit)

    async def stop(self) -> None:
        """Our processes end; Redis and Slack stay as they are."""
        for process in self.processes:
            process.send(signal.SIGCONT)
        self.signal_redis(signal.SIGCONT)
        await asyncio.gather(*(process.end(signal.SIGTERM) for process in self.processes))

    async def mend(self) -> None:
        """Everything runs and nothing is in the way."""
        self.slack.faults.clear()
        self.sink.forgetful = 0
        self.signal_redis(signal.SIGCONT)
        await self.redis_memory("0")
        for process in self.processes:
            for wire in process.wires:
                wire.hold(False)
                wire.lose(0)
            process.send(signal.SIGCONT)
            if not process.running:
                await process.start()


@asynccontextmanager
async def deployment(folder: Path, *, http: bool) -> AsyncIterator[Deployment]:
    """Two web processes and three workers, ready; ended with the block. `http`: signed HTTP instead of Socket Mode."""
    async with AsyncExitStack() as stack:
        commands = (Command("/agent"), Command("/approvals"))
        slack = await stack.enter_async_context(LocalSlack(commands=commands, failover=True, rates=RATES, hurry=HURRY))
        _populate(slack)
        server = await stack.enter_async_context(EmbeddedRedis(folder / "redis", namespace=NAMESPACE))
        sink = await stack.enter_async_context(Sink())
        it = Deployment(slack, server, sink, folder)
        for name in ("web1", "web2"):
            process = await _process(stack, it, name, "web", "bot", _web(it, http))
            if http:
                slack.events_urls.append(f"http://127.0.0.1:{process.env['PORT']}/slack/events")
        for name in ("worker1", "worker2", "worker3"):
            await _process(stack, it, name, "worker", "tests.chaos.worker", _worker(it))
        stack.push_async_callback(it.stop)
        for process in it.processes:
            await process.start()
        await asyncio.gather(*(process.ready() for process in it.processes))
        if not http:
            await slack.wait_connected(4, timeout=MINUTES)
        yield it


def _populate(slack: LocalSlack) -> None:
    """Add channels and reviewers before a `web` starts: it looks its reviewers up, and believes that for a minute."""
    slack.invite("U0SAM", "#approvals")  # of another company: their clicks come too
    for name in CHANNELS:
        if name != "#general":
            slack.add_channel(name.removeprefix("#"), REQUESTERS)
            slack.invite(slack.workspace.bot_user, name)
    people = [slack.add_user(name, ("#approvals", *CHANNELS)) for name in REVIEWERS]
    slack.workspace.groups["S0REVIEWERS"].users[:] = [person.id for person in people]


async def _process(
    stack: AsyncExitStack, it: Deployment, name: str, kind: str, module: str, env: dict[str, str]
) -> Process:
    address = urlsplit(it.redis.url_of(kind))
    wire = await stack.enter_async_context(Wire(name, address.port or 0, DISTANCE if name in _FAR else 0.0))
    common = {
        **MACHINE,
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": f"redis://{kind}:{address.password}@127.0.0.1:{wire.port}/0",
        "NAMESPACE": NAMESPACE,
        "LOG_LEVEL": "INFO",
        "STOP_DELAY": "0s",
    }
    door = None
    if kind == "web":
        door = await stack.enter_async_context(Wire(f"{name}'s API", int(env["API_PORT"])))
        common["API_URL"] = f"http://127.0.0.1:{door.port}"
    process = Process(name, kind, module, {**common, **env}, wire, it.folder / f"{name}.log", door)
    it.processes.append(process)
    return process


def _web(it: Deployment, http: bool) -> dict[str, str]:
    way = {"SLACK_SIGNING_SECRET": it.slack.signing_secret} if http else {"SLACK_APP_TOKEN": it.slack.app_token}
    return {
        "SLACK_BOT_TOKEN": it.slack.bot_token,
        "SLACK_API_URL": it.slack.api_url,
        "SLACK_PACE": str(HURRY),
        "REVIEWERS": "S0REVIEWERS",
        "ADMINS": "U0ALICE",
        "APPROVAL_TIMEOUT": "2m",
        "EXTERNAL_CHANNELS": "yes",
        "PORT": str(free_port()),
        "API_PORT": str(free_port()),
        "CALLBACK_NETWORKS": "127.0.0.0/8",
        **way,
    }


def _worker(it: Deployment) -> dict[str, str]:
    return {
        "DATA_DIR": str(it.folder),
        "SMTP_URL": f"smtp://127.0.0.1:{it.sink.port}",
        "MAIL_FROM": "countersign@example.com",
        "LEASE": f"{LEASE:.0f}s",
        "TEAMS": "tests/chaos/teams",
    }
