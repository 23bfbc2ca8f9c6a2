"""The human as AutoGen sees one: an `input_func` or an agent.

A question is asked in the store and waited for in this process; the answer is the fixed text of
`countersign.domain.texts_for_models`. Nothing but the end of the run, or its loss to another worker, ends a wait
early: a lost store is waited out, a timeout is an answer.
"""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    HandoffMessage,
    TextMessage,
    UserInputRequestedEvent,
)
from autogen_core import CancellationToken

from countersign import usecases
from countersign.autogen.people.action_outcomes import Outcomes, outcome_of
from countersign.autogen.people.decision_messages import metadata_of
from countersign.autogen.people.transcript import Transcript
from countersign.domain.errors import ActionFailed, CountersignError, Refused, WrongTeam
from countersign.domain.ids import RequestId
from countersign.domain.question_salts import asking, salted
from countersign.domain.redaction import hide
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.request_endings import decided
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request, Status, Verb, request_id
from countersign.domain.texts_for_models import answer
from countersign.policy.evaluation import Effect
from countersign.replay.run_journal import RunJournal
from countersign.usecases.ports import Lease, Queue, Store, Wakeups
from countersign.usecases.store_outages import patiently

AT_LEAST: Final = 0.01
"""Seconds between two looks at a deadline that the server's clock has not quite reached."""
LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at one that passed and that only web may settle; its hint comes at once."""
_GONE: Final = "the run has gone on without an answer"
Asking = str | Callable[[str], str]
"""What people are asked about words, or what makes it of them: quick, and the same for the same words."""
HEARD_WITHIN: Final = timedelta(minutes=1)
"""The event of a question comes a few rounds of the event loop after the question, in a busy process too."""


class RunQuestions:
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
        self._sent_back: dict[str, tuple[str, str]] = {}

    def human(self, name: str, title: Asking, *, edit: bool = False) -> "Human":
        """Return a human who is asked here; `edit`: they may change the words."""
        self._humans.add(name)
        return Human(self, name, title, edit=edit)

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
        """Ask about the words; return the settled request, unless the run ends first."""
        question = self.question(human, words)
        before, reply = self._sent_back.pop(question.agent, ("", ""))
        request = await self.put(replace(question, before=before, reply=reply), cancellation_token)
        if request.status in (Status.ANSWERED, Status.REJECTED) and request.decision is not None:
            self._sent_back[question.agent] = question.content, request.decision.words
        return request

    async def put(
        self, question: Question, cancellation_token: CancellationToken | None = None, team_says: str = Effect.ASK
    ) -> Request:
        """Ask a question and return its settled request; equal questions are one request.

        `team_says` is for the record: the verdict of the team's own code. Refused, if the question is about a call that
        the policy refuses by now.
        """
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
        offers: tuple[Verb, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> Question:
        """Make the next question about these words; `content` is for people if different."""
        speaker = agent = human.name if words is None or words.source == "user" else words.source
        if len(self._humans) > 1 and agent != human.name:
            # Two humans may be asked about the same words at once: each question has a place of its own.
            agent = asking(agent, human.name)
        asked = self._asked[agent]
        self._asked[agent] += 1
        spoken = "" if words is None else words.to_text()
        content = self.outcomes.for_people(spoken if content is None else content)
        own = human.title(content) if callable(human.title) else human.title
        title = title or own or f"Approve this message of {speaker}?"
        if not offers:
            offers = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND, *((Verb.EDIT,) if human.edit else ()))
        return Question(agent, asked, kind, title, content, offers, notes=notes)

    async def _settled(self, question: Question, team_says: str) -> Request:
        of_team = question.kind not in ABOUT_THE_RUN
        question = salted(question, self._salt)
        asked = request_id(self._lease.run, question)
        key = self._journal.key("human", question.agent, asked) if of_team else ""
        try:
            if of_team:
                await self._journal.unless_left(key)
                await self._journal.mark()
            with self._activity.working():
                await self._journal.late_writes.written()
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
            if not self._journal.is_leaving():
                self._taken_back(asked, key)
            raise
        except CountersignError as error:
            if isinstance(error, Refused) and error.refusal is Refusal.BY_POLICY and question.call is not None:
                raise  # the call is denied, and the run goes on
            self._give_up(error)
            raise asyncio.CancelledError from error
        return request

    def report(self, request: Request, words: str, *, failed: bool = False) -> None:
        """Tell people what came of what they approved, while the agents go on."""
        outcome = self._store, self._lease, request.id, " ".join(hide(words)[0].split())

        async def write() -> None:
            await patiently(lambda: usecases.report(*outcome, failed=failed, done=self.outcomes.done_word(request)))

        self._journal.late_writes.write(write)

    async def reported(self, request: Request | None, doing: Awaitable[str]) -> str:
        """Do what people approved, if they did, and tell them what came of it."""
        try:
            result = await doing
        except ActionFailed as failure:
            if request is not None:
                self.report(request, str(failure), failed=True)
            raise
        if request is not None:
            self.report(request, result)
        return result

    def _taken_back(self, request: RequestId, key: str) -> None:
        """Record that nobody waits for the answer any more, and spare people the decision."""

        async def take_back() -> None:
            await patiently(lambda: usecases.take_back(self._store, self._lease, request, _GONE))

        if key:
            self._journal.leave(key)
        self._journal.late_writes.write(take_back)

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
    """A human of a run, for UserProxyAgent's `input_func`; `Reviewer` does more."""

    def __init__(self, questions: RunQuestions, name: str, title: Asking, *, edit: bool = False) -> None:
        self.name = name
        self.title = title
        self.edit = edit
        self.questions = questions

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        """Show people the last words before the question; return the decision's text.

        In a GraphFlow with branches that go on at once, "last" is by the stream; `Reviewer` knows better.
        """
        before = asyncio.ensure_future(self.questions.before(self, UserProxyAgent.InputRequestContext.request_id()))
        if cancellation_token is not None:
            cancellation_token.link_future(before)
        return answer(await self.questions.ask(self, await before, cancellation_token))


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
        text, metadata = answer(request), metadata_of(decided(request))
        if handoff is None:
            yield Response(chat_message=TextMessage(content=text, source=self.name, metadata=metadata))
        else:
            yield Response(
                chat_message=HandoffMessage(content=text, target=handoff.source, source=self.name, metadata=metadata)
            )
