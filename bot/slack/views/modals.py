"""The modals, each with what it carries and how its answers are read: ids, build and parse stand together."""

import json
from typing import Any, Final

from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.run_options import Option
from countersign.usecases.ports import TeamInfo

from . import button_labels, choice_controls
from .block_kit import Block, context, data, heading, mrkdwn, plain, words
from .card_content import in_full
from .cards import Handle
from .outcome_text import changes_of
from .safe_text import Room, quoted, shorten, typed
from .slack_markup import mention

START: Final = "start_run"
REJECT: Final = "reject_request"
RESPOND: Final = "respond_to_request"
FULL: Final = "full_request"
APPROVE: Final = "approve_request"
READ: Final = "read"
TEAM, TASK, REASON, ANSWER = "team", "task", "reason", "answer"
_OPTION: Final = "option/"
"""Begins the block ids of a team's options; the team and the option's name follow."""
View = dict[str, Any]
_READ_FILE: Final = "I have read the file in the card's thread, which has all of it"


def start(teams: list[TeamInfo], channel: ChannelId, team: str = "") -> View:
    """Team and task, both required, and the options of the team that is chosen. `teams` must not be empty; Slack shows
    100 at most. The app is told when another team is chosen, and shows that one's options."""
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
    """What is chosen of this team's options, by name; not those that the window showed before."""
    begin = f"{_OPTION}{team}/"
    blocks = [block for block in view["state"]["values"] if block.startswith(begin)]
    return {block.removeprefix(begin): value(view, block) for block in blocks}


def reject(request: Request, channel: ChannelId) -> View:
    """The reason may stay empty."""
    return _words(request, channel, REJECT, button_labels.of(request.question.kind).reject, REASON, True)


def respond(request: Request, channel: ChannelId) -> View:
    """Words for the agents; they are never an approval (R12)."""
    return _words(request, channel, RESPOND, button_labels.of(request.question.kind).respond, ANSWER, False)


def full(request: Request) -> View:
    """All of a request to read; what is too long even here is in the file."""
    blocks, _ = _all_of(request)
    return modal(FULL, "All that is asked", blocks, None, Handle(request.id, request.digest).write())


def review(request: Request, channel: ChannelId) -> View:
    """The same with a button that approves it. Who must read the file besides says so first."""
    blocks, is_all = _all_of(request)
    if not is_all:
        blocks.append(read_box("This window has no room for all of it", _READ_FILE))
    approve = next(b.label for b in button_labels.of(request.question.kind).buttons if b.verb is Verb.APPROVE)
    return modal(APPROVE, "Review", blocks, approve, _carried(request, channel))


def read_box(label: str, says: str) -> Block:
    """A box that must be checked by who cannot see all of it in this window."""
    box = {"type": "checkboxes", "action_id": READ, "options": [{"text": plain(says), "value": "yes"}]}
    return input_of(READ, label, box)


def has_read(view: View) -> bool:
    """Whether the box is checked where there is one."""
    asked = any(block.get("block_id") == READ for block in view["blocks"])
    return not asked or bool(held(view, READ).get("selected_options"))


def choose(request: Request, channel: ChannelId) -> View:
    """The options to choose from."""
    unread = read_box("This window has no room for all of it", _READ_FILE)
    return choice_controls.choose(request, json.loads(_carried(request, channel)), unread)


def not_counted(sentence: str) -> View:
    """Instead of a window whose answer did not count. `sentence` is ours, in mrkdwn."""
    return modal(FULL, "Not counted", [words(sentence)], None, "")


def _all_of(request: Request) -> tuple[list[Block], bool]:
    blocks, is_all = in_full(request.question, changed=request.status is Status.EDITED)
    if changes := changes_of(request):
        changed = shorten(changes, Room(2500, 8000, 200))
        blocks = [words("*Changed before it was approved*"), data([p for p in changed[::2] if p]), *blocks]
    return [heading("About: ", quoted(request.question.title, 150)), *blocks], is_all


def _carried(request: Request, channel: ChannelId) -> str:
    return json.dumps({**Handle(request.id, request.digest)._asdict(), "channel": channel})


def value(view: View, block: str) -> str:
    """What stands in a text or number input, or is chosen in a select; "" if nothing."""
    entered = held(view, block)
    return str(entered.get("value") or (entered.get("selected_option") or {}).get("value") or "")


def channel_of(view: View) -> ChannelId:
    """The channel that the modal was opened in."""
    return ChannelId(json.loads(view["private_metadata"])["channel"])


def held(view: View, block: str) -> dict[str, Any]:
    """The state of the input in this block; empty if there is none."""
    actions: dict[str, dict[str, Any]] = view["state"]["values"].get(block, {})
    return next(iter(actions.values()), {})


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
    return modal(callback, window.title, blocks, window.title, _carried(request, channel))


def input_of(block: str, label: str, element: Block, *, hint: str = "", optional: bool = False) -> Block:
    """An input with its label."""
    made: Block = {"type": "input", "block_id": block, "label": plain(label), "element": element, "optional": optional}
    return {**made, "hint": plain(hint, 150)} if hint else made


def modal(callback: str, title: str, blocks: list[Block], submit: str | None, carried: str) -> View:
    """A window; without `submit` it is only read. `carried` comes back with what is entered."""
    view: View = {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title, 24),
        "close": plain("Close" if submit is None else "Cancel"),
        "blocks": blocks,
        "private_metadata": carried,
    }
    return {**view, "submit": plain(submit, 24)} if submit else view
