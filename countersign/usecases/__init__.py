"""Use cases: start, ask, decide, expire, park, stop, configure ….

Each reads, lets a pure rule compute, and commits. One whose commit finds that somebody was faster reads again and lets
the rule judge anew, so two people, a person and the clock, or one person twice never decide the same request twice.
"""

from countersign.usecases.admission import admit, admitted, intact
from countersign.usecases.decisions import (
    catch_up,
    decide,
    stands,
    why_no_window,
)
from countersign.usecases.effective_settings import configure, judge, rules_of
from countersign.usecases.recorded_events import settings_refused, start_refused, unknown_request
from countersign.usecases.run_end import finish, stop
from countersign.usecases.run_progress import (
    answered,
    delayed,
    judged,
    park,
    planned,
    progressed,
    report,
    rests,
    step_done,
    still_ours,
    writing,
)
from countersign.usecases.run_requests import ask, take_back
from countersign.usecases.run_start import begin, start, start_by_script

__all__ = [
    "admit",
    "admitted",
    "answered",
    "ask",
    "begin",
    "catch_up",
    "configure",
    "decide",
    "delayed",
    "finish",
    "intact",
    "judge",
    "judged",
    "park",
    "planned",
    "progressed",
    "report",
    "rests",
    "rules_of",
    "settings_refused",
    "stands",
    "start",
    "start_by_script",
    "start_refused",
    "step_done",
    "still_ours",
    "stop",
    "take_back",
    "unknown_request",
    "why_no_window",
    "writing",
]
