"""AG2's classic agents (`import autogen`): Slack instead of the keyboard.

AG2 reads the keyboard in two methods of `ConversableAgent`, of which its documentation says that they may be replaced,
and in `GroupChat` where a person chooses the next speaker. `ask_in_slack` replaces these three for all agents of the
process, and the two that execute functions, so that what runs is what was approved, and its outcome is reported.
"""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from autogen import ConversableAgent, GroupChat
from autogen.code_utils import content_str
from autogen.io import IOStream
from autogen.tools.function_utils import get_function_schema

from countersign.client.client import AsyncClient, Client, question
from countersign.client.exchange import Decision, Reported
from countersign.client.idempotency_keys import QuestionKeys

STOP: Final = "exit"
"""AG2's own word for the end of a conversation."""
_GO_ON: Final = "Approve continues. Request changes sends your words to {sender}. Reject stops the conversation."
_END: Final = "Approve and Reject end the conversation. Request changes sends your words to {sender}, who continues."
_RUNS_CODE: Final = "Approve runs the code of this message."
_LONGEST_REPORT: Final = 300
_INPUT, _A_INPUT = ConversableAgent.get_human_input, ConversableAgent.a_get_human_input
_EXECUTE, _A_EXECUTE = ConversableAgent.execute_function, ConversableAgent.a_execute_function
Message = dict[str, Any]
Executed = tuple[bool, dict[str, Any]]


def ask_in_slack(channel: str, *, run: str = "", requester: str = "") -> ExitStack:
    """Ask people in a channel wherever AG2 would read the keyboard.

    Approve is the empty line, words are words, and what is rejected, withdrawn or not decided in time is `exit`. A call
    of a function may be edited. `run` names this run: a program that dies and runs again under the same name gets the
    decisions that it had on the same messages. Close the returned stack to have the keyboard back.
    """
    people = _People(channel, run, requester)

    def get_human_input(self: ConversableAgent, prompt: str, *, iostream: object = None) -> str:
        return _INPUT(self, prompt, iostream=_Line(people, self))

    async def a_get_human_input(self: ConversableAgent, prompt: str, *, iostream: object = None) -> str:
        return await _A_INPUT(self, prompt, iostream=_AsyncLine(people, self))

    def execute_function(
        self: ConversableAgent, func_call: dict[str, Any], call_id: str | None = None, verbose: bool = False
    ) -> Executed:
        return people.execute(call_id, func_call, lambda call: _EXECUTE(self, call, call_id, verbose))

    async def a_execute_function(
        self: ConversableAgent, func_call: dict[str, Any], call_id: str | None = None, verbose: bool = False
    ) -> Executed:
        return await people.a_execute(call_id, func_call, lambda call: _A_EXECUTE(self, call, call_id, verbose))

    def manual_select_speaker(self: GroupChat, agents: list[Any] | None = None) -> Any:
        return people.speaker(self.messages, self.agents if agents is None else agents)

    def init_subclass(cls: type[ConversableAgent], /, **kwargs: Any) -> None:
        super(ConversableAgent, cls).__init_subclass__(**kwargs)
        _accept_iostream(cls)

    keyboard = ExitStack()
    for one in (get_human_input, a_get_human_input, execute_function, a_execute_function):
        _replace(keyboard, ConversableAgent, one.__name__, one)
    _replace(keyboard, GroupChat, "manual_select_speaker", manual_select_speaker)
    _replace(keyboard, ConversableAgent, "__init_subclass__", classmethod(init_subclass))
    for known in _subclasses(ConversableAgent):
        _accept_iostream(known)
    return keyboard


class _People:
    """The people in the channel, and what they decided on calls that are about to be executed."""

    def __init__(self, channel: str, run: str, requester: str) -> None:
        self._channel, self._requester = channel, requester
        self._keys = QuestionKeys(run)
        self._calls: dict[str, Decision] = {}

    def answer(self, agent: ConversableAgent, prompt: str) -> str:
        messages = _conversation(agent, prompt)
        body = self._body(agent, prompt, messages)
        with Client() as client:
            return self._answer(client.ask(body, key=self._key(body, messages)), messages)

    async def a_answer(self, agent: ConversableAgent, prompt: str) -> str:
        messages = _conversation(agent, prompt)
        body = self._body(agent, prompt, messages)
        async with AsyncClient() as client:
            return self._answer(await client.ask(body, key=self._key(body, messages)), messages)

    def speaker(self, messages: list[Message], agents: list[Any]) -> Any:
        """Let people choose the next speaker; None, as AG2 has it, leaves the choice to the model."""
        names = [agent.name for agent in agents]
        text = _text(messages[-1]) if messages else ""
        body = question(self._channel, "Who speaks next?", text, options=names, requester=self._requester)
        with Client() as client:
            chosen = client.ask(body, key=self._key(body, messages)).chosen
        return agents[names.index(chosen[0])] if chosen else None

    def execute(
        self, call_id: str | None, call: dict[str, Any], execute: Callable[[dict[str, Any]], Executed]
    ) -> Executed:
        decision = self._calls.pop(call_id or "", None)
        if decision is None:
            return execute(call)
        if decision.reported is not None:
            return _before(call, decision.reported)
        succeeded, result = execute(_exactly(call, decision))
        with Client() as client:
            client.tell(decision, succeeded=succeeded, words=_report(result))
        return succeeded, result

    async def a_execute(
        self, call_id: str | None, call: dict[str, Any], execute: Callable[[dict[str, Any]], Awaitable[Executed]]
    ) -> Executed:
        decision = self._calls.pop(call_id or "", None)
        if decision is None:
            return await execute(call)
        if decision.reported is not None:
            return _before(call, decision.reported)
        succeeded, result = await execute(_exactly(call, decision))
        async with AsyncClient() as client:
            await client.tell(decision, succeeded=succeeded, words=_report(result))
        return succeeded, result

    def _body(self, agent: ConversableAgent, prompt: str, messages: list[Message]) -> dict[str, Any]:
        newest = messages[-1] if messages else {}
        sender = newest.get("name") or "the program"
        enter = re.search(r"Press enter (or|to skip)", prompt)
        notes = [(_END if enter[1] == "or" else _GO_ON).format(sender=sender)] if enter else []
        if enter and agent.code_executor is not None and "```" in _text(newest):
            notes.append(_RUNS_CODE)
        call = _call(agent, newest)
        title = f"Run {call['tool']}?" if call else f"{sender} wants an answer" if enter else prompt.strip(" \n>:")
        return question(
            self._channel,
            title[:300] or f"The first message of {agent.name}",
            "" if call else _text(newest) or prompt,
            call=call,
            notes=notes,
            agent=re.sub(r"[^\w.-]", "_", agent.name)[:60],
            requester=self._requester,
        )

    def _key(self, body: Mapping[str, Any], messages: list[Message]) -> str | None:
        """Return the key of this question about these messages."""
        return self._keys.next(body, [[message.get("name"), _text(message)] for message in messages])

    def _answer(self, decision: Decision, messages: list[Message]) -> str:
        if decision.approved:
            if decision.arguments is not None:
                (one,) = messages[-1]["tool_calls"]
                one["function"]["arguments"] = json.dumps(decision.arguments)
                self._calls[one["id"]] = decision
            return ""
        if decision.outcome == "answered":
            return decision.words
        IOStream.get_default().print(decision.text)
        return STOP


class _Line:
    """A line of the keyboard, typed in Slack."""

    def __init__(self, people: _People, agent: ConversableAgent) -> None:
        self._people, self._agent = people, agent

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        return self._people.answer(self._agent, prompt)


class _AsyncLine(_Line):
    """The same for tasks."""

    async def input(self, prompt: str = "", *, password: bool = False) -> str:  # type: ignore[override]
        return await self._people.a_answer(self._agent, prompt)


def _conversation(agent: ConversableAgent, prompt: str) -> list[Message]:
    """The messages that the agent is asked about: AG2's prompt names with whom, and tells nothing else."""
    talks = {sender.name: messages for sender, messages in agent.chat_messages.items() if messages}
    named = [name for name in talks if re.search(rf"feedback to {re.escape(name)}\.", prompt)]
    return talks[named[0] if named else [*talks][-1]] if talks else []


def _text(message: Mapping[str, Any]) -> str:
    calls = [call["function"] for call in message.get("tool_calls") or ()] + [message.get("function_call") or {}]
    shown = [f"{call['name']}({call.get('arguments', '')})" for call in calls if call]
    return "\n".join([text for text in (content_str(message.get("content")),) if text] + shown)


def _call(agent: ConversableAgent, message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one call of a message that the agent would execute, as people judge it; None if there is no such."""
    calls = message.get("tool_calls") or []
    if len(calls) != 1 or not calls[0].get("id") or not agent.can_execute_function(calls[0]["function"]["name"]):
        return None
    name = calls[0]["function"]["name"]
    try:
        arguments = json.loads(calls[0]["function"].get("arguments") or "{}")
    except ValueError:
        return None
    call = {"tool": name, "arguments": arguments}
    with suppress(TypeError, ValueError):  # a function without types is approved or rejected as it is
        schema = get_function_schema(inspect.unwrap(agent.function_map[name]), name=name, description=name)
        call["schema"] = schema["function"]["parameters"]
    return call if isinstance(arguments, dict) else None


def _exactly(call: dict[str, Any], decision: Decision) -> dict[str, Any]:
    return {**call, "arguments": json.dumps(decision.arguments)}


def _before(call: Mapping[str, Any], reported: Reported) -> Executed:
    return reported.succeeded, {"name": call.get("name", ""), "role": "function", "content": reported.text}


def _report(result: Mapping[str, Any]) -> str:
    return str(result.get("content") or "")[:_LONGEST_REPORT]


def _accept_iostream(cls: type[ConversableAgent]) -> None:
    """Let a method written for AutoGen 0.2, which takes the prompt alone, be called as AG2 calls it."""
    for name in ("get_human_input", "a_get_human_input"):
        own = cls.__dict__.get(name)
        if inspect.isfunction(own) and [*inspect.signature(own).parameters][1:] == ["prompt"]:
            setattr(cls, name, lambda self, prompt, *, iostream=None, own=own: own(self, prompt))


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    return [one for child in cls.__subclasses__() for one in (child, *_subclasses(child))]


def _replace(stack: ExitStack, owner: type[Any], name: str, value: object) -> None:
    if name in vars(owner):
        stack.callback(setattr, owner, name, vars(owner)[name])
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, value)
