"""The human as AutoGen sees one, who is asked by an `input_func`.

A question is asked in the store and waited for in this process; the answer is the fixed text of
`countersign.domain.texts_for_models`. Nothing but the end of the run, or its loss to another worker, ends a wait
early: a lost store is waited out, a timeout is an answer.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, UserInputRequestedEvent
from autogen_core import CancellationToken

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import CountersignError, Refused, WrongTeam
from countersign.domain.ids import RequestId
from countersign.domain.question_salts import asking, salted
from countersign.domain.redaction import hide
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request, Status, Verb, request_id
from countersign.domain.run_calls import Ask, Deliver, TakeBack
from countersign.domain.texts_for_models import answer
from countersign.domain.typed_answers import Keywords
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.run_outcomes import Outcomes, outcome_of
from countersign.policy.evaluation import Effect

_GONE: Final = "the run has gone on without an answer"
QuestionTitle = str | Callable[[str], str]
"""What people are asked about words, or what makes it of them: quick, and the same for the same words."""
WORDS_WITHIN: Final = timedelta(minutes=1)
"""The event of a question comes a few rounds of the event loop after the question, in a busy process too."""


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A content that people did not approve, and their words.

    The card of the next version shows both.
    """

    content: str = ""
    words: str = ""


class Transcript:
    """The words of a team, in the order of its stream.

    `input_func` is told nothing of it, and the stream may deliver the event of a question after `input_func` was
    entered; so the words before a question are waited for.
    """

    def __init__(self) -> None:
        self.last: BaseChatMessage | None = None
        self.on_message: Callable[[BaseChatMessage], object] = lambda message: None
        """Called with what the teams inside of tools say, which is in no stream of this one."""
        self._on_message_outside: Callable[[BaseChatMessage], object] = lambda message: None
        self._words: dict[str, asyncio.Future[BaseChatMessage | None]] = {}

    def nested(self) -> "Transcript":
        """Return the transcript of a team inside a tool; its questions are known here too."""
        inner = Transcript()
        inner._words, inner.on_message, inner._on_message_outside = self._words, self.on_message, self.on_message
        return inner

    def record(self, item: BaseAgentEvent | BaseChatMessage | TaskResult) -> None:
        """Take down one item of the stream."""
        if isinstance(item, UserInputRequestedEvent):
            if not (slot := self._slot(item.request_id)).done():
                slot.set_result(self.last)
        elif isinstance(item, BaseChatMessage):
            self.last = item
            self._on_message_outside(item)

    async def words_before(self, request_id: str) -> BaseChatMessage | None:
        """Return the last message before AutoGen's question of this id, if any."""
        return await self._slot(request_id)

    def _slot(self, request_id: str) -> asyncio.Future[BaseChatMessage | None]:
        if request_id not in self._words:
            self._words[request_id] = asyncio.get_running_loop().create_future()
        return self._words[request_id]


class RunQuestions:
    """The place where the humans of one run put their questions."""

    def __init__(self, held: HeldRun) -> None:
        self.transcript = Transcript()
        self.outcomes = Outcomes()
        self._held = held
        self._journal = held.journal
        self._asked: Counter[str] = Counter()
        self._humans: set[str] = set()
        self._not_approved: dict[str, EarlierVersion] = {}

    def human(
        self, name: str, title: QuestionTitle, *, edit: bool = False, keywords: Keywords | None = None
    ) -> "Human":
        """Return a human who is asked here; `edit`: they may change the words."""
        if not self._journal.inside:  # a rebuilt run may skip what makes this one
            self._humans.add(name)
        return Human(self, name, title, edit=edit, keywords=keywords)

    async def words_before(self, human: "Human", request_id: str) -> BaseChatMessage | None:
        """Return the words before AutoGen's question of this id, as the stream has them.

        A question that comes in no stream ends the run, because its words would be waited for for ever.
        """
        try:
            async with asyncio.timeout(WORDS_WITHIN.total_seconds()):
                return await self.transcript.words_before(request_id)
        except TimeoutError as never:
            self._held.abort(
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
        earlier = self._not_approved.pop(question.agent, EarlierVersion())
        question = replace(question, before=earlier.content, reply=earlier.words)
        request = await self.put(question, cancellation_token)
        if request.status in (Status.ANSWERED, Status.REJECTED) and request.decision is not None:
            self._not_approved[question.agent] = EarlierVersion(question.content, request.decision.words)
        return request

    async def put(
        self,
        question: Question,
        cancellation_token: CancellationToken | None = None,
        team_says: str = Effect.ASK,
        *,
        begins: bool = False,
        left: str = "",
    ) -> Request:
        """Ask a question and return its settled request; equal questions are one request.

        `team_says` is for the record: the verdict of the team's own code. `begins`: an action that is approved begins
        at once, and its beginning delivers the approval. `left`: the key that records that the team left the question,
        if it is not the question's own. Refused, if the question is about a call that the policy refuses by now.
        """
        question = salted(question, self._held.run.salt)
        id = request_id(self._held.run.id, question)
        key = "" if question.kind in ABOUT_THE_RUN else self._journal.key("human", question.agent, id)

        async def settle() -> Request:  # whose task may be cancelled before it begins
            answered = self._answered(question, id, key, team_says, begins=begins, left=left or key)
            return await self._journal.shielded(key, answered)

        settled = asyncio.ensure_future(settle())
        for token in {self._held.token, cancellation_token or self._held.token}:
            token.link_future(settled)
        request = await self._journal.shielded(key, settled)
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
        if self._journal.inside or (len(self._humans) > 1 and agent != human.name):
            # Two humans may be asked about the same words at once: each question has a place of its own.
            agent = asking(agent, self._journal.place(human.name))
        number = self._asked[agent]
        self._asked[agent] += 1
        if content is None:
            content = "" if words is None else words.to_text()
        content = self.outcomes.for_people(content)
        own_title = human.title(content) if callable(human.title) else human.title
        title = title or own_title or f"Approve this message of {speaker}?"
        if not offers:
            offers = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND, *((Verb.EDIT,) if human.edit else ()))
        return Question(agent, number, kind, title, content, offers, notes=notes)

    async def _answered(
        self, question: Question, id: RequestId, key: str, team_says: str, *, begins: bool, left: str
    ) -> Request:
        of_team, activity = bool(key), self._journal.activity
        try:
            if of_team:
                await self._journal.wait_if_abandoned(key)
                await self._journal.record_ended_turns()
            with activity.working():
                await self._journal.late_writes.written()
                request = await self._held.call(Ask(question, self._held.settings.requests, team_says))
            if of_team:  # a question that the policy refuses is asked by nobody when the run is rebuilt
                self._journal.begin_wait(key)
            if request.status is Status.PENDING:
                with activity.asking(request.id):
                    request = await self._held.service.settled(request.id)
            with activity.working():

                async def deliver() -> None:
                    if not (begins and request.status is Status.APPROVED):
                        await self._held.call(Deliver(id))

                if of_team:
                    await self._journal.record_answer(key, deliver)
                else:
                    await deliver()
        except asyncio.CancelledError:
            if not self._journal.is_leaving():  # nobody waits for the answer any more: people are spared the decision
                if left:
                    self._journal.abandon(left)
                self._held.call_behind(TakeBack(id, _GONE))
            raise
        except CountersignError as error:
            if isinstance(error, Refused) and error.refusal is Refusal.BY_POLICY and question.call is not None:
                raise  # the call is denied, and the run goes on
            self._held.abort(error)
            raise asyncio.CancelledError from error
        return request

    def not_done(self, request: Request, why: str) -> None:
        """Tell people that their change was refused, so nothing was done."""
        self._held.call_behind(Deliver(request.id, " ".join(hide(why)[0].split())))


class Human:
    """A human of a run, for UserProxyAgent's `input_func`; a `Reviewer` does more."""

    def __init__(
        self,
        questions: RunQuestions,
        name: str,
        title: QuestionTitle,
        *,
        edit: bool = False,
        keywords: Keywords | None = None,
    ) -> None:
        self.name = name
        self.title = title
        self.edit = edit
        self.keywords = keywords
        self.questions = questions

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        """Show people the last words before the question; return the decision's text.

        In a GraphFlow with branches that go on at once, "last" is by the stream; `Reviewer` knows better.
        """
        words = asyncio.ensure_future(
            self.questions.words_before(self, UserProxyAgent.InputRequestContext.request_id())
        )
        if cancellation_token is not None:
            cancellation_token.link_future(words)
        request = await self.questions.ask(self, await words, cancellation_token)
        text = answer(request, self.keywords)
        if self.keywords is not None:
            self.questions.outcomes.told(text, outcome_of(request.question.kind, self.name, request).sentence)
        return text
