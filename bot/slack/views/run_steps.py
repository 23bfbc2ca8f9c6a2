"""Steps of a run: what its agents did, what people decided, what it waits for.

They stand in one message of its thread, drawn as a list, or streamed as the tasks of a plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from countersign.domain.activity import KEPT_STEPS, LONGEST_STEP, Planned, Progress, step_title
from countersign.domain.durations import say_duration
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.text.safe_text import quoted, size_of

from .block_kit import TITLE, Block, Drawing, context, mrkdwn
from .button_labels import card_link_label, state_of
from .request_text import answer_of, expiry, reported, settled_line, why_failed
from .slack_markup import elements, escape, link, mention, when

_ROOM: Final = 9_000
"""Bytes of the blocks of one message; the oldest steps are left out."""
_WORDS: Final = 200
_COMPARED: Final = 2_000
"""Characters of a text that are read to tell whether it was said: it may be long, and is drawn often."""
_TASK: Final = 150
_SESSION: Final = 80
_BELOW: Final = "Each step has a card in this thread, with its answer."
"""All that is left of a list that was posted before the first card of a conversation."""
SILENT_AFTER: Final = timedelta(seconds=40)
"""A run that no worker has held for this long is shown as waiting for a worker."""


class State(StrEnum):
    """The states of a task, as Slack names them."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    ERROR = "error"


class RequestOnCard(NamedTuple):
    """A request of the run, its number on its card or 0, and the card's address.

    `in_thread`: the card stands in the run's own thread.
    """

    request: Request
    row: int = 0
    card: str | None = None
    in_thread: bool = False

    @property
    def is_conversation(self) -> bool:
        """Tell whether it asks the requester, in the same thread as these steps."""
        return self.in_thread and self.request.rules.in_thread


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step of a run.

    `title` and `words` are plain texts of agents and people, `note` is our own mrkdwn.
    """

    name: str
    at: datetime
    state: State
    title: str
    note: str = ""
    words: str = ""


def session_title(run: Run) -> str:
    """Name the run in Slack's list of agent sessions; a colon would begin an emoji."""
    return quoted(run.task, _SESSION).replace(":", " ")


def steps(
    run: Run, asked: Sequence[RequestOnCard] = (), *, without_worker: bool = False, posted: bool = True
) -> list[RunStep]:
    """List the steps in order: done, current, and planned.

    Cards of a conversation are in the same thread, and show their questions and answers themselves. `without_worker`:
    no worker has been heard from. `posted`: the list is in Slack already, so it must not become empty.
    """
    plan = {f"plan-{run.plans}-{place}": one for place, one in enumerate(run.plan[:KEPT_STEPS])}
    names = {one.request.id: _take_from_plan(plan, one.request) for one in asked}
    elsewhere = [one for one in asked if not one.is_conversation]
    done = [_decision_step(one, run, names[one.request.id]) for one in elsewhere if one.request.decision is not None]
    done += [_planned_step(name, one, one.done_at) for name, one in plan.items() if one.done_at is not None]
    coming = [_planned_step(name, one) for name, one in plan.items() if one.done_at is None and not run.over]
    waiting = [one for one in asked if one.request.decision is None]
    now: list[RunStep | None] = [_current_step(run, without_worker=without_worker)]
    if waiting and not run.over:
        now = [_waiting_step(waiting)] if any(one in elsewhere for one in waiting) else []
    rest = [*(step for step in now if step is not None), *coming]
    lines, said = [_progress_step(line) for line in run.progress], _said_elsewhere(run, asked)
    new = [line for line in lines if line.words not in said]
    if posted and not (new or done or rest):
        talks = any(one.is_conversation for one in asked)
        new = [RunStep("below", run.created_at, State.COMPLETE, _BELOW)] if talks else lines
    return [*sorted([*new, *done], key=lambda step: step.at), *rest]


def _said_elsewhere(run: Run, asked: Sequence[RequestOnCard]) -> set[str]:
    """Return texts shown whole by cards and outcome, in the form of progress lines."""
    texts = [one.request.question.content for one in asked]
    texts += [run.words, run.result] if run.over else []
    return {quoted(text[:_COMPARED], _WORDS) for text in texts if text.strip()}


def _take_from_plan(plan: dict[str, Planned], request: Request) -> str:
    """Take the request's step out of the plan; return its name, or the request's own."""
    title = step_title(request.question.title)
    found = (name for name, one in plan.items() if one.title == title and one.at <= request.created_at)
    name = next(found, request.id)
    plan.pop(name, None)
    return name


def _planned_step(name: str, one: Planned, done_at: datetime | None = None) -> RunStep:
    state = State.PENDING if done_at is None else State.COMPLETE
    return RunStep(name, done_at or one.at, state, quoted(one.title, LONGEST_STEP))


def _progress_step(line: Progress) -> RunStep:
    name = f"{line.at.timestamp():.3f}"
    return RunStep(name, line.at, State.COMPLETE, quoted(line.agent, 30), words=quoted(line.words, _WORDS))


def _decision_step(one: RequestOnCard, run: Run, name: str) -> RunStep:
    request, decision = one.request, one.request.decision
    assert decision is not None, "only what was decided is a step that is done"
    came_of, why = reported(request, run), quoted(why_failed(request, run), _WORDS)
    error = decision.outcome in (Status.REJECTED, Status.EXPIRED) or (came_of is not None and came_of.failed)
    title = (f"{one.row}. " if one.row else "") + quoted(request.question.title, TITLE)
    said = decision.words or ", ".join(decision.chosen)
    note, words = settled_line(request, decision, run), quoted(said, _WORDS)
    words = " · ".join(part for part in (why, words and f"“{words}”") if part)
    return RunStep(name, decision.at, State.ERROR if error else State.COMPLETE, title, note, words)


def _waiting_step(asked: Sequence[RequestOnCard]) -> RunStep:
    first, more = asked[0].request, len(asked) - 1
    title = quoted(first.question.title, TITLE) + (f" and {more} more" if more else "")
    card = next((one.card for one in asked if one.card), None)
    at = f": {link(card, card_link_label(first))}" if card else ""
    where = f"{decisions(more + 1)} in {mention(first.rules.approvals_channel)}"
    if first.rules.in_thread:
        place = "this thread" if asked[0].in_thread else mention(first.rules.approvals_channel)
        where = f"{answer_of(first.requester)} in {place}"
    note = f":hourglass_flowing_sand: Waiting for {where}{at} · {expiry(first)}"
    return RunStep(first.id, first.created_at, State.IN_PROGRESS, title, note)


def decisions(number: int) -> str:
    """Count pending decisions."""
    return "a decision" if number == 1 else f"{number} decisions"


def _current_step(run: Run, *, without_worker: bool) -> RunStep | None:
    """Return the current step of a run that waits for nobody; None if unknown."""
    at = run.progress[-1].at if run.progress else run.created_at
    if run.over:
        return None
    if without_worker:
        span = say_duration(SILENT_AFTER)
        note = f":warning: The agents have not been heard from for {span}. The run continues as soon as they are back."
        return RunStep("now", at, State.IN_PROGRESS, "Waiting for the agents", note)
    if run.delay is not None:
        note = f":hourglass_flowing_sand: Trying again {when(run.delay.until, run.created_at)}"
        return RunStep("now", at, State.IN_PROGRESS, quoted(run.delay.why, TITLE), note)
    if run.writing is not None:
        verb = "has written" if run.writing.done else "is writing …"
        title = f"{quoted(run.writing.agent, 30)} {verb} {run.writing.characters:,} characters"
        words = "" if run.writing.done else f"… {quoted(run.writing.words, _WORDS)}"
        return RunStep("now", at, State.IN_PROGRESS, title, words=words)
    return None


def drawn_as_list(run: Run, all_steps: Sequence[RunStep]) -> Drawing:
    """Draw the steps as a list, newest last."""
    shown = list(all_steps)
    while size_of(block := _list(shown)) > _ROOM:
        shown.pop(0)
    return Drawing(_text(run, all_steps), [context(mrkdwn("*Activity*")), block])


def chunks_of(run: Run, all_steps: Sequence[RunStep]) -> list[dict[str, str]]:
    """Write the steps as parts of a stream.

    Words of agents are plain titles, in which nothing acts.
    """
    chunks = [{"type": "plan_update", "title": title_of(run)}]
    for step in all_steps:
        words = _mark_after(step.title) + step.words if step.words else ""
        title = quoted(step.title + words, _TASK)
        chunks.append({"type": "task_update", "id": step.name, "title": title, "status": step.state.value})
    return chunks


def title_of(run: Run) -> str:
    """Write the plan's title, with the team and the run's status; plain text."""
    return f"{quoted(run.team, 40)} · {state_of(run).partition(' ')[2]}"


def _text(run: Run, all_steps: Sequence[RunStep]) -> str:
    team = escape(quoted(run.team, 40))
    newest = next((step for step in reversed(all_steps) if step.state is not State.PENDING), None)
    if newest is None:
        return f"{team} is working"
    said = " ".join(part for part in (newest.title, newest.words) if part)
    if newest.state is State.IN_PROGRESS and newest.note:
        return f"Waiting: {escape(newest.title)}"
    return f"{team}: {escape(quoted(said, 150))}"


def _list(shown: Sequence[RunStep]) -> Block:
    return {
        "type": "rich_text",
        "elements": [_section(step) for step in shown] or [_section_of([_plain("Nothing yet.")])],
    }


def _section(step: RunStep) -> dict[str, Any]:
    """Draw one step as a line, or as two lines if it has a note."""
    bold = {**_plain(step.title), "style": {"bold": True}}
    if step.state is State.PENDING:
        return _section_of([_plain(f"○ {step.title}")])
    parts = [*elements(step.note), _plain("\n"), _plain(step.title)] if step.note else [_plain("• "), bold]
    return _section_of([*parts, *([_plain(_mark_after(step.title) + step.words)] if step.words else [])])


def _mark_after(title: str) -> str:
    """Return what stands between a title and its words; a question keeps its own mark."""
    return " " if title.endswith(("?", "!", ".")) else ": "


def _section_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": parts}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text or "–"}
