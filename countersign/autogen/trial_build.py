"""A trial at a worker's start: each team is built once, before anybody needs it."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from autogen_core.models import ChatCompletionClient

from countersign.autogen.bypass_check import look_through
from countersign.autogen.held_run import HeldRun
from countersign.autogen.run_context import RunContext
from countersign.autogen.running_team import RunningTeam
from countersign.autogen.team import Team, Teams
from countersign.domain.errors import WrongTeam
from countersign.domain.ids import ChannelId, RunId, UserId, WorkspaceId
from countersign.domain.runs import Run
from countersign.process_settings import WorkerSettings
from countersign.replay.run_journal import RunJournal
from countersign.usecases.ports import Journal, Lease, Queue, Store, Wakeups

log = logging.getLogger(__name__)
_TASK: Final = "Try whether the team builds."


async def try_out(
    teams: Teams,
    store: Store,
    queue: Queue,
    wakeups: Wakeups,
    journal: Journal,
    model: ChatCompletionClient,
    settings: WorkerSettings,
) -> None:
    """Build each team for a run that never is; log and note what does not build.

    A team with a door past the gate is broken. Any other error may come from the task of the trial, so that team can
    still be started.
    """
    for name, team in list(teams.working.items()):
        run = Run(
            RunId("rtrial"),
            WorkspaceId("T0TRIAL"),
            ChannelId("C0TRIAL"),
            UserId("U0TRIAL"),
            name,
            _TASK,
            datetime.now(UTC),
        )
        lease = Lease(run.id, 0, "trial")
        held = HeldRun(team.chosen(run), lease, store, queue, wakeups, RunJournal(journal, lease, {}), settings)
        context = RunContext(held, model, team.demo)
        try:
            await asyncio.create_task(_build(team, context), name=f"trial of {name}")
        except WrongTeam as wrong:
            del teams.working[name]
            teams.broken[name] = str(wrong)
            log.error("The team “%s” cannot be started: %s", name, wrong)
        except (Exception, SystemExit) as error:
            words = (str(error) or "no reason given").splitlines()[0][:200]
            teams.doubtful[name] = f"may not build ({type(error).__name__}: {words})"
            log.error("The team “%s” did not build for a task to try: %s: %s", name, type(error).__name__, words)
        finally:
            context.token.cancel()
            await context.close()


async def _build(team: Team, context: RunContext) -> None:
    """In a task of its own, which alone has the run as its own."""
    context.enter()
    built = team.build(context)
    if not isinstance(built, RunningTeam):
        look_through(built)
