"""Notes in the threads of runs and cards: progress, waiting, decisions, the end."""

from typing import Final

from countersign.domain import runs
from countersign.domain.requests import Request
from countersign.domain.runs import Passed, Run, Usage

from .block_kit import TITLE, Block, Drawing, context, data, mrkdwn, plain, words
from .button_labels import STATES
from .request_text import WORDS, details, expiry, mentioned, sentence
from .safe_text import Room, fits, one_line, pieces, quoted, shorten, size_of, typed, visible
from .slack_markup import escape, link, mention

_FINAL: Final = Room(6000, 7500, 150)
_TASK: Final = Room(2500, 5500, 40)
_NAMED_IN_A_BLOCK: Final = 100
_FALLBACKS: Final = 3
_USAGE: Final = 1000
"""Bytes that what a run took may need."""
_REASONS: Final = 4
_PASSED: Final = 700
"""Bytes that the calls passed without people may need."""


def run_message(run: Run) -> Drawing:
    """Draw the first message of a run: who wants what from whom, and how it stands."""
    team = quoted(run.team, 40)
    state = STATES[run.status]
    task, hidden, end = shorten(visible(typed(run.task)), _TASK)
    blocks = [words(f"{mention(run.requester)} asked *{escape(team)}*:"), data([p for p in (task, end) if p])]
    if hidden:
        blocks.append(
            words(f"_{hidden:,} characters in the middle of the task are not shown here; the agents have them all._")
        )
    how = "" if run.over else f" · `/agent stop {escape(run.id)}` ends it"
    blocks.append(context(mrkdwn(f"{state}{how}"), plain(f"run {run.id}")))
    return Drawing(f"{mention(run.requester)} asked {escape(team)}: {escape(quoted(run.task, 200))} – {state}", blocks)


def progress_note(run: Run) -> Drawing:
    """Draw the newest lines of progress, for the run's thread."""
    lines = [f"{p.at:%H:%M:%S} {quoted(p.agent, 30)}: {quoted(p.words, 200)}" for p in run.progress]
    beginning, _, end = shorten("\n".join(lines) or "Nothing yet.", Room(3000, 8000, runs.KEPT_PROGRESS))
    newest = quoted(run.progress[-1].words, 150) if run.progress else "nothing yet"
    blocks = [context(mrkdwn("What the agents do (UTC)")), data([p for p in (beginning, end) if p])]
    if run.writing is not None and not run.over:
        does = "has written" if run.writing.done else "is writing …"
        newest = f"{quoted(run.writing.agent, 30)} {does} {run.writing.characters:,} characters"
        blocks.append(context(plain(newest, 150)))
        if not run.writing.done:
            blocks.append(data([f"… {quoted(run.writing.words, 200)}"]))
    return Drawing(f"{escape(quoted(run.team, 40))} is at work: {escape(newest)}", blocks)


def outcome_note(run: Run, *, filed: bool = True) -> Drawing:
    """Draw how the run ended, and the agents' final words.

    Words that have no room are in `outcome_file`.
    """
    result = visible(typed(run.result)).strip() or "No result was given."
    by = f" by {mention(run.stopped_by)}" if run.stopped_by else ""
    short, cut, rest = shorten(result, WORDS)
    blocks = [words(f"{STATES[run.status]}{by}"), data([p for p in (short, rest) if p])]
    beginning, hidden, end = shorten(visible(typed(run.words)).strip(), _FINAL)
    if beginning:
        blocks += [words("*The agents' final words*"), data(pieces(beginning, 3000))]
    if hidden or cut:
        where = "the file in this thread has them" if filed else "the file with them could not be uploaded"
        blocks.append(words(f":warning: *{hidden + cut:,} characters are not shown here*; {where}."))
    if end:
        blocks.append(data([end]))
    blocks += _summary(run)
    return Drawing(f"{STATES[run.status]}{by}: {escape(quoted(run.result, 200))} ({mention(run.requester)})", blocks)


def outcome_file(run: Run) -> tuple[str, bytes] | None:
    """Make a file with all final words (name, bytes); None if the note has them."""
    result, final = (visible(typed(words)).strip() for words in (run.result, run.words))
    if fits(result, WORDS) and fits(final, _FINAL):
        return None
    return f"{run.id}.txt", f"{result}\n\n{final}".encode()


def waiting_note(request: Request, card_link: str | None, more: int = 0) -> Drawing:
    """Draw that the run waits for people, and where; `more` wait on the same card."""
    title = quoted(request.question.title, TITLE) + (f" and {more} more" if more else "")
    decisions = f"{more + 1} decisions" if more else "a decision"
    where = mention(request.rules.approvals_channel)
    at = f": {link(card_link, 'open the card')}" if card_link else ""
    blocks = [
        words(f":hourglass_flowing_sand: Waiting for {decisions} in {where}{at}"),
        context(plain(title, TITLE + 20), mrkdwn(expiry(request))),
    ]
    return Drawing(f"Waiting for {decisions} in {where}: {escape(title)}", blocks)


def decided_note(request: Request, row: int = 0) -> Drawing:
    """Draw what became of the request; `row` is its number in a batch."""
    if request.decision is None:
        return waiting_note(request, None)
    title = (f"{row}. " if row else "") + quoted(request.question.title, TITLE)
    text = sentence(request, request.decision)
    blocks = [words(text), context(plain(title, TITLE + 5)), *details(request, request.decision)]
    return Drawing(f"{text} ({escape(title)})", blocks)


def not_posted_note(request: Request, problem: str) -> Drawing:
    """Draw that the card could not be posted (R21); `problem` is Slack's word."""
    where = mention(request.rules.approvals_channel)
    text = (
        f":warning: *The card could not be posted in {where}* ({escape(one_line(problem, 200))}). "
        "Nothing was approved; the request is kept and waits. "
    )
    todo = f"Its card is in this thread instead. Invite the app to {where}, so that the next cards appear there."
    return Drawing(
        f"The card could not be posted in {where}; nothing was approved.",
        [words(text + todo), context(mrkdwn(expiry(request)))],
    )


def break_glass_note(request: Request, row: int = 0) -> Drawing:
    """Tell everybody who was named, once, that nobody waited for them.

    It goes into the card's thread. `row` is the request's number in a batch.
    """
    decision, reviewers = request.decision, request.rules.reviewers
    assert decision is not None, "only what was decided is told"
    names = mentioned(reviewers)
    mentions = [" ".join(names[at : at + _NAMED_IN_A_BLOCK]) for at in range(0, len(names), _NAMED_IN_A_BLOCK)]
    short, hidden, rest = shorten(visible(typed(decision.words)).strip(), WORDS)
    place = f"row {row} of this card" if row else "it"
    text = f"{sentence(request, decision)} You were named to decide on {place}; please look at what was done."
    blocks = [*(words(part) for part in mentions), words(text), data([part for part in (short, rest) if part])]
    if hidden:
        blocks.append(words(f"_{hidden:,} characters in between are not shown here; the agents have them all._"))
    return Drawing(f"{text} {' '.join(names)}", blocks)


def _summary(run: Run) -> list[Block]:
    """Draw what the run counted, for the end of the note."""
    return [*_passed(run.passed), *([_usage(run.usage)] if run.usage is not None else [])]


def _passed(passed: tuple[Passed, ...]) -> list[Block]:
    """Draw one line for many calls; the record has each."""
    if not passed:
        return []
    total = sum(one.times for one in passed)
    most = sorted(passed, key=lambda one: (not one.tool, -one.times))[:_REASONS]
    lines = [f"{one.tool or 'other calls'} ×{one.times:,}: {one.why or 'the team lets it pass'}" for one in most]
    while True:
        left = total - sum(one.times for one in most[: len(lines)])
        shown = [*lines, f"and {left:,} more"] if left else lines
        if size_of(small := context(*(plain(line, 150) for line in shown))) <= _PASSED or not lines:
            break
        lines.pop()
    calls = f"*{total:,} call{'' if total == 1 else 's'} passed by policy*; nobody was asked"
    return [words(calls), small]


def _usage(usage: Usage) -> Block:
    cached = f", {usage.cached:,} from the cache" if usage.cached else ""
    calls = f"{usage.calls:,} model call{'' if usage.calls == 1 else 's'}{cached}"
    lines = [f"Tokens: {usage.prompt_tokens:,} in, {usage.completion_tokens:,} out · {calls}"]
    if usage.models:
        lines.append("Answered by " + ", ".join(f"{name} ({times:,}×)" for name, times in usage.models))
    lines += [f"{times:,}× {why}, so another model was asked" for why, times in usage.fallbacks[:_FALLBACKS]]
    if (more := len(usage.fallbacks) - _FALLBACKS) > 0:
        lines.append(f"and {more:,} other reasons; see the worker's log")
    while size_of(block := context(*(plain(line, 130) for line in lines))) > _USAGE:
        lines.pop()
    return block
