"""Greeting of a channel that the app was invited to, and its buttons."""

from typing import Final

from countersign.domain.channel_settings import OnTimeout, Rules, say_duration
from countersign.domain.ids import ChannelId

from .block_kit import Block, Drawing, button, context, mrkdwn, words
from .button_labels import START_TASK, counted
from .request_text import named
from .setting_inputs import ON_TIMEOUT
from .slack_markup import mention

SETTINGS: Final = "open_settings"
"""The action of the button that opens the window of `/approvals`."""
_NOBODY: Final = ":warning: *Nobody can decide yet.* Choose the reviewers in *Settings*."


def greeting(channel: ChannelId, rules: Rules, *, shared_outside: bool = False) -> Drawing:
    """Draw the greeting.

    It is long where the channel's cards go, short elsewhere and where another company reads it. The short one is for
    those who ask, so it counts the reviewers: a mention would notify them.
    """
    settings, start = button("Settings", SETTINGS, "settings"), button("Start a task", START_TASK, "start")
    if rules.approvals_channel != channel or shared_outside:
        where = f"They ask for approval in {mention(rules.approvals_channel)}."
        short = f":wave: Start a task for a team of agents here with `/agent`. {where}"
        who = (
            [] if shared_outside else [context(mrkdwn(f"Reviewers: {counted(rules.reviewers)}. *Settings* says who."))]
        )
        blocks = [words(short), *(who if rules.reviewers else [words(_NOBODY)])]
        return Drawing(f"Start a task here with `/agent`. {where}", [*blocks, _actions(start, settings)])
    text = "Agents ask for approval in this channel."
    blocks = [
        words(
            f":wave: *{text}* When they want to send, change or run something, a card says what. A reviewer approves "
            "or rejects it, and the agents continue."
        ),
        words(_who_and_when(rules) if rules.reviewers else _NOBODY),
        context(mrkdwn("`/agent` starts a task in any channel with the app. `/approvals` shows these settings.")),
        _actions(settings, start),
    ]
    return Drawing(text, blocks)


def _who_and_when(rules: Rules) -> str:
    need = f"{rules.quorum} approvals by different people" if rules.quorum > 1 else "one approval"
    waits = "" if rules.on_timeout is OnTimeout.WAIT else f"{say_duration(rules.timeout)} · "
    return (
        f"*Reviewers:* {named(rules.reviewers)} · {need} needed\n"
        f"*Time to decide:* {waits}{ON_TIMEOUT[rules.on_timeout]}"
    )


def _actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}
