"""AG2's new agents (`import ag2`): tools and questions decided in Slack.

AG2 does not go on where a program died: it starts again and asks again, under the same key, which is made of the run's
name that the program gives, the call, and how often that was asked in the run. The model's own id of a call is another
one each time.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

from countersign.client.client import AsyncClient
from countersign.client.client import question as asked
from countersign.client.exchange import LONGEST_REPORT, Act, AlreadyRan, NotApproved, failure
from countersign.client.idempotency_keys import QuestionKeys
from countersign.domain.errors import NotShown
from countersign.domain.json_arguments import read_arguments
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
        call = {"tool": event.name, "arguments": arguments, "schema": schema}
        body = asked(channel, call=call, requester=requester)
        async with AsyncClient() as client:
            key = keys.next(event.name, arguments)
            decision = await client.judge(body, key=key)
            approved = copy(event)
            approved.serialized_arguments = dict(decision.arguments or {})
            approved.arguments = json.dumps(approved.serialized_arguments)
            act = Act(partial(call_next, approved, context), body, key, idempotent, _outcome)
            try:
                return await client.perform(decision, act)
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
        body = asked(channel, "", event.content, requester=requester)
        async with AsyncClient() as client:
            decision = await client.judge(body, key=keys.next(event.content))
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
        body = asked(channel, "", question, options=list(options), requester=requester)
        async with AsyncClient() as client:
            return (await client.judge(body, key=keys.next(question, list(options)))).text

    return tool(ask_human)


def _outcome(result: ToolResultType) -> tuple[bool, str]:
    if isinstance(result, ToolErrorEvent):
        return False, failure(result.error)
    parts = result.result.parts if isinstance(result, ToolResultEvent) else ()
    return True, " ".join(part.content for part in parts if isinstance(part, TextInput))[:LONGEST_REPORT]
