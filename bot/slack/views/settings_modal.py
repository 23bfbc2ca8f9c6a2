"""The window of `/approvals`: a channel's settings as they are in force; ids, build and parse stand together."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from countersign.domain import channel_settings
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Rules, parse_duration, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.escalation import MOST, Escalation
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import MEMBERS, Reviewers
from countersign.policy.loosening import print_of

from .block_kit import Block, context, mrkdwn, plain, words
from .modal_parts import View, held, input_of, modal, value
from .schedule_inputs import INPUTS
from .slack_markup import mention

SETTINGS: Final = "channel_settings"
USERS, GROUPS, QUORUM, EXCEPTIONS = "users", "groups", "quorum", "exceptions"
CHANNEL, TIMEOUT, ON_TIMEOUT = "approvals_channel", "timeout", "on_timeout"
AFTER, PEOPLE, THEIR_GROUPS, WHERE = "after_{}", "people_{}", "groups_{}", "where_{}"
"""Of a step of the escalation, counted from 1."""
_EXCEPTIONS: Final = {
    "own_requests": ("Requesters may decide on their own requests", ""),
    "break_glass": ("Break-glass", "A requester decides alone in an emergency; all reviewers read the reason."),
}
ON_TIMEOUT_SAYS: Final = {
    OnTimeout.REJECT: "not approved: the agent is told that nobody answered",
    OnTimeout.WAIT: "there is no deadline: it waits until somebody decides",
    OnTimeout.APPROVE: "it counts as APPROVED though nobody decided",
}
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
        _line("remind_after", rules),
        _line("quiet", rules),
    ]
    for number in range(1, min(len(rules.escalation) + 1, MOST) + 1):
        step = rules.escalation[number - 1] if number <= len(rules.escalation) else None
        blocks += _step(number, step, shown)
    return modal(
        SETTINGS, "Approval settings", blocks, "Save", json.dumps({"channel": channel, "shown": print_of(rules)})
    )


def to_read(settings: str, why_not: str) -> View:
    """Instead of it for who may only look: without inputs, because what is entered there would not be saved."""
    blocks = [words(f":lock: *You may only look.* {why_not}"), words(settings)]
    return modal(SETTINGS, "Approval settings", blocks, None, "")


def read(window: View, rules: Rules) -> Callable[[ChannelSettings], ChannelSettings]:
    """The change that the window asks for: only of what differs from the rules that it showed.

    Problem for what cannot be used, or if somebody changed the settings while the window was open.
    """
    rules = channel_settings.meant(rules)
    if json.loads(window["private_metadata"])["shown"] != print_of(rules):
        raise Problem(TIMEOUT, "Somebody changed these settings while you had them open. Please open them again.")
    quorum = value(window, QUORUM)
    if not re.fullmatch(r"[0-9]{1,3}", quorum):
        raise Problem(QUORUM, "Write a whole number, 1 or more.")
    chosen = {option["value"] for option in held(window, EXCEPTIONS).get("selected_options") or []}
    wanted: dict[str, Any] = {
        "approvals_channel": ChannelId(held(window, CHANNEL).get("selected_conversation") or rules.approvals_channel),
        "reviewers": _people(window, USERS, GROUPS),
        "timeout": _duration(window, TIMEOUT),
        "on_timeout": OnTimeout(value(window, ON_TIMEOUT) or rules.on_timeout),
        "quorum": int(quorum),
        "escalation": tuple(step for n in range(1, MOST + 1) if (step := _step_of(window, n)) is not None),
        **{name: name in chosen for name in _EXCEPTIONS},
    }
    for name, one in INPUTS.items():
        try:
            wanted[name] = one.read(value(window, name))
        except InvalidInput as wrong:
            raise Problem(name, str(wrong)) from None
    # Where cards go is where the rest is inherited from: if that changes, all that the window shows is meant.
    moved = wanted["approvals_channel"] != rules.approvals_channel
    changed: dict[str, Any] = {name: new for name, new in wanted.items() if moved or new != getattr(rules, name)}
    return lambda own: replace(own, **changed)


def as_shown(window: View, wrong: Problem) -> Problem:
    """The same, with steps of the escalation by the number that they have in the window, where some may be empty."""
    numbers = dict(enumerate((str(n) for n in range(1, MOST + 1) if _step_of(window, n) is not None), 1))

    def renumbered(found: re.Match[str]) -> str:
        return found[0].replace(found[1], numbers.get(int(found[1]), found[1]))

    sentence = (_STEP.sub(renumbered, part) if type(part) is str else part for part in wrong.sentence)
    return Problem(_AT_STEP.sub(renumbered, wrong.block), *sentence)


def block_of(sentence: str, field: str = "") -> str:
    """The input that a problem with the settings belongs under; `field` is the setting, where that is known."""
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
        {"text": plain(label), "value": name, **({"description": plain(says)} if says else {})}
        for name, (label, says) in _EXCEPTIONS.items()
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
        input_of(
            QUORUM,
            "Approvals needed",
            {**number, "initial_value": str(rules.quorum)},
            hint="By different people. One rejection is enough to reject.",
        ),
        input_of(EXCEPTIONS, "Exceptions", boxes, optional=True),
    ]


def _how(rules: Rules) -> list[Block]:
    outcomes = [{"text": plain(f"{o.value}: {ON_TIMEOUT_SAYS[o]}"), "value": o.value} for o in OnTimeout]
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
        input_of(
            TIMEOUT,
            "How long a request waits",
            _text(TIMEOUT, say_duration(rules.timeout)),
            hint="Like 90s, 15m, 1h30m, 2d",
        ),
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
    return Escalation(_duration(window, after), reviewers, ChannelId(channel) if channel else None)


def _people(window: View, users: str, groups: str) -> Reviewers:
    chosen = {option["value"] for option in held(window, groups).get("selected_options") or []}
    return Reviewers(
        frozenset(UserId(user) for user in held(window, users).get("selected_users") or []),
        frozenset(GroupId(group) for group in chosen - {MEMBERS}),
        MEMBERS in chosen,
    )


def _duration(window: View, block: str) -> timedelta:
    try:
        return parse_duration(value(window, block))
    except InvalidInput as wrong:
        raise Problem(block, str(wrong)) from None


def _header(text: str) -> Block:
    return {"type": "header", "text": plain(text)}


def _line(name: str, rules: Rules) -> Block:
    one = INPUTS[name]
    return input_of(name, one.label, _text(name, one.show(rules)), hint=one.hint, optional=True)


def _text(name: str, initial: str) -> Block:
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
