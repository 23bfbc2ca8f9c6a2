"""Tools behind the gate, each call of which happens at most once in a run.

AutoGen's agents call tools through a workbench; this one brings each call to the gate, records `started` before it and
its result after it. A call that was started and did not end is made again, under the same idempotency key, if its tool
is declared idempotent; else people are asked.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken
from autogen_core.tools import BaseTool, TextResultContent, ToolResult, ToolSchema, Workbench

from countersign.domain.actions import Action
from countersign.domain.calls import labelled
from countersign.domain.errors import ActionFailed, CountersignError, LeaseLost, OutcomeUnknown, WrongTeam
from countersign.domain.events import escape_marks
from countersign.domain.ids import digest_of
from countersign.domain.json_arguments import written
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Kind
from countersign.frameworks.autogen.people.run_outcomes import CALL, Outcome, OutcomeKind
from countersign.frameworks.autogen.tools.approval_gate import Gate
from countersign.frameworks.autogen.tools.arguments import closed, failed_result, failure, normalized_edit, normalizer
from countersign.frameworks.autogen.tools.permits import (
    Denial,
    Permit,
    ProposedAction,
    Renderer,
    Title,
    check_batches,
    check_titles,
)
from countersign.frameworks.autogen.tools.team_policy import Ask, named
from countersign.frameworks.autogen.tools.workbenches import (
    KEY_ARGUMENT,
    AsksItself,
    RaisingWorkbench,
    ToolLike,
    as_tool,
    error_result,
    models_in,
    recorded_result,
    run_team,
    takes_key,
    to_record,
    without_key,
)
from countersign.frameworks.autogen.unknown_outcomes import DecidedAction, Effects
from countersign.json_schema import unnamed
from countersign.usecases.store_outages import being_cancelled

_KEY: ContextVar[str] = ContextVar(KEY_ARGUMENT)


def idempotency_key() -> str:
    """Return the key of the current call, the same whenever it is made again.

    For use in an asynchronous tool; LookupError elsewhere.
    """
    return _KEY.get()


@dataclass(frozen=True, slots=True)
class Handling:
    """The rules by which the calls of a set of tools are judged and shown.

    `idempotent`: all of them are, or those of these names. `show` draws the arguments of the tool of that name, `title`
    what a call of it would do, and `several` what several would do; `hide` are paths of its arguments that nobody may
    see.
    """

    ask: Ask = None
    idempotent: bool | Collection[str] = False
    show: Mapping[str, Renderer] = field(default_factory=dict)
    hide: Mapping[str, Collection[str]] = field(default_factory=dict)
    title: Mapping[str, Title] = field(default_factory=dict)
    several: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> frozenset[str]:
        """Return every tool that is named; a rule for none would open the gate to another."""
        declared = () if isinstance(self.idempotent, bool) else self.idempotent
        drawn = self.show.keys() | self.title.keys() | self.several.keys()
        return named(self.ask) | named(declared) | self.hide.keys() | drawn


class JournaledTools(Workbench):
    """The tools of one agent.

    Of what makes going on impossible the agent reads an error, because AutoGen 0.7's AssistantAgent waits for ever for
    a tool call that raises. WrongTeam if two tools of a list have one name, or a rule names a tool that is not in it.
    """

    def __init__(
        self, agent: str, tools: Workbench | Sequence[ToolLike], gate: Gate, effects: Effects, rules: Handling
    ) -> None:
        self._agent = agent
        self._gate = gate
        self._effects = effects
        self._journal = gate.held.journal
        self._rules, self._ask = rules, rules.ask
        self._own: dict[str, BaseTool[Any, Any]] = {}
        self._last_run: dict[str, asyncio.Event] = {}
        """Of each agent or team that is a tool, the end of the call that was made last."""
        if isinstance(tools, Workbench):
            self._tools = tools
            if isinstance(rules.ask, str | Collection) and not isinstance(rules.ask, Mapping):
                # A tool that comes later was not meant by whoever named those that ask.
                self._ask = {
                    **dict.fromkeys(models_in(tools), Action.ALLOW),
                    **dict.fromkeys(named(rules.ask), Action.ASK),
                }
        else:
            listed = [as_tool(tool) for tool in tools]
            self._own = {tool.name: tool for tool in listed}
            self._check([tool.name for tool in listed])
            check_titles(rules.title, listed, rules.hide)
            check_batches(rules.several, listed, rules.hide)
            self._tools = RaisingWorkbench(listed)

    @property
    def names(self) -> list[str]:
        """The names that are known before anybody lists the tools: none of a workbench."""
        return list(self._own)

    def _check(self, names: list[str]) -> None:
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            raise WrongTeam(
                f"The agent “{self._agent}” has two tools of the name “{twice[0]}”, so nobody could say which one was "
                "approved. Nothing was done; give one of them another name."
            )
        asking = {name for name, tool in self._own.items() if isinstance(tool, AsksItself)}
        if judged := sorted(self._rules.names() & asking):
            raise WrongTeam(
                f"The rules for the tools of “{self._agent}” name “{judged[0]}”, which asks people itself, by rules of "
                "its own, so they would not count. Nothing was done; give the rule to the tool itself."
            )
        if missing := sorted(self._rules.names() - set(names)):
            raise WrongTeam(
                f"The rules for the tools of “{self._agent}” name “{missing[0]}”, and there is no such tool. Nothing "
                "was done; correct the name."
            )

    async def list_tools(self) -> list[ToolSchema]:
        """List what the model may call, without the argument that is not its to give."""
        with self._journal.pending_calls.calling(self._agent):
            listed = await self._tools.list_tools()
        schemas = [without_key(schema) for schema in listed]
        try:
            self._check([schema["name"] for schema in schemas])
        except WrongTeam as wrong:
            self._gate.held.abort(wrong)
            return []
        return schemas

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Return the recorded or new result, or the reason why the call was not made.

        It is not cut off in the middle, unless it is idempotent.
        """
        try:
            judged = self._judged(name, arguments, cancellation_token or CancellationToken(), call_id or "")
            given = _without_our_key(arguments)
            about = (name, json.dumps(given, sort_keys=True, default=repr), call_id or "")
            return await self._journal.call(self._agent, judged, *about)
        except (ActionFailed, ValueError) as failure:
            return self._not_called(name, call_id or "", str(failure))
        except CountersignError as error:
            self._gate.held.abort(error)
            return error_result(name, str(error))
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            self._journal.activity.cut_off = True
            return error_result(name, "The run is let go by this process.")
        except SystemExit as error:  # would end the worker, and with it all of its runs
            return error_result(name, f"SystemExit: {error}")
        except Exception as error:
            return error_result(name, str(error) or type(error).__name__)

    async def _judged(self, name: str, arguments: Any, token: CancellationToken, call_id: str) -> ToolResult:
        if not isinstance(arguments, Mapping | None):
            raise ValueError("The call was not made: its arguments are no object with names.")
        given = dict(_without_our_key(arguments) or {})
        before, ended = self._last_run.get(name), asyncio.Event()
        self._last_run[name] = ended
        try:
            return await self._judged_after(before, name, given, token, call_id)
        finally:
            ended.set()

    async def _judged_after(
        self, before: asyncio.Event | None, name: str, given: dict[str, Any], token: CancellationToken, call_id: str
    ) -> ToolResult:
        """Judge the call and make it. An agent that is a tool remembers, so its calls run in the order they came in."""
        schemas = {schema["name"]: schema for schema in await self.list_tools()}
        if name not in schemas:
            return self._not_called(name, call_id, f"Tool {name} not found.")
        own = self._own.get(name)
        if isinstance(own, AsksItself):
            CALL.set((name, call_id))  # in the task of this call
            return await self._tools.call_tool(name, given, token, call_id)
        written(given)
        action = self._action(name, given, schemas, call_id)
        async with self._gate.judged(action) as verdict:
            if isinstance(verdict, Denial):
                return error_result(name, verdict.text)
            if isinstance(own, AgentTool | TeamTool):
                # What happens inside is recorded there; recorded here, too, nobody inside could be waited for at rest.
                verdict.check(name, arguments := json.loads(verdict.arguments))
                if before is not None:
                    await before.wait()
                # AutoGen's UserProxyAgent does not know what it asks about; whoever is asked inside hears it here.
                hear = self._gate.questions.transcript.nested().record
                async with self._effects.nested(verdict.key, self._decided(verdict)) as ended:
                    result = await run_team(own, arguments, token, call_id, hear)
                    ended(to_record(result))
            else:
                result = await self._permitted(verdict, given, call_id)
            words = self._gate.outcomes.for_people(result.to_text())
            heading = self._gate.done(verdict, words, failed=result.is_error)
            return _headed(heading, result) if heading else result

    def _not_called(self, name: str, call_id: str, why: str) -> ToolResult:
        """Return the error of a call that came to nothing before anybody judged it.

        A tool that asks people itself has recorded that already.
        """
        if not isinstance(self._own.get(name), AsksItself):
            self._gate.outcomes.add(Outcome(self._agent, Kind.TOOL, OutcomeKind.FAILED, name, call_id, result=why))
        return error_result(name, why)

    def _action(
        self, name: str, given: dict[str, Any], schemas: Mapping[str, ToolSchema], call_id: str
    ) -> ProposedAction:
        """Return the call with the arguments as the tool takes them.

        ValueError if it does not take them: nobody need judge that.
        """
        rules, parameters = self._rules, schemas[name].get("parameters", {})
        hide, show, notes = tuple(rules.hide.get(name, ())), rules.show.get(name), []
        normalize = normalizer(models_in(self._tools).get(name), parameters, hide)
        taken = normalize(given)
        if show is not None and (more := unnamed(taken, closed(parameters), parameters)):
            show = None
            notes.append(f"The tool does not describe {', '.join(more)}, so its arguments are shown as they are.")
        taken_again = partial(normalized_edit, normalize=normalize, hide=hide)
        about = (self._agent, name, written(taken), self._ask, tuple(schemas), Kind.TOOL)
        schema = json.dumps(parameters)
        # A server elsewhere describes and orders its tools as it likes; only the team's own are titled by that.
        own = name in self._own
        titles = (rules.title.get(name, ""), self._own[name].description if own else "")
        batch = rules.several.get(name, "")
        return ProposedAction(*about, schema, show, hide, tuple(notes), call_id, taken_again, *titles, batch, own)

    async def _permitted(self, permit: Permit, given: dict[str, Any], call_id: str) -> ToolResult:
        name, agent = permit.action.tool, self._agent
        as_called = json.dumps(given, sort_keys=True, ensure_ascii=False)
        once = (permit.request.id,) if permit.request is not None else (as_called, call_id)
        key = self._journal.key("tool", agent, name, *once)
        seen = hide_in(escape_marks(json.loads(permit.arguments)), permit.action.hide)[0]
        shown = f"{labelled(seen)}\n\nfor {agent}{f', call {call_id}' if call_id else ''}"

        async def act(attempt: str) -> str:
            return to_record(await self._call(permit, attempt, call_id))

        declared = self._rules.idempotent
        idempotent = declared if isinstance(declared, bool) else name in named(declared)
        try:
            decided = self._decided(permit)
            doing = self._effects.once(name, shown, key, act, idempotent=idempotent, decided=decided)
            return recorded_result(name, await doing)
        except ActionFailed as failure:  # as a result, so that the model is told what was changed in it, too
            return error_result(name, str(failure))

    def _decided(self, permit: Permit) -> DecidedAction | None:
        def read(recorded: str) -> tuple[str, bool]:
            result = recorded_result(permit.action.tool, recorded)
            return result.to_text(), result.is_error

        return self._gate.decided(permit, read)

    async def _call(self, permit: Permit, attempt: str, call_id: str) -> ToolResult:
        name, arguments = permit.action.tool, json.loads(permit.arguments)
        failed = partial(failure, arguments=permit.arguments, hide=permit.action.hide)
        own = digest_of(self._journal.run, attempt)[:32]
        _KEY.set(own)
        try:
            schemas = {schema["name"]: schema for schema in await self._tools.list_tools()}
            permit.check(name, arguments)
            if name in schemas and takes_key(schemas[name]):
                arguments = {**arguments, KEY_ARGUMENT: own}
            await self._effects.still_ours()  # listing the tools may have taken long
            result = await self._tools.call_tool(name, arguments, CancellationToken(), call_id)
        except (OutcomeUnknown, ActionFailed) as error:
            error.args = (failed(error),)
            raise
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            if self._journal.is_cut_off():
                raise
            return error_result(name, "CancelledError")
        except (Exception, SystemExit) as error:  # the latter would end the worker, and with it all of its runs
            return error_result(name, failed(error))
        return failed_result(result, permit.arguments, permit.action.hide) if result.is_error else result

    async def start(self) -> None:
        await self._tools.start()

    async def stop(self) -> None:
        await self._tools.stop()

    async def reset(self) -> None:
        await self._tools.reset()

    async def save_state(self) -> Mapping[str, Any]:
        return await self._tools.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        await self._tools.load_state(state)


def _without_our_key(arguments: Any) -> Any:
    """Return the arguments without the one that is not the model's to give."""
    if not isinstance(arguments, Mapping):
        return arguments
    return {key: value for key, value in arguments.items() if key != KEY_ARGUMENT}


def _headed(heading: str, result: ToolResult) -> ToolResult:
    return result.model_copy(update={"result": [TextResultContent(content=heading), *result.result]})
