"""`web` and `worker` as real processes over a local Slack, for the end-to-end tests and the benchmark."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from localslack import LocalSlack
from tests.forking import Forked, forked
from tests.longest_wait import PATIENCE
from tests.machine_env import MACHINE
from tests.redis_server import url_of

HERE = Path(__file__).resolve().parent.parent
READY = {"bot": re.compile(r", port (\d+)\.$")}
"""A worker says that it is ready."""


class Process:
    """`python -m <module>`, or its fork in a test; `ready` waits for the line that says so."""

    def __init__(self, module: str, env: dict[str, str], *arguments: str, fork: bool = False) -> None:
        self.module = module
        self._arguments = arguments
        self.env = {**MACHINE, "PYTHONUNBUFFERED": "1", **env}
        self.lines: list[str] = []
        self._fork = fork
        self._spoke = asyncio.Condition()
        self._process: asyncio.subprocess.Process | Forked | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        self.lines = []
        self._process = await (forked(self.module, env=self.env, listen=True) if self._fork else self._spawn())
        self._hearing = asyncio.create_task(self._hear())
        return self

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module, *self._arguments),
            cwd=HERE,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=hear_interrupts,
        )

    async def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._spoke:
                self.lines.append(line.decode(errors="replace").rstrip())
                self._spoke.notify_all()
        async with self._spoke:
            self.lines.append(f"<{self.module} ended>")
            self._spoke.notify_all()

    async def said(self, pattern: str | re.Pattern[str], within: float = PATIENCE) -> re.Match[str]:
        """The first line that matches, as soon as there is one. AssertionError with all its words otherwise."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        try:
            async with asyncio.timeout(within), self._spoke:
                await self._spoke.wait_for(lambda: found() or (self.lines and self.lines[-1].endswith("ended>")))
        except TimeoutError:
            pass
        match = found()
        assert match is not None, f"{self.module} did not say {pattern!r}:\n" + "\n".join(self.lines)
        return match

    async def ready(self) -> int:
        """The port, of `bot`; 0 of a worker."""
        match = await self.said(READY.get(self.module, "is ready"))
        return int(match[1]) if self.module == "bot" else 0

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the signal and wait for the end; returns the exit status."""
        assert self._process is not None
        assert self._hearing is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        status = await self._process.wait()
        await self._hearing
        return status

    async def wait(self) -> int:
        """The exit status, when it ends by itself. AssertionError with all its words if it does not."""
        assert self._process is not None
        assert self._hearing is not None
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._process.wait()
                await self._hearing
        except TimeoutError:
            raise AssertionError(f"{self.module} did not end:\n" + "\n".join(self.lines)) from None
        return status

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None


def hear_interrupts() -> None:
    """As in a terminal: where the tests run in the background of a shell, Ctrl-C would be ignored below them too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Deployment:
    """Everything a test needs: a local Slack in this process, web and worker in processes of their own.

    `fork`: these are forked, which is the quicker start.
    """

    def __init__(self, slack: LocalSlack, redis_url: str, namespace: str, data: Path, *, fork: bool = False) -> None:
        self.slack = slack
        self.data = data
        self.fork = fork
        self.common = {"REDIS_URL": url_of("web", redis_url, namespace), "NAMESPACE": namespace, "LOG_LEVEL": "INFO"}
        self.common["STOP_DELAY"] = "0s"
        self.agents = {**self.common, "REDIS_URL": url_of("worker", redis_url, namespace)}
        self.processes: list[Process] = []

    async def web(self, *, http: bool = False, **env: str) -> Process:
        """A web process, ready; over signed HTTP its address is added to Slack's list."""
        way = {"SLACK_SIGNING_SECRET": self.slack.signing_secret} if http else {"SLACK_APP_TOKEN": self.slack.app_token}
        process = await self._start(
            "bot",
            {
                "SLACK_BOT_TOKEN": self.slack.bot_token,
                "SLACK_API_URL": self.slack.api_url,
                "SLACK_PACE": str(self.slack.config.hurry),
                "REVIEWERS": "S0REVIEWERS",
                "PORT": "0",
                **way,
                **env,
            },
        )
        port = await process.ready()
        if http:
            self.slack.events_urls.append(f"http://127.0.0.1:{port}/slack/events")
        else:
            await self.slack.wait_connected(1)
        return process

    async def worker(self, **env: str) -> Process:
        """A worker process that has announced its teams."""
        process = await self._start("agents", {**self.agents, "DATA_DIR": str(self.data), "LEASE": "5s", **env})
        await process.ready()
        return process

    async def _start(self, module: str, env: dict[str, str]) -> Process:
        process = Process(module, {**self.common, **env}, fork=self.fork)
        self.processes.append(process)
        return await process.start()

    async def end(self) -> None:
        await asyncio.gather(*(p.kill(signal.SIGTERM) for p in self.processes if p.running))
        for process in self.processes:
            assert not [line for line in process.lines if "Traceback" in line], "\n".join(process.lines)


@asynccontextmanager
async def deployment(
    slack: LocalSlack, redis_url: str, namespace: str, data: Path, *, fork: bool = False
) -> AsyncIterator[Deployment]:
    """A deployment whose processes end with the block; a traceback in any of their logs fails the test."""
    it = Deployment(slack, redis_url, namespace, data, fork=fork)
    try:
        yield it
    except BaseException:
        for process in it.processes:
            print(f"--- {process.module}", *process.lines, sep="\n")
        raise
    finally:
        await it.end()
