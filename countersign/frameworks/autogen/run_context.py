"""The run as a team sees it: task, models, humans and effects, all journaled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse
from autogen_agentchat.base import TaskResult, Team
from autogen_core.code_executor import CodeExecutor
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import Workbench

from countersign.domain.errors import ActionFailed, WrongTeam
from countersign.domain.ids import RequestId, digest_of
from countersign.domain.request_endings import decided_digest, may_act
from countersign.domain.requests import Request
from countersign.domain.texts_for_models import fitting
from countersign.domain.typed_answers import Keywords
from countersign.frameworks.autogen.changed_code import ChangedCode
from countersign.frameworks.autogen.code.gated_executor import GatedExecutor, approval_func
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.models.answer_recorder import JournaledModel
from countersign.frameworks.autogen.models.demo import DemoModel, Script
from countersign.frameworks.autogen.models.usage import Budget
from countersign.frameworks.autogen.people.conversation import GO_ON
from countersign.frameworks.autogen.people.human_input_modes import (
    AskWhen,
    HumanInputMode,
    IsTermination,
    marks_of,
    says_terminate,
)
from countersign.frameworks.autogen.people.input_func import Human
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.people.run_questions import QuestionTitle, RunQuestions
from countersign.frameworks.autogen.people.user_proxy import REPLIES, HumanProxy, Reviewer
from countersign.frameworks.autogen.progress import ComingSteps
from countersign.frameworks.autogen.running_team import RunningTeam
from countersign.frameworks.autogen.tools.approval_gate import Gate
from countersign.frameworks.autogen.tools.ask_human_tool import AskHuman
from countersign.frameworks.autogen.tools.gated_tools import Handling, JournaledTools
from countersign.frameworks.autogen.tools.permits import Renderer, Title
from countersign.frameworks.autogen.tools.team_policy import Ask
from countersign.frameworks.autogen.tools.workbenches import ToolLike
from countersign.frameworks.autogen.unknown_outcomes import DecidedAction, Effects
from countersign.runs.entries import Entry
from countersign.usecases.store_outages import within

log = logging.getLogger(__name__)
STOPPED_WITHIN: Final = timedelta(seconds=30)
_RUN: Final[ContextVar["Run"]] = ContextVar("run")
Build = Callable[["Run"], Team | RunningTeam]
Act = Callable[[], Awaitable[str]]
Conclude = Callable[["Run", TaskResult], Awaitable[Conclusion]]


def current_run() -> "Run":
    """Return the run that this code belongs to; ActionFailed outside of a run."""
    try:
        return _RUN.get()
    except LookupError:
        raise ActionFailed("There is no run here in which people could be asked first, so nothing was done.") from None


class Run:
    """One run in this process; what its team does outside must go through here."""

    def __init__(self, held: HeldRun, model: ChatCompletionClient, script: Script | None = None) -> None:
        self.held = held
        self.run, self.settings, self.token = held.run, held.settings, held.token
        self.activity = held.journal.activity
        self._journal = held.journal
        self._model, self._script = model, script
        self._questions = RunQuestions(held)
        self.transcript, self.outcomes = self._questions.transcript, self._questions.outcomes
        self.effects = Effects(held, self._questions)
        ChangedCode(held, self._questions).attach()
        self.coming_steps = ComingSteps(held)
        self._gate = Gate(held, self._questions, self.coming_steps)
        self._tool_names: dict[tuple[object, str], set[str]] = {}
        self._to_stop: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._budget = Budget(held.journal, held.settings.model_calls)

    @property
    def task(self) -> str:
        """The words of the requester."""
        return self.run.task

    @property
    def error(self) -> Exception | None:
        """Why the run cannot go on here, if so."""
        return self.held.error

    @property
    def options(self) -> dict[str, str]:
        """Return the choices made when the task was started, by the option's name."""
        return self.run.options

    def model(self, agent: str) -> ChatCompletionClient:
        """Return the agent's own model: each agent has one, so that journals do not mix."""
        model = self._model
        if self._script is not None and isinstance(model, DemoModel):
            model = model.playing(agent, self._script)
        return JournaledModel(model, self._journal, agent, self.held.abort, self._budget, self.token)

    def human(
        self,
        agent_name: str = "human",
        *,
        title: QuestionTitle = "",
        edit: bool = False,
        approve: str = "APPROVE",
        reject: str = "REJECT",
    ) -> Human:
        """Return a human for `UserProxyAgent(name, input_func=run.human().input_func)`.

        `approve` and `reject` are the keywords by which a termination of the team knows the decision, like PROCEED and
        CANCEL. InvalidInput if a text about another outcome contains one.
        """
        keywords = Keywords(approve, reject)
        own = None if keywords == Keywords() else fitting(keywords)
        return Human(self._questions, agent_name, title, edit=edit, keywords=own)

    def reviewer(
        self,
        agent_name: str = "reviewer",
        *,
        title: QuestionTitle = "",
        edit: bool = False,
        mode: HumanInputMode | AskWhen | None = None,
        is_termination_msg: IsTermination = says_terminate,
        max_consecutive_auto_reply: int = REPLIES,
        default_auto_reply: str = GO_ON,
    ) -> Reviewer:
        """Return an agent that asks people.

        Without a mode it asks reviewers every time, and its messages carry the decision (`decision_in` reads it); with
        `edit` they may change the words, so the team uses `approved_content`, never what it asked about. With a mode it
        is AutoGen 0.2's human proxy: a conversation with the requester, which needs `ConversationOver()`.
        """
        human = self.human(agent_name, title=title, edit=edit)
        if mode is None:
            return Reviewer(human)
        self.outcomes.marks |= marks_of(is_termination_msg)
        return HumanProxy(
            human,
            mode,
            is_termination_msg=is_termination_msg,
            max_consecutive_auto_reply=max_consecutive_auto_reply,
            default_auto_reply=default_auto_reply,
            journal=self._journal,
        )

    async def plan(self, steps: Sequence[str]) -> None:
        """Show the steps to come, by title or name. Call this outside of tools."""
        await self.coming_steps.say(steps)

    async def step(
        self, name: str, act: Act, *, content: str = "", shown: str | None = None, approved: Request | None = None
    ) -> str:
        """Perform an effect at most once in the life of the run; return its result.

        `content` is what it acts on; other content is another step. `act` raises ActionFailed, which comes out of here,
        when it certainly did not happen, and OutcomeUnknown when nobody knows. Then people are asked, and see `shown`
        or else the content. It is never cancelled. The card of the `approved` request says what came of it.
        """
        key, shown = self._journal.key("step", name, content), content if shown is None else shown
        decided = None
        if approved is not None and may_act(approved):
            decided = DecidedAction(approved, decided_digest(approved), step=digest_of(key)[:24])
        once = self.effects.once(name, shown, key, lambda _: act(), idempotent=False, decided=decided)
        return await self.coming_steps.ticked(name, self._journal.shielded(key, once))

    def tools(
        self,
        agent: str,
        tools: Workbench | Sequence[ToolLike],
        *,
        ask: Ask = None,
        idempotent: bool | Collection[str] = False,
        show: Mapping[str, Renderer] | None = None,
        hide: Mapping[str, Collection[str]] | None = None,
        title: Mapping[str, Title] | None = None,
        several: Mapping[str, str] | None = None,
        done: Mapping[str, str] | None = None,
    ) -> Workbench:
        """Wrap tools for the agent of this name.

        Use it as `AssistantAgent(…, workbench=run.tools("clerk", [order]))`. People are asked before each call that the
        workspace's policy does not let pass, or as `ask` says: True, each; False, none; names of tools; a mapping from
        names to `Action`, where a name that is missing asks; or a function of the `Proposal`. The stricter of the two
        counts, and calls that pass are recorded. `title` is what a call of a tool would do, which people read first
        (`"Pay {euros:.2f} EUR"`), and `several` what several of one turn would do, with sums (`"Pay {count} invoices,
        {euros:.2f} EUR"`). `show` draws its arguments; `done` is the word where it was done (`paid`). `hide`
        names paths of arguments (`card.number`) that nobody sees, besides those that look secret.

        Each call happens at most once in the life of the run; its result or error is recorded. `idempotent` tools
        (True: all; else these) are called again with the same key if a call was cut off; for others people are asked.

        A workbench is stopped when the run leaves this process, so each build makes its own. WrongTeam if two tools of
        one agent have the same name, or a rule names a tool that does not exist.
        """
        rules = Handling(ask, idempotent, show or {}, hide or {}, title or {}, several or {})
        wrapped = self._wrapped(agent, tools, rules)
        taken = self._tool_names.setdefault((self._journal.enclosing, agent), set())
        if twice := sorted(taken.intersection(wrapped.names)):
            raise WrongTeam(
                f"The agent “{agent}” is given a tool of the name “{twice[0]}” twice, so nobody could say which one "
                "was approved. Nothing was done; give one of them another name, or build the tools once."
            )
        taken.update(wrapped.names)
        self.outcomes.done_words |= done or {}
        self._to_stop.append((f"A workbench of “{agent}”", wrapped.stop))
        return wrapped

    async def call(self, tool: ToolLike, name: str, arguments: dict[str, Any], rules: Handling) -> tuple[str, bool]:
        """Call a tool that is in no agent's list; return its text and if it is an error."""
        result = await self._wrapped(name, [tool], rules).call_tool(name, arguments, self.token)
        return result.to_text(), result.is_error

    def executor(self, agent: str, executor: CodeExecutor, *, ask: Ask = None) -> GatedExecutor:
        """Wrap a code executor for `CodeAgent(name, run.executor(name, …))`.

        People see the whole code before it runs, at most once in the life of the run, which starts and stops it.
        """
        gated = GatedExecutor(agent, executor, self._gate, self.effects, ask)
        self._to_stop.append((f"The executor of “{agent}”", gated.stop))
        return gated

    def code_approval(self, agent: str, *, ask: Ask = None) -> Callable[[ApprovalRequest], Awaitable[ApprovalResponse]]:
        """Return an `approval_func` for a team with its own, unrecorded executor."""
        return approval_func(agent, self._gate, self.effects, ask)

    def ask_human(self, agent: str) -> AskHuman:
        """Return a tool to ask people: `run.tools(name, [order, run.ask_human(name)])`."""
        return AskHuman(agent, self._gate)

    def enter(self) -> None:
        """Make this the `current_run` of this task and of those that it starts."""
        _RUN.set(self)
        driver = asyncio.current_task()
        self._journal.is_leaving = lambda: self.token.is_cancelled() or bool(driver and driver.cancelling())

    async def close(self) -> None:
        """Stop what the team's workbenches and code run in."""
        for name, stop in self._to_stop:
            try:
                await within(STOPPED_WITHIN, stop())
            except Exception as error:
                log.warning("Run %s: %s did not stop: %s", self.run.id, name, error)

    def _wrapped(self, agent: str, tools: Workbench | Sequence[ToolLike], rules: Handling) -> JournaledTools:
        return JournaledTools(agent, tools, self._gate, self.effects, rules)

    async def now(self, agent: str = "") -> datetime:
        """Return the time, UTC, the same in a rebuilt run; parallel agents pass a name."""
        key = self._journal.key("now", agent)
        with self.activity.working():
            entry = await self._journal.replayed(key)
            if entry is None:
                entry = await self._journal.record_result(key, Entry("done", (await self._journal.now()).isoformat()))
        return datetime.fromisoformat(entry.value)

    def random(self, agent: str = "") -> Random:
        """Return repeatable randomness, not for secrets; parallel agents pass a name."""
        return Random(f"{self.run.id}/{self._journal.key('random', agent)}")

    async def request(self, request: RequestId) -> Request:
        """Return a request of this run; NotFound, or ActionFailed if it was changed (R13)."""
        return await self.held.request(request)

    def abort(self, error: Exception) -> None:
        """End the run in this process with this error; the first error counts."""
        self.held.abort(error)
