"""Build the forms that answer a request on its page, like the windows of its card.

The page shows the whole content, and each form's token is made for one person, one request and one content. So a
returned form proves that this person had the whole content on screen, as a high-risk window does in Slack (R13).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from countersign.domain import high_risk, standing_permissions
from countersign.domain.decision_attempts import Attempt
from countersign.domain.eligibility import may_break_glass, why_not_person
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import AttemptId, Digest, digest_of, short_name
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Verb

from ..slack.views import answer_modals, confirmation_text, edit_modal, review_modals
from ..slack.views.control_values import offered
from ..slack.views.modal_parts import View, value
from ..slack.views.reviewed_content import parts
from .block_html import Node, nodes
from .desk import PageReader
from .sessions import Session
from .window_forms import Entered, FormInput, answered, fields_of, first

APPROVE, PERMIT, BREAK_GLASS = "approve", "permit", "break_glass"
_VERBS: Final = {
    APPROVE: Verb.APPROVE,
    PERMIT: Verb.APPROVE,
    BREAK_GLASS: Verb.APPROVE,
    "reject": Verb.REJECT,
    "respond": Verb.RESPOND,
    "edit": Verb.EDIT,
    "choose": Verb.CHOOSE,
}
"""The verb of each form."""
_AT_ONCE: Final = frozenset({APPROVE, "choose"})
"""Forms that are shown open; people unfold the others."""


class AnswerForm(NamedTuple):
    """One form of a request's page.

    A `folded` one shows its label first, and its inputs once it is opened.
    """

    name: str
    label: str
    submit: str
    style: str
    fields: list[FormInput]
    notes: list[Node]
    folded: bool
    digest: str
    """The form's digest: an answer entered into an older form is refused."""


def forms_of(
    request: Request, reader: PageReader, sent: "SentForm | None" = None, problems: Mapping[str, str] | None = None
) -> list[AnswerForm]:
    """Draw the forms with which this person may answer; none if they may not.

    Refused input in `sent` is shown in its form again, with `problems` beside the inputs.
    """
    actor, made = reader.actor, list[AnswerForm]()
    if why_not_person(request, actor, reader.now) is None:
        voted = any(vote.user == actor.user for vote in request.votes)
        for one in offered(request.question):
            if not (voted and one.verb is Verb.APPROVE):
                made += _form(request, actor, one.verb.value, one.label, one.style or "", sent, problems)
        deciding = Verb.APPROVE in request.question.offers and not voted
        if deciding and standing_permissions.why_not(request) is None:
            made += _form(request, actor, PERMIT, "Approve and don't ask again", "", sent, problems)
    if (
        actor.user == request.requester
        and Verb.APPROVE in request.question.offers
        and may_break_glass(request)
        and request.decision is None
    ):
        made += _form(request, actor, BREAK_GLASS, "Break glass", "danger", sent, problems)
    return made


def _form(
    request: Request,
    actor: Actor,
    name: str,
    label: str,
    style: str,
    sent: "SentForm | None",
    problems: Mapping[str, str] | None,
) -> list[AnswerForm]:
    try:
        view = _view(request, actor, name)
    except InvalidInput:  # this call can't be changed in a form; the other answers can be given
        return []
    was_sent = sent is not None and sent.name == name
    entered = sent.entered if was_sent and sent is not None else None
    fields = fields_of(view, f"{name}.", entered, problems if was_sent else None)
    folded = name not in _AT_ONCE and not was_sent
    submit = str((view.get("submit") or {}).get("text", "")) if name in ("edit", BREAK_GLASS) else ""
    return [AnswerForm(name, label, submit or label, style, fields, _notes(view, name), folded, _digest(view))]


def _view(request: Request, actor: Actor, name: str) -> View:
    """Return the window whose inputs a form has."""
    channel, verb = request.channel, _VERBS[name]
    is_high = high_risk.is_asked(request, verb)
    match name:
        case "reject":
            return answer_modals.reject(request, channel)
        case "respond":
            return answer_modals.respond(request, channel)
        case "choose":
            return answer_modals.choose(request, channel)
        case "edit":
            view = edit_modal.edit(request, channel)
            return review_modals.high_risk_edit(view, request, actor.user) if is_high else view
        case "permit":
            return review_modals.permit(request, channel)
        case "break_glass":
            return review_modals.break_glass(request, channel)
    if not is_high:
        return {"blocks": [], "private_metadata": "{}"}
    return review_modals.review_part(request, channel, actor.user, Verb.APPROVE, len(parts(request.question)) - 1)


def _notes(view: View, name: str) -> list[Node]:
    """Draw a window's notes without its content, which the page shows anyway."""
    blocks = view["blocks"]
    match name:
        case "edit":
            return nodes(block for block in blocks if block["type"] == "context")
        case "permit":
            return nodes(blocks[-1:])
        case "break_glass":
            return nodes(blocks[:1])
    return []


def _digest(view: View) -> str:
    return str(json.loads(view["private_metadata"]).get("form", ""))


class SentForm(NamedTuple):
    """A submitted form.

    `once` among what was entered is the number of the page, so that a form sent twice counts once (R8).
    """

    name: str
    entered: Entered
    form: str

    @classmethod
    def read(cls, fields: Entered) -> "SentForm | None":
        """Read a sent form; None if it is not one of our forms."""
        answer = first(fields, "answer")
        if answer not in _VERBS or not 0 < len(first(fields, "once")) <= 100:
            return None
        return cls(answer, fields, first(fields, "form"))

    @property
    def verb(self) -> Verb:
        """The verb of the form."""
        return _VERBS[self.name]

    def attempt_id(self, session: Session, request: str = "") -> AttemptId:
        """Make the id of this attempt.

        It depends on the input, which may be changed after a refusal.
        """
        texts = [part for name in sorted(self.entered) for part in (name, *self.entered[name])]
        return AttemptId("w" + short_name(session.id, request, *texts, length=20))


def attempt_of(
    sent: SentForm, request: Request, actor: Actor, session: Session, shown: str, *, row: str = ""
) -> Attempt:
    """Make the attempt of a form.

    `shown` is the digest of the content that its page showed. `row` is one of several requests that the form is about.

    WrongFields or InvalidInput if an input can't be used; nothing is decided then.
    """
    digest = Digest.named(shown) or digest_of()
    attempt = Attempt(sent.attempt_id(session, row), actor, sent.verb, digest, opened_for=actor.user)
    if digest != request.digest or sent.verb not in request.question.offers:
        return attempt  # which is refused with the reason
    view = answered(_view(request, actor, sent.name), f"{sent.name}.", sent.entered)
    return _READ[sent.name](attempt, request, _with_form(view, sent.form))


def _with_form(view: View, form: str) -> View:
    return {**view, "private_metadata": json.dumps({**json.loads(view["private_metadata"]), "form": form})}


def _approve(attempt: Attempt, request: Request, view: View) -> Attempt:
    return replace(attempt, typed=review_modals.typed_word(view))


def _reject(attempt: Attempt, request: Request, view: View) -> Attempt:
    return replace(attempt, words=value(view, answer_modals.REASON))


def _respond(attempt: Attempt, request: Request, view: View) -> Attempt:
    return replace(attempt, words=value(view, answer_modals.ANSWER))


def _choose(attempt: Attempt, request: Request, view: View) -> Attempt:
    return replace(attempt, chosen=answer_modals.chosen_options(view, request.question))


def _edit(attempt: Attempt, request: Request, view: View) -> Attempt:
    changed = edit_modal.read(view, request.question)
    return replace(attempt, typed=review_modals.typed_word(view), **changed._asdict())


def _permit(attempt: Attempt, request: Request, view: View) -> Attempt:
    try:
        wish = review_modals.wish_of(view)
    except ValueError:
        raise InvalidInput(confirmation_text.NOTHING_CHOSEN) from None
    return replace(attempt, permission=wish)


def _break_glass(attempt: Attempt, request: Request, view: View) -> Attempt:
    return replace(attempt, words=value(view, review_modals.REASON), break_glass=True)


_READ: Final[Mapping[str, Callable[[Attempt, Request, View], Attempt]]] = {
    APPROVE: _approve,
    "reject": _reject,
    "respond": _respond,
    "choose": _choose,
    "edit": _edit,
    PERMIT: _permit,
    BREAK_GLASS: _break_glass,
}
