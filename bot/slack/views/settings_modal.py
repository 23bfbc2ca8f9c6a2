"""The window of `/approvals`: ids, build and parse stand together.

It shows a channel's settings as they are in force.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from countersign.domain import channel_settings
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, parse_duration, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.escalation import MOST, Escalation
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import MEMBERS, Reviewers
from countersign.policy.loosening import print_of

from . import settings_text
from .block_kit import Block, context, mrkdwn, plain, words
from .modal_parts import View, held, input_of, modal, value
from .setting_inputs import BOXES, LINES, SETTINGS
from .slack_markup import mention

T = TypeVar("T")
WINDOW: Final = "channel_settings"
USERS, GROUPS, QUORUM, EXCEPTIONS = "users", "groups", "quorum", "exceptions"
CHANNEL, TIMEOUT, ON_TIMEOUT = "approvals_channel", "timeout", "on_timeout"
AFTER, PEOPLE, THEIR_GROUPS, WHERE = "after_{}", "people_{}", "groups_{}", "where_{}"
"""Of a step of the escalation, counted from 1."""
_STEP: Final = re.compile(r"Step ([1-9]) of the escalation")
_AT_STEP: Final = re.compile(r"(?:after|people|where)_([1-9])")


class Problem(InvalidInput):
    """An input that cannot be used: `block` is where the sentence belongs."""

    def __init__(self, block: str, *sentence: str | datetime) -> None:
        self.block = block
        super().__init__(*sentence)


def view(channel: ChannelId, rules: Rules, groups: Mapping[GroupId, str] | None) -> View:
    """The window. `groups`: those that can be chosen; None if Slack did not say."""
    rules = channel_settings.meant(rules)
    here, above = rules.approvals_channel == channel, f"{mention(rules.approvals_channel)}, and else from "
    every = [rules.reviewers, *(step.reviewers for step in rules.escalation)]
    shown = {**{group: str(group) for one in every for group in one.groups}, **(groups or {})}
    blocks = [
        words(f"Settings of {mention(channel)}"),
        context(mrkdwn(f"What is not set here comes from {'' if here else above}the environment.")),
        *_who(rules, shown),
        *_how(rules),
        _header("While nobody decides"),
        _line("remind_after", rules, _text("remind_after"), optional=True),
        _line("quiet", rules, _text("quiet"), optional=True),
    ]
    for number in range(1, min(len(rules.escalation) + 1, MOST) + 1):
        step = rules.escalation[number - 1] if number <= len(rules.escalation) else None
        blocks += _step(number, step, shown)
    return modal(
        WINDOW, "Approval settings", blocks, "Save", json.dumps({"channel": channel, "shown": print_of(rules)})
    )


def to_read(settings: str, why_not: str) -> View:
    """Build the window without inputs for people who may only look."""
    blocks = [words(f":lock: *You may only look.* {why_not}"), words(settings)]
    return modal(WINDOW, "Approval settings", blocks, None, "")


def read(window: View, rules: Rules) -> Callable[[ChannelSettings], ChannelSettings]:
    """Return the change that the window asks for: what differs from what it showed.

    Problem for what cannot be used, or if somebody changed the settings while the window was open.
    """
    rules = channel_settings.meant(rules)
    if json.loads(window["private_metadata"])["shown"] != print_of(rules):
        raise Problem(TIMEOUT, "Somebody changed these settings while you had them open. Please open them again.")
    chosen = {option["value"] for option in held(window, EXCEPTIONS).get("selected_options") or []}
    wanted: dict[str, Any] = {
        "approvals_channel": ChannelId(held(window, CHANNEL).get("selected_conversation") or rules.approvals_channel),
        "reviewers": _people(window, USERS, GROUPS),
        "on_timeout": OnTimeout(value(window, ON_TIMEOUT) or rules.on_timeout),
        "escalation": tuple(step for n in range(1, MOST + 1) if (step := _step_of(window, n)) is not None),
        **{name: name in chosen for name in BOXES},
        **{name: _read(window, name, SETTINGS[name].read) for name in LINES},
    }
    # Where cards go is where the rest is inherited from: if that changes, all that the window shows is meant.
    moved = wanted["approvals_channel"] != rules.approvals_channel
    changed: dict[str, Any] = {name: new for name, new in wanted.items() if moved or new != getattr(rules, name)}
    return lambda own: replace(own, **changed)


def as_shown(window: View, wrong: Problem) -> Problem:
    """Renumber the steps of a problem as the window shows them.

    Some steps of the window may be empty.
    """
    numbers = dict(enumerate((str(n) for n in range(1, MOST + 1) if _step_of(window, n) is not None), 1))

    def renumbered(found: re.Match[str]) -> str:
        return found[0].replace(found[1], numbers.get(int(found[1]), found[1]))

    sentence = (_STEP.sub(renumbered, part) if type(part) is str else part for part in wrong.sentence)
    return Problem(_AT_STEP.sub(renumbered, wrong.block), *sentence)


def block_of(sentence: str, field: str = "") -> str:
    """Return the input that a problem with the settings belongs under.

    `field` is the setting, where that is known.
    """
    if step := _STEP.match(sentence):
        if field == "approvals_channel":
            return WHERE.format(step[1])
        return (PEOPLE if field or "nobody" in sentence or "circle" in sentence else AFTER).format(step[1])
    if field == "approvals_channel":
        return CHANNEL
    if field == "quorum" or re.search(r"[Aa]pprovals? (would be |is )?needed|quorum", sentence):
        return QUORUM
    return "quiet" if "uiet" in sentence else TIMEOUT if sentence.startswith("A timeout") else USERS


def _who(rules: Rules, shown: dict[GroupId, str]) -> list[Block]:
    number: Block = {"type": "number_input", "action_id": QUORUM, "is_decimal_allowed": False, "min_value": "1"}
    options: list[Block] = [
        {"text": plain(box.label), "value": name, **({"description": plain(box.hint)} if box.hint else {})}
        for name, box in ((name, SETTINGS[name]) for name in BOXES)
    ]
    checked = [option for option in options if getattr(rules, option["value"])]
    boxes: Block = {"type": "checkboxes", "action_id": EXCEPTIONS, "options": options}
    boxes |= {"initial_options": checked} if checked else {}
    return [
        _header("Who decides"),
        input_of(USERS, "Reviewers", _users(USERS, rules.reviewers), optional=True),
        input_of(
            GROUPS,
            "Reviewing groups",
            _groups(GROUPS, rules.reviewers, shown, "Everybody in the channel that cards go to"),
            hint="Whoever can join a channel can then decide there.",
            optional=True,
        ),
        _line(QUORUM, rules, number),
        input_of(EXCEPTIONS, "Exceptions", boxes, optional=True),
    ]


def _how(rules: Rules) -> list[Block]:
    outcomes = [{"text": plain(f"{o.value}: {settings_text.ON_TIMEOUT[o]}"), "value": o.value} for o in OnTimeout]
    initial = next(o for o in outcomes if o["value"] == rules.on_timeout.value)
    meaning = {"type": "static_select", "action_id": ON_TIMEOUT, "options": outcomes, "initial_option": initial}
    return [
        _header("Where, and how long"),
        input_of(
            CHANNEL,
            "Where cards go",
            _channel(CHANNEL, rules.approvals_channel),
            hint="The app must be a member of that channel.",
        ),
        _line(TIMEOUT, rules, _text(TIMEOUT)),
        input_of(ON_TIMEOUT, "When nobody decides in time", meaning),
    ]


def _step(number: int, step: Escalation | None, shown: dict[GroupId, str]) -> list[Block]:
    """An empty one is for a new step."""
    reviewers = Reviewers() if step is None else step.reviewers
    after, people, groups, where = (name.format(number) for name in (AFTER, PEOPLE, THEIR_GROUPS, WHERE))
    there = "Everybody in the channel where they are told"
    return [
        {"type": "divider"},
        words(f"*{'Others' if number == 1 else 'Still others'} may decide too* (step {number} of the escalation)"),
        input_of(
            after,
            "After so long",
            _text(after, say_duration(step.after) if step else ""),
            hint="Like 30m, counted from the question. Empty, with nobody below: there is no such step.",
            optional=True,
        ),
        input_of(people, "Who", _users(people, reviewers), optional=True),
        input_of(groups, "Which groups", _groups(groups, reviewers, shown, there), optional=True),
        input_of(
            where,
            "Told in",
            _channel(where, step.channel if step else None),
            hint="Empty: where the card is.",
            optional=True,
        ),
    ]


def _step_of(window: View, number: int) -> Escalation | None:
    """None if nothing stands there."""
    after, people, groups, where = (name.format(number) for name in (AFTER, PEOPLE, THEIR_GROUPS, WHERE))
    reviewers = _people(window, people, groups)
    span, channel = value(window, after).strip(), held(window, where).get("selected_conversation")
    if not span and not reviewers:
        return None
    if not span:
        raise Problem(after, "After how long? Write it like 30m; or take the people below away.")
    if not reviewers:
        raise Problem(people, "Who may decide then? Choose people or groups; or leave the time above empty.")
    return Escalation(_read(window, after, parse_duration), reviewers, ChannelId(channel) if channel else None)


def _people(window: View, users: str, groups: str) -> Reviewers:
    chosen = {option["value"] for option in held(window, groups).get("selected_options") or []}
    return Reviewers(
        frozenset(UserId(user) for user in held(window, users).get("selected_users") or []),
        frozenset(GroupId(group) for group in chosen - {MEMBERS}),
        MEMBERS in chosen,
    )


def _read(window: View, block: str, read: Callable[[str], T] | None) -> T:
    assert read is not None, "an input of text can be read"
    try:
        return read(value(window, block))
    except InvalidInput as wrong:
        raise Problem(block, str(wrong)) from None


def _header(text: str) -> Block:
    return {"type": "header", "text": plain(text)}


def _line(name: str, rules: Rules, element: Block, *, optional: bool = False) -> Block:
    setting = SETTINGS[name]
    element = {**element, "initial_value": setting.show(getattr(rules, name))}
    return input_of(name, setting.label, element, hint=setting.hint, optional=optional)


def _text(name: str, initial: str = "") -> Block:
    return {"type": "plain_text_input", "action_id": name, **({"initial_value": initial} if initial else {})}


def _users(name: str, reviewers: Reviewers) -> Block:
    one: Block = {"type": "multi_users_select", "action_id": name, "placeholder": plain("People who may decide")}
    return {**one, "initial_users": sorted(reviewers.users)} if reviewers.users else one


def _groups(name: str, reviewers: Reviewers, shown: dict[GroupId, str], members: str) -> Block:
    """`members` is how the members of a channel are called here."""
    options = [{"text": plain(members), "value": MEMBERS}]
    # Slack takes 100 options, and what is left out is not chosen any more when the window is saved.
    first = sorted(shown.items(), key=lambda group: (group[0] not in reviewers.groups, group))[:99]
    options += [{"text": plain(label), "value": str(group)} for group, label in first]
    held_now = {*reviewers.groups, *([MEMBERS] if reviewers.members else [])}
    one: Block = {"type": "multi_static_select", "action_id": name, "options": options}
    one["placeholder"] = plain("Groups whose members may decide")
    chosen = [option for option in options if option["value"] in held_now]
    return {**one, "initial_options": chosen} if chosen else one


def _channel(name: str, initial: ChannelId | None) -> Block:
    one: Block = {"type": "conversations_select", "action_id": name, "placeholder": plain("Choose a channel")}
    one["filter"] = {"include": ["public", "private"], "exclude_bot_users": True}
    return {**one, "initial_conversation": initial} if initial else one
