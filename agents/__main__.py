"""The process `worker`, which takes runs from the queue until it is stopped."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from countersign import metrics
from countersign.autogen import compat
from countersign.autogen.models.config import load_model
from countersign.autogen.runner import Runner
from countersign.autogen.team import Teams, try_out
from countersign.domain.errors import StoreUnavailable, StoreUnsafe, WrongSettings
from countersign.domain.ids import worker_id
from countersign.process_settings import WorkerSettings, read
from countersign.python_gc import keep_what_is_loaded
from countersign.store.job_queue import Queue, work
from countersign.store.journal_storage import RedisAnswers, RedisJournal
from countersign.store.ownership import Side
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines

from . import registry
from .services.mail import is_address
from .services.mail_delivery import parse_smtp_url

log = logging.getLogger("agents")

ANNOUNCED_EVERY: Final = timedelta(seconds=5)
ANNOUNCED_FOR: Final = timedelta(seconds=15)
RECONCILED_EVERY: Final = timedelta(seconds=15)
BEYOND_THE_LEASE: Final = timedelta(seconds=2)
"""A lost worker's job comes again this long after its lease has ended, so that it is not refused."""


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Advance runs until `stop` is set, then let go of all of them.

    WrongSettings, StoreUnsafe: nothing was started.
    """
    teams = registry.find(checked_folder(settings))
    if settings.model_config_file is None:
        log.warning("MODEL_CONFIG is not set: the offline demo model writes, by fixed rules.")
    if settings.smtp_url is None:
        log.warning("SMTP_URL is not set: mails go into the folder %s and to nobody.", settings.data_dir / "mail")
    url = settings.redis_url.get_secret_value()
    owner = worker_id(socket.gethostname(), os.getpid(), secrets.token_hex(4))
    async with connect(url) as client:
        store = Store(
            client,
            settings.namespace,
            Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms)),
            Side.AGENTS,
        )
        model = load_model(settings.model_config_file, answers=RedisAnswers(store))
        if not await _reached(store, stop):
            return
        keep_what_is_loaded()
        async with Queue(url, settings.namespace) as queue, Wakeups(store) as wakeups:
            journal = RedisJournal(store, timedelta(milliseconds=settings.redis_fsync_ms))
            await try_out(teams, store, queue, wakeups, journal, model, settings)
            runner = Runner(
                owner=owner,
                store=store,
                queue=queue,
                wakeups=wakeups,
                journal=journal,
                teams=teams,
                model=model,
                settings=settings,
                stop=stop,
            )
            async with metrics.served(settings.host, settings.metrics_port), asyncio.TaskGroup() as jobs:
                announcing = jobs.create_task(_announce(store, owner, teams, stop))
                jobs.create_task(_reconcile(runner, stop))
                keeping = jobs.create_task(deadlines.keep(store, queue, wakeups), name="deadlines")
                with compat.mended():
                    await work(
                        queue,
                        runner.advance,
                        concurrency=settings.concurrency,
                        redelivery=settings.lease + BEYOND_THE_LEASE,
                        stop=stop,
                    )
                keeping.cancel()
                await announcing
    await model.close()
    log.info("Worker %s has ended.", owner)


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


async def _reached(store: Store, stop: asyncio.Event) -> bool:
    """Wait for Redis; say whether it was reached before `stop` and is safe to use."""
    pause = timedelta(seconds=1)
    while not stop.is_set():
        try:
            await store.check()
            return True
        except StoreUnavailable as away:
            log.warning("%s Trying again in %d s.", away, pause.total_seconds())
            await _pause(stop, pause)
            pause = min(pause * 2, timedelta(seconds=10))
    return False


async def _announce(store: Store, owner: str, teams: Teams, stop: asyncio.Event) -> None:
    ready = False
    while not stop.is_set():
        try:
            await store.workers.announce(owner, teams.infos(), ANNOUNCED_FOR)
            if not ready:
                log.info("Worker %s is ready; teams: %s.", owner, ", ".join(teams.working) or "none")
            ready = True
        except StoreUnavailable as away:
            log.warning("The teams were not announced: %s", away)
        await _pause(stop, ANNOUNCED_EVERY)
    try:
        await store.workers.retire(owner)
    except StoreUnavailable as away:
        log.warning("The announcement of the teams ends by itself: %s", away)


async def _reconcile(runner: Runner, stop: asyncio.Event) -> None:
    """Ask for runs whose job was lost (R5), at the start and now and then."""
    starting = True
    while not stop.is_set():
        try:
            await runner.reconcile(starting=starting)
            starting = False
        except StoreUnavailable as away:
            log.warning("Lost jobs were not looked for: %s", away)
        except Exception:
            log.exception("Lost jobs were not looked for; trying again later.")
        await _pause(stop, RECONCILED_EVERY)


async def _pause(stop: asyncio.Event, span: timedelta) -> None:
    """Sleep, or return at once when `stop` is set."""
    try:
        async with asyncio.timeout(span.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return


async def _until_told_to_stop(settings: WorkerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main(arguments: Sequence[str] = ()) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 2 if there is something to fix first."""
    try:
        settings = read(WorkerSettings)
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
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
