"""A team of agents as the worker knows it, and its trial at the worker's start."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage
from autogen_core.models import ChatCompletionClient

from countersign.domain import runs
from countersign.domain.errors import InvalidInput, WrongTeam
from countersign.domain.ids import ChannelId, RunId, TeamName, UserId, WorkspaceId
from countersign.domain.run_options import Option
from countersign.frameworks.autogen.bypass_check import look_through
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.models.demo import Script
from countersign.frameworks.autogen.people.conversation import turn_in
from countersign.frameworks.autogen.people.decision_messages import decision_in
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Build, Conclude, Run
from countersign.frameworks.autogen.running_team import RunningTeam
from countersign.process_settings import WorkerSettings
from countersign.runs.leases import HeldLeases
from countersign.runs.run_journal import RunJournal
from countersign.runs.service import Service
from countersign.usecases.ports import Journal, Lease, TeamInfo

log = logging.getLogger(__name__)


async def last_words(run: Run, result: TaskResult) -> Conclusion:
    """Conclude with the last message of an agent; its first line is the answer.

    It is the conclusion of a team without one of its own.
    """
    messages = [m for m in result.messages if isinstance(m, BaseChatMessage) and m.source != "user"]
    last = next((m.to_text() for m in reversed(messages) if decision_in(m) is None and turn_in(m) is None), "")
    words = run.outcomes.for_people(last)
    answer = next((line for line in words.splitlines() if line.strip()), "The team has finished.")
    return Conclusion(answer.strip(), words)


@dataclass(frozen=True, slots=True)
class Team:
    """A team of agents. `line` says in a few words what it does.

    `build` makes a fresh AutoGen team for a run, the same one each time: a run that lost its process is rebuilt.
    `conclude` does what is left to do when the team has ended, and says how the run ended. `options` are what can be
    chosen at the start; `run.options` has the choices. `demo` is what the agents' models say while MODEL_CONFIG is not
    set: without it they repeat what they are asked, and an agent that needs tools or data ends the run with that
    reason.
    """

    name: str
    line: str
    build: Build
    conclude: Conclude = last_words
    options: tuple[Option, ...] = ()
    demo: Script | None = None

    def __post_init__(self) -> None:
        TeamName(self.name)

    def chosen(self, run: runs.Run) -> runs.Run:
        """Return the run with a choice for each option of today, or InvalidInput."""
        given = {option.name: run.options.get(option.name, option.default) for option in self.options}
        for option in self.options:
            if given[option.name] not in option.choices:
                raise InvalidInput(
                    f"This run was started with {option.name}={given[option.name]}, which the team “{self.name}” no "
                    "longer offers. Nothing more was done; start the task again."
                )
        return replace(run, options=given)


@dataclass(frozen=True, slots=True)
class Teams:
    """The teams that work, by name, and why others do not, a sentence each.

    `doubtful`: why one that works may not build.
    """

    working: dict[str, Team]
    broken: dict[str, str]
    doubtful: dict[str, str] = field(default_factory=dict)

    def infos(self) -> tuple[TeamInfo, ...]:
        """List them for the announcement."""
        usable = [
            TeamInfo(team.name, self.doubtful.get(team.name, team.line), options=team.options)
            for team in self.working.values()
        ]
        return (*usable, *(TeamInfo(name, "", problem) for name, problem in self.broken.items()))


async def try_out(
    teams: Teams,
    leases: HeldLeases,
    service: Service,
    journal: Journal,
    model: ChatCompletionClient,
    settings: WorkerSettings,
) -> None:
    """Build each team for a run that never is; log and note what does not build.

    A team with a door past the gate is broken. Any other error may come from the task of the trial, so that team can
    still be started.
    """
    for name, team in list(teams.working.items()):
        place = WorkspaceId("T0TRIAL"), ChannelId("C0TRIAL"), UserId("U0TRIAL")
        run = runs.Run(RunId("rtrial"), *place, name, "Try whether the team builds.", datetime.now(UTC))
        lease = Lease(run.id, 0, "trial")
        held = HeldRun(team.chosen(run), lease, leases, service, RunJournal(journal, lease, {}), settings)
        context = Run(held, model, team.demo)
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


async def _build(team: Team, context: Run) -> None:
    """In a task of its own, which alone has the run as its own."""
    context.enter()
    built = team.build(context)
    if not isinstance(built, RunningTeam):
        look_through(built)
