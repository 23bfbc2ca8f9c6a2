"""LangGraph and LangChain: calls of tools and `interrupt`, decided in Slack.

`SlackApproval` holds a call of an agent's tool where it would run, and waits. `decide` answers what a graph stopped
with, for programs that use `interrupt` or LangChain's own `HumanInTheLoopMiddleware`. A program that dies asks again
under the same key, which is made of LangGraph's thread, the place in the graph, and the call: a checkpointer keeps all
three. With `leave` it does not wait, and `countersign resume` starts it again when people have decided.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar

from countersign.client import (
    DIFFERS,
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    Client,
    Decision,
    InvalidInput,
    Keywords,
    NotApproved,
    Question,
    is_approved,
    key_of,
    question_text,
)
from countersign.frameworks import extra, run_files

with extra("langgraph"):
    from langchain.agents.middleware import AgentMiddleware
    from langchain.agents.middleware.types import ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool, tool
    from langgraph.errors import GraphBubbleUp
    from langgraph.types import Command, Interrupt

_REVIEWS: Final = {"approved": "approve", "edited": "edit", "answered": "respond"}
Result = ToolMessage | Command[Any]
R = TypeVar("R")
P = ParamSpec("P")
__all__ = ["SlackApproval", "adecide", "decide"]


class SlackApproval(AgentMiddleware[Any, Any, Any]):
    """Middleware that runs a call of a tool only as people approved it.

    `tools` names those that ask; all of them if it is left out. What was rejected, answered or not decided in time does
    not run, and the model reads why. What came of a call that ran is reported. Of a call that began, and of which
    nothing was reported, people say whether it was done; those of tools named in `idempotent` run again. `leave` names
    a folder for `countersign resume`: the program does not wait, but ends with LeftToPeople.
    """

    def __init__(
        self,
        channel: str,
        tools: Collection[str] | None = None,
        *,
        requester: str = "",
        leave: str | Path | None = None,
        idempotent: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._idempotent = idempotent
        self._channel, self._tools, self._requester, self._leave = channel, tools, requester, leave

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]) -> Result:
        """Ask and wait in this thread, then run the call or not."""
        if not self._asks(request):
            return handler(request)
        call = self._question(request)
        with Client() as client:
            if self._leave is not None:
                folder, thread = _left(self._leave, request.runtime.config, call)
                run_files.leave(folder, thread, [client.submit(call)])
            decision = client.judge(call)
            try:
                return client.perform(decision, call, partial(_exactly, request, handler), **self._rules(request))
            except (AlreadyRan, NotApproved) as over:
                return _instead(request, over)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        """Ask and wait in this task, then run the call or not."""
        if not self._asks(request):
            return await handler(request)
        call = self._question(request)
        async with AsyncClient() as client:
            if self._leave is not None:
                folder, thread = _left(self._leave, request.runtime.config, call)
                run_files.leave(folder, thread, [await client.submit(call)])
            decision = await client.judge(call)
            try:
                return await client.perform(decision, call, partial(_exactly, request, handler), **self._rules(request))
            except (AlreadyRan, NotApproved) as over:
                return _instead(request, over)

    def _rules(self, request: ToolCallRequest) -> dict[str, Any]:
        """How the call is performed. A tool that itself stops the graph runs again when that continues."""
        again = request.tool_call["name"] in self._idempotent
        return {"idempotent": again, "outcome": _outcome, "did_nothing": (GraphBubbleUp,)}

    def _asks(self, request: ToolCallRequest) -> bool:
        return self._tools is None or request.tool_call["name"] in self._tools

    def _question(self, request: ToolCallRequest) -> Call:
        name, arguments = request.tool_call["name"], request.tool_call["args"]
        schema = None if request.tool is None else request.tool.get_input_jsonschema()
        return Call(self._channel, name, arguments, schema, requester=self._requester, key=_key_of_call(request))


async def adecide(
    channel: str,
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    leave: str | Path | None = None,
    text: bool | Callable[[Any], bool] = False,
    whole: bool = False,
    approve: str = "",
    reject: str = "reject",
) -> Command[Any] | None:
    """Ask about all that a graph stopped with.

    Return the command that resumes it; None if it did not stop. Outside an event loop, call `decide`.
    An `interrupt` of the program's own gets True if people approved and False otherwise, so `if approved:` is safe.
    One with `options` gets the chosen one, or an answer in words; so does any other where `text` is true, or says
    so of the interrupt's value; "" if nobody answered. A program that compares with `"approve"` names that word:
    with `approve` an interrupt gets what `slack_input` returns, so read it as text. With `whole` it gets a dict of the
    decision: `approved`, `outcome`, `how`, `by`, `names`, `words`, `chosen` and `text`.
    To `HumanInTheLoopMiddleware` and to LangGraph's `HumanInterrupt`: its decisions; of calls of `tools` people may
    change the arguments. `leave`: as for `SlackApproval`.
    """
    keywords = Keywords(approve, reject) if approve else None
    stops: Sequence[Interrupt] = result.get("__interrupt__", ())
    made = [one if isinstance(one, BaseTool) else tool(one) for one in tools]
    schemas = {one.name: one.get_input_jsonschema() for one in made}
    async with AsyncClient() as client:

        def questions(stop: Interrupt) -> list[Call | Question]:
            asked = enumerate(_questions(channel, stop, schemas))
            return [replace(one, key=_key(config, stop.id, str(place))) for place, one in asked]

        async def answer(stop: Interrupt) -> Any:
            waits = [client.judge(one) for one in questions(stop)]
            decisions = await asyncio.gather(*waits)
            if _holds_calls(stop.value):
                asked = zip(decisions, stop.value["action_requests"], stop.value["review_configs"], strict=True)
                return {"decisions": [_review(*one) for one in asked]}
            if _is_for_an_inbox(stop.value):
                return [_response(*one) for one in zip(decisions, stop.value, strict=True)]
            in_words = _offers_options(stop.value) or (text(stop.value) if callable(text) else text)
            return _answer(*decisions, in_words=in_words, whole=whole, keywords=keywords)

        if leave is not None and stops:
            every = [one for stop in stops for one in questions(stop)]
            folder, thread = _left(leave, config, every[0])
            run_files.leave(folder, thread, [await client.submit(one) for one in every])
        answers = await asyncio.gather(*map(answer, stops))
    return Command(resume={stop.id: one for stop, one in zip(stops, answers, strict=True)}) if stops else None


def _waiting(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make a function that waits in this thread as the coroutine function does in a task."""

    @wraps(function)
    def waits(*args: P.args, **kwargs: P.kwargs) -> R:
        return asyncio.run(function(*args, **kwargs))

    return waits


decide = _waiting(adecide)


def _questions(channel: str, interrupt: Interrupt, schemas: Mapping[str, Any]) -> Sequence[Call | Question]:
    value = interrupt.value
    if _holds_calls(value):
        reviews = zip(value["action_requests"], value["review_configs"], strict=True)
        return [
            Call(channel, action["name"], action["args"], may_edit.get(action["name"]))
            for action, review in reviews
            for may_edit in [schemas if "edit" in review["allowed_decisions"] else {}]
        ]
    if _is_for_an_inbox(value):
        return [_for_people(channel, one, schemas) for one in value]
    if _offers_options(value):
        title = str(value.get("question") or "Which one?")
        return [Question(channel, title[:300], title, [str(one) for one in value["options"]])]
    if isinstance(value, Mapping):
        plain = json.loads(json.dumps(value, default=str))
        return [Question(channel, "", question_text(plain))]
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return [Question(channel, "" if isinstance(value, str) else "Continue?", text)]


def _offers_options(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value.get("options"))


def _holds_calls(value: Any) -> bool:
    """Tell whether LangChain's own middleware stopped, with calls of tools."""
    return isinstance(value, Mapping) and "action_requests" in value


def _is_for_an_inbox(value: Any) -> bool:
    """Tell whether the value is a list of LangGraph's `HumanInterrupt`."""
    entries = value if isinstance(value, list) else ()
    return bool(entries) and all(isinstance(one, Mapping) and {"action_request", "config"} <= {*one} for one in entries)


def _answer(decision: Decision, *, in_words: bool, whole: bool, keywords: Keywords | None) -> Any:
    """Return what the program's own interrupt gets. A refusal is never truthy (R39), unless the program asks for it."""
    if whole:  # plain values: a checkpointer keeps them
        named = {name: getattr(decision, name) for name in ("approved", "outcome", "how", "words", "text")}
        return {**named, "by": list(decision.by), "names": list(decision.names), "chosen": list(decision.chosen)}
    if decision.chosen:
        return decision.chosen[0]
    if keywords is not None:
        return keywords.typed(decision.outcome, words=decision.words)
    if not in_words or decision.approved:
        return decision.approved
    return decision.words if decision.outcome == "answered" else ""  # False would pass for the number 0


def _for_people(channel: str, request: Mapping[str, Any], schemas: Mapping[str, Any]) -> Call:
    """Make the question of a `HumanInterrupt`."""
    action, may = request["action_request"], request["config"]
    schema = schemas.get(action["action"]) if may.get("allow_edit") else None
    said = str(request.get("description") or "").strip()
    return Call(channel, action["action"], action["args"], schema, message=said)


def _response(decision: Decision, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return LangGraph's `HumanResponse`.

    `ignore` is its refusal; where the program doesn't allow that, the model reads why as a response.
    """
    action, may = request["action_request"], request["config"]
    if decision.outcome == "edited" and may.get("allow_edit"):
        return {"type": "edit", "args": {"action": action["action"], "args": decision.arguments}}
    same = is_approved(action["args"], decision.arguments)  # the program runs its own copy
    if decision.outcome == "approved" and same and may.get("allow_accept"):
        return {"type": "accept", "args": None}
    if decision.outcome == "answered" and may.get("allow_respond"):
        return {"type": "response", "args": decision.words}
    if may.get("allow_ignore") or not may.get("allow_respond"):
        return {"type": "ignore", "args": None}
    return {"type": "response", "args": DIFFERS if decision.approved else decision.text}


def _review(decision: Decision, action: Mapping[str, Any], review: Mapping[str, Any]) -> dict[str, Any]:
    """The decision in the middleware's words: an answer to a call that none may answer is a rejection."""
    kind = _REVIEWS.get(decision.outcome, "reject")
    if kind not in review["allowed_decisions"]:
        kind = "reject"
    if kind == "edit":
        return {"type": kind, "edited_action": {"name": action["name"], "args": decision.arguments}}
    if kind == "approve" and not is_approved(action["args"], decision.arguments):  # the middleware runs its own copy
        return {"type": "reject", "message": DIFFERS}
    return {"type": kind} if kind == "approve" else {"type": kind, "message": decision.text}


def _exactly(request: ToolCallRequest, handler: Callable[[ToolCallRequest], R], approved: Mapping[str, Any]) -> R:
    """Run the call as it was approved."""
    return handler(request.override(tool_call={**request.tool_call, "args": dict(approved)}))


def _instead(request: ToolCallRequest, over: AlreadyRan | NotApproved) -> ToolMessage:
    """Make the result of a call that does not run, for the model."""
    call, reported = request.tool_call, over.decision.reported
    status: Literal["success", "error"] = "success" if reported is not None and reported.succeeded else "error"
    return ToolMessage(str(over), name=call["name"], tool_call_id=call["id"], status=status)


def _key_of_call(request: ToolCallRequest) -> str | None:
    config = request.runtime.config
    return _key(config, config.get("configurable", {}).get("checkpoint_ns", ""), str(request.tool_call["id"]))


def _key(config: Mapping[str, Any], *place: str) -> str | None:
    """The same thread, place and call is the same question; without a thread nothing is found again."""
    thread = config.get("configurable", {}).get("thread_id")
    if thread is None:
        return None
    return key_of(str(thread), *place)


def _left(leave: str | Path, config: Mapping[str, Any], asked: Call | Question) -> tuple[Path, str]:
    """The folder of what is left to people, and the thread. InvalidInput without a thread."""
    if asked.key is None:
        raise InvalidInput("`leave` needs a graph with a checkpointer and a `thread_id`. Nobody was asked.")
    return Path(leave), str(config["configurable"]["thread_id"])


def _outcome(result: Result) -> tuple[bool, str]:
    if not isinstance(result, ToolMessage):
        return True, ""
    return result.status != "error", str(result.content)[:LONGEST_REPORT]
