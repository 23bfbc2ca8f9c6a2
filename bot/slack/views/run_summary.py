"""What the last note of a run counts: the calls that nobody was asked about, and what its models took (R26)."""

from typing import Final

from countersign.domain.runs import Passed, Run, Usage

from .block_kit import Block, context, plain, words
from .safe_text import size_of

_FALLBACKS: Final = 3
_USAGE: Final = 1000
"""Bytes that what a run took may need."""
_REASONS: Final = 4
_PASSED: Final = 700
"""Likewise, what passed without people."""


def of(run: Run) -> list[Block]:
    """Blocks for the end of the note; none where there is nothing to count."""
    return [*_passed(run.passed), *([_usage(run.usage)] if run.usage is not None else [])]


def _passed(passed: tuple[Passed, ...]) -> list[Block]:
    """One digest of what a message for each would bury people in; the record has each call."""
    if not passed:
        return []
    total = sum(one.times for one in passed)
    most = sorted(passed, key=lambda one: (not one.tool, -one.times))[:_REASONS]
    lines = [f"{one.tool or 'other calls'} ×{one.times:,}: {one.why or 'the team lets it pass'}" for one in most]
    while True:
        left = total - sum(one.times for one in most[: len(lines)])
        told = [*lines, f"and {left:,} more"] if left else lines
        if size_of(small := context(*(plain(line, 150) for line in told))) <= _PASSED or not lines:
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
