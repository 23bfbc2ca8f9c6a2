"""The human as AutoGen sees one: an `input_func` or an agent.

A question is asked in the store and waited for in this process; the answer is the fixed text of
`countersign.autogen.people.decision_texts`.
Nothing but the end of the run, or its loss to another worker, ends a wait early: a lost store is waited out, a
timeout is an answer.
"""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from typing import Final

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    HandoffMessage,
    TextMessage,
    UserInputRequestedEvent,
)
from autogen_core import CancellationToken

from countersign import usecases
from countersign.autogen.action_outcomes import Outcomes, outcome_of
from countersign.autogen.people.decision_messages import decided, metadata_of
from countersign.autogen.people.decision_texts import answer
from countersign.domain.errors import CountersignError, Refused, WrongTeam
from countersign.domain.ids import RequestId
from countersign.domain.questions import asking, salted
from countersign.domain.refusals import Refusal
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request, Status, Verb, request_id
from countersign.policy.evaluation import Effect
from countersign.replay.journal import RunJournal
from countersign.replay.store_outages import patiently
from countersign.usecases.ports import Lease, Queue, Store, Wakeups

AT_LEAST: Final = 0.01
"""Seconds between two looks at a deadline that the server's clock has not quite reached."""
LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at one that passed and that only web may settle; its hint comes at once."""

_GONE: Final = "the run has gone on without an answer"

HEARD_WITHIN: Final = timedelta(minutes=1)
"""The event of a question comes a few rounds of the event loop after the question, in a busy process too."""


class Transcript:
    """The words of a team, in the order of its stream.

    `input_func` is told nothing of it, and the stream may deliver the event of a question after `input_func` was
    entered; so the words before a question are waited for.
    """

    def __init__(self) -> None:
        self.last: BaseChatMessage | None = None
        self._before: dict[str, asyncio.Future[BaseChatMessage | None]] = {}

    def inside(self) -> "Transcript":
        """That of a team inside a tool, whose words no stream brings here: its questions are known here, too."""
        inner = Transcript()
        inner._before = self._before
        return inner

    def heard(self, item: BaseAgentEvent | BaseChatMessage | TaskResult) -> None:
        """Take down one item of the stream."""
        if isinstance(item, UserInputRequestedEvent):
            if not (slot := self._slot(item.request_id)).done():
                slot.set_result(self.last)
        elif isinstance(item, BaseChatMessage):
            self.last = item

    async def before(self, request_id: str) -> BaseChatMessage | None:
        """Return the last message before AutoGen's question of this id; None if nobody had said anything."""
        return await self._slot(request_id)

    def _slot(self, request_id: str) -> asyncio.Future[BaseChatMessage | None]:
        if request_id not in self._before:
            self._before[request_id] = asyncio.get_running_loop().create_future()
        return self._before[request_id]


class Desk:
    """The place where the humans of one run put their questions.

    `token` is the run's own; `give_up` is told what makes going on impossible, because AutoGen turns exceptions into
    text. `salt` is the run's. `limit`: more questions than that end the run; 0: no limit.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        queue: Queue,
        wakeups: Wakeups,
        token: CancellationToken,
        give_up: Callable[[Exception], None],
        journal: RunJournal,
        salt: str,
        limit: int = 0,
    ) -> None:
        self.transcript = Transcript()
        self.outcomes = Outcomes()
        self._journal = journal
        self._activity = journal.activity
        self._limit = limit
        self._salt = salt
        self._store = store
        self._queue = queue
        self._lease = lease
        self._wakeups = wakeups
        self._token = token
        self._give_up = give_up
        self._asked: Counter[str] = Counter()
        self._humans: set[str] = set()

    def human(self, name: str, title: str) -> "Human":
        """A human who is asked at this desk."""
        self._humans.add(name)
        return Human(self, name, title)

    async def before(self, human: "Human", request_id: str) -> BaseChatMessage | None:
        """Return the words before AutoGen's question of this id, as the stream has them.

        A question that comes in no stream ends the run, because its words would be waited for for ever.
        """
        try:
            async with asyncio.timeout(HEARD_WITHIN.total_seconds()):
                return await self.transcript.before(request_id)
        except TimeoutError as never:
            self._give_up(
                WrongTeam(
                    f"“{human.name}” is asked inside something that keeps its words to itself, so nobody could be "
                    "shown what to judge, and the run has ended. What was done before stays done. Let "
                    f'`run.reviewer("{human.name}")` ask there, which is told the words by its team.'
                )
            )
            raise asyncio.CancelledError from never

    async def ask(
        self, human: "Human", words: BaseChatMessage | None, cancellation_token: CancellationToken | None
    ) -> Request:
        """Ask about the words and return the settled request; CancelledError if the run ends or is lost first."""
        return await self.put(self.question(human, words), cancellation_token)

    async def put(
        self, question: Question, cancellation_token: CancellationToken | None = None, team_says: str = Effect.ASK
    ) -> Request:
        """Ask a question and return its settled request; the same question is the same request. `team_says` is for the
        record: what the team's own code wanted of it. Refused, if it is about a call that the policy refuses by now."""
        settled = asyncio.ensure_future(self._settled(question, team_says))
        self._token.link_future(settled)
        if cancellation_token is not None and cancellation_token is not self._token:
            cancellation_token.link_future(settled)
        request = await settled
        if question.call is None and question.kind not in ABOUT_THE_RUN:
            self.outcomes.add(outcome_of(question.kind, question.agent, request), answer(request))
        return request

    def question(
        self,
        human: "Human",
        words: BaseChatMessage | None,
        *,
        kind: Kind = Kind.MESSAGE,
        title: str = "",
        content: str | None = None,
        offers: tuple[Verb, ...] = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND),
        notes: tuple[str, ...] = (),
    ) -> Question:
        """Make the next question about these words; `content` is what people read if it is not just them."""
        agent = human.name if words is None or words.source == "user" else words.source
        title = title or human.title or f"{agent} wants an answer"
        if len(self._humans) > 1 and agent != human.name:
            # Two humans may be asked about the same words at once: each question has a place of its own.
            agent = asking(agent, human.name)
        asked = self._asked[agent]
        self._asked[agent] += 1
        if content is None:
            content = "" if words is None else words.to_text()
        content = self.outcomes.for_people(content)
        return Question(agent, asked, kind, title, content, offers, notes=notes)

    async def _settled(self, question: Question, team_says: str) -> Request:
        of_team = question.kind not in ABOUT_THE_RUN
        asked = request_id(self._lease.run, salted(question, self._salt))
        key = self._journal.key("human", question.agent, asked) if of_team else ""
        try:
            if of_team:
                await self._journal.unless_left(key)
                await self._journal.mark()
            with self._activity.working():
                await self._journal.behind.written()
                request = await patiently(
                    lambda: usecases.ask(self._store, self._lease, question, self._limit, team_says)
                )
            if of_team:  # a question that the policy refuses is asked by nobody when the run is rebuilt
                self._journal.asking(key)
            if request.status is Status.PENDING:
                with self._activity.asking(request.id):
                    request = await self._wait(request)
            with self._activity.working():

                async def deliver() -> None:
                    await patiently(lambda: usecases.answered(self._store, self._lease, request))

                if of_team:
                    await self._journal.arrived(key, deliver)
                else:
                    await deliver()
        except asyncio.CancelledError:
            if not self._journal.let_go():
                self._taken_back(asked, key)
            raise
        except CountersignError as error:
            if isinstance(error, Refused) and error.refusal is Refusal.BY_POLICY and question.call is not None:
                raise  # the call is denied, and the run goes on
            self._give_up(error)
            raise asyncio.CancelledError from error
        return request

    def _taken_back(self, request: RequestId, key: str) -> None:
        """Record that nobody waits for the answer any more, and spare people the decision."""

        async def take_back() -> None:
            await patiently(lambda: usecases.take_back(self._store, self._lease, request, _GONE))

        if key:
            self._journal.leave(key)
        self._journal.behind.write(take_back)

    async def _wait(self, request: Request) -> Request:
        pause = AT_LEAST
        while True:
            left: float | None = None
            if request.deadline is not None:
                now = await patiently(self._store.now)
                left = max((request.deadline - now).total_seconds(), pause)
                pause = AT_LEAST if now < request.deadline else LOOK_AGAIN
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    return await patiently(lambda: self._wakeups.settled(request.id))
            # Whoever looks first settles what is due, so that a run does not depend on the other process.
            seen = await patiently(lambda: usecases.expire(self._store, self._queue, request.id))
            if seen is not None and seen.status is not Status.PENDING:
                return seen


class Human:
    """A human of a run: give `input_func` to AutoGen's UserProxyAgent, or use `Reviewer`, which does more."""

    def __init__(self, desk: Desk, name: str, title: str) -> None:
        self.name = name
        self.title = title
        self.desk = desk

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        """Shows people the last words before the question, and returns the fixed text about their decision.

        In a GraphFlow with branches that go on at once, "last" is by the stream; `Reviewer` knows better.
        """
        before = asyncio.ensure_future(self.desk.before(self, UserProxyAgent.InputRequestContext.request_id()))
        if cancellation_token is not None:
            cancellation_token.link_future(before)
        return answer(await self.desk.ask(self, await before, cancellation_token))


class Reviewer(UserProxyAgent):
    """AutoGen's UserProxyAgent for a `Human` who judges: shows exactly the last message it was sent, and puts the
    decision into the metadata of what it says, where `DecisionTermination` and other code read it."""

    def __init__(self, human: Human, *, description: str = "The people who approve, reject or answer") -> None:
        super().__init__(human.name, description=description, input_func=human.input_func)
        self._human = human

    async def on_messages_stream(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | Response, None]:
        """Asks, waits, and answers: to whoever handed over, if somebody did."""
        handoff = self._get_latest_handoff(messages)
        yield UserInputRequestedEvent(request_id=str(uuid.uuid4()), source=self.name)
        words = messages[-1] if messages else self._human.desk.transcript.last
        request = await self._human.desk.ask(self._human, words, cancellation_token)
        text, metadata = answer(request), metadata_of(decided(request))
        if handoff is None:
            yield Response(chat_message=TextMessage(content=text, source=self.name, metadata=metadata))
        else:
            yield Response(
                chat_message=HandoffMessage(content=text, target=handoff.source, source=self.name, metadata=metadata)
            )
