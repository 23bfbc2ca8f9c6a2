"""Notes in the threads of runs and cards: progress, waiting, decisions, the end."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from countersign.domain.activity import Passed, Usage
from countersign.domain.calls import in_words
from countersign.domain.eligibility import deciders
from countersign.domain.events import escape_marks
from countersign.domain.made_files import LARGEST, MOST, MOST_SEEN, LeftOut, Why
from countersign.domain.people import Reviewers
from countersign.domain.redaction import hide
from countersign.domain.requests import Request
from countersign.domain.runs import TEXT_HEADINGS, Run
from countersign.domain.slash_commands import NAMES
from countersign.text.safe_text import Room, fits, one_line, pieces, quoted, shorten, size_of, typed, visible

from .block_kit import TITLE, WORDS, Block, Drawing, button, context, data, mrkdwn, plain, words
from .button_labels import STATES, STOP_RUN, state_of
from .request_text import decision_sentence, expiry, mentioned, named, run_state
from .slack_markup import elements, escape, mention

TRY_AGAIN: Final = "try_again"
_FINAL: Final = Room(6000, 7500, 150)
_TASK: Final = Room(2500, 5500, 40)
_NAMED_IN_A_BLOCK: Final = 100
_FALLBACKS: Final = 3
_USAGE: Final = 1000
"""Bytes for the usage of a run."""
_FILES: Final = 6
_ALL: Final = "what the code made"
_LEFT_OUT: Final = {
    Why.LARGE: f"larger than {LARGEST // 1_000_000} MB",
    Why.MANY: f"a run attaches at most {MOST} files",
    Why.CROWDED: f"its work folder has more than {MOST_SEEN:,} files",
}
"""Why a file is not attached."""
_REASONS: Final = 4
_PASSED: Final = 700
"""Bytes for the calls that passed without people."""


def run_message(run: Run, waiting: Sequence[Request] = (), *, here: bool = False) -> Drawing:
    """Draw the first message of a run: requester, team, task, and its end.

    It shows the run's status: working, waiting for people, or ended. A run that failed, or timed out on a decision, can
    be tried again. `waiting`: its pending requests; `here`: they are asked in the thread below.
    """
    team, state = quoted(run.team, 40), run_state(run, waiting) + " in this thread" * here
    task, hidden, end = shorten(visible(typed(run.task)), _TASK)
    blocks = [words(f"{mention(run.requester)} asked *{escape(team)}*:"), data([p for p in (task, end) if p])]
    if hidden:
        blocks.append(
            words(
                f"_{hidden:,} characters in the middle of the task are left out here; the agents have the full task._"
            )
        )
    by = f" by {mention(run.stopped_by)}" if run.stopped_by else ""
    result = [plain(typed(run.result), 150)] if run.over and not run.stopped_by and run.result.strip() else []
    blocks.append(context(mrkdwn(f"{state}{by}"), *result))
    if not run.over:
        blocks.append({"type": "actions", "elements": [button("Stop", STOP_RUN, run.id)]})
    elif run.can_be_tried_again:
        blocks.append({"type": "actions", "elements": [button("Try again", TRY_AGAIN, run.id)]})
    return Drawing(f"{mention(run.requester)} asked {escape(team)}: {escape(quoted(run.task, 200))} – {state}", blocks)


def outcome_note(run: Run, *, filed: bool = True, said: bool = False) -> Drawing:
    """Draw the run's outcome, and the agents' final text.

    A text that does not fit is in `outcome_file`. `said`: the text is already above in the thread.
    """
    result = visible(typed(run.result)).strip() or "No result was given."
    by = f" by {mention(run.stopped_by)}" if run.stopped_by else ""
    final, heading = visible(typed(run.words)).strip(), "Summary"
    if (first := final.partition("\n")[0]) in TEXT_HEADINGS:
        heading, final = first, final.removeprefix(first).strip()
    short, cut, rest = ("", 0, "") if final.startswith(result) else shorten(result, WORDS)
    final = "" if said else final
    if run.stopped_by and result == f"{STATES[run.status].partition(' ')[2]}.":
        short = ""
    blocks = [words(f"{state_of(run)}{by}"), *([data([p for p in (short, rest) if p])] if short else [])]
    beginning, hidden, end = shorten(final, _FINAL)
    if beginning:
        blocks += [*([words(f"*{heading}*")] if short else []), data(pieces(beginning, 3000))]
    if hidden or cut:
        where = "see the file in this thread" if filed else "the file with the full text couldn't be uploaded"
        blocks.append(words(f":warning: *{hidden + cut:,} characters are not shown here*; {where}."))
    if end:
        blocks.append(data([end]))
    blocks += [*_passed(run.passed), *([_usage(run.usage)] if run.usage is not None else [])]
    return Drawing(f"{state_of(run)}{by}: {escape(quoted(run.result, 200))} ({mention(run.requester)})", blocks)


def requester_left_note(run: Run, outcome: Drawing) -> Drawing:
    """Tell a requester who has left the channel how the run ended."""
    left = f"You asked *{escape(quoted(run.team, 40))}* in {mention(run.channel)}, which you have left. "
    return replace(outcome, blocks=[words(f"{left}Here's how it ended:"), *outcome.blocks])


def requester_gone_note(run: Run, reviewers: Reviewers) -> Drawing:
    """Ask the reviewers to follow up for somebody who has left the workspace."""
    text = f":wave: {mention(run.requester)}, who asked for this, is no longer in this workspace."
    if reviewers:
        text += f" {named(reviewers)}: please follow up on the result."
    return Drawing(text, [words(text)])


def nobody_left_note(request: Request, why: str) -> Drawing:
    """Report that nobody can decide on a request without a deadline.

    `why` is half a sentence.
    """
    text = (
        f":warning: This is still pending, but {escape(why)}. Nothing was decided. It continues once "
        f"{named(deciders(request))} can decide again. To end it, use `{NAMES.agent} stop {request.run}`."
    )
    title = quoted(request.question.title, TITLE)
    return Drawing(f"Nobody can decide on this any more: {escape(title)}", [words(text), context(plain(title, TITLE))])


def outcome_file(run: Run) -> tuple[str, bytes, str] | None:
    """Make a file of all final words (name, bytes, title); None if the note has them."""
    result, final = (visible(typed(words)).strip() for words in (run.result, run.words))
    if fits(result, WORDS) and fits(final, _FINAL):
        return None
    return f"{run.id}.txt", f"{result}\n\n{final}".encode(), "Full summary"


def made_file(name: str, content: bytes) -> tuple[str, bytes, str]:
    """Make a file that code made safe to attach (name, bytes, title).

    Secrets in a text are hidden (R15).
    """
    return name, _without_secrets(content), f"From this run: {name}"


def _without_secrets(content: bytes) -> bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return hide(escape_marks(text))[0].encode()


def unattached_note(left: Sequence[LeftOut], refused: Sequence[tuple[str, str]]) -> Drawing:
    """Draw the line about generated files that are not attached.

    `refused`: names of files that could not be uploaded, each with Slack's code.
    """
    groups: dict[str, list[str]] = {}
    shown = [(_LEFT_OUT[one.why], _ALL if one.why is Why.CROWDED else one.name) for one in left]
    shown += [(f"Slack didn't accept it: {one_line(problem.replace('_', ' '), 60)}", name) for name, problem in refused]
    for why, name in shown[:_FILES]:
        groups.setdefault(why, []).append(quoted(name, 60))
    files = "; ".join(f"{', '.join(names)} ({why})" for why, names in groups.items())
    others = " and others" if len(shown) > _FILES else ""
    text = f"Not attached: {files}{others}. What the code wrote stays in its work folder."
    return Drawing(escape(text), [context(plain(text, 1000))])


def not_posted_note(request: Request, problem: str) -> Drawing:
    """Draw the note that the card was not posted (R21); `problem` is Slack's code."""
    where = mention(request.rules.approvals_channel)
    text = (
        f":warning: *The card could not be posted in {where}* (`{escape(one_line(problem, 200))}`). "
        "Nothing was approved; the request is still pending. "
    )
    todo = f"Its card is in this thread instead. Invite the app to {where} so that future cards appear there."
    return Drawing(
        f"The card could not be posted in {where}; nothing was approved.",
        [words(text + todo), context(mrkdwn(expiry(request)))],
    )


def break_glass_note(request: Request, row: int = 0) -> Drawing:
    """Draw the note that tells all reviewers of a decision made without them.

    The title comes first, because a phone shows only the first line. It goes into the card's thread. `row` is the
    request's number in a batch.
    """
    decision, reviewers = request.decision, request.rules.reviewers
    assert decision is not None, "only what was decided is told"
    names = mentioned(reviewers)
    mentions = [" ".join(names[at : at + _NAMED_IN_A_BLOCK]) for at in range(0, len(names), _NAMED_IN_A_BLOCK)]
    short, hidden, rest = shorten(visible(typed(decision.words)).strip(), WORDS)
    place = f"row {row} of this card" if row else "this request"
    title = quoted(request.question.title, TITLE)
    who = decision_sentence(request, decision).partition("*: a")[2]
    text = f"A{who}. You're a reviewer of {place}; please check what was done."
    parts = [*elements(":rotating_light: Break-glass: "), {"type": "text", "text": title, "style": {"bold": True}}]
    blocks: list[Block] = [
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]},
        *(words(part) for part in mentions),
        words(text),
        data([part for part in (short, rest) if part]),
    ]
    if hidden:
        blocks.append(words(f"_{hidden:,} characters in between are not shown here; the agents have them all._"))
    return Drawing(f":rotating_light: Break-glass: {escape(title)}\n{text} {' '.join(names)}", blocks)


def _passed(passed: tuple[Passed, ...]) -> list[Block]:
    """Draw one line for many calls; the record has each."""
    if not passed:
        return []
    total = sum(one.times for one in passed)
    most = sorted(passed, key=lambda one: (not one.tool, -one.times))[:_REASONS]
    lines = [f"{in_words(one.tool) or 'other calls'} ×{one.times:,}: {one.why or 'needs no approval'}" for one in most]
    while True:
        left = total - sum(one.times for one in most[: len(lines)])
        shown = [*lines, f"and {left:,} more"] if left else lines
        if size_of(small := context(*(plain(line, 150) for line in shown))) <= _PASSED or not lines:
            break
        lines.pop()
    calls = f"*{total:,} call{'' if total == 1 else 's'} allowed automatically*"
    return [words(calls), small]


def _usage(usage: Usage) -> Block:
    cached = f", {usage.cached:,} from the cache" if usage.cached else ""
    calls = f"{usage.calls:,} model call{'' if usage.calls == 1 else 's'}{cached}"
    lines = [f"Tokens: {usage.prompt_tokens:,} in, {usage.completion_tokens:,} out · {calls}"]
    if usage.models:
        lines.append("Answered by " + ", ".join(f"{name} ({times:,}×)" for name, times in usage.models))
    lines += [f"{times:,}× {why}, so another model was used" for why, times in usage.fallbacks[:_FALLBACKS]]
    if (more := len(usage.fallbacks) - _FALLBACKS) > 0:
        lines.append(f"and {more:,} other reasons")
    while size_of(block := context(*(plain(line, 130) for line in lines))) > _USAGE:
        lines.pop()
    return block
