"""Microsoft Agent Framework: its requests for approval become cards.

A tool with `approval_mode="always_require"` pauses the agent. The session is then saved, people are asked, and the
middleware lets the tool run only as they decided. The framework's own rejection carries no reason, so a local call is
always let through to the middleware, which answers with the decision. If people changed the arguments, the framework
asks once more about the changed ones, and gets the same decision.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from pydantic_core import to_json, to_jsonable_python

from countersign.client import (
    DIFFERS,
    Decision,
    InvalidInput,
    Keywords,
    NotShown,
    is_approved,
    question_text,
    read_arguments,
    written,
)
from countersign.frameworks import extra
from countersign.frameworks.run_files import SavedCall, SavedRun
from countersign.frameworks.saved_runs import ASK_HUMAN, JudgedRun, SavedRuns, judged_run

with extra("agent-framework"):
    from agent_framework import (
        Agent,
        AgentResponse,
        AgentSession,
        BaseChatClient,
        Content,
        Executor,
        FileCheckpointStorage,
        FunctionalWorkflow,
        FunctionInvocationContext,
        FunctionMiddleware,
        FunctionTool,
        Message,
        MiddlewareFailure,
        ToolApprovalMiddleware,
        Workflow,
        WorkflowCheckpoint,
        WorkflowCheckpointException,
        WorkflowEvent,
        WorkflowRunResult,
        tool,
    )
    from agent_framework.exceptions import MiddlewareException

_SEEN = "countersign"
_LEAD_TOO_FAR = (type, ModuleType, BaseChatClient)
"""Places in which no agent of the program's own is looked for."""
_MOST_ENTRIES = 1_000
"""Entries of a list that may be agents; a longer one is data."""
_DECISION = f"{Decision.__module__}:{Decision.__qualname__}"


class SlackApprovals(SavedRuns, FunctionMiddleware):
    """Approvals of the tools of agents, in a channel.

    `folder` keeps the runs: what the agents were told is in there. `leave`: the program does not wait for people, but
    ends with `LeftToPeople`. Of a call that began, and of which nothing was reported, people say whether it was done;
    those of tools named in `idempotent` run again. As middleware of an agent in a workflow it lets each tool that
    requires approval run once, and only as people approved it; `run` puts itself there.
    """

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Let a call that requires approval run as people decided."""
        function = context.function
        if function.approval_mode != "always_require" or context.metadata.get(_SEEN):
            return await call_next()
        context.metadata[_SEEN] = True
        try:
            at = judged_run()
        except InvalidInput as why:  # of another exception the framework would tell the model alone
            raise MiddlewareFailure(str(why)) from None
        response = context.metadata.get("approval_response")
        try:
            if response is not None:
                _arguments(response.function_call)
            _as_run(function, context.arguments)
            arguments = to_jsonable_python(context.arguments)
            written(arguments)
        except NotShown as why:
            context.result = str(why)
            return None
        call = at.run.call(context.metadata["call_id"], function.name, arguments, function.parameters())
        decision = await at.decide(call)
        if decision.outcome == "edited" and not is_approved(arguments, decision.arguments):
            context.arguments = dict(decision.arguments or {})
            if response is not None:
                return await call_next()  # the framework asks about the changed arguments; `_answers` finds this call

        async def approved(values: Mapping[str, Any]) -> list[dict[str, Any]]:
            if not is_approved(to_jsonable_python(context.arguments), values):  # the framework runs its own copy
                raise InvalidInput(DIFFERS)
            await call_next()
            return [content.to_dict() for content in context.result]

        result = await at.perform(call, approved, passing=MiddlewareException)
        context.result = [Content.from_dict(one) for one in result] if isinstance(result, list) else result

    def ask_human(self) -> FunctionTool:
        """Make the tool by which a model asks people a question, with options or without."""

        @tool(name=ASK_HUMAN, approval_mode="always_require")
        def ask_human(question: str, options: Sequence[str] = ()) -> str:
            """Ask people, and wait. Leave options empty if they are to answer in words."""
            raise AssertionError("people answer this")

        return ask_human

    async def run(self, agent: Agent[Any], task: str, *, key: str, **options: Any) -> AgentResponse[Any]:
        """Run the agent, and ask people about its calls.

        The same key goes on with the same run. `options` go to `Agent.run`. InvalidInput if another program runs it,
        or if a call could run without people.
        """
        if options.get("stream"):
            raise InvalidInput("`SlackApprovals.run` returns the whole answer, so it can't stream. Leave out `stream`.")
        agents = list(_agents(agent, options))
        for one in agents:
            _check_hosted(one)
        nested = [one for one in agents if one is not agent]
        async with self._judging(key, agent.name, task) as at, self._in_all(nested):
            saved = at.run.state or {"asked": []}
            asked = [Content.from_dict(one) for one in saved["asked"]]
            session = AgentSession.from_dict(saved["session"]) if asked else agent.create_session()
            while True:
                messages = await _answers(at, _functions(agent, options), asked) if asked else task
                response: AgentResponse[Any] = await agent.run(messages, session=session, middleware=[self], **options)
                asked = [one for one in response.user_input_requests if one.type == "function_approval_request"]
                if not asked:
                    return response
                at.run.save(state={"session": session.to_dict(), "asked": [one.to_dict() for one in asked]})

    async def run_workflow(
        self,
        workflow: Workflow | FunctionalWorkflow,
        message: Any,
        *,
        key: str,
        approve: str = "APPROVE",
        reject: str = "REJECT",
    ) -> WorkflowRunResult:
        """Run the workflow, and ask people what it requests.

        The same key goes on with the same run. A `bool` is answered with whether they approved, a `str` as
        `slack_input` answers (`approve`, `reject` with the reason, a reviewer's text, the chosen option), anything else
        with the `Decision`. Give the workflow a name of its own, by which its checkpoints are found. Its agents get
        this middleware while it runs. InvalidInput if a call could run without people.
        """
        keywords = Keywords(approve, reject)
        task, agents = to_json(message, fallback=str).decode(), list(_agents(workflow))
        for agent in agents:
            _check_hosted(agent)
        async with self._judging(key, workflow.name, task) as at, self._in_all(agents):
            executors = workflow.get_executors_list() if isinstance(workflow, Workflow) else ()
            storage, tools = _LastCheckpoint(at.run), {one.id: _functions_of(one) for one in executors}
            start = {"message": message} if at.run.state is None else {"checkpoint_id": at.run.state}
            try:
                result: WorkflowRunResult = await workflow.run(**start, checkpoint_storage=storage)
                while events := result.get_request_info_events():
                    calls = [_requested(at, event, tools.get(event.source_executor_id, {})) for event in events]
                    decisions = iter(await at.decide_all([call for call in calls if call is not None]))
                    responses = {
                        event.request_id: _response(event, None if call is None else next(decisions), keywords)
                        for event, call in zip(events, calls, strict=True)
                    }
                    result = await workflow.run(responses=responses, checkpoint_storage=storage)
            except _NotKept as stop:
                raise stop.why from None
            return result

    @asynccontextmanager
    async def _in_all(self, agents: Sequence[Agent[Any]]) -> AsyncIterator[None]:
        """Put this middleware last, next to the tools, of these agents.

        Each run adds it and takes one away again, since runs at the same time may share an agent.
        """
        for agent in agents:
            agent.middleware = [*(agent.middleware or ()), self]
        try:
            yield
        finally:
            for agent in agents:
                rest = list(agent.middleware or ())
                del rest[max(place for place, one in enumerate(rest) if one is self)]
                agent.middleware = rest or None


class _NotKept(BaseException):
    """The end of a workflow whose checkpoint was not kept. Of an `Exception` the framework would only log a line."""

    def __init__(self, why: Exception) -> None:
        self.why = why


class _LastCheckpoint(FileCheckpointStorage):
    """The framework's file of the last checkpoint of a workflow, whose id is the state of its run."""

    def __init__(self, run: SavedRun) -> None:
        folder = run.path.with_suffix("")
        folder.mkdir(mode=0o700, exist_ok=True)
        super().__init__(folder, allowed_checkpoint_types=[_DECISION])
        self._run = run

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        before = self._run.state
        try:
            saved = await super().save(checkpoint)
            _flush(self.storage_path / f"{saved}.json")
            self._run.save(state=saved)
            if before is not None:
                await self.delete(before)
        except WorkflowCheckpointException as problem:
            raise _NotKept(
                InvalidInput(
                    "The workflow was stopped, because its checkpoint could not be read back. Name its own types with "
                    f"`agent_framework.register_checkpoint_type`. {problem}"
                )
            ) from None
        except Exception as problem:
            raise _NotKept(problem) from None
        return checkpoint.checkpoint_id


def _flush(path: Path) -> None:
    """Have the system write the file, which the framework leaves to it: the run's own file names it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


async def _answers(at: JudgedRun, tools: Mapping[str, FunctionTool], asked: Sequence[Content]) -> Message:
    calls = [_call(at, one, tools) for one in asked]
    decisions = iter(await at.decide_all([call for call in calls if call is not None]))
    given = [None if call is None else next(decisions) for call in calls]
    return Message("user", [_approval(*one) for one in zip(asked, given, strict=True)])


def _approval(request: Content, decision: Decision | None) -> Content:
    """Answer the framework's request.

    The framework's rejection has no reason, so the middleware answers a local call, also one without a decision:
    people can't be shown it, or the tool doesn't take it. A hosted call the provider runs, out of its reach.
    """
    if request.function_call is not None and not request.function_call.hosted:
        return request.to_function_approval_response(True)
    exactly = decision is not None and is_approved(_arguments(request.function_call), decision.arguments)
    return request.to_function_approval_response(decision is not None and decision.approved and exactly)


def _call(at: JudgedRun, request: Content, tools: Mapping[str, FunctionTool]) -> SavedCall | None:
    """The call that people judge; None if they can't be shown it, or the tool doesn't take its arguments."""
    call = request.function_call
    if call is None:
        raise InvalidInput("The framework asked for approval without naming a call, so nobody was asked.")
    name, tool = call.name or "tool", None if call.hosted else tools.get(call.name or "")
    try:
        given = _arguments(call)
        arguments = given if tool is None else _as_run(tool, given)
    except NotShown:
        return None
    return at.run.call(call.call_id or "", name, arguments, tool.parameters() if tool else None)


def _arguments(call: Content | None) -> dict[str, Any]:
    """The arguments as the model gave them. NotShown if people can't be shown them."""
    given = call.arguments if call is not None else None
    if isinstance(given, str):
        return read_arguments(given)
    written(given or {})
    return dict(given or {})


def _as_run(tool: FunctionTool, arguments: Any) -> dict[str, Any]:
    """The arguments as the tool's function gets them, which people judge. NotShown if it doesn't take them."""
    try:
        if tool.input_model is not None:  # a JSON schema changes nothing
            arguments = tool.input_model.model_validate(arguments).model_dump(exclude_unset=True)
        return dict(to_jsonable_python(arguments))
    except ValueError as wrong:  # pydantic's are ValueErrors
        raise NotShown(
            f"The call was not made, and nobody was asked: its arguments don't fit the tool. {str(wrong)[:1000]}"
        ) from None


def _requested(at: JudgedRun, event: WorkflowEvent[Any], tools: Mapping[str, FunctionTool]) -> SavedCall | None:
    data = event.data
    if isinstance(data, Content) and data.type == "function_approval_request":
        return _call(at, data, tools)
    value = to_jsonable_python(data)
    options = value.pop("options", []) if isinstance(value, dict) else []
    return at.run.call(event.request_id, ASK_HUMAN, {"question": question_text(value), "options": options}, None)


def _response(event: WorkflowEvent[Any], decision: Decision | None, keywords: Keywords) -> Any:
    if isinstance(event.data, Content) or decision is None:
        return _approval(event.data, decision)
    if event.response_type is bool:
        return decision.approved
    if event.response_type is str:
        return keywords.typed(decision.outcome, words=decision.words, chosen=decision.chosen)
    return decision


def _agents(*places: object) -> Iterator[Agent[Any]]:
    """Find the agents that can run: wherever these objects, and what their functions refer to, lead."""
    seen: dict[int, object] = {}
    left = list(places)
    while left:
        place = left.pop()
        if id(place) in seen:
            continue
        seen[id(place)] = place
        if isinstance(place, Agent):
            yield place
        if isinstance(place, Workflow):
            left += place.get_executors_list()
        elif isinstance(place, Mapping):
            left += list(place.values())[:_MOST_ENTRIES]
        elif isinstance(place, list | tuple | set | frozenset):
            left += list(place)[:_MOST_ENTRIES]
        elif isinstance(place, MethodType):
            left += [place.__self__, place.__func__]
        elif isinstance(place, FunctionType):
            left += _referred(place)
        elif hasattr(place, "__dict__") and not isinstance(place, _LEAD_TOO_FAR):
            left += vars(place).values()


def _referred(function: FunctionType) -> Iterator[object]:
    """List what a function refers to: its closure, and objects of its module; other functions lead too far."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            yield cell.cell_contents
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    yield from (one for one in named if not isinstance(one, FunctionType))


def _functions(agent: Agent[Any], options: Mapping[str, Any]) -> dict[str, FunctionTool]:
    """Find the functions that a model may call, by name."""
    several = [agent.default_options.get("tools"), options.get("tools"), (options.get("options") or {}).get("tools")]
    tools = [one for tools in several for one in (tools if isinstance(tools, list | tuple) else [tools])]
    functions = [*tools, *(one for server in agent.mcp_tools for one in server.functions)]
    return {one.name: one for one in functions if isinstance(one, FunctionTool)}


def _functions_of(executor: Executor) -> dict[str, FunctionTool]:
    return {name: one for agent in _agents(executor) for name, one in _functions(agent, {}).items()}


def _check_hosted(agent: Agent[Any]) -> None:
    """InvalidInput if the provider could run a call that a rule of the framework approved."""
    rules = [one for one in agent.middleware or () if isinstance(one, ToolApprovalMiddleware)]
    tools = agent.default_options.get("tools") or ()
    if any(one.auto_approval_rules for one in rules) and not all(isinstance(one, FunctionTool) for one in tools):
        raise InvalidInput(
            f"The agent “{agent.name}” has automatic approval rules and a tool that its provider runs, so calls could "
            "run without people. Remove `auto_approval_rules` or that tool. Nothing was started."
        )
