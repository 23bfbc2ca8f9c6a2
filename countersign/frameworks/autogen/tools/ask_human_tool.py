"""The tool `ask_human`, by which a model asks people, in words or with options."""

from dataclasses import replace
from typing import Annotated, Any, Final

from autogen_core import CancellationToken
from autogen_core.tools import BaseTool
from pydantic import BaseModel, Field

from countersign.domain.errors import ActionFailed, CountersignError
from countersign.domain.ids import digest_of
from countersign.domain.question_salts import asking
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.domain.texts_for_models import answer
from countersign.frameworks.autogen.tools.approval_gate import Gate
from countersign.frameworks.autogen.tools.workbenches import AsksItself
from countersign.runs.entries import Entry, Numbered

LONGEST_OPTION: Final = 75
"""Characters: what Slack shows of one; two that differ only behind that would look the same."""
MOST_OPTIONS: Final = 100
LONGEST_QUESTION: Final = 10_000
_DESCRIPTION: Final = (
    "Ask people a question and wait for their answer. With options they choose one of them, or some if several is "
    "true. The answer is never an approval of anything else."
)


class AskHumanArguments(BaseModel):
    """The arguments of `ask_human`."""

    question: Annotated[str, Field(description="The whole question, with everything needed to answer it.")]
    options: Annotated[
        list[str] | None,
        Field(description=f"What may be chosen: at most {MOST_OPTIONS}, each of at most {LONGEST_OPTION} characters."),
    ] = None
    several: Annotated[bool, Field(description="Whether more than one option may be chosen.")] = False


class AskHuman(BaseTool[AskHumanArguments, Any], AsksItself):
    """The tool for the agent of this name.

    The same question, asked again while it waits, is the same request.
    """

    def __init__(self, agent: str, gate: Gate) -> None:
        super().__init__(AskHumanArguments, str, "ask_human", _DESCRIPTION)
        self._agent = agent
        self._gate = gate
        self._open: dict[str, int] = {}

    async def run(self, args: AskHumanArguments, cancellation_token: CancellationToken) -> str:
        """Ask people; return the fixed text about their answer.

        ActionFailed if the question cannot be asked so.
        """
        question = args.question.strip()
        if not question or len(question) > LONGEST_QUESTION:
            raise ActionFailed(
                f"Nobody was asked: a question has at least one character and at most {LONGEST_QUESTION:,}."
            )
        options = _options(args.options or [])
        return answer(await self.put(question, options, several=args.several, cancellation_token=cancellation_token))

    async def put(
        self,
        question: str,
        options: tuple[str, ...] = (),
        *,
        several: bool = False,
        yes_no: bool = False,
        cancellation_token: CancellationToken | None = None,
    ) -> Request:
        """Ask people; return the settled request. `yes_no`: they may approve it too."""
        several = several and len(options) > 1
        journal = self._gate.held.journal
        content = journal.place(digest_of(question, str(several), *options))
        key = journal.key(Numbered.KIND, self._agent, content)
        entry = journal.use(key)
        if entry is None:
            number = self._open[content] if content in self._open else self._gate.numbered.number()
            self._open[content] = number
            entry = await journal.record(key, Entry("done", Numbered(number, content).dump()))
        number = self._open[content] = Numbered.load(entry.value).number
        request = self._question(number, question, options, several)
        if yes_no:
            request = replace(request, offers=(Verb.APPROVE, *request.offers))
        try:
            return await self._gate.questions.put(request, cancellation_token)
        except CountersignError as error:
            self._gate.held.abort(error)
            raise
        finally:
            self._open.pop(content, None)

    def _question(self, number: int, question: str, options: tuple[str, ...], several: bool) -> Question:
        title = " ".join(question.split())
        if options:
            offers = (Verb.CHOOSE, Verb.RESPOND, Verb.REJECT)
            return Question(self._agent, number, Kind.CHOICE, title, question, offers, options=options, several=several)
        # Its place is beside those of the questions about what the agent said.
        agent = asking(self._agent, "people")
        return Question(agent, number, Kind.MESSAGE, title, question, (Verb.RESPOND, Verb.REJECT))


def _options(given: list[str]) -> tuple[str, ...]:
    options = tuple(dict.fromkeys(text for option in given if (text := " ".join(option.split()))))
    if given and not options:
        raise ActionFailed("Nobody was asked: all of the options are empty.")
    if len(options) > MOST_OPTIONS:
        raise ActionFailed(
            f"Nobody was asked: {len(options)} options are more than the {MOST_OPTIONS} that can be shown."
        )
    if long := next((option for option in options if len(option) > LONGEST_OPTION), None):
        raise ActionFailed(
            f"Nobody was asked: the option “{long[:LONGEST_OPTION]}…” has more than {LONGEST_OPTION} characters. Make "
            "it shorter, and put what is needed to choose into the question."
        )
    return options
