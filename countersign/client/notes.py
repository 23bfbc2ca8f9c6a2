"""Notes for the person at the terminal of a program that waits."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from countersign.client.exchange import Pause, ServiceRefused

_last = ""


def waiting(asked: Mapping[str, Any], *, left: bool) -> None:
    """Say where the card is, until when people have time, and what Ctrl-C does."""
    if asked["status"] != "pending":
        return
    until = ""
    if asked["deadline"] is not None:
        deadline = datetime.fromisoformat(asked["deadline"]).astimezone()
        today = deadline.date() == datetime.now(deadline.tzinfo).date()
        until = f" until {deadline:%H:%M}" if today else f" until {deadline:%b %d, %H:%M}"
    ends = "leaves the request open" if left else "withdraws the request"
    _say(f"Waiting for a decision in {asked['cards_in']}{until}. Ctrl-C {ends}.")


def pausing(step: Pause, url: str) -> None:
    """Say why the program does not hear from people at the moment."""
    why = step.why or f"Can't reach the service at {url}. Is `web` running?"
    _say(f"{why} Retrying …")


def interrupted(asked: Mapping[str, Any] | None, *, left: bool) -> None:
    """Say what became of the question."""
    if left and asked is not None:
        _say("The request stays open. Ask again with the same key to get the decision.")


def not_taken_back(refused: ServiceRefused) -> None:
    """Say that people may still see the question."""
    _say(f"Couldn't withdraw the request: {refused} People may still see it, but nothing will run.")


def _say(words: str) -> None:
    global _last
    if words != _last and sys.stderr.isatty():
        print(words, file=sys.stderr)
    _last = words
