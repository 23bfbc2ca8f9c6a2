"""Write texts about a channel's settings: greeting, current, changed, confirmed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import OnTimeout, Rules
from countersign.domain.durations import say_duration
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.slash_commands import NAMES
from countersign.policy.loosening import (
    Configured,
    NeedsProof,
    NeedsSecond,
    SettingsProposal,
    loosened_by,
    needed_proof,
)
from countersign.text.safe_text import pieces

from .block_kit import Block, Drawing, button, context, link_button, mrkdwn, words
from .button_labels import START_TASK, count_reviewers, with_proof
from .control_values import OPEN_PAGE
from .modal_parts import View, modal
from .request_text import mentioned, named
from .setting_inputs import ON_TIMEOUT, PROOFS, SETTINGS
from .slack_markup import NAMED, link, mention

CONFIRM: Final = "confirm_loosening"
CONFIRM_PROPOSAL: Final = "confirm_settings"
"""The action of a proposal's button."""
LOOSEN: Final = "Loosen rules"
"""The button that does what its notice or window says."""
OPEN_HELP: Final = "opens this channel's settings in a window"
SHOW_HELP: Final = "shows them"
TOO_LONG_TO_CONFIRM: Final = (
    "This change loosens the rules and is too long to confirm at once. Use a group, or make it in smaller steps."
)
_LABELS: Final = {
    "approvals_channel": "Approvals channel",
    "reviewers": "Reviewers",
    "quorum": "Approvals needed",
    "own_requests": "Requesters can decide on their own requests",
    "break_glass": "Break-glass",
    "proof": "Proof of an approval",
    "timeout": "Timeout",
    "on_timeout": "When nobody decides in time",
    "remind_after": "Reminders after",
    "escalation": "Escalation",
    "quiet": "Quiet hours",
}
_ROOM: Final = 2900
"""Characters of a block of words."""
_IN_A_LINE: Final = 80
"""People in one line."""


def describe(channel: ChannelId, rules: Rules) -> str:
    """Write the rules in force."""
    need = f"{rules.quorum} approvals by different people" if rules.quorum > 1 else "one approval"
    requesters = "can" if rules.own_requests else "can't"
    glass = "on: the requester can approve alone, with a reason that all reviewers see" if rules.break_glass else "off"
    return (
        f"Settings of {mention(channel)}:\n"
        f"• Approvals channel: {mention(rules.approvals_channel)}\n"
        f"• Reviewers: {named(rules.reviewers)}; {need} needed, one rejection is enough; "
        f"requesters {requesters} decide on their own requests\n"
        f"• Break-glass: {glass}\n"
        f"• Proof of an approval: {PROOFS[rules.proof]}\n"
        f"• Timeout: {_timeout(rules)}\n"
        f"{_while_nobody_decides(rules)}"
    )


def _timeout(rules: Rules) -> str:
    """Say how long people have, and what happens if nobody decides."""
    then = ON_TIMEOUT[rules.on_timeout]
    waits = rules.on_timeout is OnTimeout.WAIT
    return then if waits else f"{say_duration(rules.timeout)}; if nobody decides by then: {then}"


def saved(channel: ChannelId, rules: Rules) -> str:
    """Say that the settings were saved, and what they are now."""
    return f"Saved. {describe(channel, rules)}"


def proposed(milder: NeedsSecond) -> str:
    """Say that a second person has to confirm, and where they can."""
    return f"{milder} They can confirm it in {mention(milder.effect.before.approvals_channel)}."


def page_of(proposal: SettingsProposal, pages: str) -> str:
    """Return the address of the page on which a change is confirmed with a proof."""
    return f"{pages}/settings/{proposal.id}"


def proposed_on_page(milder: NeedsProof, pages: str) -> str:
    """Say that an admin has to confirm it with a proof, and where."""
    return f"{milder} {link(page_of(milder.proposal, pages), 'Open the page of this change')}."


def value_missing(name: str, rules: Rules, read_only: str | None) -> tuple[str, str]:
    """Explain the argument and show the current value: a sentence and its mrkdwn.

    `read_only`: why this person can't change it; they read its value alone.
    """
    setting = SETTINGS[name]
    if read_only is not None:
        return read_only, f" `{setting.word}` is {current(name, rules)} now."
    example = f"`{NAMES.approvals} {setting.word} {setting.example}`"
    return f"Give {setting.noun}", f", like {example}. It is {current(name, rules)} now."


def usage(word: str, example: str, meaning: str) -> str:
    """Write a line of help about a word after the command; "" is the command alone."""
    return f"*`{' '.join(filter(None, (NAMES.approvals, word, example)))}`* {meaning}"


def unknown_setting(name: str, alike: str | None) -> tuple[str, str]:
    """Say that there is no such word after `/approvals`, and which may be meant."""
    meant = f" Did you mean `{NAMES.approvals} {alike}`?" if alike else ""
    return f"There is no setting “{name}”; nothing was changed.", f"{meant} `{NAMES.approvals} help` lists them all."


def read_outside(channel: ChannelId) -> str:
    """Warn that another company reads the cards."""
    return (
        f":warning: {mention(channel)} is shared with another company. Its people read every card there, but can't "
        "open what a card leaves out, and can't decide."
    )


def current(name: str, rules: Rules) -> str:
    """Write the value in force of one setting."""
    match getattr(rules, name):
        case Reviewers() as reviewers:
            return named(reviewers)
        case tuple():
            return _steps(rules) or "off"
        case ChannelId() as channel:
            return mention(channel)
        case other:
            return SETTINGS[name].show(other)


def _while_nobody_decides(rules: Rules) -> str:
    reminds = f"after {say_duration(rules.remind_after)}, then at increasing intervals" if rules.remind_after else "off"
    return (
        f"• Reminders: {reminds} · Escalation: {_steps(rules) or 'off'} · "
        f"Quiet hours: {quiet_hours.say(rules.quiet)} (deadlines still apply)"
    )


def _steps(rules: Rules) -> str:
    return ", ".join(
        f"after {say_duration(step.after)} to {named(step.reviewers)}"
        + (f" in {mention(step.channel)}" if step.channel else "")
        for step in rules.escalation
    )


def changed_lines(done: Configured) -> str:
    """List the differences, before and after.

    Differences in channels that inherit these settings follow.
    """
    here = _changed(done.before, done.after)
    others = _changed(done.inherited_before, done.inherited_after)
    if others and others != here:
        here += ["Channels that send their cards here and inherit these settings:", *others]
    return "\n".join(here)


def change_notice(
    channel: ChannelId, done: Configured, by: UserId | None, proposed_by: UserId | None
) -> Drawing | None:
    """Draw the notice of a change; None if nothing changed."""
    lines = changed_lines(done)
    if not lines:
        return None
    together = f", as {mention(proposed_by)} proposed" if proposed_by else ""
    text = f":gear: {mention(by) if by else 'Somebody'} changed the settings of {mention(channel)}{together}."
    return Drawing(text, blocks_of(f"{text}\n{lines}"))


def proposal_notice(
    channel: ChannelId, effect: Configured, by: UserId, carried: str, page: str | None = None
) -> Drawing:
    """Tell who wants to loosen the rules, with a button to confirm it.

    `carried`: the proposal, bound to the settings that it was made on. `page`: where an admin confirms it with a proof,
    if the rules need one.
    """
    if page is not None:
        drawing = _proposal(channel, effect, by, "Nothing has changed yet. An admin can confirm it on its page.")
        label = with_proof(LOOSEN, needed_proof(effect))
        confirm = link_button(label, OPEN_PAGE, page, "danger")
        return replace(drawing, blocks=[*drawing.blocks, {"type": "actions", "elements": [confirm]}])
    drawing = _proposal(channel, effect, by, "Nothing has changed yet. An admin or another reviewer can confirm it.")
    confirm = button(LOOSEN, CONFIRM_PROPOSAL, carried, "danger")
    return replace(drawing, blocks=[*drawing.blocks, {"type": "actions", "elements": [confirm]}])


def confirmed_notice(channel: ChannelId, effect: Configured, by: UserId, confirmed_by: UserId | None) -> Drawing:
    """Tell who proposed to loosen the rules, and who confirmed it."""
    return _proposal(channel, effect, by, f"Confirmed by {mention(confirmed_by)}." if confirmed_by else "Confirmed.")


def _proposal(channel: ChannelId, effect: Configured, by: UserId, state: str) -> Drawing:
    milder = "; ".join(loosened_by(effect))
    text = f":unlock: {mention(by)} wants to loosen the rules of {mention(channel)}"
    return Drawing(f"{text}: {milder}.", [*blocks_of(f"{text}:\n{changed_lines(effect)}"), words(state)])


def not_proposed_notice(channel: ChannelId, place: ChannelId) -> Drawing:
    """Tell somebody that their proposal could not be posted."""
    text = (
        f"Your change to the settings of {mention(channel)} could not be posted in {mention(place)}, so nobody can "
        "confirm it. Ask an admin to make it."
    )
    return Drawing(text, [words(text)])


def _changed(before: Rules, after: Rules) -> list[str]:
    """Write each setting that differs, and nothing else."""
    different = {
        label: (current(name, before), current(name, after))
        for name, label in _LABELS.items()
        if getattr(before, name) != getattr(after, name)
    }
    lines = [f"• {label}: {old} → {new}" for label, (old, new) in different.items()]
    return [*lines, *_people_changes(before, after)]


def _people_changes(before: Rules, after: Rules) -> Iterator[str]:
    """Name the people added and removed if a line does not name everybody."""
    steps = zip_longest(before.escalation, after.escalation)
    pairs = [(before.reviewers, after.reviewers)]
    pairs += [(old.reviewers if old else Reviewers(), new.reviewers if new else Reviewers()) for old, new in steps]
    for old, new in pairs:
        for verb, more, less in (("Added", new, old), ("Removed", old, new)):
            names = mentioned(Reviewers(more.users - less.users, more.groups - less.groups))
            if max(len(one.users | one.groups) for one in (old, new)) > NAMED:
                yield from (
                    f"{verb}: {', '.join(names[at : at + _IN_A_LINE])}" for at in range(0, len(names), _IN_A_LINE)
                )


def blocks_of(text: str) -> list[Block]:
    """Split the text into as many blocks as it takes."""
    return [words(piece) for piece in pieces(text, _ROOM)]


def confirm(channel: ChannelId, effect: Configured, carried: str) -> View:
    """Build the window in which an admin confirms a change that loosens the rules.

    `carried`: the proposal, bound to the settings that it was made on.
    """
    blocks = [
        words(f":warning: *This loosens the rules of {mention(channel)}:*"),
        *blocks_of(changed_lines(effect)),
        context(mrkdwn("Nothing has changed yet. Once you confirm, everyone in the affected channels is notified.")),
    ]
    return modal(CONFIRM, "Loosen the rules?", blocks, LOOSEN, carried)


OPEN_SETTINGS: Final = "open_settings"
"""The action of the button that opens the window of `/approvals`."""
_NOBODY: Final = ":warning: *Nobody can decide yet.* Choose the reviewers in *Settings*."


def greeting(channel: ChannelId, rules: Rules, *, shared_outside: bool = False) -> Drawing:
    """Draw the greeting.

    It is long in an approvals channel, and short elsewhere or if another company reads it. The short greeting is for
    requesters, so it counts the reviewers: a mention would notify them.
    """
    settings, start = button("Settings", OPEN_SETTINGS, "settings"), button("Start a task", START_TASK, "start")
    if rules.approvals_channel != channel or shared_outside:
        where = f"They ask for approval in {mention(rules.approvals_channel)}."
        short = f":wave: Start a task for a team of agents here with `{NAMES.agent}`. {where}"
        who = (
            []
            if shared_outside
            else [context(mrkdwn(f"Reviewers: {count_reviewers(rules.reviewers)}. *Settings* says who."))]
        )
        blocks = [words(short), *(who if rules.reviewers else [words(_NOBODY)])]
        return Drawing(f"Start a task here with `{NAMES.agent}`. {where}", [*blocks, _actions(start, settings)])
    text = "Agents ask for approval in this channel."
    blocks = [
        words(
            f":wave: *{text}* When they want to send, change or run something, a card says what. A reviewer approves "
            "or rejects it, and the agents continue."
        ),
        words(_who_and_when(rules) if rules.reviewers else _NOBODY),
        context(
            mrkdwn(
                f"`{NAMES.agent}` starts a task in any channel with the app. `{NAMES.approvals}` shows these settings."
            )
        ),
        _actions(settings, start),
    ]
    return Drawing(text, blocks)


def _who_and_when(rules: Rules) -> str:
    need = f"{rules.quorum} approvals by different people" if rules.quorum > 1 else "one approval"
    return f"*Reviewers:* {named(rules.reviewers)} · {need} needed\n*Time to decide:* {_timeout(rules)}"


def _actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}
