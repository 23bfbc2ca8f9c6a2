"""The faults of the drill: each is a real one, of a real process, server or file."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from localslack import LocalSlack
from tests.free_ports import free_port
from tests.processes import Deployment, Process, deployment
from tests.servers import Server, primary_and_replica, running_server

ASK: Final = "/agent email tell the vendor we need 10% off"


@dataclass
class Site:
    """One `web` and one worker, the ports of their probes, and what they need."""

    there: Deployment
    slack: LocalSlack
    redis: Server
    replica: Server | None
    folder: Path
    web: Process
    worker: Process
    webs: list[int]
    workers: list[int]
    sqlite: sqlite3.Connection | None = None
    asking: list[asyncio.Task[object]] = field(default_factory=list)

    def ask(self) -> None:
        """Have alice start another task, and wait for no answer."""
        task = f"{ASK} by {len(self.asking) + 1} June"  # the same one again would be the same run
        self.asking.append(asyncio.create_task(self.slack.user("alice").command(task, channel="#general")))

    async def decide(self) -> None:
        """Have one request refused to its requester and approved by bob, so that every metric has been moved."""
        self.ask()
        card = await self.slack.wait_message("#approvals", lambda m: "Approve" in m.buttons)
        await self.slack.user("alice").click(card, "Approve")
        await self.slack.user("bob").click(card, "Approve")

    async def end(self) -> None:
        """End what was started by the fault."""
        for task in self.asking:
            task.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)
        if self.sqlite is not None:
            self.sqlite.close()
        self.slack.faults.clear()
        await asyncio.gather(*(process.kill() for process in self.there.processes if process.running))


Begin = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the metric that shows it (as an expression), and its alert; "" for none."""

    name: str
    metric: str
    shows: str
    alert: str
    begin: Begin
    env: dict[str, str] = field(default_factory=dict)
    with_replica: bool = False


async def _slack_503(site: Site) -> None:
    site.slack.faults.add("server_error", on="*", status=503, times=None)
    site.ask()


async def _token_revoked(site: Site) -> None:
    site.slack.faults.add("error", on="*", error="token_revoked", times=None)
    site.ask()


async def _no_workers(site: Site) -> None:
    await site.worker.kill()


async def _no_web(site: Site) -> None:
    await site.web.kill()


async def _redis_away(site: Site) -> None:
    await site.redis.end()


async def _redis_frozen(site: Site) -> None:
    site.redis.send(signal.SIGSTOP)


async def _no_memory(site: Site) -> None:
    await site.redis.say("CONFIG", "SET", "maxmemory", "1mb")


async def _no_disk(site: Site) -> None:
    """The folder of Redis is gone, so its next snapshot fails."""
    await site.redis.say("CONFIG", "SET", "appendonly", "no")
    await site.redis.say("CONFIG", "SET", "save", "1 1")
    await asyncio.to_thread(shutil.rmtree, site.redis.folder)
    await site.redis.say("SET", "drill", "1", "EX", 60)


async def _no_replica(site: Site) -> None:
    assert site.replica is not None
    await site.replica.end()


async def _no_sql(site: Site) -> None:
    """Another program holds the database, and lets nobody write."""
    site.sqlite = sqlite3.connect(site.folder / "audit.db", isolation_level=None)
    site.sqlite.execute("BEGIN EXCLUSIVE")
    site.ask()


async def _backlog(site: Site) -> None:
    for _ in range(25):
        site.ask()
        await asyncio.sleep(0.2)


async def _rolling_restart(site: Site) -> None:
    """A second `web` and worker start before the first ones end, while people ask."""
    web, worker = site.webs[1], site.workers[1]
    site.ask()
    await asyncio.gather(site.there.web(OPS_PORT=str(web)), site.there.worker(OPS_PORT=str(worker)))
    site.ask()
    await asyncio.gather(site.web.kill(signal.SIGTERM), site.worker.kill(signal.SIGTERM))
    site.ask()


FAULTS: Final = (
    Fault(
        "Slack answers 503",
        "countersign_slack_calls_total{code}",
        'sum(countersign_slack_calls_total{code="http_503"}) > 0',
        "SlackFailing",
        _slack_503,
    ),
    Fault(
        "the token is revoked",
        "countersign_slack_token_refused",
        "countersign_slack_token_refused == 1",
        "SlackTokenRefused",
        _token_revoked,
    ),
    Fault("all workers are killed", "countersign_workers", "max(countersign_workers) == 0", "NoWorkers", _no_workers),
    Fault("all `web` are killed", "up", 'sum(up{job="countersign-web"}) == 0', "NoWeb", _no_web),
    Fault(
        "Redis is killed",
        "countersign_redis_problem{cause}",
        'max(countersign_redis_problem{cause="unreachable"}) == 1',
        "RedisUnreachable",
        _redis_away,
    ),
    Fault(
        "Redis is frozen",
        "countersign_redis_problem{cause}",
        'max(countersign_redis_problem{cause="unreachable"}) == 1',
        "RedisUnreachable",
        _redis_frozen,
    ),
    Fault(
        "Redis has no memory",
        "countersign_redis_problem{cause}",
        'max(countersign_redis_problem{cause="memory"}) == 1',
        "RedisOutOfMemory",
        _no_memory,
    ),
    Fault(
        "Redis cannot write to its disk",
        "countersign_redis_problem{cause}",
        'max(countersign_redis_problem{cause="disk"}) == 1',
        "RedisDiskFull",
        _no_disk,
    ),
    Fault(
        "the replica is killed",
        "countersign_redis_problem{cause}",
        'max(countersign_redis_problem{cause="replica"}) == 1',
        "RedisReplicaLost",
        _no_replica,
        {"REDIS_WAIT": "1"},
        with_replica=True,
    ),
    Fault(
        "the database takes no copy",
        "countersign_audit_copy_away",
        "max(countersign_audit_copy_away) == 1",
        "AuditCopyAway",
        _no_sql,
        {"AUDIT_SQL_URL": "sqlite+aiosqlite:///{folder}/audit.db"},
    ),
    Fault(
        "25 tasks where Slack takes 6 cards a minute",
        "countersign_oldest_unposted_seconds",
        "max(countersign_oldest_unposted_seconds) > 10",
        "CardsLate",
        _backlog,
        {"SLACK_PACE": "0.1"},
    ),
    Fault("a rolling restart under load", "–", "", "", _rolling_restart),
)


@asynccontextmanager
async def site(fault: Fault, folder: Path) -> AsyncIterator[Site]:
    """Run what the fault needs: a local Slack, Redis, one `web` and one worker."""
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack())
        replica = None
        if fault.with_replica:
            redis, replica = await stack.enter_async_context(primary_and_replica(folder / "redis"))
        else:
            redis = await stack.enter_async_context(running_server(folder / "redis"))
        os.environ["TEST_REDIS_URL"] = redis.url  # it has no users of its own
        there = await stack.enter_async_context(deployment(slack, redis.url, "drill", folder / "data"))
        env = {name: value.format(folder=folder) for name, value in fault.env.items()}
        webs, workers = [free_port() for _ in range(2)], [free_port() for _ in range(2)]
        both = {name: value for name, value in env.items() if name == "REDIS_WAIT"}
        web, worker = await asyncio.gather(
            there.web(http=False, OPS_PORT=str(webs[0]), **env), there.worker(OPS_PORT=str(workers[0]), **both)
        )
        it = Site(there, slack, redis, replica, folder, web, worker, webs, workers)
        try:
            yield it
        finally:
            await it.end()
