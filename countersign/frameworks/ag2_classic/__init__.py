"""AG2's classic agents (`import autogen`): Slack instead of the keyboard.

AG2 reads the keyboard in two methods of `ConversableAgent`, of which its documentation says that they may be replaced,
and in `GroupChat` where a person chooses the next speaker. `ask_in_slack` replaces these for all agents of the process,
and what executes functions and code, so that what was approved runs, once, and its outcome is reported.
"""

import builtins
import inspect
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

from countersign.frameworks import extra
from countersign.frameworks.ag2_classic.messages import FunctionCall
from countersign.frameworks.ag2_classic.questions import Executed, People

with extra("ag2-classic"):
    from autogen import ConversableAgent, GroupChat
    from autogen.coding.base import CodeResult

_INPUT, _A_INPUT = ConversableAgent.get_human_input, ConversableAgent.a_get_human_input
_EXECUTE, _A_EXECUTE = ConversableAgent.execute_function, ConversableAgent.a_execute_function
_RUN_CODE, _A_SELECT = ConversableAgent.execute_code_blocks, GroupChat.a_select_speaker
_asynchronous: ContextVar[bool] = ContextVar("countersign_asynchronous", default=False)
"""Whether the next speaker is chosen in a task, which must not be blocked."""


def ask_in_slack(channel: str, *, run: str = "", requester: str = "") -> ExitStack:
    """Ask people in a channel wherever AG2 would read the keyboard.

    Approve is the empty line, words are words, and what is rejected, withdrawn or not decided in time is `exit`; where
    a prompt asks `(y/n)`, Approve is `y` and the others are `n`. That holds also for `input()` in the program's own
    code while an agent replies, such as an overridden `get_human_input` or a registered reply. A call
    of a function may be edited. Of several calls in a message each is judged by itself; those that were not approved do
    not run, and the model reads why, as it does of a call that the workspace's policy refuses. `run` names this run: a
    program that dies and runs again under the same name gets the decisions that it had on the same messages. Close the
    returned stack to have the keyboard back.
    """
    people = People(channel, run, requester)

    def get_human_input(self: ConversableAgent, prompt: str, *, iostream: object = None) -> str:
        return _INPUT(self, prompt, iostream=_Line(people, self))

    async def a_get_human_input(self: ConversableAgent, prompt: str, *, iostream: object = None) -> str:
        return await _A_INPUT(self, prompt, iostream=_AsyncLine(people, self))

    def read_line(prompt: object = "", /) -> str:
        agent = _agent_of_caller()
        return before(prompt) if agent is None else people.answer(agent, str(prompt))

    def execute_function(
        self: ConversableAgent, func_call: FunctionCall, call_id: str | None = None, verbose: bool = False
    ) -> Executed:
        return people.execute(self, call_id, func_call, lambda call: _EXECUTE(self, call, call_id, verbose))

    async def a_execute_function(
        self: ConversableAgent, func_call: FunctionCall, call_id: str | None = None, verbose: bool = False
    ) -> Executed:
        return await people.a_execute(self, call_id, func_call, lambda call: _A_EXECUTE(self, call, call_id, verbose))

    def execute_code_blocks(self: ConversableAgent, code_blocks: Any) -> tuple[int, str]:
        return people.run_code(self, code_blocks, lambda: _RUN_CODE(self, code_blocks))  # type: ignore[no-untyped-call]

    def executor(self: ConversableAgent) -> Any:
        if "_code_executor" not in vars(self):
            raise AttributeError("_code_executor")
        return _Executor(people, self, vars(self)["_code_executor"])

    def set_executor(self: ConversableAgent, value: Any) -> None:
        self.__dict__["_code_executor"] = value

    def manual_select_speaker(self: GroupChat, agents: list[Any] | None = None) -> Any:
        offered = self.agents if agents is None else agents
        if _asynchronous.get():
            raise _ChoiceOfSpeaker(offered)
        return people.speaker(self.messages, offered)

    async def a_select_speaker(self: GroupChat, last_speaker: Any, selector: ConversableAgent) -> Any:
        token = _asynchronous.set(True)
        try:
            return await _A_SELECT(self, last_speaker, selector)
        except _ChoiceOfSpeaker as choice:
            chosen = await people.a_speaker(self.messages, choice.agents)
            return chosen or self.next_agent(last_speaker, choice.agents)
        finally:
            _asynchronous.reset(token)

    def init_subclass(cls: type[ConversableAgent], /, **kwargs: Any) -> None:
        super(ConversableAgent, cls).__init_subclass__(**kwargs)
        _accept_iostream(cls)

    keyboard, before = ExitStack(), builtins.input
    _replace(keyboard, builtins, "input", read_line)
    for method in (get_human_input, a_get_human_input, execute_function, a_execute_function, execute_code_blocks):
        _replace(keyboard, ConversableAgent, method.__name__, method)
    _replace(keyboard, ConversableAgent, "_code_executor", property(executor, set_executor))
    for chooser in (manual_select_speaker, a_select_speaker):
        _replace(keyboard, GroupChat, chooser.__name__, chooser)
    _replace(keyboard, ConversableAgent, "__init_subclass__", classmethod(init_subclass))
    for known in _subclasses(ConversableAgent):
        _accept_iostream(known)
    return keyboard


def _agent_of_caller() -> ConversableAgent | None:
    """The agent in whose reply a program's own code reads the keyboard; None for other code of the program."""
    frame = inspect.currentframe()
    while frame is not None:
        for name in ("self", "recipient"):
            if isinstance(agent := frame.f_locals.get(name), ConversableAgent):
                return agent
        frame = frame.f_back
    return None


class _ChoiceOfSpeaker(Exception):
    """A choice that a task is to leave to people."""

    def __init__(self, agents: list[Any]) -> None:
        self.agents = agents


class _Executor:
    """An agent's executor of code, whose next code people approved."""

    def __init__(self, people: People, agent: ConversableAgent, executor: Any) -> None:
        self._people, self._agent, self._executor = people, agent, executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def execute_code_blocks(self, code_blocks: Any) -> Any:
        def run() -> tuple[int, str]:
            results.append(self._executor.execute_code_blocks(code_blocks))
            return results[0].exit_code, results[0].output

        results: list[Any] = []
        exit_code, output = self._people.run_code(self._agent, code_blocks, run)
        return results[0] if results else CodeResult(exit_code=exit_code, output=output)


class _Line:
    """A line of the keyboard, typed in Slack."""

    def __init__(self, people: People, agent: ConversableAgent) -> None:
        self._people, self._agent = people, agent

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        return self._people.answer(self._agent, prompt)


class _AsyncLine(_Line):
    """The same for tasks."""

    async def input(self, prompt: str = "", *, password: bool = False) -> str:  # type: ignore[override]
        return await self._people.a_answer(self._agent, prompt)


def _accept_iostream(cls: type[ConversableAgent]) -> None:
    """Let a method written for AutoGen 0.2, which takes the prompt alone, be called as AG2 calls it."""
    for name in ("get_human_input", "a_get_human_input"):
        own = cls.__dict__.get(name)
        if inspect.isfunction(own) and [*inspect.signature(own).parameters][1:] == ["prompt"]:
            setattr(cls, name, lambda self, prompt, *, iostream=None, own=own: own(self, prompt))


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    return [one for child in cls.__subclasses__() for one in (child, *_subclasses(child))]


def _replace(stack: ExitStack, owner: Any, name: str, value: object) -> None:
    if name in vars(owner):
        stack.callback(setattr, owner, name, vars(owner)[name])
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, value)
