"""The window of `/agent`: a team, its options and the task; build and parse."""

import json
from typing import Final

from countersign.domain.ids import ChannelId
from countersign.domain.run_options import Option
from countersign.text.safe_text import typed
from countersign.usecases.ports import TeamInfo

from .block_kit import Block, plain
from .modal_parts import View, channel_of, has_block, input_of, input_state, modal, value

START: Final = "start_run"
SHORTCUT: Final = "start_task"
"""The global shortcut that opens this window."""
TEAM, TASK, CHANNEL = "team", "task", "channel"
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
    menu: Block = {"type": "static_select", "action_id": TEAM, "placeholder": plain("Choose a team"), "options": items}
    chosen = next((t for t in shown if t.name == team or len(shown) == 1), None)
    if chosen is not None:
        menu["initial_option"] = items[shown.index(chosen)]
    task = {"type": "plain_text_input", "action_id": TASK, "multiline": True, "min_length": 1, "max_length": 3000}
    blocks = [
        {**input_of(TEAM, "Team", menu), "dispatch_action": True},
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
    menu = {"type": "static_select", "action_id": option.name, "options": items, "initial_option": default}
    return input_of(f"{_OPTION}{team}/{option.name}", option.label, menu, hint=option.hint)


def is_anywhere(view: View) -> bool:
    """Tell whether the modal asks for a channel."""
    return has_block(view, CHANNEL)


def channel_for(view: View) -> ChannelId:
    """Read the channel that was chosen, or that the modal was opened in."""
    return ChannelId(input_state(view, CHANNEL).get("selected_conversation") or channel_of(view))


def options_of(view: View, team: str) -> dict[str, str]:
    """Read the options of this team, not those that the modal showed before."""
    begin = f"{_OPTION}{team}/"
    blocks = [block for block in view["state"]["values"] if block.startswith(begin)]
    return {block.removeprefix(begin): value(view, block) for block in blocks}
