"""Agents that stand for people: a reviewer, and AutoGen 0.2's human proxy in 0.7.

The proxy replies, or asks as its mode says. The meaning is that of 0.2's
`ConversableAgent.check_termination_and_human_reply` (microsoft/autogen, branch 0.2): the empty Enter is “Go on”, typed
words are the next message and begin the count of replies anew, `exit` is “Stop”, and the empty Enter on a termination
message is “End here”. It differs where Slack or 0.7 makes it:

- `is_termination_msg` gets a message of 0.7, not a dict, and may be async; so may a policy in place of a mode.
- In a team there is no sender, so one count of replies is kept, not one for each sender.
- The default of `default_auto_reply` is “Please go on.”; 0.2's is empty, and several models refuse empty messages.
- 0.2 ends by not replying; here a message says so (`conversation`), and `ConversationOver` ends the
team.
- If nobody answers in time, the conversation ends too, unless the channel says otherwise; 0.2 waits for ever.
- If `is_termination_msg` or a policy raises, or gives no answer in time, people are asked, and read why. In the mode
NEVER the conversation ends.

All that it remembers comes from the messages, so a rebuilt run brings it back.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    HandoffMessage,
    StopMessage,
    TextMessage,
    UserInputRequestedEvent,
)
from autogen_core import CancellationToken

from countersign.domain.calls import in_words
from countersign.domain.request_endings import decided
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.texts_for_models import answer
from countersign.frameworks.autogen.people.conversation import (
    GO_ON,
    SENTENCES,
    EndReason,
    ProxyTurn,
    turn_after,
    turn_by_itself,
    turn_metadata,
)
from countersign.frameworks.autogen.people.decision_messages import decision_metadata
from countersign.frameworks.autogen.people.human_input_modes import (
    AskWhen,
    HumanInputMode,
    IsTermination,
    Move,
    next_move,
    says_terminate,
)
from countersign.frameworks.autogen.people.input_func import Human
from countersign.frameworks.autogen.people.user_callbacks import Opinion, opinion
from countersign.runs.run_journal import RunJournal

REPLIES: Final = 100
"""0.2's own `MAX_CONSECUTIVE_AUTO_REPLY`."""
_OFFERS: Final = {
    Move.ASK: (Kind.TURN, (Verb.APPROVE, Verb.RESPOND, Verb.REJECT)),
    Move.ASK_TO_END: (Kind.END, (Verb.APPROVE, Verb.RESPOND)),
}


@dataclass(frozen=True, slots=True)
class _NextMove:
    move: Move
    finished: bool = False
    problem: str = ""
    by_policy: bool = False


class Reviewer(UserProxyAgent):
    """AutoGen's UserProxyAgent for a `Human` who judges the last message it was sent.

    The decision is in the metadata of what it says, where `DecisionTermination` and other code read it.
    """

    def __init__(self, human: Human, *, description: str = "The people who approve, reject or answer") -> None:
        super().__init__(human.name, description=description, input_func=human.input_func)
        self._human = human

    async def on_messages_stream(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | Response, None]:
        """Asks, waits, and answers: to whoever handed over, if somebody did."""
        handoff = self._get_latest_handoff(messages)
        yield UserInputRequestedEvent(request_id=str(uuid.uuid4()), source=self.name)
        words = messages[-1] if messages else self._human.questions.transcript.last
        request = await self._human.questions.ask(self._human, words, cancellation_token)
        text, metadata = answer(request), decision_metadata(decided(request))
        if handoff is None:
            yield Response(chat_message=TextMessage(content=text, source=self.name, metadata=metadata))
        else:
            yield Response(
                chat_message=HandoffMessage(content=text, target=handoff.source, source=self.name, metadata=metadata)
            )


class HumanProxy(Reviewer):
    """A human with a mode: `run.reviewer(name, mode=…)`.

    The team needs `ConversationOver()`. `mode` is a `HumanInputMode`, or a policy (see `human_input_modes`) that is
    asked besides where TERMINATE asks. `is_termination_msg` says whether a message is its agent's last.
    `max_consecutive_auto_reply` is how often in a row it replies without asking; in ALWAYS there is no limit.
    `default_auto_reply` is what it says by itself, and when people let it go on. ValueError for a negative limit or an
    empty reply.
    """

    def __init__(
        self,
        human: Human,
        mode: HumanInputMode | AskWhen = HumanInputMode.ALWAYS,
        *,
        is_termination_msg: IsTermination = says_terminate,
        max_consecutive_auto_reply: int = REPLIES,
        default_auto_reply: str = GO_ON,
        description: str = "The people who are asked how the conversation goes on",
        journal: RunJournal | None = None,
    ) -> None:
        super().__init__(human, description=description)
        if max_consecutive_auto_reply < 0 or not default_auto_reply.strip():
            raise ValueError("A HumanProxy needs a limit of 0 or more, and something to say by itself.")
        self._mode = mode if isinstance(mode, HumanInputMode) else None
        self._policy = None if isinstance(mode, HumanInputMode) else mode
        self._is_termination = is_termination_msg
        self._limit = max_consecutive_auto_reply
        self._auto_reply = default_auto_reply
        self._journal = journal
        self._replies = 0
        self._since: list[BaseChatMessage] = []
        """What the agents have said since people were last asked."""

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage, HandoffMessage, StopMessage)

    async def on_messages_stream(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | Response, None]:
        """Reply, ask, or end; answer whoever handed over, if somebody did."""
        new = self._heard(messages)
        step = await self._next_move(new, cancellation_token)
        if step.move in _OFFERS:
            yield UserInputRequestedEvent(request_id=str(uuid.uuid4()), source=self.name)
            request = await self._ask(step, new, cancellation_token)
            text, turn = turn_after(request, self._auto_reply, to_end=step.move is Move.ASK_TO_END)
            went_on = not turn.over and not turn.words
            # 0.2 counts the empty Enter as one more reply; a policy begins anew with every question.
            self._replies = self._replies + 1 if went_on and self._policy is None else 0
            self._since = []
        elif step.move is Move.END:
            over = EndReason.UNJUDGED if step.problem else EndReason.FINISHED if step.finished else EndReason.LIMIT
            text, turn = turn_by_itself(over, limit=self._limit, problem=step.problem)
            self._replies, self._since = 0, []
        else:
            text, turn = self._auto_reply, ProxyTurn()
            self._replies += 1
        yield Response(chat_message=self._message(text, turn, messages))

    async def on_reset(self, cancellation_token: CancellationToken | None = None) -> None:
        """Begin a new conversation."""
        self._replies, self._since = 0, []

    def _heard(self, messages: Sequence[BaseChatMessage]) -> list[BaseChatMessage]:
        """Return the new messages of agents.

        The task is the requester's; but a nested team's task is an agent's words.
        """
        last = self._human.questions.transcript.last
        new = [m for m in messages if m.source != "user"] or list(messages[-1:]) or ([last] if last else [])
        self._since += new
        return new

    async def _next_move(self, new: Sequence[BaseChatMessage], token: CancellationToken) -> _NextMove:
        if not new:
            return _NextMove(next_move(self._mode, finished=False, replies=self._replies, limit=self._limit))
        last = next((m for m in reversed(new) if not isinstance(m, HandoffMessage)), new[-1])
        if self._is_termination is says_terminate:
            finished = Opinion(says_terminate(last))
        else:
            finished = await self._opinion("is_termination_msg", lambda: self._is_termination(last), [last], token)
        opinion, problem = Opinion(False), finished.problem
        if self._policy is not None and not finished.answer:
            policy, since = self._policy, tuple(self._since)
            opinion = await self._opinion("the policy of this team", lambda: policy(since), since, token)
            problem = "; ".join(p for p in (problem, opinion.problem) if p)
        move = next_move(
            self._mode,
            finished=bool(finished.answer) or (finished.answer is None and self._mode is HumanInputMode.NEVER),
            replies=self._replies,
            limit=self._limit,
            by_policy=bool(opinion.answer) or bool(problem),
        )
        return _NextMove(move, bool(finished.answer), problem, bool(opinion.answer))

    async def _opinion(
        self,
        name: str,
        call: Callable[[], bool | Awaitable[bool]],
        about: Sequence[BaseChatMessage],
        token: CancellationToken,
    ) -> Opinion:
        text = "\n".join(f"{m.source}: {m.to_text()}" for m in about)
        asking = opinion(call, name=name, agent=self.name, about=text, journal=self._journal)
        task = asyncio.ensure_future(asking)
        token.link_future(task)
        return await task

    async def _ask(self, step: _NextMove, new: Sequence[BaseChatMessage], token: CancellationToken) -> Request:
        questions, (kind, offers) = self._human.questions, _OFFERS[step.move]
        who = _named(new[-1].source) if new and new[-1].source != "user" else "The agent"
        if step.move is Move.ASK_TO_END:
            title = f"{who} says that it is finished. End here?"
        else:
            title = "" if self._human.title else f"{who} finished a step. Continue?"
        read = [(m.source, questions.outcomes.for_people(m.to_text())) for m in new]
        content = read[0][1] if len(read) == 1 else "\n\n".join(f"{source}:\n{words}" for source, words in read)
        content = content or "It says nothing more."
        words = new[-1] if new else None
        question = questions.question(
            self._human, words, kind=kind, title=title, content=content, offers=offers, notes=self._notes(step)
        )
        return await questions.put(question, token)

    def _notes(self, step: _NextMove) -> tuple[str, ...]:
        notes = []
        if step.problem:
            notes.append(f"You are asked because {step.problem}.")
        elif step.by_policy:
            notes.append("You are asked because this team's policy says so.")
        if step.move is Move.ASK and self._mode is not HumanInputMode.ALWAYS and 0 < self._limit <= self._replies:
            more = f"{self._limit} more" if self._policy else f"one more, and a message of yours {self._limit} again"
            notes.append(
                f"The agents were answered {self._limit} times in a row automatically. Continue allows {more}."
            )
        return tuple(notes)

    def _message(self, text: str, turn: ProxyTurn, messages: Sequence[BaseChatMessage]) -> BaseChatMessage:
        metadata = turn_metadata(turn)
        if turn.over:
            self._human.questions.outcomes.told(text, SENTENCES[turn.over])
            return StopMessage(content=text, source=self.name, metadata=metadata)
        last = messages[-1] if messages else None
        if isinstance(last, HandoffMessage) and last.target == self.name:
            return HandoffMessage(content=text, target=last.source, source=self.name, metadata=metadata)
        return TextMessage(content=text, source=self.name, metadata=metadata)


def _named(agent: str) -> str:
    """Begin a sentence with an agent: `The assistant`, but `Ann`."""
    words = in_words(agent)
    return words if words[:1].isupper() else f"The {words}"
