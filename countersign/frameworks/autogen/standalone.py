"""A team in a user's own program, which asks people through a running `web`.

    def build(run):
        writer = AssistantAgent("writer", model_client=run.model("writer"))
        human = UserProxyAgent("human", input_func=run.human(title="Send this?").input_func)
        return RoundRobinGroupChat([writer, human], max_turns=4)

    asyncio.run(run_here(build, "Ask the vendor for 10% off", channel="#general", requester="@alice"))

`build` is what a team file has, so a team that has grown out of its script moves into `agents/teams/` as it is.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple

from autogen_core.models import ChatCompletionClient

from countersign.client import terminal_notes
from countersign.client.connection import Address
from countersign.domain.errors import InvalidInput, LeaseLost
from countersign.domain.ids import RequestId, RunId, TeamName, UserId, worker_id
from countersign.domain.run_calls import Read, Start
from countersign.domain.runs import Run
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.run_context import Build, Conclude
from countersign.frameworks.autogen.runner import Runner
from countersign.frameworks.autogen.script_service import ScriptService
from countersign.frameworks.autogen.team import Team, Teams, last_words
from countersign.process_settings import WorkerSettings, read
from countersign.runs.area import Area, WebAddress
from countersign.runs.journal_file import JournalFile
from countersign.runs.journal_storage import RedisAnswers, RedisJournal
from countersign.runs.leases import HeldLeases
from countersign.runs.service import HttpService, Service
from countersign.secret_files import is_given
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.usecases.ports import Answers, Journal, Lease
from countersign.usecases.store_outages import patient

log = logging.getLogger(__name__)

_TRIES: Final = 20
"""How often, within a lease, a run is tried for that another program may still hold."""
_PATIENCE: Final = timedelta(seconds=15)
"""How long an interrupted program takes to let its run go."""
_NEVER: Final = timedelta(days=3650)
"""A script has nowhere to leave a waiting run to."""


class _Nobody:
    """The queue of a run that no worker advances."""

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return None


async def run_here(
    build: Build,
    task: str,
    *,
    channel: str,
    requester: str,
    name: str = "script",
    resume: str | None = None,
    model: ChatCompletionClient | None = None,
    conclude: Conclude = last_words,
    settings: WorkerSettings | None = None,
) -> Run:
    """Run a team in this program to its end; returns the run with how it ended.

    COUNTERSIGN_URL and COUNTERSIGN_KEY say where the service is; nothing else is needed. `channel` is a channel of
    the key, by id or name, and `requester` a Slack user, by id or as `@name`: where the run is told of, and for whom it
    is. `model` is an AutoGen client of your own; without one it is what MODEL_CONFIG says.

    The run's journal is a file in DATA_DIR, or the workers' area of Redis if REDIS_URL is set. A program that is
    interrupted or killed leaves its run waiting, and what people decide is kept: started with `resume` set to the
    run's id (the log has it) it continues where it was, and repeats nothing.

    InvalidInput or NotFound, with nothing started, if it cannot be: no such channel, no reviewers, no such run.
    StoreUnavailable, with nothing started, if the service or Redis is away at the start; later they are waited for.
    LeaseLost if another program advances the run.
    """
    called = TeamName(name)
    if not requester.startswith("@"):
        UserId(requester)
    run_id = RunId("s" + secrets.token_hex(8) if resume is None else resume)
    if run_id.of_program or not run_id.of_script:
        raise InvalidInput(
            f"Run {run_id} is not a run of `run_here`, so only its own program or a worker continues it."
        )
    settings, address = settings or read(WorkerSettings), Address.of(None, None)
    owner = worker_id(socket.gethostname(), os.getpid(), secrets.token_hex(4))
    stop = asyncio.Event()

    async def resolve() -> WebAddress:
        return WebAddress((address.url,), address.key)

    async with AsyncExitStack() as stack:
        kept: _Kept = await stack.enter_async_context(_where_kept(settings))
        web = await stack.enter_async_context(HttpService(resolve, terminal_notes.note_recovery))
        service = await stack.enter_async_context(ScriptService(web))
        model = model or load_model(settings.model_config_file, answers=kept.answers)
        # Before it is stored: a program that is killed in between leaves no run that nobody can name.
        log.info("Run %s. If this program ends before it, start it again with resume=%r.", run_id, run_id)
        await web.read_back((), ())  # raises if the service is away: from here on it is waited for
        first = Read() if resume else Start(channel, requester, called, task)
        run = await patient(service).call(Lease(run_id, 0, owner), first)
        runner = Runner(
            owner=owner,
            leases=kept.leases,
            service=service,
            queue=_Nobody(),
            journal=kept.journal,
            teams=Teams({run.team: Team(run.team, "", build, conclude)}, {}),
            model=model,
            settings=settings.model_copy(update={"park_after": _NEVER}),
            stop=stop,
            script=run.id,
        )
        return await _to_its_end(service, runner, Lease(run.id, 0, owner), stop, settings.lease)


class _Kept(NamedTuple):
    """Where leases, journals and models' answers are kept."""

    leases: HeldLeases
    journal: Journal
    answers: Answers


@asynccontextmanager
async def _where_kept(settings: WorkerSettings) -> AsyncIterator[_Kept]:
    """Open the file of journals, or the workers' area where REDIS_URL is set."""
    if not is_given("REDIS_URL"):
        async with JournalFile(settings.data_dir / "runs.sqlite") as file:
            yield _Kept(file, file, file)
        return
    async with connect(settings.redis_url.get_secret_value()) as client:
        replicas = Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms))
        area = Area(client, settings.namespace, replicas)
        await area.check()
        fsync = timedelta(milliseconds=settings.redis_fsync_ms)
        yield _Kept(area.leases, RedisJournal(area, fsync), RedisAnswers(area))


async def _to_its_end(service: Service, runner: Runner, lease: Lease, stop: asyncio.Event, span: timedelta) -> Run:
    """Advance the run to its end; if cancelled, let it go first.

    A program that was killed holds its run for the rest of its lease, so this tries for twice as long.
    """
    run = lease.run
    for _ in range(2 * _TRIES):
        advancing = asyncio.create_task(runner.advance(run), name=f"run {run}")
        try:
            await asyncio.shield(advancing)
        except asyncio.CancelledError:
            stop.set()
            # What does not end is left behind: the run's lease ends by itself, and whoever pressed Ctrl-C waits.
            await asyncio.wait({advancing}, timeout=_PATIENCE.total_seconds())
            log.warning("Run %s is left waiting. Start this program with resume=%r to continue.", run, run)
            raise
        seen = await patient(service).call(lease, Read())
        if seen.over:
            return seen
        await asyncio.sleep(span.total_seconds() / _TRIES)
    raise LeaseLost(f"Run {run} is advanced by another program, so this one did nothing.")
