"""Modals that start a task, ask for words, or offer a choice; build and parse."""

import json
from typing import Final

from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Request
from countersign.domain.run_options import Option
from countersign.text.safe_text import quoted, typed
from countersign.usecases.ports import TeamInfo

from . import button_labels, choice_controls
from .block_kit import Block, context, heading, mrkdwn, plain
from .card_content import complete, in_full
from .card_controls import carried, further
from .modal_parts import View, channel_of, held, input_of, modal, read_box, value
from .request_text import for_whom

START: Final = "start_run"
MORE: Final = "more_actions"
ITEM: Final = "item"
REJECT: Final = "reject_request"
RESPOND: Final = "respond_to_request"
TEAM, TASK, CHANNEL, REASON, ANSWER = "team", "task", "channel", "reason", "answer"
_OPTION: Final = "option/"
"""Begins the block ids of a team's options; the team and the option's name follow."""


def start(teams: list[TeamInfo], channel: ChannelId, team: str = "", *, anywhere: bool = False) -> View:
    """Draw the modal that asks for a team, its options and the task.

    `teams` must not be empty; Slack shows 100 at most. When another team is chosen, Slack asks for its options.
    `anywhere`: it was opened outside of a channel, and asks for one; `channel` is offered.
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
    if anywhere:
        where: Block = {"type": "conversations_select", "action_id": CHANNEL, "initial_conversation": channel}
        where["filter"] = {"include": ["public", "private"], "exclude_bot_users": True}
        blocks.append(
            input_of(CHANNEL, "Channel", where, hint="Its reviewers decide, and the run's thread appears there.")
        )
    return modal(START, "Start a task", blocks, "Start", json.dumps({"channel": channel}))


def _option(team: str, option: Option) -> Block:
    items = [{"text": plain(typed(choice)), "value": choice} for choice in option.choices]
    default = items[option.choices.index(option.default)]
    one = {"type": "static_select", "action_id": option.name, "options": items, "initial_option": default}
    return input_of(f"{_OPTION}{team}/{option.name}", option.label, one, hint=option.hint)


def is_anywhere(view: View) -> bool:
    """Tell whether the modal asks for a channel."""
    return any(block.get("block_id") == CHANNEL for block in view["blocks"])


def channel_for(view: View) -> ChannelId:
    """Read the channel that was chosen, or that the modal was opened in."""
    return ChannelId(held(view, CHANNEL).get("selected_conversation") or channel_of(view))


def options_of(view: View, team: str) -> dict[str, str]:
    """Read the options of this team, not those that the modal showed before."""
    begin = f"{_OPTION}{team}/"
    blocks = [block for block in view["state"]["values"] if block.startswith(begin)]
    return {block.removeprefix(begin): value(view, block) for block in blocks}


def reject(request: Request, channel: ChannelId) -> View:
    """Draw the modal that asks for a reason, which may stay empty."""
    return _words(request, channel, REJECT, button_labels.of(request.question).reject, REASON, True)


def respond(request: Request, channel: ChannelId) -> View:
    """Draw the modal that asks for an answer, which never approves (R12)."""
    return _words(request, channel, RESPOND, button_labels.of(request.question).respond, ANSWER, False)


def more(request: Request, channel: ChannelId) -> View:
    """Draw the window with the items for which the menu has no room."""
    element: Block = {"type": "radio_buttons", "action_id": ITEM, "options": further(request)}
    return modal(
        MORE, "More", [input_of(ITEM, "What do you want to do?", element)], "Continue", carried(request, channel)
    )


def choose(request: Request, channel: ChannelId) -> View:
    """Draw the modal with the options, below all that the card does not show whole."""
    question = request.question
    above, is_all = in_full(question) if not complete(question) else ([], True)
    unread = [] if is_all else [read_box("This window has no room for all of it")]
    return choice_controls.choose(request, carried(request, channel), above, unread)


def _words(
    request: Request, channel: ChannelId, callback: str, window: button_labels.Window, block: str, optional: bool
) -> View:
    asked = heading("About: ", quoted(request.question.title, 150))
    field = {"type": "plain_text_input", "action_id": block, "multiline": True, "max_length": LONGEST_WORDS}
    blocks = [
        asked,
        context(mrkdwn(f"For {for_whom(request)}")),
        input_of(block, window.label, field, hint=window.hint, optional=optional),
    ]
    return modal(callback, window.title, blocks, window.title, carried(request, channel))
