"""What a team gets to work with: its task, models, humans and effects, all of them journaled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient

from agents.human import Desk, Human, HumanProxy
from agents.journal import JournaledModel, RunJournal, effect
from agents.patience import patiently
from bot import flows
from bot.core.errors import LeaseLost, NotFound
from bot.core.ids import RequestId
from bot.core.ports import Lease, Store, Wakeups
from bot.core.requests import Request
from bot.core.runs import Run, Step
from bot.settings import WorkerSettings

log = logging.getLogger(__name__)


class RunContext:
    """One run in this process. Whatever a team does outside goes through here, or it is done again after a crash."""

    def __init__(
        self,
        run: Run,
        lease: Lease,
        store: Store,
        wakeups: Wakeups,
        journal: RunJournal,
        model: ChatCompletionClient,
        settings: WorkerSettings,
    ) -> None:
        self.run = run
        self.settings = settings
        self.token = CancellationToken()
        self.error: Exception | None = None
        """Why the run cannot go on here, as soon as that is known."""
        self.acting: set[asyncio.Task[str]] = set()
        """Effects that are under way; they are never cut off."""
        self._lease = lease
        self._store = store
        self._journal = journal
        self._model = model
        self._desk = Desk(store, lease, wakeups, self.token, self.give_up)
        self.transcript = self._desk.transcript

    @property
    def task(self) -> str:
        """What the requester wrote."""
        return self.run.task

    def model(self, agent: str) -> ChatCompletionClient:
        """The model for the agent of this name; each agent has its own, so that their journals do not mix."""
        return JournaledModel(self._model, self._journal, agent, self.give_up)

    def human(self, agent_name: str = "human", *, title: str = "") -> Human:
        """Somebody to ask: `UserProxyAgent(name, input_func=run.human().input_func)`.

        `title` is the question in a few words, as the card shows it.
        """
        return self._desk.human(agent_name, title)

    def reviewer(self, agent_name: str = "reviewer", *, title: str = "") -> HumanProxy:
        """The same as an agent, whose messages carry the decision in their metadata."""
        return HumanProxy(self.human(agent_name, title=title))

    async def step(self, name: str, act: Callable[[], Awaitable[str]], *, content: str = "") -> str:
        """Do something outside, at most once in the life of the run; its result is recorded and given again.

        `content` is what it is done with; other content is another step. `act` raises ActionFailed when it
        certainly did not happen, OutcomeUnknown when nobody knows; both come out of here. It is never cancelled.
        """
        if self.token.is_cancelled():
            raise asyncio.CancelledError
        key = self._journal.key("step", name, content)
        task = asyncio.create_task(effect(self._journal, key, name, act, self._still_wanted), name=f"step {name}")
        self.acting.add(task)
        task.add_done_callback(self._acted)
        try:
            return await asyncio.shield(task)
        except LeaseLost as error:
            self.give_up(error)
            raise

    async def request(self, request: RequestId) -> Request:
        """A request of this run as it stands. NotFound if there is none."""
        seen = await patiently(lambda: self._store.request(request))
        if seen is None or seen.value.run != self.run.id:
            raise NotFound(f"Run {self.run.id} has no request {request}.")
        return seen.value

    def give_up(self, error: Exception) -> None:
        """The run cannot go on in this process: it ends with this error, whatever the team says. The first counts."""
        if self.error is None:
            self.error = error
        self.token.cancel()

    async def _still_wanted(self) -> None:
        """LeaseLost if the run was stopped or taken over."""
        await patiently(lambda: flows.advance(self._store, self._lease, lambda run, _: Step(run)))

    def _acted(self, task: asyncio.Task[str]) -> None:
        self.acting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("Run %s: %s did not succeed: %s", self.run.id, task.get_name(), error)
