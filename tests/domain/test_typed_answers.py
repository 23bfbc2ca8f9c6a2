"""Keywords in texts for programs: only the decision brings one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from countersign.domain import requests, texts_for_models
from countersign.domain.calls import Call, canonical
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import RunId, UserId
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status
from countersign.domain.typed_answers import UNANSWERED, WITHDRAWN, Keywords, apart
from countersign.frameworks.autogen.people.conversation import GO_ON, turn_after
from tests.autogen.harness import ANN, CHANNEL, RULES, WORKSPACE

KEYWORDS = (
    *("APPROVE", "APPROVED", "YES", "OK", "LGTM", "PROCEED", "CONTINUE"),
    *("TERMINATE", "CANCEL", "REJECT", "STOP", "EXIT"),
)
NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
ENDED = [status for status in Status if status is not Status.PENDING]
WAYS = list(How)
OF_WORDS = [how for how in How if how is not How.PERMISSION]


def settled(kind: Kind, outcome: Status, how: How, words: str = "", chosen: tuple[str, ...] = ()) -> Request:
    """A request of this kind that ended so; its reviewer and its rule have keywords in their names."""
    call = Call("pay", canonical({"euros": 5})) if kind in (Kind.TOOL, Kind.CODE, Kind.FORM) else None
    question = Question("drafter", 0, kind, "Send this?", "Dear Pia", call=call, options=("eu", "us"))
    asked = requests.ask(
        *(question,), run=RunId("r1"), workspace=WORKSPACE, channel=CHANNEL, requester=ANN, rules=RULES, now=NOW
    ).request
    decision = Decision(
        *(outcome, how, NOW + timedelta(minutes=5), (UserId("U0BOB"),), words),
        arguments=canonical({"euros": 4}) if call and outcome is Status.EDITED else "",
        chosen=chosen,
    )
    return replace(asked, status=outcome, decision=decision)


def texts(words: str = "") -> list[tuple[str, str]]:
    """Every text for programs, with the keyword's own meaning: approve, reject or neither."""
    found = [(texts_for_models.refused("pay", words), "")]
    for kind in Kind:
        for outcome in ENDED:
            for how in WAYS if kind in (Kind.TOOL, Kind.CODE) else OF_WORDS:
                text = texts_for_models.answer(settled(kind, outcome, how, words))
                approves = outcome in (Status.APPROVED, Status.EDITED)
                found.append((text, "approve" if approves else "reject" if outcome is Status.REJECTED else ""))
    chosen = settled(Kind.CHOICE, Status.ANSWERED, How.REVIEWERS, words, ("eu",))
    found.append((texts_for_models.answer(chosen), ""))
    return found


MEANS = {"APPROVE": "approve", "APPROVED": "approve", "REJECT": "reject"}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_text_contains_a_keyword_only_if_decided(keyword: str) -> None:
    """R38: in capital or small letters, also inside a longer word, as AutoGen's TextMentionTermination looks."""
    for text, meaning in texts():
        assert keyword.casefold() not in text.casefold() or MEANS.get(keyword) == meaning, text
    for outcome in Status:
        typed = Keywords().typed(outcome)
        wanted = {"approved": "APPROVE", "edited": "APPROVE", "rejected": "REJECT"}.get(outcome, "")
        assert keyword.casefold() not in typed.casefold() or keyword == wanted


@pytest.mark.parametrize("keyword", [*KEYWORDS, "SHIP IT", "ja"])
def test_reviewer_cannot_type_the_approval_keyword(keyword: str) -> None:
    """R12, R38: their text passes as it is, with the keyword written apart."""
    words = f"I do not {keyword} this, {keyword.lower()}! Un{keyword}d, {keyword}{keyword}."
    keywords = Keywords(approve=keyword, reject="DECLINE")
    for outcome in set(Status) - {Status.APPROVED, Status.EDITED}:
        assert keyword.casefold() not in keywords.typed(outcome, words=words).casefold()
    assert keywords.typed("answered", words="Shorter,\nplease.") == "Shorter,\nplease."
    for text, meaning in texts(f"I do not APPROVE this, {keyword}"):
        assert meaning == "approve" or "approve" not in text.casefold()


@pytest.mark.parametrize(("approve", "reject"), [("PROCEED", "CANCEL"), ("LGTM", "REDO")])
def test_hosted_team_reads_its_own_keywords_first(approve: str, reject: str) -> None:
    """R38: `run.human(approve=…, reject=…)`."""
    keywords = texts_for_models.fitting(Keywords(approve, reject))
    for outcome in ENDED:
        text = texts_for_models.answer(settled(Kind.MESSAGE, outcome, How.REVIEWERS, f"{approve}?"), keywords)
        first, approves = text.splitlines()[0], outcome in (Status.APPROVED, Status.EDITED)
        assert (first == approve) == (approve in text) == approves
        assert (first == reject) == (reject in text) == (outcome is Status.REJECTED)


def test_conversation_contains_no_approval_keyword() -> None:
    """R38: what agents read between the turns of a conversation."""
    for outcome in ENDED:
        for how in OF_WORDS:
            for to_end in (True, False):
                request = settled(Kind.TURN, outcome, how, "" if outcome is Status.ANSWERED else "I APPROVE")
                text, turn = turn_after(request, GO_ON, to_end=to_end)
                found = [keyword for keyword in KEYWORDS if keyword.casefold() in text.casefold()]
                assert found == (["STOP"] if str(turn.over) == "stopped" else []), text


def test_answers_look_typed_by_a_person() -> None:
    words = Keywords("PROCEED", "CANCEL")
    assert words.typed("approved", words="ignored") == "PROCEED"
    assert words.typed("edited", changed="Dear Pia") == "PROCEED\nDear Pia"
    assert (words.typed("rejected"), words.typed("rejected", words="too dear")) == ("CANCEL", "CANCEL: too dear")
    assert words.typed("answered", words="Shorter, please.") == "Shorter, please."
    assert words.typed("answered", chosen=("eu",)) == "eu"
    assert (words.typed("expired"), words.typed("withdrawn")) == (UNANSWERED, WITHDRAWN)


@pytest.mark.parametrize(
    ("approve", "reject"),
    [
        ("APPROVED", "NOT APPROVED"),
        ("ok", "not OK"),
        ("Y", "N"),
        ("", "no"),
        ("yes", "A"),
        ("question", "no"),
        ("a\nb", "c"),
    ],
)
def test_confusable_keywords_are_refused(approve: str, reject: str) -> None:
    """R38: a refusal must not contain the word for an approval."""
    with pytest.raises(InvalidInput, match="Nobody was asked"):
        Keywords(approve, reject)
    assert Keywords("yes", "no") and Keywords("y es", "OK!")


def test_keywords_that_a_hosted_text_contains_are_refused() -> None:
    """R38: “DONE” is a part of “It was not done”."""
    for approve, reject in (("DONE", "REDO"), ("GO AHEAD", "answered")):
        with pytest.raises(InvalidInput, match="Choose another"):
            texts_for_models.fitting(Keywords(approve, reject))


def test_keyword_is_split_wherever_it_stands() -> None:
    assert apart("APPROVE", "I disapprove, and do not APPROVE") == "I disapp·rove, and do not APP·ROVE"
    assert apart("aa", "aaaa") == "a·a·a·a"
