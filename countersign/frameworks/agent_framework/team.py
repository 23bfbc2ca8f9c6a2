"""Teams of Microsoft Agent Framework: agents and workflows.

An agent goes on from its session, a workflow from its checkpoint. Every tool requires approval, so the framework stops
before it calls any. All are approved at once, because the call itself asks people, and may then run with arguments that
they changed.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from agent_framework import (
    Agent,
    AgentExecutor,
    AgentSession,
    Content,
    FileCheckpointStorage,
    FunctionTool,
    Message,
    Workflow,
    WorkflowEvent,
    WorkflowExecutor,
)
from pydantic_core import to_jsonable_python

from countersign.domain.calls import question_text
from countersign.domain.errors import WrongTeam
from countersign.domain.ids import Digest, RequestId, UserId
from countersign.domain.request_endings import Decided, decided
from countersign.domain.requests import How, Request, Status
from countersign.domain.typed_answers import Keywords
from countersign.frameworks.agent_framework.model import RunModel
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.running_team import Ended, RunningTeam, Saved, Suspended, Tell
from countersign.frameworks.autogen.tools.workbenches import ToolLike
from countersign.frameworks.hosted_calls import GatedCall, gated_calls, not_gated, while_ours
from countersign.runs.entries import Asked

_OF_A_DECISION: Final = [
    f"{one.__module__}:{one.__qualname__}" for one in (Decided, RequestId, Digest, Status, How, UserId)
]
"""The framework reads back only types that it knows."""


class _Tool(FunctionTool):
    """A tool behind the gate."""

    def __init__(self, call: GatedCall) -> None:
        super().__init__(
            name=call.name,
            description=call.description,
            approval_mode="always_require",
            func=call,  # never called: `invoke` is, which knows the call's id
            input_model=call.schema,
        )
        self._call = call

    async def invoke(self, *, arguments: Any = None, tool_call_id: str | None = None, **_: Any) -> list[Content]:
        return [Content.from_text(await self._call(arguments or {}, tool_call_id or ""))]


def tools(run: Run, agent: str, *functions: ToolLike, **rules: Any) -> list[FunctionTool]:
    """Make the tools of the agent of this name; `rules` are those of `run.tools`."""
    return [_Tool(call) for call in gated_calls(run, agent, functions, rules)]


def model(run: Run, agent: str) -> RunModel:
    """Return the run's model as a chat client for the agent of this name."""
    return RunModel(run.model(agent), agent)


class AgentTeam(RunningTeam):
    """A team of this agent; `options` go to `Agent.run`."""

    def __init__(self, run: Run, agent: Agent[Any], **options: Any) -> None:
        self._run = run
        self._agent = agent
        self._options = options
        _check(agent)

    async def advance(self, saved: Saved | None, tell: Tell) -> Suspended | Ended:
        """Run to the next calls of tools, or to the end."""
        kept = {} if saved is None else json.loads(saved.state)
        session = AgentSession.from_dict(kept["session"]) if kept else self._agent.create_session()
        asked = [Content.from_dict(one) for one in kept.get("asked", ())]
        approved = [one.to_function_approval_response(True) for one in asked]
        given = Message("user", approved) if asked else self._run.task
        response = await while_ours(self._run, self._agent.run(given, session=session, **self._options))
        name = self._agent.name or "agent"
        if response.text:
            tell(name, response.text)
        if not response.user_input_requests:
            return Ended.of(name, response.text)
        calls = [one.to_dict() for one in response.user_input_requests]
        return Suspended(json.dumps({"session": session.to_dict(), "asked": calls}))


class WorkflowTeam(RunningTeam):
    """A team of this workflow, which begins with the task.

    What it requests with `ctx.request_info` is asked of people. A `bool` is answered with whether they approved, a
    `str` as `slack_input` answers, anything else with the `Decided`. Types of its own in its messages
    and state are named in `types`, as `module:name`.
    """

    def __init__(self, run: Run, workflow: Workflow, types: Sequence[str] = ()) -> None:
        self._run = run
        self._workflow = workflow
        self._types = [*_OF_A_DECISION, *types]
        for agent in _agents(workflow):
            _check(agent)

    async def advance(self, saved: Saved | None, tell: Tell) -> Suspended | Ended:
        """Run to the next requests, or to the end."""
        name = self._workflow.name
        with TemporaryDirectory() as folder:
            storage = FileCheckpointStorage(folder, allowed_checkpoint_types=self._types)
            start: dict[str, Any] = {"message": self._run.task}
            if saved is not None:
                kept = json.loads(saved.state)
                _file(folder, kept["id"]).write_text(kept["checkpoint"])
                responses = {id: _response(one, saved.answers.get(id)) for id, one in kept["asked"].items()}
                start = {"checkpoint_id": kept["id"], "responses": responses}
            result = await while_ours(self._run, self._workflow.run(**start, checkpoint_storage=storage))
            outputs = [str(output) for output in result.get_outputs()]
            for output in outputs:
                tell(name, output)
            events = result.get_request_info_events()
            if not events:
                return Ended.of(name, "\n".join(outputs))
            latest = await storage.get_latest(workflow_name=name)
            if latest is None or not latest.pending_request_info_events.keys() >= {one.request_id for one in events}:
                raise WrongTeam(
                    f"The workflow “{name}” was stopped before anybody was asked: its checkpoint can't be read back. "
                    "Name the types of its messages and state, as `module:name`, in `types` of `WorkflowTeam`."
                )
            text = _file(folder, latest.checkpoint_id).read_text()
        asked = {event.request_id: _kept(event) for event in events}
        state = {"id": latest.checkpoint_id, "checkpoint": text, "asked": asked}
        return Suspended(json.dumps(state), tuple(_asked(name, event) for event in events if not _is_call(event)))


def _file(folder: str, checkpoint: str) -> Path:
    """Name the file in which the framework keeps a checkpoint."""
    return Path(folder, f"{checkpoint}.json")


def _is_call(event: WorkflowEvent[Any]) -> bool:
    """Say whether an agent wants to call a tool, which asks people itself."""
    return isinstance(event.data, Content) and event.data.type == "function_approval_request"


def _kept(event: WorkflowEvent[Any]) -> dict[str, Any] | str:
    if _is_call(event):
        call: dict[str, Any] = event.data.to_dict()
        return call
    return {bool: "bool", str: "str"}.get(event.response_type or object, "decision")


def _asked(workflow: str, event: WorkflowEvent[Any]) -> Asked:
    value = to_jsonable_python(event.data)
    options = value.pop("options", ()) if isinstance(value, dict) else ()
    text = question_text(value)
    return Asked(event.request_id, workflow, text, tuple(map(str, options)), yes_no=event.response_type is bool)


def _response(kept: dict[str, Any] | str, request: Request | None) -> Any:
    if isinstance(kept, dict):
        return Content.from_dict(kept).to_function_approval_response(True)
    assert request is not None, "The team goes on when all of its questions are answered."
    if kept == "bool":
        return request.status is Status.APPROVED
    decision = decided(request)
    if kept == "decision":
        return decision
    return Keywords().typed(decision.outcome.value, words=decision.words, chosen=decision.chosen)


def _agents(workflow: Workflow) -> Iterator[Agent[Any]]:
    for executor in workflow.get_executors_list():
        if isinstance(executor, WorkflowExecutor):
            yield from _agents(executor.workflow)
        elif isinstance(executor, AgentExecutor) and isinstance(executor.agent, Agent):
            yield executor.agent


def _check(agent: Agent[Any]) -> None:
    """WrongTeam for the first tool past the gate."""
    for tool in (*(agent.default_options.get("tools") or ()), *agent.mcp_tools):
        if not isinstance(tool, _Tool):
            raise not_gated(agent.name or "agent", getattr(tool, "name", type(tool).__name__))
