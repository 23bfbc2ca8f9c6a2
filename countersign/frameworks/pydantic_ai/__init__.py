"""pydantic-ai: deferred calls of tools become cards.

A capability answers the approvals that a run waits for, all of one turn at once, and stands around every approved call:
it begins in the service before it runs, with exactly the approved arguments, and its outcome is reported. It keeps
nothing. The key of a question is made of the run's name, the call, and how often the messages have that call before
it. So a program that starts again, or resumes from stored messages, finds its decisions.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from countersign.client import (
    DIFFERS,
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    Decision,
    NotApproved,
    NotShown,
    Question,
    QuestionKeys,
    is_approved,
    read_arguments,
    written,
)
from countersign.frameworks import extra

with extra("pydantic-ai"):
    from pydantic_ai import (
        ApprovalRequired,
        CallDeferred,
        DeferredToolRequests,
        DeferredToolResults,
        RunContext,
        Tool,
        ToolApproved,
        ToolDenied,
        ToolReturn,
    )
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelResponse, ToolCallPart
    from pydantic_ai.tools import ToolDefinition


@dataclass
class SlackApproval(AbstractCapability[Any]):
    """Approvals of an agent's tools, in a channel, as one of its capabilities.

    `tools` are names of tools whose calls ask people, besides tools with `requires_approval=True` and those that raise
    ApprovalRequired. `run` names this run: a program that dies and runs again under the same name, or resumes from its
    messages, finds its decisions. With `leave` the run does not wait: it ends with its `DeferredToolRequests`, and
    continues from its messages after the decision. Of a call that began, and of which nothing was reported, people say
    whether it was done, unless its tool is in `idempotent`: then it runs again.
    """

    channel: str
    tools: Collection[str] = ()
    run: str = ""
    requester: str = ""
    leave: bool = False
    idempotent: Collection[str] = ()
    _decided: dict[str, Decision] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.leave and not self.run:
            raise ValueError("`leave` needs the name of the `run`, by which its decisions are found.")

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Ask people about all calls of this turn that need an approval."""
        questions: dict[str, Call] = {}
        results = DeferredToolResults()
        for call in requests.approvals:
            tool = ctx.tool_manager.get_tool_def(call.tool_name) if ctx.tool_manager else None
            try:
                questions[call.tool_call_id] = self._question(ctx, call, tool)
            except NotShown as why:
                results.approvals[call.tool_call_id] = ToolDenied(str(why))
        async with AsyncClient() as client:
            if self.leave:
                waiting = [await client.submit(one) for one in questions.values()]
                if not all(decided for _, decided in waiting):
                    return None
            decisions = await client.judge_all([*questions.values()])
        for name, decision in zip(questions, decisions, strict=True):
            self._decided[f"{ctx.run_id} {name}"] = decision
            approved = decision.approved and decision.arguments is not None
            results.approvals[name] = (
                ToolApproved(override_args=dict(decision.arguments or {})) if approved else ToolDenied(decision.text)
            )
        return results if results.approvals else None

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """Run an approved call once, as people approved it, and report its outcome."""
        if not ctx.tool_call_approved:
            if tool_def.name in self.tools:
                raise ApprovalRequired
            return await handler(args)
        try:
            asked = self._question(ctx, _as_written(ctx, call), tool_def)
        except NotShown as why:
            return str(why)
        async with AsyncClient() as client:
            decision = self._decided.pop(f"{ctx.run_id} {call.tool_call_id}", None)
            if decision is None:  # another capability approved it, or the program did
                decision = await client.judge(asked)
            if decision.approved and not is_approved(call.args_as_dict(), decision.arguments):
                return DIFFERS
            try:
                return await client.perform(
                    decision,
                    asked,
                    lambda _: handler(args),
                    idempotent=tool_def.name in self.idempotent,
                    outcome=_outcome,
                    did_nothing=(ApprovalRequired, CallDeferred),  # the tool asks once more
                )
            except (AlreadyRan, NotApproved) as over:
                return str(over)

    def _question(self, ctx: RunContext[Any], call: ToolCallPart, tool: ToolDefinition | None) -> Call:
        """Make the question about a call, and its key. NotShown if people can't judge its arguments."""
        arguments = read_arguments(call.args) if isinstance(call.args, str) else dict(call.args or {})
        schema = None if tool is None else tool.parameters_json_schema
        asked = Call(self.channel, call.tool_name, arguments, schema, requester=self.requester)
        if not self.run:
            return asked
        agent = (ctx.agent.name if ctx.agent else None) or ""
        before = sum(
            one.tool_name == call.tool_name and one.args_as_dict() == call.args_as_dict()
            for one in _before(ctx, call.tool_call_id)
        )
        named = written({"run": self.run, "agent": agent, "call": arguments, "tool": call.tool_name})
        return replace(asked, key=f"{hashlib.sha256(named.encode()).hexdigest()}-{before + 1}")


def ask_human(channel: str, *, run: str = "", requester: str = "") -> Tool[Any]:
    """Make the tool by which a model asks people a question, with options or without."""
    keys = QuestionKeys(run)

    async def ask_human(question: str, options: list[str]) -> str:
        """Ask people, and wait. Leave options empty if they are to write the answer."""
        key = keys.next(question, options)
        async with AsyncClient() as client:
            return (await client.judge(Question(channel, "", question, options, requester=requester, key=key))).text

    return Tool(ask_human, takes_ctx=False)


def _outcome(result: Any) -> tuple[bool, str]:
    return True, str(result.return_value if isinstance(result, ToolReturn) else result)[:LONGEST_REPORT]


def _calls(ctx: RunContext[Any]) -> Iterator[ToolCallPart]:
    for message in ctx.messages:
        if isinstance(message, ModelResponse):
            yield from (part for part in message.parts if isinstance(part, ToolCallPart))


def _before(ctx: RunContext[Any], name: str) -> Iterator[ToolCallPart]:
    for call in _calls(ctx):
        if call.tool_call_id == name:
            return
        yield call


def _as_written(ctx: RunContext[Any], call: ToolCallPart) -> ToolCallPart:
    """Return the call as the model made it: an approved one has the arguments that people approved."""
    return next((one for one in _calls(ctx) if one.tool_call_id == call.tool_call_id), call)
