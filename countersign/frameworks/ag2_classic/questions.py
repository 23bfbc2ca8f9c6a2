"""People in a channel, in place of the keyboard of AG2's classic agents."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from autogen import ConversableAgent
from autogen.io import IOStream

from countersign.client import (
    DIFFERS,
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    Client,
    Decision,
    NotApproved,
    Question,
    QuestionKeys,
)
from countersign.frameworks.ag2_classic import messages as ag2_classic_messages
from countersign.frameworks.ag2_classic.messages import FunctionCall, Message, can_execute

STOP: Final = "exit"
"""AG2's own word for the end of a conversation."""
_GO_ON: Final = "Approve continues. Request changes sends your words to {sender}. Reject stops the conversation."
_END: Final = "Approve and Reject end the conversation. Request changes sends your words to {sender}, who continues."
_ONE_OF_SEVERAL: Final = "Approve runs this call. If it isn't approved, it doesn't run, and {sender} reads why."
_RUNS_CODE: Final = "Approve runs the code of this message."
_EARLIER: Final = "Code of an earlier message, which Approve runs:"
_TYPES: Final = "Approve is the empty line. Request changes types your words. Reject types “exit”."
R = TypeVar("R")
Asked = TypeVar("Asked", Call, Question)
Executed = tuple[bool, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JudgedAction:
    """A call, or code, that people judged: the question, and the decision."""

    asked: Call | Question
    decision: Decision


class People:
    """People, and their decisions on what is about to be executed."""

    def __init__(self, channel: str, run: str, requester: str) -> None:
        self._channel, self._requester, self._keys = channel, requester, QuestionKeys(run)
        self._calls: dict[tuple[int, str], list[JudgedAction | None]] = {}
        """By agent and id, in their order; None for a call that no function would run for."""
        self._code: dict[int, JudgedAction] = {}

    def answer(self, agent: ConversableAgent, prompt: str) -> str:
        messages = ag2_classic_messages.conversation(agent, prompt)
        calling, questions = self._questions(agent, prompt, messages)
        with Client() as client:
            return self._answer(agent, prompt, calling, questions, client.judge_all(questions))

    async def a_answer(self, agent: ConversableAgent, prompt: str) -> str:
        messages = ag2_classic_messages.conversation(agent, prompt)
        calling, questions = self._questions(agent, prompt, messages)
        async with AsyncClient() as client:
            return self._answer(agent, prompt, calling, questions, await client.judge_all(questions))

    def speaker(self, messages: list[Message], agents: list[Any]) -> Any:
        """Let people choose the next speaker.

        None, as AG2 has it, leaves the choice to the model.
        """
        with Client() as client:
            return _named(agents, client.judge(self._choice(messages, agents)))

    async def a_speaker(self, messages: list[Message], agents: list[Any]) -> Any:
        async with AsyncClient() as client:
            return _named(agents, await client.judge(self._choice(messages, agents)))

    def execute(
        self,
        agent: ConversableAgent,
        call_id: str | None,
        call: FunctionCall,
        execute: Callable[[FunctionCall], Executed],
    ) -> Executed:
        if (judged := self._next(agent, call_id)) is None:
            return execute(call)
        with Client() as client:
            try:
                act = partial(_exactly, call, execute)
                return client.perform(judged.decision, judged.asked, act, outcome=_outcome)
            except (AlreadyRan, NotApproved) as over:
                return _instead(call, over)

    async def a_execute(
        self,
        agent: ConversableAgent,
        call_id: str | None,
        call: FunctionCall,
        execute: Callable[[FunctionCall], Awaitable[Executed]],
    ) -> Executed:
        if (judged := self._next(agent, call_id)) is None:
            return await execute(call)
        async with AsyncClient() as client:
            try:
                act = partial(_exactly, call, execute)
                return await client.perform(judged.decision, judged.asked, act, outcome=_outcome)
            except (AlreadyRan, NotApproved) as over:
                return _instead(call, over)

    def _next(self, agent: ConversableAgent, call_id: str | None) -> JudgedAction | None:
        """Take the decision on the call that is executed now; None if nobody was asked."""
        calls = self._calls.get((id(agent), call_id or ""))
        return calls.pop(0) if calls else None

    def run_code(
        self, agent: ConversableAgent, blocks: Sequence[Any], run: Callable[[], tuple[int, str]]
    ) -> tuple[int, str]:
        """Run the code of a message, once if people approved it.

        Returns its exit code and output.
        """
        if (judged := self._code.pop(id(agent), None)) is None:
            return run()
        with Client() as client:
            same = all(ag2_classic_messages.code_of(block) in judged.asked.message for block in blocks)
            run = run if same else lambda: (1, DIFFERS)
            try:
                return client.perform(judged.decision, judged.asked, lambda _: run(), outcome=_outcome_of_code)
            except (AlreadyRan, NotApproved) as over:
                return (0 if _succeeded(over) else 1), _reported(over)

    def _questions(
        self, agent: ConversableAgent, prompt: str, messages: list[Message]
    ) -> tuple[Message | None, Sequence[Call | Question]]:
        """Make a question for each call of the newest message that Approve would run.

        It is returned too; without such calls there is one question, and None.
        """
        self._calls = {place: judged for place, judged in self._calls.items() if place[0] != id(agent)}
        self._code.pop(id(agent), None)
        newest = messages[-1] if messages else {}
        sender = newest.get("name") or "the program"
        enter = re.search(r"Press enter (or|to skip)", prompt)
        about: dict[str, Any] = {"agent": re.sub(r"[^\w.-]", "_", agent.name)[:60], "requester": self._requester}
        calls = [call for _, call in ag2_classic_messages.calls(newest) if can_execute(agent, call)]
        if enter and enter[1] != "or" and calls:
            notes = [(_GO_ON if len(calls) == 1 else _ONE_OF_SEVERAL).format(sender=sender)]
            asked = [
                replace(ag2_classic_messages.shown(agent, call), channel=self._channel, notes=notes, **about)
                for call in calls
            ]
            return newest, [self._with_key(one, messages) for one in asked]
        ends = newest and agent._is_termination_msg(newest)
        notes = [(_END if ends or enter[1] == "or" else _GO_ON).format(sender=sender)] if enter else [_TYPES]
        if _yes_or_no(prompt):
            notes = []
        text = (ag2_classic_messages.last_words(messages) if ends else ag2_classic_messages.text(newest)) or prompt
        if enter and enter[1] != "or" and (code := ag2_classic_messages.code(agent, messages)):
            notes.append(_RUNS_CODE)
            text = text if code is newest else f"{text}\n\n{_EARLIER}\n{ag2_classic_messages.text(code)}"
        asks = f"{sender} has finished. End the conversation?" if ends else f"What do you answer {sender}"
        title = asks if enter else prompt.strip(" \n>:")
        title = title[:300] or f"The first message of {agent.name}"
        return None, [self._with_key(Question(self._channel, title, text, notes=notes, **about), messages)]

    def _choice(self, messages: list[Message], agents: list[Any]) -> Question:
        names = [agent.name for agent in agents]
        text = ag2_classic_messages.text(messages[-1]) if messages else ""
        asked = Question(self._channel, "Who speaks next?", text, names, requester=self._requester)
        return self._with_key(asked, messages)

    def _with_key(self, asked: Asked, messages: list[Message]) -> Asked:
        """Give the question about these messages its key."""
        said = [[message.get("name"), ag2_classic_messages.text(message)] for message in messages]
        return replace(asked, key=self._keys.next(asked.body, said))

    def _answer(
        self,
        agent: ConversableAgent,
        prompt: str,
        calling: Message | None,
        questions: Sequence[Call | Question],
        decisions: list[Decision],
    ) -> str:
        """Answer as a line of the keyboard would."""
        judged = [JudgedAction(asked, decision) for asked, decision in zip(questions, decisions, strict=True)]
        first = judged[0]
        if calling is not None and (len(judged) > 1 or first.decision.approved or first.decision.how == "policy"):
            self._hold(agent, calling, judged)
            return ""  # what was not approved is not executed, and the model reads why
        yes_or_no = _yes_or_no(prompt)
        if first.decision.approved:
            if _RUNS_CODE in first.asked.notes:
                self._code[id(agent)] = first
            return yes_or_no[0] if yes_or_no else ""
        if first.decision.outcome == "answered" and yes_or_no is None:
            return first.decision.words  # only the button is a yes (R12)
        IOStream.get_default().print(first.decision.text)
        return yes_or_no[1] if yes_or_no else STOP

    def _hold(self, agent: ConversableAgent, message: Message, judged: list[JudgedAction]) -> None:
        """Keep the decisions until AG2 executes the calls.

        The message then has them as people changed them.
        """
        rest = iter(judged)
        for call_id, call in ag2_classic_messages.calls(message):
            one = next(rest) if can_execute(agent, call) else None
            if one is not None and one.decision.arguments is not None:
                call["arguments"] = json.dumps(one.decision.arguments)
            self._calls.setdefault((id(agent), call_id), []).append(one)


def _exactly(call: FunctionCall, execute: Callable[[FunctionCall], R], approved: Mapping[str, Any]) -> R:
    """Execute the call with the arguments that were approved."""
    return execute({"name": call["name"], "arguments": json.dumps(approved)})


def _yes_or_no(prompt: str) -> tuple[str, str] | None:
    """The two answers for which a program's own prompt asks."""
    found = re.search(r"[(\[]\s*(y|yes)\s*/\s*(n|no)\s*[)\]]", prompt, re.IGNORECASE)
    return (found[1].lower(), found[2].lower()) if found else None


def _instead(call: FunctionCall, over: AlreadyRan | NotApproved) -> Executed:
    """Make the result of a call that is not executed, for the model."""
    return _succeeded(over), {"name": call.get("name", ""), "role": "function", "content": _reported(over)}


def _reported(over: AlreadyRan | NotApproved) -> str:
    """Repeat what was reported word for word, so that a conversation that starts again goes on as before."""
    return (over.decision.reported.words if over.decision.reported is not None else "") or str(over)


def _succeeded(over: AlreadyRan | NotApproved) -> bool:
    return over.decision.reported is not None and over.decision.reported.succeeded


def _named(agents: list[Any], decision: Decision) -> Any:
    """The agent that people chose; None if they chose none."""
    return next((agent for agent in agents if decision.chosen == (agent.name,)), None)


def _outcome(executed: Executed) -> tuple[bool, str]:
    succeeded, result = executed
    return succeeded, str(result.get("content") or "")[:LONGEST_REPORT]


def _outcome_of_code(ran: tuple[int, str]) -> tuple[bool, str]:
    exit_code, output = ran
    return exit_code == 0, output.strip()[:LONGEST_REPORT]
