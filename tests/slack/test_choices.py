"""Options as buttons where they are few and short, in a window where they are not."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.views import answer_modals, approval_card, control_values, modal_parts
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import RunId
from countersign.domain.requests import Question
from countersign.domain.runs import Run
from localslack.inputs import state_of
from localslack.payload_checks import check_message_blocks, check_view
from tests.sample_requests import ALICE, GENERAL, HERE, NOW, choice, request


def labels(question: Question) -> list[str]:
    """What the card's buttons say."""
    drawn = approval_card.card(request(asked=question), run=run(), run_link=None)
    check_message_blocks(drawn.blocks)
    return [b["text"]["text"] for b in drawn.blocks[-1]["elements"] if b["type"] == "button"]


def run() -> Run:
    return Run(RunId("rtest"), HERE, GENERAL, ALICE, "planner", "where shall it run", NOW)


def window(question: Question) -> dict[str, Any]:
    view = answer_modals.choose(request(asked=question), GENERAL)
    check_view(view, ("modal",))
    return {**view, "state": {"values": state_of(view["blocks"])}}


def element(view: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(b["element"] for b in view["blocks"] if b.get("block_id") == answer_modals.OPTIONS)
    return found


def test_few_short_options_are_buttons() -> None:
    """R1: each carries the request, the digest of what was shown, and its own number."""
    asked = request(asked=choice("eu", "us"))
    assert labels(asked.question) == ["eu", "us"]
    assert labels(choice("staging", "the customers")) == ["staging", "the customers"]
    drawn = approval_card.card(asked, run=run(), run_link=None)
    values = [json.loads(button["value"]) for button in drawn.blocks[-1]["elements"][:2]]
    assert values == [{"request": asked.id, "digest": asked.digest, "option": n} for n in range(2)]


@pytest.mark.parametrize(
    "question",
    [
        choice("eu", "us", several=True),
        choice("eu", "us", "asia"),
        choice(*"abcdef"),
        choice("the north of Europe", "the east coast"),
        choice("東京のデータセンター", "大阪のデータ"),
        choice("eu", "x" * 76),
        choice("eu", "EU "),
        choice("eu", "Answer in words"),
        choice("eu", "none of these"),
        choice("eu", " "),
        choice("eu", "u\u202es"),
        choice("eu", "password=hunter2hunter2"),
        replace(choice("eu", "us"), content="x" * 5000),
    ],
)
def test_long_or_many_options_are_chosen_in_a_window(question: Question) -> None:
    """R13, R15: many or long ones that a phone's row has no room for, ones that look like each other or like our own
    buttons, and where the card does not show all that is judged.
    """
    assert labels(question) == ["Choose", "None of these"]


@pytest.mark.parametrize(
    ("count", "several", "kind"),
    [
        (3, False, "radio_buttons"),
        (10, False, "radio_buttons"),
        (11, False, "static_select"),
        (100, False, "static_select"),
        (3, True, "checkboxes"),
        (10, True, "checkboxes"),
        (11, True, "multi_static_select"),
        (100, True, "multi_static_select"),
    ],
)
def test_window_input_type_fits_the_number_of_options(count: int, several: bool, kind: str) -> None:
    """Radio buttons, checkboxes or a menu, by how many options there are."""
    question = choice(*(f"option {n}" for n in range(count)), several=several)
    view = window(question)
    assert element(view)["type"] == kind
    options = element(view)["options"]
    several_of = {"selected_options": [options[0], options[2]]}
    held = several_of if several else {"selected_option": options[2]}
    view["state"]["values"][answer_modals.OPTIONS] = {answer_modals.OPTIONS: held}
    assert answer_modals.chosen_options(view, question) == (("option 0", "option 2") if several else ("option 2",))


def test_too_many_options_for_slack_are_refused() -> None:
    """R7"""
    with pytest.raises(InvalidInput, match=r"101 options.*Nothing was decided"):
        window(choice(*map(str, range(101))))


def test_long_options_are_numbered_and_whole_on_the_card() -> None:
    """R13: nobody chooses what was cut."""
    long = [f"{'very ' * 100}{end}" for end in ("left", "right")]
    view = window(choice(*long))
    assert [o["text"]["text"][:7] for o in element(view)["options"]] == ["1. very", "2. very"]
    card = json.dumps(approval_card.card(request(asked=choice(*long)), run=run(), run_link=None).blocks)
    assert all(f"{n}. {option}" in card for n, option in enumerate(long, 1))
    assert "numbers match the card" in json.dumps(view)


def test_choice_window_shows_content_too_long_for_the_card() -> None:
    """R13, R14."""
    view = window(replace(choice("eu", "us"), content="\n".join(f"line {n}" for n in range(2000))))
    assert "line 1999" in json.dumps(view)
    assert modal_parts.has_read(view)
    too_long = window(replace(choice("eu", "us"), content="x" * 200_000))
    assert not modal_parts.has_read(too_long)


@given(st.lists(st.text(max_size=100), min_size=1, max_size=12, unique=True), st.booleans())
def test_any_options_are_accepted_by_slack_and_chosen_correctly(options: list[str], several: bool) -> None:
    """R1, R15: Slack takes the card and the window, whatever the options say."""
    question = choice(*options, several=several)
    drawn = labels(question)
    assert len(drawn) <= control_values.BUTTONS
    view = window(question)
    for number, option in enumerate(options):
        held = element(view)["options"][number]
        chosen = {"selected_options": [held]} if several else {"selected_option": held}
        view["state"]["values"][answer_modals.OPTIONS] = {answer_modals.OPTIONS: chosen}
        assert answer_modals.chosen_options(view, question) == (option,)
        assert drawn[0] == "Choose" or drawn[number] == option


@pytest.mark.parametrize("value", ["", "null", "[]", '{"option": "1"}', '{"option": true}', '{"option": -3}'])
def test_unknown_option_number_chooses_nothing(value: str) -> None:
    number = control_values.option_number(value)
    assert number is not None and number < 0
