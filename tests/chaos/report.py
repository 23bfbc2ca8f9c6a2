"""The table that is printed at the end, and the evidence for everything in it that should not be."""

from collections import Counter

from tests.chaos.faults import FaultInjector
from tests.chaos.invariants import Verdict
from tests.chaos.people import Crowd
from tests.chaos.programs import kind_of

_SHOWN = 5
"""Cases of one figure that are told in full."""


def table(
    verdict: Verdict, crowd: Crowd, injector: FaultInjector, *, seed: int, minutes: float, quiet: float | None
) -> str:
    """All of it as text."""
    facts = verdict.facts
    ends = Counter(str(run.status) for run in facts.runs.values())
    teams = Counter(run.team for run in facts.runs.values())
    lines = [
        f"Seed {seed}, {minutes:g} min; quiet again after " + (f"{quiet:.0f} s" if quiet is not None else "- never"),
        _row("runs", len(facts.runs), _of(ends)),
        _row("", "", _of(teams)),
        _row("requests", len(facts.requests), _of(Counter(str(r.status) for r in facts.requests.values()))),
        _row("clicks", crowd.clicks.total(), _of(crowd.clicks)),
        _row("programs over HTTP", len(facts.programs), f"{sum(map(len, facts.programs.values()))} answers heard"),
        _row("  of them", "", _of(Counter(map(kind_of, facts.programs)))),
        _row("  their actions", sum("times" in act for act in facts.acts)),
        _row("  their callbacks", len(facts.posts), f"{sum(post.taken for post in facts.posts)} taken"),
        _row("actions", len(facts.effects) + len(facts.mails), f"{len(facts.mails)} of them mails"),
        _row("outcomes that nobody knew", verdict.unknown, "people were asked, or the run said so"),
        _row("runs ended without their journal", verdict.without_journal),
        "",
        _row("faults", injector.done.total()),
        *(_row(f"  {kind}", count) for kind, count in sorted(injector.done.items()) if count),
        "",
        "must be zero:",
        *(_row(f"  {name}", len(cases), "  <-- !" if cases else "") for name, cases in verdict.figures.items()),
    ]
    for name, cases in verdict.figures.items():
        for case in cases[:_SHOWN]:
            lines += ["", f"{name}: seed {seed}, run {case.run or '-'}, request {case.request or '-'}: {case.words}"]
            lines += [f"    {line}" for line in verdict.story(case)]
    words = Counter(f"{name}: {last}" for name, found in facts.tracebacks.items() for last in found)
    if words:
        lines += ["", "tracebacks in the logs:", *(f"  {count} x {last}" for last, count in words.most_common(12))]
    return "\n".join(lines)


def _row(name: str, count: object, more: str = "") -> str:
    return f"{name:<42} {count!s:>6}  {more}".rstrip()


def _of(counts: "Counter[str]") -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
