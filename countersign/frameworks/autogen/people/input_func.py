"""The human as AutoGen sees one, who is asked by an `input_func`."""

import asyncio
from datetime import timedelta
from typing import Final

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.messages import BaseChatMessage
from autogen_core import CancellationToken

from countersign.domain.errors import WrongTeam
from countersign.domain.texts_for_models import answer
from countersign.domain.typed_answers import Keywords
from countersign.frameworks.autogen.people.run_outcomes import outcome_of
from countersign.frameworks.autogen.people.run_questions import QuestionTitle, RunQuestions

WORDS_WITHIN: Final = timedelta(minutes=1)
"""The event of a question comes a few rounds of the event loop after the question, in a busy process too."""


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
        questions.add_human(name)
        self.name = name
        self.title = title
        self.edit = edit
        self.keywords = keywords
        self.questions = questions

    async def input_func(self, prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        """Show people the last words before the question; return the decision's text.

        In a GraphFlow with branches that go on at once, "last" is by the stream; `Reviewer` knows better.
        """
        words = asyncio.ensure_future(self._words_before(UserProxyAgent.InputRequestContext.request_id()))
        if cancellation_token is not None:
            cancellation_token.link_future(words)
        request = await self.questions.ask(self, await words, cancellation_token)
        text = answer(request, self.keywords)
        if self.keywords is not None:
            self.questions.outcomes.told(text, outcome_of(request.question.kind, self.name, request).sentence)
        return text

    async def _words_before(self, request_id: str) -> BaseChatMessage | None:
        """Return the words before AutoGen's question of this id, as the stream has them.

        A question that comes in no stream ends the run, because its words would be waited for for ever.
        """
        try:
            async with asyncio.timeout(WORDS_WITHIN.total_seconds()):
                return await self.questions.transcript.words_before(request_id)
        except TimeoutError as never:
            self.questions.held.abort(
                WrongTeam(
                    f"“{self.name}” is asked inside something that keeps its words to itself, so nobody could be "
                    "shown what to judge, and the run has ended. What was done before stays done. Let "
                    f'`run.reviewer("{self.name}")` ask there, which is told the words by its team.'
                )
            )
            raise asyncio.CancelledError from never
