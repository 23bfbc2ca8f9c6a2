"""Microsoft Agent Framework: its requests for approval become cards.

A tool with `approval_mode="always_require"` pauses the agent. The session is then saved, people are asked, and the
middleware lets the tool run only as they decided. The framework's own rejection carries no reason, so a local call is
always let through to the middleware, which answers with the decision. If people changed the arguments, the framework
asks once more about the changed ones, and gets the same decision.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent_framework import (
    Agent,
    AgentExecutor,
    AgentResponse,
    AgentSession,
    Content,
    FileCheckpointStorage,
    FunctionInvocationContext,
    FunctionMiddleware,
    FunctionTool,
    InMemoryCheckpointStorage,
    Message,
    Workflow,
    WorkflowCheckpoint,
    WorkflowCheckpointException,
    WorkflowEvent,
    WorkflowRunResult,
    tool,
)
from agent_framework.exceptions import MiddlewareException
from pydantic_core import to_json, to_jsonable_python

from countersign.adapters.run_files import SavedCall
from countersign.adapters.saved_runs import ASK_HUMAN, JudgedRun, SavedRuns, judged_run
from countersign.client.exchange import Decision
from countersign.domain.errors import InvalidInput

_SEEN = "countersign"
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
        at, arguments = judged_run(), to_jsonable_python(context.arguments)
        call = at.run.call(context.metadata["call_id"], function.name, arguments, function.parameters())
        decision = await at.decide(call)
        if decision.outcome == "edited" and decision.arguments is not None and arguments != decision.arguments:
            context.arguments = dict(decision.arguments)
            if "approval_response" in context.metadata:
                return await call_next()  # the framework asks about the changed arguments; `_answers` finds this call

        async def approved(_: Mapping[str, Any]) -> list[dict[str, Any]]:
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

        The same key goes on with the same run. `options` go to `Agent.run`. InvalidInput if another program runs it.
        """
        async with self._judging(key, agent.name, task) as at:
            saved = at.run.state or {"asked": []}
            asked = [Content.from_dict(one) for one in saved["asked"]]
            session = AgentSession.from_dict(saved["session"]) if asked else agent.create_session()
            while True:
                messages = await _answers(at, agent, asked) if asked else task
                response: AgentResponse[Any] = await agent.run(messages, session=session, middleware=[self], **options)
                asked = [one for one in response.user_input_requests if one.type == "function_approval_request"]
                if not asked:
                    return response
                at.run.save(state={"session": session.to_dict(), "asked": [one.to_dict() for one in asked]})

    async def run_workflow(self, workflow: Workflow, message: Any, *, key: str) -> WorkflowRunResult:
        """Run the workflow, and ask people what it requests.

        The same key goes on with the same run. A `bool` is answered with whether they approved, a `str` with their
        choice or what a model reads, anything else with the `Decision`. Give the workflow a name of its own, by which
        its checkpoints are found.
        """
        async with self._judging(key, workflow.name, to_json(message, fallback=str).decode()) as at:
            storage, explained = _LastCheckpoint(at), _with_middleware(workflow)
            saved = at.run.state
            start = {"message": message} if saved is None else {"checkpoint_id": saved["id"]}
            try:
                result: WorkflowRunResult = await workflow.run(**start, checkpoint_storage=storage)
                while events := result.get_request_info_events():
                    decisions = await at.decide_all([_requested(at, event) for event in events])
                    pairs = zip(events, decisions, strict=True)
                    responses = {one.request_id: _response(one, decision, explained) for one, decision in pairs}
                    result = await workflow.run(responses=responses, checkpoint_storage=storage)
            except _NotKept as stop:
                raise stop.why from None
            return result


class _NotKept(BaseException):
    """The end of a workflow whose checkpoint was not kept. Of an `Exception` the framework would only log a line."""

    def __init__(self, why: Exception) -> None:
        self.why = why


class _LastCheckpoint(InMemoryCheckpointStorage):
    """Storage of the last checkpoint of a workflow, which is the state of its run.

    Only files of the framework can be read back, so each is written to a folder that lasts as long as that takes.
    """

    def __init__(self, at: JudgedRun) -> None:
        super().__init__()
        self._at = at

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        try:
            with TemporaryDirectory() as folder:
                await self._files(folder).save(checkpoint)
                text = _file(folder, checkpoint.checkpoint_id).read_text()
            self._at.run.state = {"id": checkpoint.checkpoint_id, "checkpoint": text}
            await self._at.storage.changed()
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

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        with TemporaryDirectory() as folder:
            _file(folder, checkpoint_id).write_text(self._at.run.state["checkpoint"])
            return await self._files(folder).load(checkpoint_id)

    def _files(self, folder: str) -> FileCheckpointStorage:
        return FileCheckpointStorage(folder, allowed_checkpoint_types=[_DECISION])


def _file(folder: str, checkpoint: str) -> Path:
    """Name the file in which the framework keeps a checkpoint."""
    return Path(folder, f"{checkpoint}.json")


async def _answers(at: JudgedRun, agent: Agent[Any], asked: Sequence[Content]) -> Message:
    tools = {one.name: one for one in agent.default_options.get("tools") or () if isinstance(one, FunctionTool)}
    calls = []
    for one in asked:
        local = (
            None if one.function_call is None or one.function_call.hosted else tools.get(one.function_call.name or "")
        )
        calls.append(_call(at, one, local.parameters() if local else None))
    decisions = await at.decide_all(calls)
    return Message(
        "user",
        [
            one.to_function_approval_response(decision.approved or not _hosted(one))
            for one, decision in zip(asked, decisions, strict=True)
        ],
    )


def _hosted(request: Content) -> bool:
    """Whether the model's provider runs the call, out of the middleware's reach."""
    return request.function_call is None or bool(request.function_call.hosted)


def _call(at: JudgedRun, request: Content, schema: dict[str, Any] | None) -> SavedCall:
    call = request.function_call
    if call is None:
        raise InvalidInput("The framework asked for approval without naming a call, so nobody was asked.")
    return at.run.call(call.call_id or "", call.name or "tool", dict(call.parse_arguments() or {}), schema)


def _requested(at: JudgedRun, event: WorkflowEvent[Any]) -> SavedCall:
    data = event.data
    if isinstance(data, Content) and data.type == "function_approval_request":
        return _call(at, data, None)
    value = to_jsonable_python(data)
    options = value.pop("options", []) if isinstance(value, dict) else []
    text = value if isinstance(value, str) else to_json(value, indent=2).decode()
    return at.run.call(event.request_id, ASK_HUMAN, {"question": text, "options": options}, None)


def _with_middleware(workflow: Workflow) -> set[str]:
    """The executors whose agents have the middleware, which lets nothing run that was not approved, and says why."""
    return {
        executor.id
        for executor in workflow.get_executors_list()
        if isinstance(executor, AgentExecutor)
        and isinstance(executor.agent, Agent)
        and any(isinstance(one, SlackApprovals) for one in executor.agent.middleware or ())
    }


def _response(event: WorkflowEvent[Any], decision: Decision, explained: set[str]) -> Any:
    if isinstance(event.data, Content):
        reason_is_given = event.source_executor_id in explained and not _hosted(event.data)
        return event.data.to_function_approval_response(decision.approved or reason_is_given)
    if event.response_type is bool:
        return decision.approved
    return ", ".join(decision.chosen) or decision.text if event.response_type is str else decision
