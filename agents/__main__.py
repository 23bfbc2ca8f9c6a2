"""The process `worker`, which takes runs from the queue until it is stopped."""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import redis.asyncio

from countersign import logs, metrics, ops_port
from countersign.domain.errors import CountersignError, StoreUnavailable, StoreUnsafe, WrongSettings
from countersign.domain.ids import RunId, WorkerId, worker_id
from countersign.domain.pauses import doubling
from countersign.frameworks.autogen import compat
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.runner import Runner
from countersign.frameworks.autogen.team import Teams, try_out
from countersign.ops_port import Readiness
from countersign.process_settings import WorkerSettings, read
from countersign.python_gc import keep_what_is_loaded
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue, work
from countersign.runs.journal_storage import RedisAnswers, RedisJournal
from countersign.runs.service import HttpService, Service
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.usecases.ports import Announcement
from countersign.usecases.store_outages import ended, within

from . import registry
from .services.mail import is_address
from .services.mail_delivery import parse_smtp_url
from .stopping import hear_stop_signals

log = logging.getLogger("agents")

ANNOUNCED_EVERY: Final = timedelta(seconds=5)
TRIED_EVERY: Final = timedelta(milliseconds=500)
"""Between two tries to reach a `web` that was not there yet, or is away."""
_WARNED_AFTER: Final = 6
"""Tries without an answer before anybody is told: sooner, `web` may only be starting at the same time."""
RETIRED_WITHIN: Final = timedelta(seconds=3)
BEYOND_THE_LEASE: Final = timedelta(seconds=2)
"""A lost worker's job comes again this long after its lease has ended, so that it is not refused."""


class Health:
    """Answers of the ops port of a worker, from its start to its end."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.waits_for = "Redis"
        """Until the teams are announced; "" afterwards."""
        self.problem = ""
        """Why the teams could not be announced the last time."""
        self.area: Area | None = None
        self.runner: Runner | None = None
        self._stop = stop

    async def readiness(self) -> Readiness:
        """Tell whether this worker takes runs, or will when `web` and Redis are back."""
        if self._stop.is_set():
            return Readiness("The worker was told to stop: it hands its runs over.")
        if self.waits_for:
            return Readiness(f"The worker is starting: it waits for {self.waits_for}. {self.problem}".rstrip())
        return Readiness(problems=[self.problem] if self.problem else [])

    async def measured(self) -> bytes:
        """Return the text that Prometheus reads."""
        if self.area is not None:
            await self.area.measure()
        if self.runner is not None:
            metrics.runs_held(len(self.in_hand()))
        return metrics.exposition()

    def in_hand(self) -> tuple[RunId, ...]:
        """List the runs that this worker holds."""
        return self.runner.advancing if self.runner is not None else ()


async def serve(settings: WorkerSettings, stop: asyncio.Event, health: Health | None = None) -> None:
    """Advance runs until `stop` is set, then let go of all of them.

    WrongSettings, StoreUnsafe: nothing was started.
    """
    health = health or Health(stop)
    async with ops_port.served(health, settings.host, settings.ops_port):
        await _work(settings, stop, health)


async def _work(settings: WorkerSettings, stop: asyncio.Event, health: Health) -> None:
    teams = registry.find(checked_folder(settings))
    if settings.model_config_file is None:
        log.warning("MODEL_CONFIG is not set: the offline demo model writes, by fixed rules.")
    if settings.smtp_url is None:
        log.warning("SMTP_URL is not set: mails go into the folder %s and to nobody.", settings.data_dir / "mail")
    url = settings.redis_url.get_secret_value()
    owner = worker_id(socket.gethostname(), os.getpid(), secrets.token_hex(4))
    async with connect(url) as client:
        health.area = area = area_of(settings, client)
        model = load_model(settings.model_config_file, answers=RedisAnswers(area))
        if not await _reached(area, stop):
            return
        health.waits_for = "`web`"
        keep_what_is_loaded()
        async with Queue(url, settings.namespace, area.area) as queue, HttpService(area.address) as service:
            journal = RedisJournal(area, timedelta(milliseconds=settings.redis_fsync_ms))
            await try_out(teams, area.leases, service, journal, model, settings)
            runner = Runner(
                owner=owner,
                leases=area.leases,
                service=service,
                queue=queue,
                journal=journal,
                teams=teams,
                model=model,
                settings=settings,
                stop=stop,
            )
            health.runner = runner
            metrics.teams(len(teams.working), len(teams.broken))
            async with asyncio.TaskGroup() as jobs:
                announcing = jobs.create_task(_announce(service, owner, runner, teams, health))
                jobs.create_task(_retire(service, owner, announcing, stop))
                with compat.mended():
                    await work(
                        queue,
                        runner.advance,
                        concurrency=settings.concurrency,
                        redelivery=settings.lease + BEYOND_THE_LEASE,
                        stop=stop,
                    )
    await model.close()
    log.info("Worker %s has ended.", owner)


def area_of(settings: WorkerSettings, client: redis.asyncio.Redis) -> Area:
    """Return the workers' area that the settings name."""
    replicas = Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms))
    key = settings.countersign_key.get_secret_value() if settings.countersign_key else ""
    return Area(client, settings.namespace, replicas, key=key)


def checked_folder(settings: WorkerSettings) -> Path:
    """Return the folder of teams; WrongSettings, with every problem."""
    problems = []
    folder = settings.teams or registry.EXAMPLES
    if not folder.is_dir():
        problems.append(f"TEAMS: there is no folder “{folder}”.")
    elif not registry.files(folder):
        problems.append(f"TEAMS: the folder “{folder}” has no team file (files that begin with _ do not count).")
    if not is_address(settings.mail_from):
        problems.append(f"MAIL_FROM: “{settings.mail_from}” is not an e-mail address.")
    if settings.smtp_url is not None:
        try:
            parse_smtp_url(settings.smtp_url.get_secret_value())
        except ValueError as wrong:
            problems.append(str(wrong))
    if problems:
        raise WrongSettings(problems)
    return folder


async def _reached(area: Area, stop: asyncio.Event) -> bool:
    """Wait for Redis; say whether it was reached before `stop` and is safe to use."""
    pauses = doubling(1, 10)
    while not stop.is_set():
        try:
            await area.check()
            return True
        except StoreUnavailable as away:
            pause = next(pauses)
            log.warning("%s Trying again in %d s.", away, pause)
            await _pause(stop, timedelta(seconds=pause))
    return False


async def _announce(service: Service, owner: WorkerId, runner: Runner, teams: Teams, health: Health) -> None:
    """Tell `web` of this worker, its teams and its runs, every few seconds."""
    ready, failed = False, 0
    while True:
        try:
            await service.announce(owner, Announcement(teams.infos(), runner.advancing))
            if not ready:
                log.info("Worker %s is ready; teams: %s.", owner, ", ".join(teams.working) or "none")
            ready, failed = True, 0
            health.waits_for = health.problem = ""
        except CountersignError as away:
            health.problem = str(away)
            failed += 1
            if failed == _WARNED_AFTER:
                log.warning("The teams were not announced: %s Trying again until `web` answers.", away)
        await asyncio.sleep((ANNOUNCED_EVERY if ready and not failed else TRIED_EVERY).total_seconds())


async def _retire(service: Service, owner: WorkerId, announcing: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Withdraw the announcement as soon as the worker is told to stop."""
    await stop.wait()
    await ended(announcing)
    try:
        await within(RETIRED_WITHIN, service.retire(owner))
    except (CountersignError, TimeoutError) as away:
        log.warning("The announcement of the teams could not be withdrawn and will expire: %s", away)


async def _pause(stop: asyncio.Event, span: timedelta) -> None:
    """Sleep, or return at once when `stop` is set."""
    try:
        async with asyncio.timeout(span.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return


async def _until_told_to_stop(settings: WorkerSettings) -> None:
    stop = asyncio.Event()
    health = Health(stop)
    hear_stop_signals(stop, settings.stop_within, health.in_hand)
    await serve(settings, stop, health)


def main(arguments: Sequence[str] = ()) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 2 if there is something to fix first."""
    try:
        settings = read(WorkerSettings)
        logs.set_up(settings.log_level, settings.log_format)
        for loud in ("autogen_core.events", "autogen_agentchat", "autogen_agentchat.events", "httpx"):
            # They write whole conversations.
            logging.getLogger(loud).setLevel(logging.WARNING)
        # It writes a traceback for every cancelled agent; what fails a run is in the error that the runner logs.
        logging.getLogger("autogen_core").setLevel(logging.CRITICAL)
        asyncio.run(_until_told_to_stop(settings))
    except (WrongSettings, StoreUnsafe) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
