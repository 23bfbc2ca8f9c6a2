"""Notes for the person at the terminal in which a program waits."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

When = Literal["at a terminal", "always", "never"]

_last = ""
_when: When = "at a terminal"


def show(when: When) -> None:
    """Set when notes are printed.

    A library keeps quiet in a log; a command says why it waits.
    """
    global _when
    _when = when


def note(text: str) -> None:
    """Tell the person at the terminal, if there is one."""
    global _last
    _last = text
    if is_there():
        print(_printable(text), file=sys.stderr, flush=True)


def note_once(text: str) -> None:
    """Print a note, unless it is the same as the last one."""
    if text != _last:
        note(text)


def is_there() -> bool:
    """Tell whether a person may read notes."""
    return sys.stderr.isatty() if _when == "at a terminal" else _when == "always"


def note_waiting(channel: str, deadline: datetime | None, ctrl_c: str) -> None:
    """Say where the card is, until when people have time, and what Ctrl-C does."""
    until = "" if deadline is None else f" until {_clock(deadline)}"
    note(f"Waiting for a decision in {channel}{until}. Ctrl-C {ctrl_c}.")


def note_card(link: str) -> None:
    """Say where Slack shows the card."""
    note(f"Card: {link}")


def note_decision(at: datetime, outcome: str, names: Sequence[str]) -> None:
    """Print the decision, its time, and who made it."""
    note(f"{_clock(at)}: {outcome}{' by ' + ' and '.join(names) if names else ''}.")


def note_recovery() -> None:
    """Say that the service was away."""
    note("The service responds again.")


def _clock(at: datetime) -> str:
    """Write a time in the local time zone, with its date unless it is today."""
    here = at.astimezone()
    return f"{here:%H:%M}" if here.date() == datetime.now(here.tzinfo).date() else f"{here:%b %d, %H:%M}"


def _printable(words: str) -> str:
    """Replace control characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in words)
