"""The texts that a model reads about decisions, by kind of question and outcome.

All texts differ. A text leaves nothing to guess (R16, R17): the decision, the deciders, the reason, what to do next and
what not to do. Text by people is quoted, line by line, so that it cannot pose as the decision.

Programs look for keywords in these texts, so a text contains a keyword like “approved” or “rejected” only if that was
the decision (R38). All other texts say “allowed”, and a dot splits the keywords in people's own text.

`docs/decision-texts.md` shows them as a table. Waiting runs are rebuilt with these texts. A changed text changes their
models' next questions, so change texts rarely.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from countersign.domain.diffs import changes
from countersign.domain.errors import InvalidInput
from countersign.domain.request_endings import Decided, decided
from countersign.domain.requests import How, Kind, Request, Status
from countersign.domain.typed_answers import Keywords, apart

CHANGED: Final = "What was changed:"
Outcome = Status | Literal["approved by timeout", "approved in advance", "chosen"]


@dataclass(frozen=True, slots=True)
class Text:
    """The text for one outcome.

    `title` is the first line, `facts` state the decision, the deciders (`{by}`) and the time (`{at}`), and `then` says
    what to do next.
    """

    title: str
    facts: str
    then: str


_NOT_ALLOWED: Final = (
    "Do not: bring about this outcome in any other way, in parts, in other words or through another agent or tool; "
    "by any other way it is refused too. Silence is not consent."
)
_APPROVED_NEXT: Final = (
    "Do next: go on with exactly the content that was shown, unchanged.\n"
    "Do not: change it, add to it, or do anything else that needs approval without asking again."
)
_RAN_NEXT: Final = (
    "Do next: go on with its result.\n"
    "Do not: do it again, or anything else that needs approval, without asking again: one approval is for one action."
)
_SAY_IT: Final = "Do next: say in a sentence that it was not done and why, and do only what does not need it.\n"
_SAY_NOBODY: Final = "Do next: say in a sentence that nobody answered in time and that it was not done.\n"

_EXPIRED: Final = "Nobody answered until {at}. Nobody has decided: it is neither allowed nor turned down."
_WITHDRAWN: Final = Text(
    "WITHDRAWN",
    "The question was taken back at {at} before anybody decided; nothing is allowed.",
    "Do next: nothing that needed this answer.\n" + _NOT_ALLOWED,
)

_MESSAGE: Final[dict[Outcome, Text]] = {
    Status.APPROVED: Text("APPROVED", "Approved by {by} at {at}.", _APPROVED_NEXT),
    "approved by timeout": Text(
        "APPROVED BY TIMEOUT",
        "Nobody answered until {at}. This channel's settings say that the content then counts as approved; no person "
        "has seen it.",
        _APPROVED_NEXT,
    ),
    Status.EDITED: Text(
        "APPROVED WITH CHANGES",
        "Approved by {by} at {at}, but changed. Only the changed content is approved; what was asked for is not.",
        "Do next: go on with exactly the changed content.\n" + _NOT_ALLOWED,
    ),
    Status.REJECTED: Text(
        "REJECTED", "Rejected by {by} at {at}. It was not done and must not be done.", _SAY_IT + _NOT_ALLOWED
    ),
    Status.ANSWERED: Text(
        "ANSWERED, NOT ALLOWED",
        "Answered by {by} at {at}. Nobody has allowed it, whatever the words say, and nobody has turned it down.",
        "Do next: work the reviewer's words in, and show the whole new content to be judged again.\n"
        "Do not: go on as if it were allowed.",
    ),
    Status.EXPIRED: Text("EXPIRED, NOBODY ANSWERED", _EXPIRED, _SAY_NOBODY + _NOT_ALLOWED),
    Status.WITHDRAWN: _WITHDRAWN,
}


def _action(name: str) -> dict[Outcome, Text]:
    """Return the text for an action that runs once it is approved: a call, or code."""
    upper = name.upper()
    return {
        Status.APPROVED: Text(
            f"{upper} APPROVED", f"The {name} was approved by {{by}} at {{at}}, exactly as it was shown.", _RAN_NEXT
        ),
        "approved by timeout": Text(
            f"{upper} APPROVED BY TIMEOUT",
            f"Nobody answered until {{at}}. This channel's settings say that the {name} then counts as approved; no "
            "person has seen it.",
            _RAN_NEXT,
        ),
        "approved in advance": Text(
            f"{upper} APPROVED IN ADVANCE",
            f"Nobody was asked about this {name}: {{by}} had allowed it for a time, and it was let through at {{at}}, "
            "exactly as it was asked for.",
            f"Do next: go on with its result.\n"
            f"Do not: take this for more than this one {name}; what else needs approval must be asked for again.",
        ),
        Status.EDITED: Text(
            f"{upper} APPROVED WITH CHANGES",
            f"The {name} was changed by {{by}} at {{at}}, and approved only so: what you asked for did not run and "
            f"must not run, the changed {name} was made instead.",
            "Do next: go on with the result below, which is that of the changed arguments.\n"
            f"Do not: make the {name} again as it was before the change, in any way; by any other way it is refused "
            "too.",
        ),
        Status.REJECTED: Text(
            f"{upper} REJECTED",
            f"The {name} was rejected by {{by}} at {{at}}. It did not run and must not run.",
            _SAY_IT + _NOT_ALLOWED,
        ),
        Status.ANSWERED: Text(
            f"{upper} ANSWERED, NOT ALLOWED",
            f"The {name} did not run: {{by}} answered at {{at}} instead. Nobody has allowed it, whatever the words "
            "say, and nobody has turned it down.",
            f"Do next: work the reviewer's words in, and make the whole {name} again: it is then shown to be judged "
            "again.\n"
            f"Do not: go on as if the {name} had run, or bring about its outcome in any other way.",
        ),
        Status.EXPIRED: Text(
            f"{upper} EXPIRED, NOBODY ANSWERED",
            f"The {name} did not run. {_EXPIRED}",
            _SAY_NOBODY + _NOT_ALLOWED,
        ),
        Status.WITHDRAWN: Text(
            f"{upper} WITHDRAWN",
            f"The {name} did not run: the question was taken back at {{at}} before anybody decided.",
            "Do next: nothing that needed it.\n" + _NOT_ALLOWED,
        ),
    }


_CHOICE: Final[dict[Outcome, Text]] = {
    "chosen": Text(
        "CHOSEN",
        "Chosen by {by} at {at}. Only this was said; nothing besides it is allowed.",
        "Do next: go on with exactly what was chosen.\n"
        "Do not: take another option, or do what needs approval without asking for it.",
    ),
    Status.ANSWERED: Text(
        "ANSWERED WITHOUT A CHOICE",
        "None of the options was chosen: {by} answered at {at} in their own words. Nothing is allowed, whatever the "
        "words say.",
        "Do next: work the words in; if a choice is still needed, ask again with other options.\n"
        "Do not: choose an option yourself, or go on as if one had been chosen.",
    ),
    Status.REJECTED: Text(
        "NONE OF THE OPTIONS",
        "All of the options were turned down by {by} at {at}.",
        "Do next: say in a sentence that none was chosen and why, and do only what does not need one.\n" + _NOT_ALLOWED,
    ),
    Status.EXPIRED: Text(
        "NO CHOICE, NOBODY ANSWERED",
        "Nobody answered until {at}. No option was chosen and none was turned down.",
        "Do next: say in a sentence that nobody answered in time, and do only what needs no choice.\n"
        "Do not: choose an option yourself. Silence is not consent.",
    ),
    Status.WITHDRAWN: Text(
        "NO CHOICE, WITHDRAWN",
        "The question was taken back at {at} before anybody chose.",
        "Do next: nothing that needed a choice.\nDo not: choose an option yourself. Silence is not consent.",
    ),
}
_FORM: Final[dict[Outcome, Text]] = {
    Status.EDITED: Text(
        "FILLED IN",
        "The form was filled in by {by} at {at}. Only this was said; nothing besides it is allowed.",
        "Do next: go on with exactly these values.\n"
        "Do not: change them, or do what needs approval without asking for it.",
    ),
}
TEXTS: Final[dict[Kind, dict[Outcome, Text]]] = {
    Kind.MESSAGE: _MESSAGE,
    Kind.TOOL: _action("call"),
    Kind.CODE: _action("code"),
    Kind.CHOICE: _CHOICE,
    Kind.FORM: _FORM,
}
REFUSED: Final = Text(
    "REFUSED BY POLICY",
    "The rules of this team do not allow this call of {tool}. It did not run, and nobody was asked.",
    _SAY_IT + _NOT_ALLOWED,
)
AGAIN: Final = (
    "Exactly this was decided in this run already, so nobody was asked again; asking once more changes nothing."
)


def _of(kind: Kind, outcome: Outcome) -> Text:
    """Return the text for an outcome; questions about the run use those of messages."""
    return TEXTS.get(kind, _MESSAGE).get(outcome) or _MESSAGE[outcome]


def answer(request: Request, keywords: Keywords | None = None) -> str:
    """Return the text for agents about a settled request; ValueError if it waits.

    If the team has its own keyword for this approval or rejection, the keyword is the first line.
    """
    decision = decided(request)
    kind, outcome = request.question.kind, decision.outcome
    text = _of(kind, _outcome(request, decision))
    approved = outcome in (Status.APPROVED, Status.EDITED) and kind is not Kind.FORM
    approve = (keywords or Keywords()).approve

    def said(words: str) -> str:
        return words if approved else apart(approve, words)

    parts = [f"DECISION: {text.title} " + said(f"(request {decision.request})\n{_fill(text.facts, request, decision)}")]
    if keywords is not None and (approved or outcome is Status.REJECTED):
        parts.insert(0, keywords.typed(outcome))
    if decision.chosen:
        parts.append("Chosen:\n" + quoted("\n".join(" ".join(option.split()) for option in decision.chosen)))
    if decision.content:
        parts.append(f"The changed content, quoted:\n{quoted(decision.content)}")
    elif request.status is Status.EDITED:
        heading = "Filled in:" if request.question.kind is Kind.FORM else CHANGED
        parts.append(f"{heading}\n" + "\n".join(f"- {said(line)}" for line in changes(request)))
    if decision.words:
        parts.append(f"The words given with it, quoted:\n{quoted(said(decision.words))}")
    elif outcome is Status.REJECTED:
        parts.append("No reason was given.")
    if request.rules.why:
        parts.append(
            f"Why people were asked, by the rule “{said(request.rules.clause)}”, quoted:\n"
            f"{quoted(said(request.rules.why))}"
        )
    return "\n".join([*parts, text.then])


def again(request: Request) -> str:
    """Return the text for an agent that repeats a refused request."""
    return f"{answer(request)}\n{AGAIN}"


def refused(tool: str, why: str) -> str:
    """Return the text for a call that the team's policy refused; `why` is its reason."""
    text = REFUSED
    reason = f"The policy's reason, quoted:\n{quoted(why)}" if why else "The policy gives no reason."
    facts = apart(Keywords().approve, f"{text.facts.format(tool=tool)}\n{reason}")
    return f"DECISION: {text.title}\n{facts}\n{text.then}"


def fitting(keywords: Keywords) -> Keywords:
    """Return a team's keywords. InvalidInput if the text of another outcome has one."""
    for outcome, text in _MESSAGE.items():
        approves = outcome is Status.EDITED or str(outcome).startswith("approved")
        foreign = ((keywords.approve, approves), (keywords.reject, outcome is Status.REJECTED))
        for keyword in [keyword for keyword, decided_so in foreign if not decided_so]:
            if keyword.casefold() in f"{text.title} {text.facts} {text.then}".casefold():
                raise InvalidInput(
                    f"The keyword “{keyword}” is a part of what agents read about a message that was {outcome}. "
                    "Choose another one."
                )
    return keywords


def _outcome(request: Request, decision: Decided) -> Outcome:
    if decision.outcome is Status.APPROVED and decision.how is How.TIMEOUT:
        return "approved by timeout"
    if decision.outcome is Status.APPROVED and decision.how is How.PERMISSION:
        return "approved in advance"
    return "chosen" if decision.chosen else decision.outcome


def _fill(facts: str, request: Request, decision: Decided) -> str:
    at: datetime | None = request.decision.at if request.decision else None
    if decision.how is How.TIMEOUT:
        at = request.deadline
    return facts.format(by=decision.who(), at=f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "now")


def quoted(words: str) -> str:
    """Quote a person's text, with `> ` before every line."""
    return "\n".join(f"> {line}" for line in words.splitlines())
