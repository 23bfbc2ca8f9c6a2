"""Use cases: start, ask, decide, expire, park, stop, configure ….

Each reads, lets a pure rule compute, and commits. If the commit finds a newer version, the use case reads and judges
again. So two people, a person and the clock, or one person twice never decide the same request twice.
"""

from countersign.usecases.decisions import (
    catch_up,
    decide,
    note_card_shown,
    why_no_window,
)
from countersign.usecases.effective_settings import configure, judge, rules_of
from countersign.usecases.recorded_events import attempt_refused, sessions_ended, settings_refused, start_refused
from countersign.usecases.run_end import finish, stop
from countersign.usecases.run_progress import (
    note_delay,
    note_delivery,
    note_plan,
    note_progress,
    note_step_done,
    note_writing,
    park,
    rests,
)
from countersign.usecases.run_requests import ask, take_back
from countersign.usecases.run_start import begin, start, start_by_script

__all__ = [
    "ask",
    "attempt_refused",
    "begin",
    "catch_up",
    "configure",
    "decide",
    "finish",
    "judge",
    "note_card_shown",
    "note_delay",
    "note_delivery",
    "note_plan",
    "note_progress",
    "note_step_done",
    "note_writing",
    "park",
    "rests",
    "rules_of",
    "sessions_ended",
    "settings_refused",
    "start",
    "start_by_script",
    "start_refused",
    "stop",
    "take_back",
    "why_no_window",
]
