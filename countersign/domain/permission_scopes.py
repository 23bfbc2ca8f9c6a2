"""Scopes and spans of standing permissions.

A decision holds a `Standing`, so these words stand below requests, and the rules about them in `grants`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from countersign.domain.ids import PermissionId

LONGEST: Final = timedelta(days=1)
"""Nobody gives a permission for longer; after that people are asked again."""


class Scope(StrEnum):
    """Breadth of a permission, the narrower first; always of one team in one channel."""

    CALL = "call"
    """Exactly what was shown, by the same agent."""
    ARGUMENTS = "arguments"
    """The tool with the same arguments, whichever agent of the team wants it."""
    TOOL = "tool"
    """The tool, whatever its arguments."""


class Span(StrEnum):
    """The time for which people are not asked again."""

    RUN = "run"
    """As long as this run goes on, a day at most."""
    HOUR = "hour"
    DAY = "day"


SPANS: Final = {Span.RUN: LONGEST, Span.HOUR: timedelta(hours=1), Span.DAY: LONGEST}


@dataclass(frozen=True, slots=True)
class PermissionChoice:
    """The scope and span that somebody chose with an approval."""

    scope: Scope
    span: Span


@dataclass(frozen=True, slots=True)
class Standing:
    """The permission that was given with a decision, or by which it came about."""

    permission: PermissionId
    scope: Scope
    until: datetime
    this_run: bool = False
