"""A team in a user's own program, which asks people through a running `web`.

    def build(run):
        writer = AssistantAgent("writer", model_client=run.model("writer"))
        human = UserProxyAgent("human", input_func=run.human(title="Send this?").input_func)
        return RoundRobinGroupChat([writer, human], max_turns=4)

    asyncio.run(run_here(build, "Ask the vendor for 10% off", channel="C0GENERAL", requester="U0ALICE"))

`build` is what a team file has, so a team that has grown out of its script moves into `agents/teams/` as it is.
"""

import asyncio
import logging
import os
import secrets
import socket
from datetime import timedelta
from functools import partial
from typing import Final

from autogen_core.models import ChatCompletionClient

from countersign import usecases
from countersign.autogen.models.config import load_model
from countersign.autogen.run_context import Build, Conclude
from countersign.autogen.runner import Runner
from countersign.autogen.team import Team, Teams, last_words
from countersign.domain.errors import InvalidInput, LeaseLost, NotFound
from countersign.domain.ids import ChannelId, RequestId, RunId, TeamName, UserId, worker_id
from countersign.domain.runs import Run
from countersign.process_settings import WorkerSettings, read
from countersign.store.journal_storage import RedisAnswers, RedisJournal
from countersign.store.ownership import Side
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.store_outages import patiently

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
    again: str | None = None,
    model: ChatCompletionClient | None = None,
    conclude: Conclude = last_words,
    settings: WorkerSettings | None = None,
) -> Run:
    """Run a team in this program to its end; returns the run with how it ended.

    `channel` and `requester` are Slack ids: where the run is told of, and for whom it is. `model` is an AutoGen client
    of your own; without one it is what MODEL_CONFIG says. `settings` are read from the environment, as a worker's are.

    A program that is interrupted or killed leaves its run waiting, and what people decide is kept: started with `again`
    set to the run's id (the log has it) it goes on where it was, and repeats nothing.

    InvalidInput or NotFound, with nothing started, if it cannot be: no such channel, no reviewers, no such run, no
    service. StoreUnavailable, with nothing started, if Redis is away at the start; later it is waited for. LeaseLost if
    another program advances the run.
    """
    place, whom, called = ChannelId(channel), UserId(requester), TeamName(name)
    run_id = RunId("s" + secrets.token_hex(8) if again is None else again)
    if run_id.of_program:
        raise InvalidInput(
            f"Run {run_id} is the request of a program over HTTP, and only that program goes on with it. "
            "Nothing was done."
        )
    settings = settings or read(WorkerSettings)
    stop = asyncio.Event()
    client = connect(settings.redis_url.get_secret_value())
    try:
        replicas = Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms))
        store = Store(client, settings.namespace, replicas, Side.AGENTS)
        await store.check()
        model = model or load_model(settings.model_config_file, answers=RedisAnswers(store))
        # Before it is stored: a program that is killed in between leaves no run that nobody can name.
        log.info("Run %s. If this program ends before it, start it again with again=%r.", run_id, run_id)
        new = partial(usecases.start_by_script, channel=place, requester=whom, team=called, task=task)
        run = await patiently(lambda: new(store, run=run_id) if again is None else _known(store, run_id))
        async with Wakeups(store) as wakeups:
            runner = Runner(
                owner=worker_id(socket.gethostname(), os.getpid(), secrets.token_hex(4)),
                store=store,
                queue=_Nobody(),
                wakeups=wakeups,
                journal=RedisJournal(store, timedelta(milliseconds=settings.redis_fsync_ms)),
                teams=Teams({run.team: Team(run.team, "", build, conclude)}, {}),
                model=model,
                settings=settings.model_copy(update={"park_after": _NEVER}),
                stop=stop,
                script=run.id,
            )
            return await _to_its_end(store, runner, run.id, stop, settings.lease)
    finally:
        await client.aclose()


async def _known(store: Store, run: RunId) -> Run:
    seen = await store.run(run)
    if seen is None or not seen.value.by_script:
        raise NotFound(f"There is no run “{run[:40]}” of a script, so nothing was done.")
    return seen.value


async def _to_its_end(store: Store, runner: Runner, run: RunId, stop: asyncio.Event, lease: timedelta) -> Run:
    """Advance the run to its end; if cancelled, let it go first.

    A program that was killed holds its run for the rest of its lease, so this tries for twice as long.
    """
    for _ in range(2 * _TRIES):
        advancing = asyncio.create_task(runner.advance(run), name=f"run {run}")
        try:
            await asyncio.shield(advancing)
        except asyncio.CancelledError:
            stop.set()
            # What does not end is left behind: the run's lease ends by itself, and whoever pressed Ctrl-C waits.
            await asyncio.wait({advancing}, timeout=_PATIENCE.total_seconds())
            log.warning("Run %s is left waiting. Start this program with again=%r to go on.", run, run)
            raise
        seen = await patiently(lambda: _known(store, run))
        if seen.over:
            return seen
        await asyncio.sleep(lease.total_seconds() / _TRIES)
    raise LeaseLost(f"Run {run} is advanced by another program, so this one did nothing.")
