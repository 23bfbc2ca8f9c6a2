"""The outcomes of what a team's agents wanted, as values that code reads (R31).

No code reads a text that was written for a model. Who judges or asks (the gate, tools, executors, questions) adds each
outcome as it comes, in a rebuilt run again, with the text that the model gets. Where people are shown words of agents,
those texts stand in them as they were given, and a sentence for people takes their place.
"""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from countersign.domain.calls import in_words
from countersign.domain.diffs import changes
from countersign.domain.request_endings import Decided, decided
from countersign.domain.requests import Kind, Request, Status

CALL: Final[ContextVar[tuple[str, str]]] = ContextVar("call", default=("", ""))
"""Tool and call of a model's, around a tool that asks people itself."""


class OutcomeKind(StrEnum):
    """The kinds of outcomes; for a question, DONE is that people agreed or chose."""

    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    """By a policy."""


_BY_STATUS: Final = {
    Status.REJECTED: OutcomeKind.REJECTED,
    Status.ANSWERED: OutcomeKind.ANSWERED,
    Status.EXPIRED: OutcomeKind.EXPIRED,
    Status.WITHDRAWN: OutcomeKind.WITHDRAWN,
}
_WHY_NOT: Final = {
    OutcomeKind.REJECTED: "it was rejected",
    OutcomeKind.ANSWERED: "people answered instead of approving it",
    OutcomeKind.EXPIRED: "nobody answered in time",
    OutcomeKind.WITHDRAWN: "the question was taken back",
    OutcomeKind.REFUSED: "the rules of this team do not allow it",
}
_ACTIONS: Final = frozenset({Kind.TOOL, Kind.CODE, Kind.MESSAGE})
_OF_WORDS: Final = {
    OutcomeKind.DONE: "People approved this.",
    OutcomeKind.REJECTED: "People rejected this.",
    OutcomeKind.ANSWERED: "People answered.",
    OutcomeKind.EXPIRED: "Nobody answered in time.",
    OutcomeKind.WITHDRAWN: "The question was taken back.",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one call, one execution of code, or one question of an agent.

    `tool` and `call` are empty for what no model called. `decision` is None where nobody was asked; `changes` are what
    a reviewer changed, a line each. `result` is what was returned, or how it failed; `reason` is the policy's own.
    """

    agent: str
    kind: Kind
    became: OutcomeKind
    tool: str = ""
    call: str = ""
    decision: Decided | None = None
    changes: tuple[str, ...] = ()
    result: str = ""
    reason: str = ""

    @property
    def action(self) -> str:
        """The tool's name as words, for people."""
        return in_words(self.tool)

    @property
    def why_not(self) -> str:
        """The reason why it was not done, to follow “because”; else empty."""
        return _WHY_NOT.get(self.became, "") + (f": “{self.reason.rstrip('.')}”" if self.reason else "")

    @property
    def words(self) -> str:
        """The words that people gave with their decision."""
        return self.decision.words if self.decision else ""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The options that people chose."""
        return self.decision.chosen if self.decision else ()

    @property
    def sentence(self) -> str:
        """The outcome as a sentence for people."""
        words = f" Reason: “{self.words}”" if self.words else ""
        if self.chosen:
            return f"People chose: {', '.join(self.chosen)}.{words}"
        if self.kind not in (Kind.TOOL, Kind.CODE):
            return f"{_OF_WORDS.get(self.became, 'The question was decided.')}{words}"
        name = "The code" if self.kind is Kind.CODE else f"“{self.action}”"
        if self.why_not:
            return f"{name} was not {'run' if self.kind is Kind.CODE else 'done'}: {self.why_not}.{words}"
        changed = f"{name} was changed by a reviewer: {'; '.join(self.changes)}.{words} " if self.changes else ""
        return f"{changed}{f'{name} failed: ' if self.became is OutcomeKind.FAILED else ''}{self.result}"


def outcome_of(
    kind: Kind,
    agent: str,
    request: Request | None,
    became: OutcomeKind | None = None,
    called: tuple[str, str] | None = None,
) -> Outcome:
    """Return the outcome of the action or question that the request is about, if any.

    Unless given, `became` follows from the decision. `called` are tool and call, if they differ from what the request
    shows.
    """
    tool, call = called or CALL.get()
    if request is None:
        return Outcome(agent, kind, became or OutcomeKind.DONE, tool, call)
    decision = decided(request)
    became = became or (OutcomeKind.DONE if decision.chosen else _BY_STATUS.get(request.status, OutcomeKind.DONE))
    return Outcome(agent, kind, became, tool, call, decision, tuple(changes(request)))


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of a run: a `result` for the requester, and the agents' last `words`.

    `state` is the word for it in the head of the run's thread, like `Sent`, or an `OutcomeKind`; without one it follows
    from what people decided. `files` are texts for the thread, by name. Words are a summary, or,
    if their first line is `Draft (not sent)`, a text that nobody got.
    """

    result: str
    words: str = ""
    state: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


class Outcomes:
    """The outcomes of one run, in the order in which they came."""

    def __init__(self) -> None:
        self.marks: set[str] = set()
        """Last lines by which agents tell code something; people do not read them."""
        self.done_words: dict[str, str] = {}
        """The word for what was done, like `sent`, by the name of its tool, or by the id of what people approved."""
        self._all: list[Outcome] = []
        self._sentences: dict[str, str] = {}

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def of(self, tool: str, *tools: str) -> list[Outcome]:
        """List the outcomes of calls of these tools, oldest first."""
        return [outcome for outcome in self._all if outcome.tool in (tool, *tools)]

    def last(self, tool: str, *tools: str) -> Outcome | None:
        """Return the newest outcome of calls of these tools; None if there is none."""
        return next(reversed(self.of(tool, *tools)), None)

    def conclusion(self, end: Conclusion) -> Conclusion:
        """Return the run's end for people, with refusals that nothing else tells them."""
        result, words = self.for_people(end.result), self.for_people(end.words)
        refused = [o for o in self._all if o.became is OutcomeKind.REFUSED and o.reason]
        untold = dict.fromkeys(o.sentence for o in refused if o.reason.rstrip(".") not in result + words)
        return Conclusion(" ".join([result, *untold]), words, end.state or self._state(), end.files)

    def done_word(self, request: Request) -> str:
        """Return the word for it where the action is done; empty if no team said one."""
        call = request.question.call
        default = "ran" if request.question.kind is Kind.CODE else ""
        return self.done_words.get(request.id) or self.done_words.get(call.tool if call else "", default)

    def _state(self) -> str:
        """Say how the run ended for the people who were asked.

        If something that they allowed was done, it is the word of its tool, unless the last one came to nothing.
        """
        asked = [o for o in self._all if o.decision is not None and o.kind in _ACTIONS]
        became = {o.became for o in asked}
        if OutcomeKind.DONE not in became:
            return next(
                (one for one in (OutcomeKind.FAILED, OutcomeKind.EXPIRED, OutcomeKind.REJECTED) if one in became), ""
            )
        last = asked[-1]
        word = self.done_words.get(last.tool, "") if last.became is OutcomeKind.DONE else ""
        return word[:1].upper() + word[1:]

    def add(self, outcome: Outcome, text: str = "") -> None:
        """One more; `text` is what the model is told of it."""
        self._all.append(outcome)
        self.told(text, outcome.sentence)

    def told(self, text: str, sentence: str) -> None:
        """A text that a model gets, and what people read instead."""
        if text.strip():
            self._sentences[text] = sentence

    def for_people(self, words: str) -> str:
        """Words of an agent, as people read them."""
        for text, sentence in reversed(self._sentences.items()):
            words = words.replace(text, sentence)
        lines = words.rstrip().split("\n")
        while lines and lines[-1].strip() in (self.marks | {""}):
            lines.pop()
        return "\n".join(lines) if self.marks else words
