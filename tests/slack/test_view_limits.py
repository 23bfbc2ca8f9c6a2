"""Slack's limits for whatever content: what has no room is counted, and is in a modal or a file (R14)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.slack.projector import card_grouping
from bot.slack.views import answer_modals, approval_card, modal_parts, review_modals, thread_notes
from bot.slack.views import reviewed_content as judged
from countersign.domain import runs, schedule
from countersign.domain.activity import Passed, Usage, Writing
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Escalation, OnTimeout
from countersign.domain.decision_attempts import decide
from countersign.domain.delegation import Absence
from countersign.domain.ids import ChannelId, RequestId, RunId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Status, Verb
from countersign.text.safe_text import size_of
from localslack.payload_checks import check_message_blocks, check_view
from tests.repetitions import times
from tests.sample_requests import BOB, GENERAL, HERE, LEADS, attempt, later, question, request, rules
from tests.slack.plain_words import texts_of
from tests.slack.sample_views import (
    HOSTILE,
    LATER,
    LINK,
    LONG,
    USAGE,
    VIEWS,
    at_work,
    boxes_of,
    card,
    decided,
    ended,
    labels_of,
    made_call,
    mrkdwn_of,
    on_one_card,
    plan,
    refund,
    run,
)


def test_card_with_every_possible_note_fits_slacks_limits() -> None:
    """R14: five steps, many people, all of them away, and a call that fills the card."""
    people = [[UserId(f"U0PERSON{step}{n:03}") for n in range(30)] for step in range(6)]
    steps = tuple(
        Escalation(timedelta(minutes=n), Reviewers(frozenset(people[n])), ChannelId(f"C0ROOM{n}")) for n in range(1, 6)
    )
    asked = refund(content="語" * 5000, before="本" * 5000, notes=tuple(f"Note {n}. {HOSTILE * 3}" for n in range(9)))
    made = request(
        asked=asked, timeout=timedelta(days=1), remind_after=timedelta(minutes=1), escalation=steps, quorum=9
    )
    for user in people[0]:
        made = replace(made, rules=replace(made.rules, reviewers=Reviewers(frozenset(people[0]))))
        made = schedule.look(made, Actor(HERE, user), later()).request
        made = decide(made, attempt(made, user), later()).request if len(made.votes) < 8 else made
    for minute in range(1, 6):
        made = schedule.due(made, later(minutes=minute)).request
    assert (len(made.raised), len(made.looking), len(made.votes)) == (5, 30, 8)
    away = [Absence(HERE, user, BOB, later(), later(days=9)) for user in people[0]]
    check_message_blocks(approval_card.card(made, run=run(), run_link=LINK, away=away).blocks)


@pytest.mark.parametrize("text", ["x" * 9000, "語" * 9000, "🎉" * 9000, "\u202e<!here>" * 900, HOSTILE * 90])
def test_burst_card_fits_slacks_limits_for_any_rows(text: str) -> None:
    """R14, R26: as many rows as one card ever has, pending and settled, with everything that a row may have."""
    people = frozenset(UserId(f"U0PERSON{n:03}") for n in range(30))
    step = Escalation(timedelta(hours=1), Reviewers(people), ChannelId("C0ROOM"))
    words = refund(content=text, agent=text[:900], title=text[:900], call=replace(made_call(), tool=text[:60]))
    asked = [
        request(
            asked=replace(words, asked=number), break_glass=True, quorum=9, clause=text[:99], why=text[:900],
            reviewers=Reviewers(people), timeout=timedelta(days=1), escalation=(step,) * 2,
            remind_after=timedelta(minutes=15),
        )
        for number in range(card_grouping.ROWS)
    ]  # fmt: skip
    for user in sorted(people)[:8]:
        asked = [decide(one, attempt(one, user), later()).request for one in asked]
    asked = [schedule.look(one, Actor(HERE, user), later()).request for one in asked for user in sorted(people)[:1]]
    asked = [schedule.due(one, later(hours=2)).request for one in asked]
    check_message_blocks(on_one_card(asked).blocks)
    several = [replace(one, run=RunId(f"r{number}")) for number, one in enumerate(asked)]
    runs = {one.run: (replace(run(), id=one.run, team="t" * 60, task=text), LINK) for one in several}
    check_message_blocks(approval_card.batch(several, run=runs[several[0].run][0], run_link=LINK, runs=runs).blocks)
    given = canonical({"order": 17, "amount": text[:2000]})
    once = [replace(one, rules=replace(one.rules, quorum=1), votes=()) for one in asked]
    edits = [
        decide(one, attempt(one, "U0PERSON029", Verb.EDIT, arguments=given, words=text[:3000]), later(hours=3)).request
        for one in once
    ]
    assert {one.status for one in edits} == {Status.EDITED}
    check_message_blocks(on_one_card(edits).blocks)
    check_message_blocks(on_one_card([*edits[:2], *asked[2:]]).blocks)


PAIR = st.characters(min_codepoint=0x10000, max_codepoint=0x1F9FF)
CJK = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)
CONTENT = st.builds(
    lambda text, times: (text * times)[:50_000],
    st.text(st.one_of(PAIR, CJK, st.characters(), st.sampled_from('\n"\\<&\u202e\x00')), min_size=1, max_size=40),
    st.sampled_from([1, 60, 90, 300, 5000]),
)


@settings(max_examples=times(2, 100))
@given(CONTENT, CONTENT, CONTENT)
@example("\xa0", "\n", "0")
def test_any_content_fits_the_card_and_stays_visible(content: str, title: str, words: str) -> None:
    """R13, R14: too long is a file and a modal, never an error; shown and hidden add up to everything."""
    asked = request(asked=question(content, title=title, agent=title[:200]), quorum=1)
    asked = replace(asked, id=RequestId("q" * 17))
    many = Reviewers(frozenset(UserId(f"U{n:010}") for n in range(300)), frozenset({LEADS}))
    asked = replace(asked, rules=replace(asked.rules, reviewers=many, quorum=300, on_timeout=OnTimeout.APPROVE))
    settled = decided(Verb.REJECT, words[:3000].strip(), replace(asked, rules=rules()))
    took = Usage(10**9, 10**9, 10**6, 10**5, ((title[:60], 1),) * 9, ((content[:300], 9),) * 9)
    spoken = ended(result=words[:30_000], words=content[:30_000], usage=took)
    busy = replace(at_work(), writing=Writing(title, len(content), content[:200]))
    for drawing in (
        card(asked),
        card(settled),
        plan(busy, *[settled] * 8),
        plan(busy, *[asked] * 8),
        thread_notes.run_message(replace(spoken, task=content[:10_000])),
        thread_notes.outcome_note(spoken),
        plan(runs.note_progress(spoken, title, content, later()).run),
        plan(runs.note_progress(busy, title, content, later()).run),
        plan(busy),
        thread_notes.not_posted_note(asked, title),
    ):
        check_message_blocks(drawing.blocks)
        assert size_of(drawing.blocks) <= 13_000
        assert len(drawing.text) < 4000
    check_view(review_modals.full(asked), ("modal",))
    check_view(answer_modals.reject(asked, GENERAL), ("modal",))
    whole = judged.shown_question(asked.question).text
    boxes = [box for box in boxes_of(card(asked).blocks)]
    if judged.needs_file(asked):
        assert len(boxes) == 2
        assert judged.file_of(asked)[1].decode() == whole
    if len(boxes) == 2:
        assert not judged.complete(asked.question)
        assert whole.startswith(boxes[0]) and whole.endswith(boxes[1])
        hidden = len(whole) - len(boxes[0]) - len(boxes[1])
        assert f"{hidden:,} characters in between are not shown here" in mrkdwn_of(card(asked).blocks)
    else:
        words_of_it = whole.strip().strip("? \n")  # of blanks alone there is nothing to see
        assert boxes == [whole] or (boxes == [] and words_of_it in "".join(texts_of(card(asked).blocks[0])))


def test_changes_without_room_in_a_window_are_a_file() -> None:
    """R14: a long version was refused, and the new one is short: the window says that a file has everything."""
    before = "\n".join(f"{number}. {LONG[:60]}" for number in range(2_000))
    asked = request(asked=refund(content="Refund it.", before=before))
    assert "The file in the card's thread has everything" in mrkdwn_of(judged.in_full(asked.question)[0])
    since = judged.shown_question(asked.question).since
    assert judged.needs_file(asked) and since is not None and since in judged.file_of(asked)[1].decode()


@settings(max_examples=times(4, 100))
@given(CONTENT, CONTENT, CONTENT)
@example("𞹧" * 300, "𞹧" * 60, "¡¡" * 300)
@example("¡" * 300, "\U0004d925$W" * 90, "𞹧" * 300)
@example("𞹧" * 2500, "𞹧" * 2400, "𞹧" * 300)
@example("\x00" * 2500, "\u202e" * 2400, "語" * 2400)
def test_any_title_notes_and_arguments_fit_the_card(content: str, before: str, other: str) -> None:
    """R13, R14: notes, arguments and what changed have their room; approving needs that all was shown."""
    notes = tuple(other[at : at + 400] for at in range(0, 2400, 400))
    arguments = canonical(
        {
            "text": other.encode(errors="replace").decode(),
            "n": {"list": [1, content[:100].encode(errors="replace").decode()]},
        }
    )
    asked = refund(content=content, before=before, notes=notes, title=other[:200], agent=before[:200], options=())
    asked = replace(asked, call=Call(other[:200], arguments))
    of = replace(request(asked=asked, quorum=1, break_glass=True, **LATER), id=RequestId("q" * 17))
    changed = canonical({"text": before.encode(errors="replace").decode(), "n": None})
    after = decide(of, attempt(of, BOB, Verb.EDIT, arguments=changed, words=other[:3000]), later()).request
    for drawing in (card(of), card(after), plan(run(), after), plan(run(), of)):
        check_message_blocks(drawing.blocks)
        assert size_of(drawing.blocks) <= 13_000
    views = (review_modals.full(of), review_modals.full(after), review_modals.review(of, GENERAL))
    for view in (*views, review_modals.permit(of, GENERAL), review_modals.break_glass(of, GENERAL)):
        check_view(view, ("modal",))
    shown, in_file = "".join(boxes_of(review_modals.review(of, GENERAL)["blocks"])), judged.file_of(of)[1].decode()
    it = judged.shown_question(asked)
    for part in (it.text, judged._arguments(asked), "\n".join(it.notes)):
        assert part in shown or judged.needs_file(of)
    for part in (it.text, judged._arguments(asked), *it.notes):
        assert part in in_file
    assert ("Approve" in labels_of(card(of))) == judged.complete(asked)


def test_reading_box_is_required_only_with_a_file() -> None:
    """R14: only if a window does not hold all of it."""
    assert not modal_parts.has_read({**VIEWS["modal_review_with_file"], "state": {"values": {}}})
    checked = {modal_parts.READ: {modal_parts.READ: {"selected_options": [{"value": "yes"}]}}}
    assert modal_parts.has_read({**VIEWS["modal_review_with_file"], "state": {"values": checked}})
    assert modal_parts.has_read({**VIEWS["modal_review"], "state": {"values": {}}})


def test_fifty_thousand_characters_are_whole_in_the_modal() -> None:
    """R14: in as many blocks as it takes."""
    content = "x" * 49_000 + "\n." * 500
    shown = "".join(boxes_of(review_modals.full(request(asked=question(content)))["blocks"]))
    assert shown == content


def test_modal_says_when_content_exceeds_it() -> None:
    """R14: and the file is named."""
    view = review_modals.full(request(asked=question("語" * 50_000)))
    check_view(view, ("modal",))
    assert "The file in the card's thread has everything" in mrkdwn_of(view["blocks"])


@pytest.mark.parametrize("text", ["x", "語", "🎉"])
def test_final_note_of_a_run_fits_for_any_counts(text: str) -> None:
    """R14, R26: and all that passed is counted, also what has no room."""
    passed = (*(Passed(f"{n}{text * 59}", text * 200, n) for n in range(1, 20)), Passed("", "", 10))
    usage = replace(USAGE, models=((text * 200, 1),) * 9, fallbacks=((text * 200, 1),) * 9)
    drawing = thread_notes.outcome_note(ended(result=text * 9000, words=text * 9000, passed=passed, usage=usage))
    check_message_blocks(drawing.blocks)
    assert "*200 calls allowed automatically*" in mrkdwn_of(drawing.blocks)


def test_long_final_message_is_a_file() -> None:
    """R14: a note with all of them has no file."""
    assert thread_notes.outcome_file(ended()) is None
    named = thread_notes.outcome_file(ended(words=LONG * 3))
    assert named is not None and LONG * 3 in named[1].decode()
