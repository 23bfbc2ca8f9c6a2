"""Modals that answer a request: reject, respond, choose; build and parse.

The text of an option is data: what is sent is its number (R1, R13).
"""

import re
from typing import Any, Final

from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Question, Request
from countersign.text.safe_text import quoted

from . import button_labels
from .block_kit import Block, context, mrkdwn, plain
from .control_values import LONGEST_OPTION, is_cut, items_without_room, metadata
from .modal_parts import View, about, input_of, input_state, modal, read_box, words_input
from .request_text import for_whom
from .reviewed_content import complete, in_full

REJECT: Final = "reject_request"
RESPOND: Final = "respond_to_request"
CHOOSE: Final = "choose_options"
MORE: Final = "more_actions"
REASON, ANSWER, OPTIONS, ITEM = "reason", "answer", "options", "item"
_LISTED: Final = 10
"""Radio buttons and checkboxes; more are a menu."""
_MOST_OPTIONS: Final = 100


def reject(request: Request, channel: ChannelId) -> View:
    """Draw the modal that asks for a reason, which may stay empty."""
    return _words(request, channel, REJECT, button_labels.wording_of(request.question).reject, REASON, optional=True)


def respond(request: Request, channel: ChannelId) -> View:
    """Draw the modal that asks for an answer, which never approves (R12)."""
    return _words(request, channel, RESPOND, button_labels.wording_of(request.question).respond, ANSWER, optional=False)


def _words(
    request: Request, channel: ChannelId, callback: str, window: button_labels.Window, block: str, *, optional: bool
) -> View:
    blocks = [
        about(request.question),
        context(mrkdwn(f"For {for_whom(request)}")),
        words_input(block, window.label, window.hint, optional=optional),
    ]
    return modal(callback, window.title, blocks, window.title, metadata(request, channel))


def more(request: Request, channel: ChannelId) -> View:
    """Draw the window with the items that do not fit in the menu."""
    element: Block = {"type": "radio_buttons", "action_id": ITEM, "options": items_without_room(request)}
    blocks = [input_of(ITEM, "What do you want to do?", element)]
    return modal(MORE, "More", blocks, "Continue", metadata(request, channel))


def choose(request: Request, channel: ChannelId) -> View:
    """Draw the modal with the options, below content that the card cuts.

    InvalidInput if there are too many options.
    """
    question = request.question
    if len(question.options) > _MOST_OPTIONS:
        raise InvalidInput(
            f"Slack can't show {len(question.options)} options to choose from. Nothing was decided; please answer "
            "in words, or choose none of these."
        )
    labels = [quoted(f"{number}. {option}", LONGEST_OPTION) for number, option in enumerate(question.options, 1)]
    options = [{"text": plain(label), "value": str(number)} for number, label in enumerate(labels)]
    few = len(options) <= _LISTED
    element: Block = {"action_id": OPTIONS, "options": options}
    if question.several:
        element["type"] = "checkboxes" if few else "multi_static_select"
    else:
        element["type"] = "radio_buttons" if few else "static_select"
    if not few:
        element["placeholder"] = plain("Choose")
    window = button_labels.CHOOSE
    hint = window.hint if any(map(is_cut, question.options)) else ""
    label = button_labels.CHOOSE_SEVERAL if question.several else window.label
    content, is_all = in_full(question) if not complete(question) else ([], True)
    blocks = [about(question), *content, input_of(OPTIONS, label, element, hint=hint)]
    if not is_all:
        blocks.append(read_box("This window has no room for all of it"))
    return modal(CHOOSE, window.title, blocks, window.title, metadata(request, channel))


def chosen_options(view: dict[str, Any], question: Question) -> tuple[str, ...]:
    """Read the choice; options that do not exist are left out."""
    state = input_state(view, OPTIONS)
    chosen = state.get("selected_options") or [state.get("selected_option") or {}]
    numbers = [str(option.get("value")) for option in chosen]
    return tuple(
        question.options[int(n)] for n in numbers if re.fullmatch(r"\d{1,4}", n) and int(n) < len(question.options)
    )
