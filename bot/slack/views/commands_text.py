"""Replies to `/agent` and `/approvals`: help, sentences and lists.

What settings say is in `settings_text`, and what prevents a start in `domain.start_sentences`.
"""

from collections.abc import Sequence
from typing import Final

from countersign.domain import runs
from countersign.domain.delegation import Absence
from countersign.domain.ids import UserId
from countersign.domain.runs import Run
from countersign.domain.slash_commands import NAMES
from countersign.domain.standing_permissions import Permission
from countersign.text.safe_text import quoted

from .block_kit import Block, Drawing, button, context, count, fitting, more_entries, plain, words
from .button_labels import state_of
from .decision_details import allows, permission_line
from .slack_markup import escape, mention, moment

MOST_DECIDED: Final = 25
"""Decisions that people may ask for at once."""
PENDING_HELP: Final = "lists this channel's pending requests"
HISTORY_HELP: Final = f"(or `history {MOST_DECIDED}`) lists the latest decisions here"
_NOTHING_PENDING: Final = "No requests are pending here."
_NO_DECISIONS: Final = "No decisions here in the last 30 days."

REVOKE: Final = "revoke_permission"
"""The action of a permission's button."""
PERMISSIONS_HELP: Final = "lists standing permissions, each with a *Revoke* button"
_NO_PERMISSIONS: Final = "No standing permissions here. People are asked each time."
_MOST_PERMISSIONS: Final = 20

AWAY_EXAMPLE: Final = "@standin until 2026-12-24"
AWAY_HELP: Final = "(or `for 3d`) names who decides while you're away"
BACK_HELP: Final = "ends it"
BACK: Final = "You're back. Your stand-in no longer decides in your place."
NOT_AWAY: Final = "You weren't away; nothing was changed."


def agent_help() -> str:
    """List what can be typed after the command."""
    agent = NAMES.agent
    return (
        f"*`{agent} <team> <task>`* starts a task, like `{agent} email tell the vendor we need 10% off`\n"
        f"*`{agent} <team> <option>=<choice> <task>`* starts it with an option, like `{agent} chat mode=never plan a "
        "picnic`\n"
        f"*`{agent}`* opens a window to start one\n"
        f"*`{agent} status`* lists the runs in this channel, and those you started elsewhere\n"
        f"*`{agent} stop <run>`* stops a run and withdraws its open requests\n"
        f"*`{NAMES.approvals}`* shows who decides here and how long they have"
    )


def run_missing() -> str:
    """Say that the run to stop must be named."""
    return f"Name the run to stop, like `{NAMES.agent} stop r2345678`. `{NAMES.agent} status` lists them."


def not_a_number() -> str:
    """Say how many decisions can be listed."""
    return f"Give a number from 1 to {MOST_DECIDED}, like `{NAMES.approvals} history 5`."


def one_stand_in() -> str:
    """Say that one person must be named."""
    return f"Name one stand-in; nothing was changed. Write it {_example()}"


def no_end() -> str:
    """Say that an absence must have an end."""
    return f"Say until when; nothing was changed. Write it {_example()}"


def with_nothing_after(name: str) -> str:
    """Say that this word of `/approvals` stands alone."""
    return f"Type `{NAMES.approvals} {name}` with nothing after it. Nothing was changed."


def run_started(run: Run, *, in_channel: bool) -> str:
    """Say that a run was started, and where to follow it."""
    options = f" ({escape(runs.said(run))})" if run.options else ""
    where = "in the thread below" if in_channel else "here, or in your messages with the app"
    return f"Started *{escape(run.team)}*{options}, run `{run.id}`. Follow it {where}."


def run_ended_already(run: Run) -> str:
    """Say that a run cannot be stopped any more."""
    return f"Run `{run.id}` has already ended: {state_of(run)}. Nothing was changed."


def run_stopped(name: str, run: Run | None) -> str:
    """Say that a run was stopped; its task is named where it is known."""
    task = f" ({escape(quoted(run.task, 80))})" if run is not None else ""
    return f"Stopped run `{name}`{task} and withdrew its open requests."


def runs_in_progress(entries: Sequence[Sequence[Block]], total: int) -> Drawing:
    """List the runs in progress; there are `total`, and an entry for some."""
    if not total:
        return Drawing(f"No runs in progress here. `{NAMES.agent} <team> <task>` starts one.", [])
    head = "1 run in progress" if total == 1 else f"{total} runs in progress"
    blocks, shown = fitting(head, entries)
    return Drawing(head, [*blocks, context(plain(f"and {total - shown} older"))] if total > shown else blocks)


def pending_requests(entries: Sequence[list[Block]], total: int, whole: bool = True) -> Drawing:
    """List the pending requests; there are `total`, and even more if not `whole`."""
    if not entries:
        return Drawing(_NOTHING_PENDING, [])
    return _list(f"{count(total, whole)} pending request{'s' if total != 1 else ''}", entries, total, whole)


def last_decisions(outcomes: Sequence[Block]) -> Drawing:
    """List the last decisions, the newest first."""
    if not outcomes:
        return Drawing(_NO_DECISIONS, [])
    total = len(outcomes)
    head = "The last decision here" if total == 1 else f"The last {total} decisions here"
    return _list(head, [[block] for block in outcomes], total)


def standing_permissions(permissions: Sequence[Permission]) -> Drawing:
    """List permissions in force, the first to end first, each with Revoke."""
    if not permissions:
        return Drawing(_NO_PERMISSIONS, [])
    total = len(permissions)
    entries = [
        [{**words(permission_line(one)), "accessory": button("Revoke", REVOKE, one.id)}]
        for one in permissions[:_MOST_PERMISSIONS]
    ]
    return _list(f"{total} standing permission{'s' if total > 1 else ''}", entries, total)


def _list(head: str, entries: Sequence[list[Block]], total: int, whole: bool = True) -> Drawing:
    blocks, shown = fitting(head, entries)
    return Drawing(head, [*blocks, more_entries(total - shown, whole)] if total > shown else blocks)


def permission_revoked(permission: Permission, by: UserId) -> str:
    """Say who revoked what, and what it means."""
    allowed = allows(permission.scope, permission.kind, permission.tool)
    return (
        f"{mention(by)} revoked {mention(permission.by)}'s permission for {allowed}. "
        "People are asked again from now on. What it already allowed is not undone."
    )


def not_a_date(text: str) -> str:
    """Say that there is no such date."""
    return f"“{text}” isn't a date; nothing was changed. Write it {_example()}"


def not_an_end(text: str) -> str:
    """Say that this cannot be the end of an absence."""
    return f"“{text}” isn't a date or a duration; nothing was changed. Write it {_example()}"


def no_stand_in_named(absence: Absence | None) -> tuple[str, str]:
    """Say what to give, and who stands in now: a sentence and its mrkdwn."""
    now = "You're not away now."
    if absence is not None:
        now = f"You're away until {_end_of(absence)}, and {mention(absence.stand_in)} decides in your place."
    return "Name a stand-in, and say until when", f", {_example()} {now}"


def away(absence: Absence, *, informed: bool) -> str:
    """Say who decides until when; not `informed`: no message reached them."""
    stand_in = mention(absence.stand_in)
    note = "They've been notified." if informed else "The app couldn't message them; please tell them yourself."
    return (
        f"You're away until {_end_of(absence)}. {stand_in} decides in your place. {note} You can still decide; the two "
        f"of you count as one. `{NAMES.approvals} back` ends it."
    )


def stand_in_message(absence: Absence) -> str:
    """Tell the stand-in for whom they decide, and until when."""
    return (
        f":wave: {mention(absence.user)} is away until {_end_of(absence)} and named you as their stand-in. Until then, "
        "you can decide on requests that need their review; the app's Home tab lists them."
    )


def _example() -> str:
    return f"like `{NAMES.approvals} away {AWAY_EXAMPLE}`, or `… for 3d`."


def _end_of(absence: Absence) -> str:
    return moment(absence.until, absence.since)
