"""AG2's new agents (`import ag2`): tools and questions decided in Slack.

AG2 does not go on where a program died: it starts again and asks again, under the same key, which is made of the run's
name that the program gives, the call, and how often that was asked in the run. The model's own id of a call is another
one each time.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import Any

from countersign.client import (
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    NotApproved,
    NotShown,
    Question,
    QuestionKeys,
    failure,
    read_arguments,
)
from countersign.frameworks import extra

with extra("ag2"):
    from ag2 import Context, tool
    from ag2.events import (
        HumanInputRequest,
        TextInput,
        ToolApprovalRequest,
        ToolCallEvent,
        ToolErrorEvent,
        ToolResultEvent,
    )
    from ag2.middleware.base import ToolExecution, ToolResultType
    from ag2.tools.final import FunctionTool


def with_approval(
    function: Any, channel: str, *, run: str = "", requester: str = "", idempotent: bool = False
) -> FunctionTool:
    """Make a tool of a function that runs only as people approved it.

    A tool of AG2 may be given in its place. If people changed the arguments, it runs with the changed ones. What was
    rejected, answered or not decided in time does not run, and the model reads why. `run` names this run: a program
    that dies and runs again under the same name finds its decisions. What came of a call is reported. If a call began,
    and nothing was reported, people say whether it was done, unless it is `idempotent`: then it runs again.
    """
    made = FunctionTool.ensure_tool(function)
    if not isinstance(made, FunctionTool):
        raise TypeError("with_approval takes a function or a single tool. Wrap a toolkit's tools one by one.")
    schema = dict(made.schema.function.parameters)
    keys = QuestionKeys(run)

    async def approval(call_next: ToolExecution, event: ToolCallEvent, context: Context) -> ToolResultType:
        try:
            arguments = read_arguments(event.arguments)
        except NotShown as why:
            return ToolResultEvent.from_call(event, str(why))
        key = keys.next(event.name, arguments)
        call = Call(channel, event.name, arguments, schema, requester=requester, key=key)

        def act(approved: Mapping[str, Any]) -> Awaitable[ToolResultType]:
            exactly = copy(event)
            exactly.serialized_arguments = dict(approved)
            exactly.arguments = json.dumps(exactly.serialized_arguments)
            return call_next(exactly, context)

        async with AsyncClient() as client:
            decision = await client.judge(call)
            try:
                return await client.perform(decision, call, act, idempotent=idempotent, outcome=_outcome)
            except (AlreadyRan, NotApproved) as over:
                return ToolResultEvent.from_call(event, str(over))

    return made.with_middleware(approval)


def slack_hook(channel: str, *, run: str = "", requester: str = "") -> Callable[[HumanInputRequest], Awaitable[str]]:
    """Make an agent's `hitl_hook`: what it asks a human is asked in a channel.

    The answer is what people wrote; `yes` if they approved, which AG2's `approval_required` wants; else the decision as
    a model reads it. To `approval_required` nothing that they wrote is an answer: AG2 takes some words for an approval.
    What is done with an answer is not reported, so a program that is killed in it does it again: see `with_approval`.
    """
    keys = QuestionKeys(run)

    async def hook(event: HumanInputRequest) -> str:
        asked = Question(channel, "", event.content, requester=requester, key=keys.next(event.content))
        async with AsyncClient() as client:
            decision = await client.judge(asked)
        if decision.approved:
            return "yes"
        words = decision.outcome == "answered" and not isinstance(event, ToolApprovalRequest)
        return decision.words if words else decision.text

    return hook


def ask_human(channel: str, *, run: str = "", requester: str = "") -> FunctionTool:
    """Make the tool by which a model asks people a question, with options or without."""
    keys = QuestionKeys(run)

    async def ask_human(question: str, options: Sequence[str] = ()) -> str:
        """Ask people, and wait. Leave options empty if they are to answer in words."""
        key = keys.next(question, list(options))
        async with AsyncClient() as client:
            return (await client.judge(Question(channel, "", question, options, requester=requester, key=key))).text

    return tool(ask_human)


def _outcome(result: ToolResultType) -> tuple[bool, str]:
    if isinstance(result, ToolErrorEvent):
        return False, failure(result.error)
    parts = result.result.parts if isinstance(result, ToolResultEvent) else ()
    return True, " ".join(part.content for part in parts if isinstance(part, TextInput))[:LONGEST_REPORT]
