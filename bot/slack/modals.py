"""The modals, each with what it carries and how its answers are read: ids, build and parse stand together."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from bot.core.deciding import LONGEST_WORDS
from bot.core.errors import InvalidInput
from bot.core.ids import ChannelId, GroupId, UserId, digest_of
from bot.core.options import Option
from bot.core.people import Reviewers
from bot.core.policy import ChannelSettings, OnTimeout, Rules, parse_duration, say_duration
from bot.core.ports import TeamInfo
from bot.core.requests import Request, Verb
from bot.slack import choosing, wording
from bot.slack.blocks import Block, context, data, heading, mrkdwn, plain, words
from bot.slack.cards import Handle
from bot.slack.content import in_full
from bot.slack.outcomes import changes_of
from bot.slack.text import Room, one_line, shorten

START: Final = "start_run"
REJECT: Final = "reject_request"
RESPOND: Final = "respond_to_request"
SETTINGS: Final = "channel_settings"
FULL: Final = "full_request"
APPROVE: Final = "approve_request"
READ: Final = "read"
TEAM, TASK, REASON, ANSWER = "team", "task", "reason", "answer"
TIMEOUT, ON_TIMEOUT, CHANNEL, USERS, GROUPS, QUORUM, OWN = (
    "timeout",
    "on_timeout",
    "approvals_channel",
    "users",
    "groups",
    "quorum",
    "own_requests",
)
_OPTION: Final = "option/"
"""Begins the block ids of a team's options; the team and the option's name follow."""
View = dict[str, Any]
_READ_FILE: Final = "I have read the file in the card's thread, which has all of it"

ON_TIMEOUT_SAYS: Final = {
    OnTimeout.REJECT: "not approved: the agent is told that nobody answered",
    OnTimeout.WAIT: "there is no deadline: it waits until somebody decides",
    OnTimeout.APPROVE: "it counts as APPROVED though nobody decided",
}


def start(teams: list[TeamInfo], channel: ChannelId, team: str = "") -> View:
    """Team and task, both required, and the options of the team that is chosen. `teams` must not be empty; Slack shows
    100 at most. The app is told when another team is chosen, and shows that one's options."""
    shown = [t for t in teams if len(t.name) <= 75][:100]
    items = [{"text": plain(t.name), "value": t.name, "description": plain(t.problem or t.line)} for t in shown]
    one: Block = {"type": "static_select", "action_id": TEAM, "placeholder": plain("Choose a team"), "options": items}
    chosen = next((t for t in shown if t.name == team or len(shown) == 1), None)
    if chosen is not None:
        one["initial_option"] = items[shown.index(chosen)]
    task = {"type": "plain_text_input", "action_id": TASK, "multiline": True, "min_length": 1, "max_length": 3000}
    blocks = [
        {**_input(TEAM, "Team", one), "dispatch_action": True},
        *([_option(chosen.name, option) for option in chosen.options] if chosen else []),
        _input(TASK, "Task", task, hint="What the agents should do, in your words."),
    ]
    return _modal(START, "Start a task", blocks, "Start", json.dumps({"channel": channel}))


def _option(team: str, option: Option) -> Block:
    items = [{"text": plain(choice), "value": choice} for choice in option.choices]
    default = items[option.choices.index(option.default)]
    one = {"type": "static_select", "action_id": option.name, "options": items, "initial_option": default}
    return _input(f"{_OPTION}{team}/{option.name}", option.label, one, hint=option.hint)


def options_of(view: View, team: str) -> dict[str, str]:
    """What is chosen of this team's options, by name; not those that the window showed before."""
    begin = f"{_OPTION}{team}/"
    blocks = [block for block in view["state"]["values"] if block.startswith(begin)]
    return {block.removeprefix(begin): value(view, block) for block in blocks}


def reject(request: Request, channel: ChannelId) -> View:
    """The reason may stay empty."""
    return _words(request, channel, REJECT, wording.of(request.question.kind).reject, REASON, True)


def respond(request: Request, channel: ChannelId) -> View:
    """Words for the agents; they are never an approval (R12)."""
    return _words(request, channel, RESPOND, wording.of(request.question.kind).respond, ANSWER, False)


def full(request: Request) -> View:
    """All of a request to read; what is too long even here is in the file."""
    blocks, _ = _all_of(request)
    return _modal(FULL, "All that is asked", blocks, None, Handle(request.id, request.digest).write())


def review(request: Request, channel: ChannelId) -> View:
    """The same with a button that approves it. Who must read the file besides says so first."""
    blocks, is_all = _all_of(request)
    if not is_all:
        blocks.append(read_box("This window has no room for all of it", _READ_FILE))
    approve = next(b.label for b in wording.of(request.question.kind).buttons if b.verb is Verb.APPROVE)
    return _modal(APPROVE, "Review", blocks, approve, _carried(request, channel))


def read_box(label: str, says: str) -> Block:
    """A box that must be checked by who cannot see all of it in this window."""
    box = {"type": "checkboxes", "action_id": READ, "options": [{"text": plain(says), "value": "yes"}]}
    return _input(READ, label, box)


def has_read(view: View) -> bool:
    """Whether the box is checked where there is one."""
    asked = any(block.get("block_id") == READ for block in view["blocks"])
    return not asked or bool(_held(view, READ).get("selected_options"))


def choose(request: Request, channel: ChannelId) -> View:
    """The options to choose from."""
    unread = read_box("This window has no room for all of it", _READ_FILE)
    return choosing.choose(request, json.loads(_carried(request, channel)), unread)


def not_counted(sentence: str) -> View:
    """Instead of a window whose answer did not count. `sentence` is ours, in mrkdwn."""
    return _modal(FULL, "Not counted", [words(sentence)], None, "")


def _all_of(request: Request) -> tuple[list[Block], bool]:
    blocks, is_all = in_full(request.question)
    if changes := changes_of(request):
        changed = shorten(changes, Room(2500, 8000, 200))
        blocks = [words("*Changed before it was approved*"), data([p for p in changed[::2] if p]), *blocks]
    return [heading("About: ", one_line(request.question.title, 150)), *blocks], is_all


def _carried(request: Request, channel: ChannelId) -> str:
    return json.dumps({**Handle(request.id, request.digest)._asdict(), "channel": channel})


def settings(channel: ChannelId, rules: Rules, groups: dict[GroupId, str] | None) -> View:
    """The channel's settings as they are in force. `groups`: those that can be chosen; None if Slack did not say."""
    shown = {**{g: str(g) for g in rules.reviewers.groups}, **(groups or {})}
    users: Block = {"type": "multi_users_select", "action_id": USERS, "placeholder": plain("People who may decide")}
    if rules.reviewers.users:
        users["initial_users"] = sorted(rules.reviewers.users)
    outcomes = [{"text": plain(f"{o.value}: {ON_TIMEOUT_SAYS[o]}"), "value": o.value} for o in OnTimeout]
    own = [{"text": plain("Requesters may decide on their own requests"), "value": "yes"}]
    blocks = [
        words(f"Settings of <#{channel}>"),
        _input(
            TIMEOUT,
            "How long a request waits",
            {"type": "plain_text_input", "action_id": TIMEOUT, "initial_value": say_duration(rules.timeout)},
            hint="Like 90s, 15m, 1h30m, 2d",
        ),
        _input(
            ON_TIMEOUT,
            "When nobody decides in time",
            {
                "type": "static_select",
                "action_id": ON_TIMEOUT,
                "options": outcomes,
                "initial_option": next(o for o in outcomes if o["value"] == rules.on_timeout.value),
            },
        ),
        _input(
            CHANNEL,
            "Where cards go",
            {
                "type": "conversations_select",
                "action_id": CHANNEL,
                "initial_conversation": rules.approvals_channel,
                "filter": {"include": ["public", "private"], "exclude_bot_users": True},
            },
            hint="The app must be a member of that channel.",
        ),
        _input(USERS, "Reviewers", users, optional=True),
    ]
    if shown:
        options = [{"text": plain(name), "value": group} for group, name in sorted(shown.items())][:100]
        chosen = [o for o in options if o["value"] in rules.reviewers.groups]
        select: Block = {"type": "multi_static_select", "action_id": GROUPS, "options": options}
        select["placeholder"] = plain("User groups whose members may decide")
        if chosen:
            select["initial_options"] = chosen
        blocks.append(_input(GROUPS, "Reviewing user groups", select, optional=True))
    checked = {"initial_options": own} if rules.own_requests else {}
    blocks += [
        _input(
            QUORUM,
            "Approvals needed",
            {
                "type": "number_input",
                "action_id": QUORUM,
                "is_decimal_allowed": False,
                "min_value": "1",
                "initial_value": str(rules.quorum),
            },
            hint="One rejection is enough to reject.",
        ),
        _input(OWN, "Own requests", {"type": "checkboxes", "action_id": OWN, "options": own, **checked}, optional=True),
    ]
    return _modal(
        SETTINGS, "Approval settings", blocks, "Save", json.dumps({"channel": channel, "shown": _print_of(rules)})
    )


class Problem(InvalidInput):
    """An input that cannot be used: `block` is where the sentence belongs."""

    def __init__(self, block: str, sentence: str) -> None:
        self.block = block
        super().__init__(sentence)


def read_settings(view: View, rules: Rules) -> Callable[[ChannelSettings], ChannelSettings]:
    """The change that the settings modal asks for: only of what differs from the rules, which it showed.

    Problem for what cannot be used, or if somebody changed the settings while the modal was open.
    """
    if json.loads(view["private_metadata"])["shown"] != _print_of(rules):
        raise Problem(TIMEOUT, "Somebody changed these settings while you had them open. Please open them again.")
    try:
        timeout = parse_duration(re.sub(r"min(?=\s|$)", "m", value(view, TIMEOUT)))
    except InvalidInput as wrong:
        raise Problem(TIMEOUT, str(wrong)) from None
    quorum = value(view, QUORUM)
    if not re.fullmatch(r"[0-9]{1,3}", quorum):
        raise Problem(QUORUM, "Write a whole number, 1 or more.")
    users = frozenset(UserId(u) for u in _held(view, USERS).get("selected_users") or [])
    groups = frozenset(GroupId(o["value"]) for o in _held(view, GROUPS).get("selected_options") or [])
    wanted = {
        "approvals_channel": ChannelId(_held(view, CHANNEL).get("selected_conversation") or rules.approvals_channel),
        "reviewers": Reviewers(users, groups),
        "timeout": timeout,
        "on_timeout": OnTimeout(value(view, ON_TIMEOUT) or rules.on_timeout),
        "quorum": int(quorum),
        "own_requests": bool(_held(view, OWN).get("selected_options")),
    }
    changed: dict[str, Any] = {name: new for name, new in wanted.items() if new != getattr(rules, name)}
    return lambda own: replace(own, **changed)


def _print_of(rules: Rules) -> str:
    people = sorted(rules.reviewers.users), sorted(rules.reviewers.groups)
    others = rules.approvals_channel, rules.timeout, rules.on_timeout, rules.quorum, rules.own_requests
    return digest_of(*map(str, (*people, *others)))


def value(view: View, block: str) -> str:
    """What stands in a text or number input, or is chosen in a select; "" if nothing."""
    held = _held(view, block)
    return str(held.get("value") or (held.get("selected_option") or {}).get("value") or "")


def channel_of(view: View) -> ChannelId:
    """The channel that the modal was opened in."""
    return ChannelId(json.loads(view["private_metadata"])["channel"])


def _held(view: View, block: str) -> dict[str, Any]:
    actions: dict[str, dict[str, Any]] = view["state"]["values"].get(block, {})
    return next(iter(actions.values()), {})


def _words(
    request: Request, channel: ChannelId, callback: str, window: wording.Window, block: str, optional: bool
) -> View:
    asked = heading("About: ", one_line(request.question.title, 150))
    field = {"type": "plain_text_input", "action_id": block, "multiline": True, "max_length": LONGEST_WORDS}
    blocks = [
        asked,
        context(mrkdwn(f"For <@{request.requester}>"), plain(f"run {request.run}")),
        _input(block, window.label, field, hint=window.hint, optional=optional),
    ]
    return _modal(callback, window.title, blocks, window.title, _carried(request, channel))


def _input(block: str, label: str, element: Block, *, hint: str = "", optional: bool = False) -> Block:
    made: Block = {"type": "input", "block_id": block, "label": plain(label), "element": element, "optional": optional}
    return {**made, "hint": plain(hint, 150)} if hint else made


def _modal(callback: str, title: str, blocks: list[Block], submit: str | None, carried: str) -> View:
    view: View = {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title, 24),
        "close": plain("Close" if submit is None else "Cancel"),
        "blocks": blocks,
        "private_metadata": carried,
    }
    return {**view, "submit": plain(submit, 24)} if submit else view
