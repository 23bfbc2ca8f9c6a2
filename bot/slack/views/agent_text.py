"""Sentences of `/agent`; `domain.start_sentences` has those about starting."""

from collections.abc import Sequence
from typing import Final

from countersign.domain import runs
from countersign.domain.runs import Run
from countersign.text.safe_text import quoted

from .block_kit import Block, Drawing, context, fitting, plain
from .button_labels import state_of
from .slack_markup import escape

HELP: Final = (
    "*`/agent <team> <task>`* starts a task, like `/agent email tell the vendor we need 10% off`\n"
    "*`/agent <team> <option>=<choice> <task>`* starts it with an option, like `/agent chat mode=never plan a picnic`\n"
    "*`/agent`* opens a window to start one\n"
    "*`/agent status`* lists the runs in this channel, and those you started elsewhere\n"
    "*`/agent stop <run>`* stops a run and withdraws its open requests\n"
    "*`/approvals`* shows who decides here and how long they have"
)
RUN_MISSING: Final = "Name the run to stop, like `/agent stop r2345678`. `/agent status` lists them."
_NO_RUNS: Final = "No runs in progress here. `/agent <team> <task>` starts one."


def started(run: Run, *, in_channel: bool) -> str:
    """Say that a run was started, and where to follow it."""
    how = f" ({escape(runs.said(run))})" if run.options else ""
    where = "in the thread below" if in_channel else "here, or in your messages with the app"
    return f"Started *{escape(run.team)}*{how}, run `{run.id}`. Follow it {where}."


def ended_already(run: Run) -> str:
    """Say that a run cannot be stopped any more."""
    return f"Run `{run.id}` has already ended: {state_of(run)}. Nothing was changed."


def stopped(name: str, run: Run | None) -> str:
    """Say that a run was stopped; its task is named where it is known."""
    task = f" ({escape(quoted(run.task, 80))})" if run is not None else ""
    return f"Stopped run `{name}`{task} and withdrew its open requests."


def status(lines: Sequence[Sequence[Block]], total: int) -> Drawing:
    """List the runs in progress; there are `total`, and a line for some."""
    if not total:
        return Drawing(_NO_RUNS, [])
    head = "1 run in progress" if total == 1 else f"{total} runs in progress"
    blocks, shown = fitting(head, lines)
    if total > shown:
        blocks.append(context(plain(f"and {total - shown} older")))
    return Drawing(head, blocks)
