"""Rules for the content of an answer: a changed call or text, a choice."""

from dataclasses import dataclass

from countersign.domain.calls import LONGEST_ARGUMENTS, LONGEST_CONTENT, is_canonical
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.domain.text_checks import is_legible, is_storable


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of a `countersign.domain.decision_rules.Attempt`."""

    verb: Verb
    arguments: str
    content: str
    chosen: tuple[str, ...]


def why_not_answer(request: Request, answer: Answer) -> Refusal | None:
    """Return why the answer cannot be taken; None if it can."""
    question = request.question
    if answer.verb is Verb.EDIT:
        if request.rules.quorum > 1:
            return Refusal.EDIT_NEEDS_ONE
        return _why_not_text(question, answer) if question.call is None else _why_not_call(question, answer)
    if answer.arguments or answer.content:
        return Refusal.NOT_OFFERED
    if answer.verb is Verb.CHOOSE:
        chosen = answer.chosen
        allowed = set(chosen) <= set(question.options) and len(set(chosen)) == len(chosen)
        return None if allowed and chosen and (question.several or len(chosen) == 1) else Refusal.NO_CHOICE
    return Refusal.NOT_OFFERED if answer.chosen else None


def _why_not_call(question: Question, answer: Answer) -> Refusal | None:
    if answer.content:
        return Refusal.NOT_OFFERED
    if not is_canonical(answer.arguments) or len(answer.arguments) > LONGEST_ARGUMENTS:
        return Refusal.NOT_ARGUMENTS
    before = "" if question.call is None else question.call.arguments
    same = answer.arguments == before and Verb.APPROVE in question.offers  # a form may stay empty
    return Refusal.NOTHING_CHANGED if same else None


def _why_not_text(question: Question, answer: Answer) -> Refusal | None:
    """Judge a changed text, taken as sent, to the last character (R13)."""
    if question.kind is not Kind.MESSAGE or answer.arguments:
        return Refusal.NOT_OFFERED
    if not is_legible(answer.content) or not is_storable(answer.content) or len(answer.content) > LONGEST_CONTENT:
        return Refusal.NOT_A_TEXT
    return Refusal.NOTHING_CHANGED if answer.content == question.content else None
