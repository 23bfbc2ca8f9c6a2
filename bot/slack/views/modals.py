"""Modals that start a task, ask for words, or offer a choice; build and parse."""

import json
from typing import Final

from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Request
from countersign.domain.run_options import Option
from countersign.usecases.ports import TeamInfo

from . import button_labels, choice_controls
from .block_kit import Block, context, heading, mrkdwn, plain
from .card_content import complete, in_full
from .card_controls import carried
from .modal_parts import READ_FILE, View, input_of, modal, read_box, value
from .safe_text import quoted, typed
from .slack_markup import mention

START: Final = "start_run"
REJECT: Final = "reject_request"
RESPOND: Final = "respond_to_request"
TEAM, TASK, REASON, ANSWER = "team", "task", "reason", "answer"
_OPTION: Final = "option/"
"""Begins the block ids of a team's options; the team and the option's name follow."""


def start(teams: list[TeamInfo], channel: ChannelId, team: str = "") -> View:
    """Ask for team and task, and for the options of the team that is chosen.

    `teams` must not be empty; Slack shows 100 at most. When another team is chosen, Slack asks for its options.
    """
    shown = [t for t in teams if len(t.name) <= 75][:100]
    items = [
        {"text": plain(typed(t.name)), "value": t.name, "description": plain(typed(t.problem or t.line))} for t in shown
    ]
    one: Block = {"type": "static_select", "action_id": TEAM, "placeholder": plain("Choose a team"), "options": items}
    chosen = next((t for t in shown if t.name == team or len(shown) == 1), None)
    if chosen is not None:
        one["initial_option"] = items[shown.index(chosen)]
    task = {"type": "plain_text_input", "action_id": TASK, "multiline": True, "min_length": 1, "max_length": 3000}
    blocks = [
        {**input_of(TEAM, "Team", one), "dispatch_action": True},
        *([_option(chosen.name, option) for option in chosen.options] if chosen else []),
        input_of(TASK, "Task", task, hint="What the agents should do, in your words."),
    ]
    return modal(START, "Start a task", blocks, "Start", json.dumps({"channel": channel}))


def _option(team: str, option: Option) -> Block:
    items = [{"text": plain(typed(choice)), "value": choice} for choice in option.choices]
    default = items[option.choices.index(option.default)]
    one = {"type": "static_select", "action_id": option.name, "options": items, "initial_option": default}
    return input_of(f"{_OPTION}{team}/{option.name}", option.label, one, hint=option.hint)


def options_of(view: View, team: str) -> dict[str, str]:
    """Read the options of this team, not those that the modal showed before."""
    begin = f"{_OPTION}{team}/"
    blocks = [block for block in view["state"]["values"] if block.startswith(begin)]
    return {block.removeprefix(begin): value(view, block) for block in blocks}


def reject(request: Request, channel: ChannelId) -> View:
    """Ask for a reason, which may stay empty."""
    return _words(request, channel, REJECT, button_labels.of(request.question.kind).reject, REASON, True)


def respond(request: Request, channel: ChannelId) -> View:
    """Ask for words for the agents; they are never an approval (R12)."""
    return _words(request, channel, RESPOND, button_labels.of(request.question.kind).respond, ANSWER, False)


def choose(request: Request, channel: ChannelId) -> View:
    """Offer the options, below all that the card does not show whole."""
    question = request.question
    above, is_all = in_full(question) if not complete(question) else ([], True)
    unread = [] if is_all else [read_box("This window has no room for all of it", READ_FILE)]
    return choice_controls.choose(request, carried(request, channel), above, unread)


def _words(
    request: Request, channel: ChannelId, callback: str, window: button_labels.Window, block: str, optional: bool
) -> View:
    asked = heading("About: ", quoted(request.question.title, 150))
    field = {"type": "plain_text_input", "action_id": block, "multiline": True, "max_length": LONGEST_WORDS}
    blocks = [
        asked,
        context(mrkdwn(f"For {mention(request.requester)}"), plain(f"run {request.run}")),
        input_of(block, window.label, field, hint=window.hint, optional=optional),
    ]
    return modal(callback, window.title, blocks, window.title, carried(request, channel))
