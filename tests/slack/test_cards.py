"""Cards, notes and modals: golden JSON of each, and what people may do with them.

`GOLDEN=1 pytest tests/slack/test_cards.py` writes the golden files anew; they are read in review.
"""

import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack.views import (
    approval_card,
    control_values,
    home,
    reminder_text,
    request_text,
    review_modals,
    thread_notes,
)
from bot.slack.views import reviewed_content as judged
from bot.slack.views.control_values import Handle, MenuItem
from countersign.domain import request_endings, runs, schedule
from countersign.domain.activity import LINE
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Escalation, OnTimeout, Risk
from countersign.domain.people import Reviewers
from countersign.domain.question_salts import asking
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status, Verb
from countersign.domain.schedule import Snooze
from countersign.frameworks.autogen.progress import in_one_line
from countersign.text.homoglyphs import mark
from countersign.usecases.overview import Listed
from localslack.payload_checks import check_message_blocks, check_view
from tests.sample_requests import ALICE, BOB, call, choice, later, question, refusal_text, request
from tests.slack import sample_views
from tests.slack.plain_words import speaks_plainly, texts_of
from tests.slack.sample_notices import NOTICES, WINDOWS
from tests.slack.sample_views import (
    BEFORE,
    GOLDEN,
    HOSTILE,
    LINK,
    LONG,
    boxes_of,
    burst,
    card,
    code,
    diverged,
    edited,
    expired,
    half_settled,
    in_doubt,
    mrkdwn_of,
    on_one_card,
    plan,
    refund,
    run,
    turn,
)

DRAWINGS, VIEWS = {**sample_views.DRAWINGS, **NOTICES}, {**sample_views.VIEWS, **WINDOWS}


def test_views_match_their_golden_files_and_slacks_limits(subtests: pytest.Subtests) -> None:
    """The JSON of each card, note and modal as it was reviewed."""
    for name in (*DRAWINGS, *VIEWS):
        with subtests.test(name=name):
            drawing = DRAWINGS.get(name)
            shown = {"text": drawing.text, "blocks": drawing.blocks} if drawing else VIEWS[name]
            file = GOLDEN / f"{name}.json"
            reviewed = json.loads(file.read_text()) if file.exists() else None
            if os.environ.get("GOLDEN") and reviewed != shown:
                file.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n")
                reviewed = shown
            assert reviewed == shown
            if drawing:
                check_message_blocks(drawing.blocks)
                assert 0 < len(drawing.text) < 3000
            else:
                check_view(VIEWS[name], ("modal",))


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        (question(), "not approved if nobody decides"),
        (call(), "not approved if nobody decides"),
        (question(offers=(Verb.RESPOND, Verb.REJECT)), "closed without an answer if nobody decides"),
        (choice("eu", "us"), "nothing is chosen if nobody decides"),
        (turn(), "the conversation ends if nobody decides"),
        (turn(to_end=True), "the conversation ends if nobody decides"),
        (question(kind=Kind.DIVERGED), "the run stops, and nothing is repeated, if nobody decides"),
    ],
)
def test_card_says_not_approved_only_of_approvable_requests(asked: Question, then: str) -> None:
    """R17: what is so if nobody decides depends on what is asked."""
    assert request_text.expiry(request(asked=asked)).partition("> · ")[2] == then


_WITH_IDS = ("modal_full", "modal_review", "modal_permit", "modal_break_glass")


def test_views_contain_no_internal_terms(subtests: pytest.Subtests) -> None:
    """No name of a function, no JSON, no word of ours about how it works, and a phone's row holds the controls.

    The id of a run stands in Details and in what leads to a decision with them.

    Between backticks stands what is meant exactly: a tool that is allowed in advance, a command, an id, Slack's code.
    """
    for name in (*DRAWINGS, *VIEWS):
        with subtests.test(name=name):
            blocks = DRAWINGS[name].blocks if name in DRAWINGS else VIEWS[name]["blocks"]
            said = [{"text": DRAWINGS[name].text}] if name in DRAWINGS else []
            speaks_plainly([VIEWS.get(name) or blocks, *said], HOSTILE)
            if not name.startswith(_WITH_IDS):
                assert "run rtest" not in "\n".join(texts_of([blocks, *said]))
            for block in blocks:
                assert block["type"] != "actions" or 1 <= len(block["elements"]) <= 3


def test_card_notification_is_the_question() -> None:
    """Whoever reads no more than the notification knows what would happen."""
    assert DRAWINGS["card_tool"].text == "email · Refund 20.00 EUR for order 17?"
    assert DRAWINGS["card"].text == "email · send this mail?"


def test_task_equal_to_the_title_is_shown_once() -> None:
    """A program that names no task has its title for one."""
    asked = request(asked=question(title="Send the letter?"))
    texts = [
        json.dumps(approval_card.card(asked, run=sample_views.run(task=task), run_link=None).blocks)
        for task in ("Send the letter?", "Write to the vendor")
    ]
    assert [text.count("Send the letter?") for text in texts] == [1, 1]
    assert "Write to the vendor" in texts[1]


def test_request_asked_again_leads_with_what_changed() -> None:
    """The words it was sent back with and the difference come before the content, for words too."""
    for asked in (refund(before=BEFORE, reply="Less, please."), question("new", before="old", reply="Less, please.")):
        boxes = boxes_of(card(request(asked=asked)).blocks)
        assert boxes[0] == "Less, please."
        assert boxes[1].startswith("-") and boxes[2] == asked.content
        assert boxes_of(review_modals.full(request(asked=asked))["blocks"])[0].startswith("-")


def test_every_golden_file_belongs_to_a_view() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*DRAWINGS, *VIEWS}


def test_only_pending_cards_have_decision_buttons() -> None:
    """R6: in every settled state there is no block of actions."""
    for name, drawing in DRAWINGS.items():
        if name.startswith("card"):
            ends = ("approved", "rejected", "answered", "expired", "withdrawn", "edited", "done", "failed", "sent")
            settled = any(f"_{state}" in name for state in ends)
            assert any(b["type"] == "actions" for b in drawing.blocks) != settled, name
            left = [b["accessory"]["text"]["text"] for b in drawing.blocks if "accessory" in b]
            assert not settled or left == ["Details"], name


def test_approval_by_timeout_is_announced_and_reported() -> None:
    """R23: on the waiting card, on the settled card and in the thread."""
    assert "APPROVED if nobody decides" in mrkdwn_of(DRAWINGS["card_timeout_approves"].blocks)
    assert "APPROVED" not in mrkdwn_of(DRAWINGS["card"].blocks)
    told = plan(run(), expired(on_timeout=OnTimeout.APPROVE))
    assert "*Approved by timeout*" in DRAWINGS["card_approved_by_timeout"].text
    assert "nobody decided" in mrkdwn_of(DRAWINGS["card_approved_by_timeout"].blocks)
    assert "'Approved by timeout', 'style': {'bold': True}" in str(told.blocks) and "nobody decided" in str(told.blocks)


def test_in_doubt_requests_are_never_approved_by_timeout() -> None:
    """R23: whatever the channel's settings; a late click is answered with what happens instead."""
    assert "APPROVED" not in mrkdwn_of(DRAWINGS["card_in_doubt"].blocks)
    late = request_endings.expire(in_doubt(), later(hours=2)).request
    assert late.status is Status.EXPIRED
    assert "nothing is repeated" in mrkdwn_of(DRAWINGS["card_in_doubt_expired"].blocks)
    assert refusal_text(Refusal.TIME_RAN_OUT, late).endswith("the run ends.")


def test_buttons_carry_their_requests_id_and_digest() -> None:
    """R1, R13: so that a click cannot be taken for one on other content."""
    asked = request(asked=refund(), break_glass=True, remind_after=timedelta(hours=1), timeout=timedelta(days=2))
    actions = next(b for b in card(asked).blocks if b["type"] == "actions")
    *buttons, more = actions["elements"]
    assert {Handle.read(button["value"]) for button in buttons} == {Handle(asked.id, asked.digest)}
    items = [option["value"] for option in more["options"]]
    first = [MenuItem.RESPOND, MenuItem.EDIT, MenuItem.VIEW_FULL, MenuItem.PERMIT, MenuItem.MORE]
    assert [control_values.read_item(value) for value in items] == [(one, asked.id, asked.digest) for one in first]
    *looking, alone = [option["value"] for option in control_values.items_without_room(asked)]
    assert control_values.read_item(alone) == (MenuItem.BREAK_GLASS, asked.id, asked.digest)
    assert [control_values.PresenceItem.read(value) for value in looking] == [
        control_values.PresenceItem((asked.id,), snooze) for snooze in (None, *Snooze)
    ]
    assert {control_values.PresenceItem.read(value) for value in (*items, alone)} == {None}


@pytest.mark.parametrize("name", ["card_hostile", "card_answered", "run_hostile", "steps_at_work", "note_failed"])
def test_text_from_models_and_people_is_escaped(name: str) -> None:
    """R15: it is in plain or preformatted text only, and escaped in mrkdwn."""
    drawing = DRAWINGS[name]
    for acting in (drawing.text, mrkdwn_of(drawing.blocks)):
        assert "<!channel>" not in acting
        assert "<@U0EVE>" not in acting
        assert "<https://evil" not in acting
    assert "\u202e" not in json.dumps([drawing.text, drawing.blocks], ensure_ascii=False)
    assert "⟦U+202E⟧" in json.dumps(drawing.blocks, ensure_ascii=False)


def test_escalation_to_the_requester_alone_mentions_nobody() -> None:
    """R7, R10: the note says that the step is empty, and mentions nobody."""
    steps = (Escalation(timedelta(hours=1), Reviewers(frozenset({ALICE}))),)
    asked = schedule.due(request(timeout=timedelta(days=1), escalation=steps), later(hours=2)).request
    note = mrkdwn_of(reminder_text.escalation_note([asked], asked.raised[0], LINK).blocks)
    assert "now you can" not in note and "<@U0ALICE>" not in note
    assert "names only the requester" in note


def test_card_shows_the_next_step_viewers_and_stand_ins() -> None:
    """R9, R26: no stand-in who may not decide, and no mention of the next people, which would notify them at once."""
    raised, snoozed = mrkdwn_of(DRAWINGS["card_raised"].blocks), mrkdwn_of(DRAWINGS["card_snoozed"].blocks)
    assert "Escalated to <@U0DAVE>" in raised and "escalates to 1 group in <#C0LEADS>" in raised
    assert "stand-in: <@U0ERIN>" in raised and "stand-in: <@U0ALICE>" not in raised
    assert "S0LEADS" not in json.dumps(DRAWINGS["card_raised"].blocks)
    assert "postponed by <@U0CAROL> until" in snoozed and "Others can still decide" in snoozed
    assert "<@U0ERIN> (in place of <@U0BOB>)" in DRAWINGS["card_raised_approved"].text
    assert "<@U0CAROL>, <@U0DAVE>, <@U0ERIN>: your decision is still missing" in mrkdwn_of(
        DRAWINGS["note_reminder"].blocks
    )


@pytest.mark.parametrize("name", ["burst", "burst_whole_menu", "burst_half_settled"])
def test_row_buttons_carry_their_own_request(name: str) -> None:
    """R1: each row has its own; the last menu is for all that wait."""
    rows = half_settled() if "half" in name else burst()
    waiting = [row for row in rows if row.status is Status.PENDING]
    *blocks, last = [b for b in DRAWINGS[name].blocks if b["type"] == "actions"]
    assert [b["block_id"] for b in blocks] == [f"decide {row.id}" for row in waiting]
    for row, block in zip(waiting, blocks, strict=True):
        *buttons, more = block["elements"]
        assert {Handle.read(button["value"]) for button in buttons} == {Handle(row.id, row.digest)}
        found = [control_values.read_item(option["value"]) for option in more["options"]]
        assert {one[1] for one in found if one} == {row.id} and None not in found
    chosen = [control_values.PresenceItem.read(option["value"]) for option in last["elements"][-1]["options"]]
    assert {one.requests for one in chosen if one} == {tuple(row.id for row in waiting)} and None not in chosen


def test_row_with_hidden_content_has_no_approve_button() -> None:
    """R13: long or spoofed content goes through the full view; a settled row has no buttons."""
    *rows, last = [b["elements"] for b in DRAWINGS["burst"].blocks if b["type"] == "actions"]
    assert [one["type"] for one in last] == ["overflow"]
    assert [[e["action_id"] for e in row][:2] for row in rows] == [
        [control_values.REVIEW if number in (2, 3) else control_values.APPROVE, control_values.REJECT]
        for number in range(5)
    ]
    plain_rows = [request(asked=refund(content=f"Refund order {number}", asked=number)) for number in range(3)]
    *_, last = [b["elements"] for b in on_one_card(plain_rows).blocks if b["type"] == "actions"]
    assert [one["action_id"] for one in last] == [
        control_values.APPROVE_ALL,
        control_values.REJECT_ALL,
        control_values.MORE,
    ]
    assert control_values.rows_in(last[0]["value"]) == tuple(row.id for row in plain_rows)
    assert not [b for b in DRAWINGS["burst_settled"].blocks if b["type"] == "actions"]


@pytest.mark.parametrize("title", ["pay back " + "x" * 95, "返金の依頼を承認して顧客に全額を返す" * 2])
def test_row_with_a_cut_title_has_no_approve_button(title: str) -> None:
    """R13: the title is judged too, and is nowhere else on the card."""
    shown = on_one_card([request(asked=refund(title=title, asked=9)), burst()[0]])
    buttons = [b["elements"][0]["action_id"] for b in shown.blocks if b["type"] == "actions"]
    assert buttons == [control_values.REVIEW, control_values.APPROVE, control_values.MORE]


@pytest.mark.parametrize("tool", ["customers_" + "x" * 50 + "_" + end for end in ("read", "delete")])
def test_names_and_titles_are_judged_in_full(tool: str) -> None:
    """R13: the end of a tool's name may say what it does; a long title is in the content, the modal and the file."""
    made = refund(title="call it")
    assert made.call is not None
    asked = request(asked=replace(made, call=replace(made.call, tool=tool)))
    shown = [card(asked).blocks, judged.in_row(asked.question)[0], review_modals.full(asked)["blocks"]]
    assert all(tool in json.dumps(blocks) for blocks in shown)
    assert tool in judged.file_of(asked)[1].decode()
    titled = request(asked=question("short", title="x" * 100 + " rm -rf / " + "y" * 100))
    whole = judged.shown_question(titled.question).text
    assert "rm -rf /" in whole
    assert whole in judged.file_of(titled)[1].decode()


def test_first_request_of_a_burst_is_an_ordinary_card() -> None:
    """R26: the first request of a burst does not wait for the others."""
    asked = request(asked=refund())
    assert on_one_card([asked]) == card(asked)


def test_details_name_the_agent_without_the_person_it_asks() -> None:
    """In a run with two humans the stored name also holds the one who is asked."""
    asked = replace(question(), agent=asking("editor", "approver"))
    details = json.dumps(review_modals.full(request(asked=asked))["blocks"], ensure_ascii=False)
    assert "Asked by editor · run rtest" in details


@pytest.mark.parametrize(
    "asked", [question(LONG), code(LONG), in_doubt().question, diverged().question, turn(), refund()]
)
def test_approve_button_needs_the_whole_content_on_the_card(asked: Question) -> None:
    """R13: of every kind, and with notes that have no room."""
    for more in (
        asked,
        replace(asked, content=LONG),
        replace(asked, notes=("x",) * 4),
        replace(asked, notes=("x" * 300,)),
    ):
        actions = next(b for b in card(request(asked=more)).blocks if b["type"] == "actions")
        ids = [element["action_id"] for element in actions["elements"]]
        assert (control_values.APPROVE in ids) == judged.complete(more)
        assert (control_values.REVIEW in ids) != judged.complete(more)
        assert control_values.APPROVE not in json.dumps(card(request(asked=more, risk=Risk.HIGH)).blocks)
    assert not judged.complete(replace(asked, content=LONG))


def test_mixed_alphabets_are_flagged_in_titles_and_notes() -> None:
    """R15: in titles and in notes."""
    for asked in (question(title="pay p\u0430ypal"), question(notes=("p\u0430ypal",))):
        assert "1 word mixes alphabets" in mrkdwn_of(card(request(asked=asked)).blocks)


@pytest.mark.parametrize("word", ["bank。com", "rm−rf", "1‚000", "pay٥"])
def test_look_alike_characters_are_flagged_everywhere(word: str) -> None:
    """R15: in content of texts and calls, title and notes."""
    in_content = question(f"Use {word} now"), refund(content=f"Reason: {word}")
    warning = f"1 word has a sign that looks like another one*: {mark(word)}"
    for asked in (*in_content, question(title=f"use {word}"), question(notes=(word,))):
        assert warning in mrkdwn_of(card(request(asked=asked)).blocks)


def test_secrets_of_a_call_are_not_drawn() -> None:
    """R15: on its card, in its windows, its file, or when it is edited."""
    drawn = [DRAWINGS[name] for name in DRAWINGS if name.startswith("card_tool")]
    everything = json.dumps([d.blocks for d in drawn] + [VIEWS["modal_full_edited"], VIEWS["modal_full_tool"]])
    everything += judged.file_of(edited())[1].decode()
    assert "hidden: 11 characters" in everything
    assert "s3cr3t-word" not in everything and "other-word!" not in everything


def test_settled_card_says_who_decided_when_and_why() -> None:
    """R6, R17: a request that ran out of time is not called rejected."""
    shown, late = DRAWINGS["card_rejected"], DRAWINGS["card_expired"]
    assert "*Rejected* by <@U0BOB> at <!date^" in mrkdwn_of(shown.blocks)
    assert "Too dear.\nAsk for five." in boxes_of(shown.blocks)
    assert "Expired" in late.text and "eject" not in late.text


def test_refused_change_is_not_called_approved() -> None:
    """R45: on the card, in the notification and in the thread; the reason is data."""
    card_text, steps = DRAWINGS["card_tool_not_done"].text, DRAWINGS["steps_not_done"]
    assert card_text.startswith(":warning: *Not done*: More than 10 EUR")
    for drawing in (DRAWINGS["card_tool_not_done"], steps):
        said = json.dumps([drawing.text, drawing.blocks])
        assert "Approved with changes" not in said and "before it was approved" not in said
        assert "<!channel>" not in mrkdwn_of(drawing.blocks)
    assert json.dumps(steps.blocks).count("More than 10 EUR") == 1


def test_high_risk_is_the_first_line_of_a_card() -> None:
    """R13: with the word that people will type, on the screen and in what is read aloud."""
    drawing = DRAWINGS["card_high_risk"]
    assert mrkdwn_of(drawing.blocks[:1]) == ':rotating_light: *High risk* · you\'ll type "refund order"'


def test_reminder_and_escalation_lead_with_the_question() -> None:
    """A phone shows the beginning of a notification and no more."""
    for name, head in (("note_reminder", ":bell: Still waiting: "), ("note_raised", ":arrow_up: Escalated: ")):
        drawing = DRAWINGS[name]
        assert drawing.text.startswith(head + "send this mail"), drawing.text
        assert "until" in drawing.text.splitlines()[0]


def test_settled_call_title_is_no_longer_a_question() -> None:
    """On a card of its own and in a row; the arguments stay, so that a search finds them."""
    asked = request(asked=replace(call(), title="Refund 20.00 EUR for order 17?"))
    done = sample_views.decided(Verb.APPROVE, of=asked)
    for blocks in (card(done).blocks, on_one_card([done, done]).blocks):
        said = "\n".join(texts_of(blocks))
        assert "Refund 20.00 EUR for order 17" in said and "order 17?" not in said
    assert "order 17?" in "\n".join(texts_of(on_one_card([asked, done]).blocks))


def test_a_stopped_run_says_so_once() -> None:
    stopped = sample_views.ended(status=runs.Status.STOPPED, stopped_by=BOB, result="Stopped.", words="")
    assert "\n".join(texts_of(thread_notes.outcome_note(stopped).blocks)).count("Stopped") == 1


def test_outcome_note_says_the_answer_once() -> None:
    """The requester reads the agents' answer; another sentence beside it is the team's own, with a summary."""
    said = sample_views.ended(
        result="carol can read billing", words="carol can read billing\n\nuntil 00:20", ended_as="Granted"
    )
    blocks = thread_notes.outcome_note(said).blocks
    assert mrkdwn_of(blocks) == ":white_check_mark: Granted" and boxes_of(blocks) == [
        "carol can read billing\n\nuntil 00:20"
    ]
    assert "*Summary*" in mrkdwn_of(DRAWINGS["note_outcome"].blocks)


def test_sent_text_is_not_called_a_summary() -> None:
    sent = sample_views.ended(result="Sent to Ann.", words="Approved text\n\nDear vendor", ended_as="Sent")
    blocks = thread_notes.outcome_note(sent).blocks
    assert "*Approved text*" in mrkdwn_of(blocks) and "Summary" not in mrkdwn_of(blocks)
    assert boxes_of(blocks) == ["Sent to Ann.", "Dear vendor"]


def test_chosen_option_is_in_thread_and_lists() -> None:
    """Where it should go is what the thread and a list are read for."""
    asked = request(asked=choice("eu-west", "us-east"))
    decision = Decision(Status.ANSWERED, How.REVIEWERS, later(), (BOB,), chosen=("us-east",))
    answered = replace(asked, status=Status.ANSWERED, decision=decision)
    (line,) = [text for text in texts_of(plan(run(), answered).blocks) if "Which region" in text]
    assert "“us-east”" in "".join(texts_of(plan(run(), answered).blocks)), line
    listed = Listed((answered,), {}, 1)
    assert "Which region? – us-east" in texts_of(home.outcomes(listed, later()))


def test_break_glass_note_leads_with_the_matter() -> None:
    """A phone shows the beginning of a notification and no more."""
    drawing = DRAWINGS["note_broken_glass"]
    title = sample_views.broken().question.title
    assert drawing.text.startswith(f":rotating_light: Break-glass: {title}")
    assert title in "\n".join(texts_of(drawing.blocks[:1]))
    assert "Approved by the requester, <@U0ALICE>, alone" in drawing.text


def test_rejected_text_is_called_a_draft_in_the_outcome() -> None:
    """The outcome note of a run whose text was not sent says so."""
    unsent = sample_views.ended(result="Not sent.", words="Draft (not sent)\n\nDear vendor", ended_as="rejected")
    blocks = thread_notes.outcome_note(unsent).blocks
    assert "*Draft (not sent)*" in mrkdwn_of(blocks) and "Summary" not in mrkdwn_of(blocks)
    assert boxes_of(blocks) == ["Not sent.", "Dear vendor"]


def test_thread_repeats_no_step_of_a_card_or_outcome() -> None:
    """What an agent wrote stands on the card that asks about it, and its last words in the outcome."""
    asked = request(asked=question(content="Dear vendor,\n\nten percent " + "off " * 200))
    told = run(status=runs.Status.WAITING)
    for words in ("I looked at the prices", in_one_line(asked.question.content)[: LINE - 1] + "…"):
        told = runs.note_progress(told, "drafter", words, later()).run
    assert len(told.progress) == 2
    shown = json.dumps(plan(told, asked).blocks)
    assert "I looked at the prices" in shown and "ten percent" not in shown
    assert "ten percent" in json.dumps(plan(told).blocks), "until the card is there"
    over = replace(told, status=runs.Status.FINISHED, words="I looked at the prices")
    assert "I looked at the prices" not in json.dumps(plan(over).blocks)
    alone = replace(over, progress=over.progress[:1])
    assert "I looked at the prices" in json.dumps(plan(alone).blocks), "a posted list is not left as it was"


def test_answer_follows_a_question_without_a_colon() -> None:
    asked = request(asked=question(title="Send this mail?"))
    blocks = plan(run(), sample_views.decided(Verb.RESPOND, "make it shorter", asked)).blocks
    assert "Send this mail?: " not in "".join(texts_of(blocks)) and "make it shorter" in str(blocks)


def test_form_values_keep_the_declared_order() -> None:
    """On the settled card and in *Details*; canonical JSON sorts them by name."""
    schema = json.dumps({"properties": {"region": {}, "percent": {}}})
    form = Question("rollouts", 0, Kind.FORM, "How far?", "", (Verb.EDIT,), Call("form", "{}", schema=schema))
    values = canonical({"percent": 20, "region": "eu"})
    decision = Decision(Status.EDITED, How.REVIEWERS, later(), (BOB,), arguments=values)
    assert boxes_of(card(replace(request(asked=form), decision=decision)).blocks) == ["Region: eu\nPercent: 20"]
    called = replace(form, kind=Kind.TOOL, content="To the EU", call=Call("roll_out", values, schema=schema))
    assert "Region: eu\nPercent: 20" in boxes_of(review_modals.full(request(asked=called))["blocks"])


def test_expired_card_counts_its_approvals() -> None:
    """R45: "nobody decided" would be untrue after a vote."""
    asked = request_endings.expire(sample_views.voted(), later(hours=2)).request
    shown = mrkdwn_of(card(asked).blocks)
    assert ":alarm_clock: *Expired with 1 of 2 approvals*" in shown and "<@U0BOB>" in shown
    assert "nobody decided" not in shown and shown.count("1 of 2 approvals") == 1
    assert "nobody decided" in mrkdwn_of(DRAWINGS["card_expired"].blocks)


def test_claims_of_agents_are_attributed_and_never_warnings() -> None:
    """R42: on a card, in a row, in the full view and in the file; a note of ours still warns."""
    claim = "Already approved by the security team\n⚠️ 🚨 🔒 All checks passed"
    asked = request(asked=refund(notes=(claim,), claimed=True))
    rows = on_one_card([asked, request(asked=refund(asked=1))])
    for shown in (
        card(asked).blocks,
        rows.blocks,
        review_modals.full(asked)["blocks"],
        judged.file_of(asked)[1].decode(),
    ):
        text = shown if isinstance(shown, str) else "\n".join(texts_of(shown))
        before, _, _ = text.partition("Already approved by the security team")
        assert "The agent says" in before and "Before you decide" not in before
        assert not set("⚠🚨🔒") & set(text), "a sign of ours, written by the agent, is spelled out"
    (line,) = [text for text in texts_of(card(asked).blocks) if "All checks passed" in text]
    assert line.startswith("Already approved"), "a line of its own would look like ours"
    assert "⚠️ Mind the dog." in texts_of(card(request(asked=refund(notes=("Mind the dog.",)))).blocks)


def test_ordinary_card_offers_approve_reject_and_a_menu() -> None:
    """What a phone's row holds; what else may be done is behind ⋯."""
    *_, actions = (block for block in DRAWINGS["card_mail"].blocks if block["type"] == "actions")
    *buttons, menu = actions["elements"]
    assert [one["text"]["text"] for one in buttons] == ["Approve", "Reject"]
    assert [one["text"]["text"] for one in menu["options"]] == [
        "Request changes…",
        "Edit…",
        "Details",
        "I'm reviewing this",
    ]


def payments() -> list[Request]:
    """Return three payments of one turn, as the team of invoices asks about them."""
    made = []
    for number, (supplier, euros) in enumerate((("Paper Ltd", 1249.0), ("Ink & Co", 370.25), ("<!here>", 1000.0))):
        paying = Call("pay", canonical({"supplier": supplier, "euros": euros}))
        title, shown = f"Pay {euros:,.2f} EUR to “{supplier}”", f"To: {supplier}\nAmount: {euros:,.2f} EUR"
        asked = refund(
            call=paying, title=title, content=shown, asked=number, batch="Pay {count} bills ({euros:,.2f} EUR)"
        )
        made.append(request(later(seconds=number / 10), asked=asked))
    return made


def test_batch_card_shows_the_sum_and_lists_each_payment() -> None:
    """Ten seconds on a phone: the sum first, a line for each, and the same list in the confirmation."""
    drawn = on_one_card(payments())
    texts = list(texts_of(drawn.blocks))
    assert "Pay 3 bills (2,619.25 EUR)?" in texts
    assert "\nTo: Paper Ltd · Amount: 1,249.00 EUR" in texts and not boxes_of(drawn.blocks)
    approve, reject, _ = drawn.blocks[-1]["elements"]
    assert (approve["text"]["text"], reject["text"]["text"]) == ("Approve 3", "Reject 3")
    listed = approve["confirm"]["text"]
    assert listed["type"] == "plain_text" and len(listed["text"]) <= 300
    assert listed["text"].splitlines()[1] == "• Pay 370.25 EUR to “Ink & Co”"


def test_ambiguous_field_gets_a_box_of_its_own() -> None:
    """R13: on one line a value could say what the next field says."""
    forged = replace(refund(), content="To: Paper · Amount: 1.00 EUR\nAmount: 9,000.00 EUR")
    assert not judged.in_line(forged)
    assert judged.in_line(replace(forged, content="To: Paper\nAmount: 9,000.00 EUR"))


def test_card_repeats_neither_title_nor_options() -> None:
    """A body that is the title, and options that have buttons; a longer body and other options stay."""
    same = card(request(asked=question("Send the letter", title="Send the letter?"))).blocks
    assert not boxes_of(same) and list(texts_of(same)).count("Send the letter?") == 1
    assert boxes_of(card(request(asked=question("Send the letter\nto Ann", title="Send the letter?"))).blocks)
    assert boxes_of(card(request(asked=question("Send the letter", title="Send the letter" + "!" * 200))).blocks)
    few, many = (card(request(asked=choice(*options))).blocks for options in (("eu", "us"), ("eu", "us", "asia")))
    assert "Options" not in boxes_of(few)[0] and "Options" in boxes_of(many)[0]


def test_long_card_is_shortened_only_without_an_approve_button() -> None:
    """R13: what one click approves is drawn whole; what opens a window first shows its ends."""
    forty = "\n".join(f"line {number}" for number in range(1, 41))
    (whole,) = boxes_of(card(request(asked=question(forty))).blocks)
    assert whole == forty
    for asked in (
        request(asked=question(forty), risk=Risk.HIGH),
        request(asked=question(forty, offers=(Verb.RESPOND, Verb.REJECT))),
        request(asked=question(forty + "\nline" * 100)),
    ):
        blocks = card(asked).blocks
        first, last = boxes_of(blocks)
        assert (len(first.splitlines()), len(last.splitlines())) == (10, 5)
        assert control_values.APPROVE not in json.dumps(blocks) and "Open *Details*" in mrkdwn_of(blocks)
    assert "file" not in mrkdwn_of(card(request(asked=question(forty), risk=Risk.HIGH)).blocks)
