"""The window of `/approvals`: ids, build and parse stand together.

It shows a channel's settings as they are in force.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from countersign.domain import channel_settings
from countersign.domain.channel_settings import MOST_STEPS, ChannelSettings, Escalation, OnTimeout, Rules
from countersign.domain.durations import parse_duration, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import MEMBERS, Reviewers
from countersign.policy.loosening import print_of

from .block_kit import Block, context, mrkdwn, plain, words
from .modal_parts import InputProblem, View, input_of, input_state, modal, value
from .setting_inputs import BOXES, LINES, SETTINGS
from .setting_inputs import ON_TIMEOUT as MEANINGS
from .slack_markup import mention

T = TypeVar("T")
WINDOW: Final = "channel_settings"
USERS, GROUPS, QUORUM, EXCEPTIONS = "users", "groups", "quorum", "exceptions"
CHANNEL, TIMEOUT, ON_TIMEOUT = "approvals_channel", "timeout", "on_timeout"
AFTER, PEOPLE, THEIR_GROUPS, WHERE = "after_{}", "people_{}", "groups_{}", "where_{}"
"""Of a step of the escalation, counted from 1."""
_STEP: Final = re.compile(r"Step ([1-9]) of the escalation")
_AT_STEP: Final = re.compile(r"(?:after|people|where)_([1-9])")


def view(
    channel: ChannelId, rules: Rules, groups: Mapping[GroupId, str] | None, *, external_channels: bool = False
) -> View:
    """Build the window; `groups` can be chosen, None if Slack did not say.

    `external_channels`: whether channels that are shared with other companies can be chosen.
    """
    rules = channel_settings.meant(rules)
    here, above = rules.approvals_channel == channel, f"{mention(rules.approvals_channel)}, then from "
    every = [rules.reviewers, *(step.reviewers for step in rules.escalation)]
    shown = {**{group: str(group) for one in every for group in one.groups}, **(groups or {})}
    blocks = [
        words(f"Settings of {mention(channel)}"),
        context(mrkdwn(f"Anything not set here is inherited from {'' if here else above}the installation's defaults.")),
        *_who(rules, shown),
        *_how(rules, external_channels),
        _header("Reminders and escalation"),
        *(_line(name, rules, _text(name), optional=True) for name in LINES if name not in (QUORUM, TIMEOUT)),
    ]
    for number in range(1, min(len(rules.escalation) + 1, MOST_STEPS) + 1):
        step = rules.escalation[number - 1] if number <= len(rules.escalation) else None
        blocks += _step(number, step, shown, external_channels)
    return modal(
        WINDOW, "Approval settings", blocks, "Save", json.dumps({"channel": channel, "shown": print_of(rules)})
    )


def view_only(settings: str, why_not: str) -> View:
    """Build the window without inputs for people who may only look."""
    blocks = [words(f":lock: *View only.* {why_not}"), words(settings)]
    return modal(WINDOW, "Approval settings", blocks, None, "")


def read(window: View, rules: Rules) -> Callable[[ChannelSettings], ChannelSettings]:
    """Return the change of the settings that were edited in the window.

    InputProblem if an input cannot be used, or if somebody changed the settings meanwhile.
    """
    rules = channel_settings.meant(rules)
    if json.loads(window["private_metadata"])["shown"] != print_of(rules):
        raise InputProblem(
            TIMEOUT, "These settings changed while you had them open. Close this window and open it again."
        )
    chosen = {option["value"] for option in input_state(window, EXCEPTIONS).get("selected_options") or []}
    entered: dict[str, Any] = {
        "approvals_channel": ChannelId(
            input_state(window, CHANNEL).get("selected_conversation") or rules.approvals_channel
        ),
        "reviewers": _people(window, USERS, GROUPS),
        "on_timeout": OnTimeout(value(window, ON_TIMEOUT) or rules.on_timeout),
        "escalation": tuple(step for n in range(1, MOST_STEPS + 1) if (step := _step_of(window, n)) is not None),
        **{name: name in chosen for name in BOXES},
        **{name: _read(window, name, SETTINGS[name].read) for name in LINES},
    }
    # The channel of the cards is the one to inherit from: if it changes, all that the window shows is set.
    moved = entered["approvals_channel"] != rules.approvals_channel
    changed: dict[str, Any] = {name: new for name, new in entered.items() if moved or new != getattr(rules, name)}
    return lambda own: replace(own, **changed)


def renumber_steps(window: View, wrong: InputProblem) -> InputProblem:
    """Renumber the steps in a problem as the window, with its empty ones, shows them."""
    numbers = dict(enumerate((str(n) for n in range(1, MOST_STEPS + 1) if _step_of(window, n) is not None), 1))

    def renumbered(found: re.Match[str]) -> str:
        return found[0].replace(found[1], numbers.get(int(found[1]), found[1]))

    sentence = (_STEP.sub(renumbered, part) if type(part) is str else part for part in wrong.sentence)
    return InputProblem(_AT_STEP.sub(renumbered, wrong.block), *sentence)


def block_of(sentence: str, field: str = "") -> str:
    """Return the input that a problem with the settings belongs under.

    `field`: the setting, if it is known.
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
            "Reviewer groups",
            _groups(GROUPS, rules.reviewers, shown, "Everyone in the approvals channel"),
            hint="If everyone in the approvals channel can decide, so can anyone who can join it.",
            optional=True,
        ),
        _line(QUORUM, rules, number),
        input_of(EXCEPTIONS, "Exceptions", boxes, optional=True),
    ]


def _how(rules: Rules, external: bool) -> list[Block]:
    outcomes = [{"text": plain(f"{o.value}: {MEANINGS[o]}"), "value": o.value} for o in OnTimeout]
    initial = next(o for o in outcomes if o["value"] == rules.on_timeout.value)
    meaning = {"type": "static_select", "action_id": ON_TIMEOUT, "options": outcomes, "initial_option": initial}
    return [
        _header("Approvals channel and timeout"),
        input_of(
            CHANNEL,
            "Approvals channel",
            _channel(CHANNEL, rules.approvals_channel, external),
            hint="Add the app to that channel first.",
        ),
        _line(TIMEOUT, rules, _text(TIMEOUT)),
        input_of(ON_TIMEOUT, "If nobody decides in time", meaning),
    ]


def _step(number: int, step: Escalation | None, shown: dict[GroupId, str], external: bool) -> list[Block]:
    """Draw the inputs of a step; empty ones are for a new step."""
    reviewers = Reviewers() if step is None else step.reviewers
    after, people, groups, where = (name.format(number) for name in (AFTER, PEOPLE, THEIR_GROUPS, WHERE))
    there = "Everyone in that channel"
    return [
        {"type": "divider"},
        words(f"*Escalation, step {number}*: who else can decide"),
        input_of(
            after,
            "Escalate after",
            _text(after, say_duration(step.after) if step else ""),
            hint="For example 30m after the request. For no such step, leave this and the people below empty.",
            optional=True,
        ),
        input_of(people, "People", _users(people, reviewers), optional=True),
        input_of(groups, "Groups", _groups(groups, reviewers, shown, there), optional=True),
        input_of(
            where,
            "Channel",
            _channel(where, step.channel if step else None, external),
            hint="Leave empty for the approvals channel.",
            optional=True,
        ),
    ]


def _step_of(window: View, number: int) -> Escalation | None:
    """Read a step; None if its inputs are empty."""
    after, people, groups, where = (name.format(number) for name in (AFTER, PEOPLE, THEIR_GROUPS, WHERE))
    reviewers = _people(window, people, groups)
    span, channel = value(window, after).strip(), input_state(window, where).get("selected_conversation")
    if not span and not reviewers:
        return None
    if not span:
        raise InputProblem(after, "Enter a duration, like 30m, or remove the people below.")
    if not reviewers:
        raise InputProblem(people, "Choose people or groups, or clear the duration above.")
    return Escalation(_read(window, after, parse_duration), reviewers, ChannelId(channel) if channel else None)


def _people(window: View, users: str, groups: str) -> Reviewers:
    chosen = {option["value"] for option in input_state(window, groups).get("selected_options") or []}
    return Reviewers(
        frozenset(UserId(user) for user in input_state(window, users).get("selected_users") or []),
        frozenset(GroupId(group) for group in chosen - {MEMBERS}),
        MEMBERS in chosen,
    )


def _read(window: View, block: str, read: Callable[[str], T] | None) -> T:
    assert read is not None, "an input of text can be read"
    try:
        return read(value(window, block))
    except InvalidInput as wrong:
        raise InputProblem(block, str(wrong)) from None


def _header(text: str) -> Block:
    return {"type": "header", "text": plain(text)}


def _line(name: str, rules: Rules, element: Block, *, optional: bool = False) -> Block:
    setting = SETTINGS[name]
    element = {**element, "initial_value": setting.show(getattr(rules, name))}
    return input_of(name, setting.label, element, hint=setting.hint, optional=optional)


def _text(name: str, initial: str = "") -> Block:
    return {"type": "plain_text_input", "action_id": name, **({"initial_value": initial} if initial else {})}


def _users(name: str, reviewers: Reviewers) -> Block:
    select: Block = {"type": "multi_users_select", "action_id": name, "placeholder": plain("Choose people")}
    return {**select, "initial_users": sorted(reviewers.users)} if reviewers.users else select


def _groups(name: str, reviewers: Reviewers, shown: dict[GroupId, str], members: str) -> Block:
    """Draw the choice of groups; `members` is the label of a channel's members."""
    options = [{"text": plain(members), "value": MEMBERS}]
    # Slack takes 100 options, and saving the window drops a chosen group that is not among them.
    first = sorted(shown.items(), key=lambda group: (group[0] not in reviewers.groups, group))[:99]
    options += [{"text": plain(label), "value": str(group)} for group, label in first]
    chosen_before = {*reviewers.groups, *([MEMBERS] if reviewers.members else [])}
    select: Block = {"type": "multi_static_select", "action_id": name, "options": options}
    select["placeholder"] = plain("Choose groups")
    chosen = [option for option in options if option["value"] in chosen_before]
    return {**select, "initial_options": chosen} if chosen else select


def _channel(name: str, initial: ChannelId | None, external: bool) -> Block:
    select: Block = {"type": "conversations_select", "action_id": name, "placeholder": plain("Choose a channel")}
    select["filter"] = {
        "include": ["public", "private"],
        "exclude_bot_users": True,
        "exclude_external_shared_channels": not external,
    }
    return {**select, "initial_conversation": initial} if initial else select
