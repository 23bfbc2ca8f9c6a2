"""Who approves what is of high risk had all of it opened for them, and typed what it is called or is one of several."""

from dataclasses import replace
from typing import Any

import pytest

from countersign.domain import high_risk
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import Call, canonical, in_words
from countersign.domain.channel_settings import Risk
from countersign.domain.decision_attempts import decide, waits_for
from countersign.domain.events import EventType
from countersign.domain.people import Actor
from countersign.domain.requests import Kind, Question, Request, Scope, Status, Verb
from countersign.domain.standing_permissions import PermissionChoice, Span
from tests.sample_requests import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    HERE,
    NOW,
    attempt,
    call,
    choice,
    question,
    refusal_text,
    request,
)

CHANGED = canonical({"order": 17, "amount": 10})
EDIT: dict[str, Any] = {"verb": Verb.EDIT, "arguments": CHANGED}
READ: dict[str, Any] = {"opened_for": BOB}
TYPED = {**READ, "typed": "refund"}
ATTEMPTS: dict[str, tuple[dict[str, Any], Refusal | None]] = {
    "a click": ({}, Refusal.NOT_OPENED),
    "the word without the window": ({"typed": "refund"}, Refusal.NOT_OPENED),
    "the window of somebody else": ({**TYPED, "opened_for": CAROL}, Refusal.NOT_OPENED),
    "the window without the word": (READ, Refusal.NOT_TYPED),
    "another word": ({**READ, "typed": "approve"}, Refusal.NOT_TYPED),
    "half of the word": ({**READ, "typed": "refun"}, Refusal.NOT_TYPED),
    "signs only": ({**READ, "typed": " _-. "}, Refusal.NOT_TYPED),
    "the window and the word": (TYPED, None),
    "as a phone writes it": ({**READ, "typed": " Refund. "}, None),
    "an edit": (EDIT, Refusal.NOT_OPENED),
    "an edit without the word": ({**EDIT, **READ}, Refusal.NOT_TYPED),
    "an edit with both": ({**EDIT, **TYPED}, None),
    "with a permission besides": (
        {**TYPED, "permission": PermissionChoice(Scope.CALL, Span.HOUR)},
        Refusal.NO_STANDING_AT_HIGH_RISK,
    ),
    "break-glass": ({"user": ALICE, "words": "now", "break_glass": True}, Refusal.NO_BREAK_GLASS),
    "somebody who may not decide": ({**TYPED, "user": DAVE, "opened_for": DAVE}, Refusal.NOT_A_REVIEWER),
    "of other content": ({**TYPED, "digest": "0" * 64}, Refusal.OTHER_CONTENT),
    "a rejection": ({"verb": Verb.REJECT}, None),
    "an answer": ({"verb": Verb.RESPOND, "words": "refund"}, None),
}


def risky(asked: Question | None = None, **changes: Any) -> Request:
    return request(asked=asked or call(), **{"risk": Risk.HIGH, "break_glass": True, **changes})


@pytest.mark.parametrize("name", ATTEMPTS)
def test_high_risk_approval_needs_opening_and_the_word(name: str) -> None:
    """R7, R9, R13, R25: what does not count changes nothing, is on record, and is told."""
    changes, refusal = ATTEMPTS[name]
    asked = risky()
    step = decide(asked, attempt(asked, **changes), NOW)
    assert step.refusal is refusal
    if refusal is None:
        assert step.request.status is not Status.PENDING
        return
    assert step.request == asked
    assert [(e.type, e.data["refusal"]) for e in step.events] == [(EventType.ATTEMPT_REFUSED, refusal.name.lower())]
    assert "{" not in refusal_text(refusal, asked)


@pytest.mark.parametrize("risk", [Risk.LOW, Risk.MEDIUM])
def test_lower_risk_needs_only_a_click(risk: Risk) -> None:
    asked = risky(risk=risk)
    assert decide(asked, attempt(asked), NOW).request.status is Status.APPROVED
    assert decide(asked, attempt(asked, **EDIT), NOW).request.status is Status.EDITED


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (call(), "refund"),
        (replace(call(), call=Call("drop_table", "{}")), "drop_table"),
        (replace(call(), call=Call("x" * 33, "{}")), "approve"),
        (replace(call(), call=Call("dr\u043ep", "{}")), "approve"),
        (replace(call(), call=Call("", "{}")), "approve"),
        (question(), "approve"),
        (question(kind=Kind.IN_DOUBT, agent="refund"), "refund"),
    ],
)
def test_word_to_type_is_the_tools_name_if_typable(asked: Question, word: str) -> None:
    """In any case, blanks for underscores; with a quorum there is no word."""
    of = risky(asked)
    assert high_risk.word(of) == word
    assert f'"{in_words(word)}"' in refusal_text(Refusal.NOT_TYPED, of)
    assert decide(of, attempt(of, opened_for=BOB, typed=word.replace("_", " ").upper()), NOW).refusal is None
    assert high_risk.word(risky(asked, quorum=2)) == ""


def test_high_risk_choice_stays_one_click() -> None:
    of = risky(choice())
    assert decide(of, attempt(of, verb=Verb.CHOOSE, chosen=("eu",)), NOW).refusal is None


def test_high_risk_request_waits_for_those_yet_to_open() -> None:
    """R9: lists name it, and reminders do."""
    assert waits_for(risky(), Actor(HERE, BOB), NOW)
    assert not waits_for(risky(), Actor(HERE, DAVE), NOW)
