"""The questions of one run's humans.

A question is asked in the store and waited for in this process; the answer is the fixed text of
`countersign.domain.texts_for_models`. Nothing but the end of the run, or its loss to another worker, ends a wait
early: a lost store is waited out, a timeout is an answer.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from autogen_agentchat.messages import BaseChatMessage
from autogen_core import CancellationToken

from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import CountersignError, Refused
from countersign.domain.ids import RequestId
from countersign.domain.question_salts import asking, salted
from countersign.domain.redaction import hide
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request, Status, Verb, request_id
from countersign.domain.run_calls import Ask, Deliver, TakeBack
from countersign.domain.texts_for_models import answer
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.run_outcomes import Outcomes, outcome_of
from countersign.frameworks.autogen.people.transcript import Transcript

_GONE: Final = "the run has gone on without an answer"
QuestionTitle = str | Callable[[str], str]
"""The title of a question, or a function that makes it of the message: quick, and the same for the same message."""


class Asker(Protocol):
    """A human of the team, who asks under this title.

    With `edit` people may change the message.
    """

    name: str
    title: QuestionTitle
    edit: bool


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A content that people did not approve, and their words.

    The card of the next version shows both.
    """

    content: str = ""
    words: str = ""


class RunQuestions:
    """The place where the humans of one run put their questions."""

    def __init__(self, held: HeldRun) -> None:
        self.held: Final = held
        self.transcript = Transcript()
        self.outcomes = Outcomes()
        self._journal = held.journal
        self._asked: Counter[str] = Counter()
        self._humans: set[str] = set()
        self._not_approved: dict[str, EarlierVersion] = {}

    def add_human(self, name: str) -> None:
        """Note that this human is asked here."""
        if not self._journal.inside:  # a rebuilt run may skip what makes this one
            self._humans.add(name)

    async def ask(
        self, human: Asker, words: BaseChatMessage | None, cancellation_token: CancellationToken | None
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
        team_says: str = Action.ASK,
        *,
        begins: bool = False,
        left: str = "",
    ) -> Request:
        """Ask a question and return its settled request; equal questions are one request.

        `team_says` is for the record: the verdict of the team's own code. `begins`: an action that is approved begins
        at once, and its beginning delivers the approval. `left`: the key that records that the team left the question,
        if it is not the question's own. Refused, if the question is about a call that the policy refuses by now.
        """
        question = salted(question, self.held.run.salt)
        id = request_id(self.held.run.id, question)
        key = "" if question.kind in ABOUT_THE_RUN else self._journal.key("human", question.agent, id)

        async def settle() -> Request:  # whose task may be cancelled before it begins
            answered = self._answered(question, id, key, team_says, begins=begins, left=left or key)
            return await self._journal.shielded(key, answered)

        settled = asyncio.ensure_future(settle())
        for token in {self.held.token, cancellation_token or self.held.token}:
            token.link_future(settled)
        request = await self._journal.shielded(key, settled)
        if question.call is None and question.kind not in ABOUT_THE_RUN:
            self.outcomes.add(outcome_of(question.kind, question.agent, request), answer(request))
        return request

    def question(
        self,
        human: Asker,
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
                request = await self.held.call(Ask(question, self.held.settings.requests, team_says))
            if of_team:  # a question that the policy refuses is asked by nobody when the run is rebuilt
                self._journal.begin_wait(key)
            if request.status is Status.PENDING:
                with activity.asking(request.id):
                    request = await self.held.service.settled(request.id)
            with activity.working():

                async def deliver() -> None:
                    if not (begins and request.status is Status.APPROVED):
                        await self.held.call(Deliver(id))

                if of_team:
                    await self._journal.record_answer(key, deliver)
                else:
                    await deliver()
        except asyncio.CancelledError:
            if not self._journal.is_leaving():  # nobody waits for the answer any more: people are spared the decision
                if left:
                    self._journal.abandon(left)
                self.held.call_behind(TakeBack(id, _GONE))
            raise
        except CountersignError as error:
            if isinstance(error, Refused) and error.refusal is Refusal.BY_POLICY and question.call is not None:
                raise  # the call is denied, and the run goes on
            self.held.abort(error)
            raise asyncio.CancelledError from error
        return request

    def not_done(self, request: Request, why: str) -> None:
        """Tell people that their change was refused, so nothing was done."""
        self.held.call_behind(Deliver(request.id, " ".join(hide(why)[0].split())))
