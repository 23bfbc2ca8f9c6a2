"""Options of a choice: as buttons on the card, or in a modal if many or long.

The text of an option is data: a button carries its number, and a digest of the options (R1, R13).
"""

import json
import re
import unicodedata
from typing import Any, Final

from countersign.domain.errors import InvalidInput
from countersign.domain.requests import Question, Request
from countersign.text.safe_text import one_line, quoted, visible

from . import button_labels
from .block_kit import Block, button, heading, plain

CHOOSE: Final = "decide_choose"
"""The action of the button that opens the window; those of options have their number behind it."""
SUBMIT: Final = "choose_options"
OPTIONS: Final = "options"
_ON_CARD: Final = 2
_IN_A_ROW: Final = 22
"""Columns of their labels together that stand beside the menu on a phone of 390 pixels."""
_LISTED: Final = 10
"""Radio buttons and checkboxes; more are a menu."""
_MOST: Final = 100
_LABEL: Final = 75


def buttons(question: Question, choose: Block, *, whole: bool) -> list[Block]:
    """Draw a button for each option, or `choose`, which opens the modal.

    Each carries its number too. `whole`: the card shows all that is judged.
    """
    if not (whole and _are_buttons(question)):
        return [choose]
    handle = json.loads(choose["value"])
    return [
        button(option, f"{CHOOSE}_{number}", json.dumps({**handle, "option": number}))
        for number, option in enumerate(question.options)
    ]


def clicked(value: str) -> int | None:
    """Read the number of the option on a button.

    None if the button opens the modal, -1 if it is not ours.
    """
    try:
        number = json.loads(value).get("option")
    except (ValueError, AttributeError):
        return -1
    return number if number is None or (isinstance(number, int) and not isinstance(number, bool)) else -1


def choose(request: Request, carried: str, above: list[Block], below: list[Block]) -> dict[str, Any]:
    """Draw the modal, with these blocks around the options.

    InvalidInput if there are too many options.
    """
    question = request.question
    if len(question.options) > _MOST:
        raise InvalidInput(
            f"Slack can't show {len(question.options)} options to choose from. Nothing was decided; please answer "
            "in words, or choose none of these."
        )
    options = [{"text": plain(label), "value": str(number)} for number, label in enumerate(_numbered(question))]
    few = len(options) <= _LISTED
    element: Block = {"action_id": OPTIONS, "options": options}
    if question.several:
        element["type"] = "checkboxes" if few else "multi_static_select"
    else:
        element["type"] = "radio_buttons" if few else "static_select"
    if not few:
        element["placeholder"] = plain("Choose")
    ask: Block = {
        "type": "input",
        "block_id": OPTIONS,
        "label": plain(button_labels.CHOOSE_SEVERAL if question.several else button_labels.CHOOSE.label),
        "element": element,
        "optional": False,
    }
    if any(_is_cut(option) for option in question.options):
        ask["hint"] = plain(button_labels.CHOOSE.hint, 150)
    return {
        "type": "modal",
        "callback_id": SUBMIT,
        "title": plain(button_labels.CHOOSE.title, 24),
        "submit": plain(button_labels.CHOOSE.title, 24),
        "close": plain("Cancel"),
        "blocks": [heading("About: ", quoted(question.title, 150)), *above, ask, *below],
        "private_metadata": carried,
    }


def read(view: dict[str, Any], question: Question) -> tuple[str, ...]:
    """Read the choice; options that do not exist are left out."""
    held: dict[str, Any] = next(iter(view["state"]["values"].get(OPTIONS, {}).values()), {})
    chosen = held.get("selected_options") or [held.get("selected_option") or {}]
    numbers = [str(option.get("value")) for option in chosen]
    return tuple(
        question.options[int(n)] for n in numbers if re.fullmatch(r"\d{1,4}", n) and int(n) < len(question.options)
    )


def _are_buttons(question: Question) -> bool:
    """Tell whether the options are few, short, and distinct from all our buttons."""
    names = [option.strip().casefold() for option in question.options]
    ours = {b.label.casefold() for b in button_labels.of(question).buttons} | {"details"}
    return (
        not question.several
        and 0 < len(names) <= _ON_CARD
        and len(set(names)) == len(names)
        and not ours & set(names)
        and all(name for name in names)
        and not any(_is_cut(option) for option in question.options)
        and sum(_columns(option) for option in question.options) <= _IN_A_ROW
    )


def _columns(text: str) -> int:
    """Count the columns of a line; letters of Chinese and Japanese take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _numbered(question: Question) -> list[str]:
    return [quoted(f"{number}. {option}", _LABEL) for number, option in enumerate(question.options, 1)]


def _is_cut(option: str) -> bool:
    """Tell whether a label would not show the option as it is, with its number."""
    return visible(option) != option or one_line(f"100. {option}", _LABEL) != f"100. {option}"
