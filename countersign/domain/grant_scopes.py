"""What is not asked again, and for how long: the words of standing permissions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from countersign.domain.ids import PermissionId

LONGEST: Final = timedelta(days=1)
"""Nobody gives a permission for longer; after that people are asked again."""


class Scope(StrEnum):
    """What is not asked again, the narrower first; always of the same team in the same channel."""

    CALL = "call"
    """Exactly what was shown, by the same agent."""
    ARGUMENTS = "arguments"
    """The tool with the same arguments, whichever agent of the team wants it."""
    TOOL = "tool"
    """The tool, whatever its arguments."""


class Span(StrEnum):
    """How long."""

    RUN = "run"
    """As long as this run goes on, a day at most."""
    HOUR = "hour"
    DAY = "day"


SPANS: Final = {Span.RUN: LONGEST, Span.HOUR: timedelta(hours=1), Span.DAY: LONGEST}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody who approves does not want to be asked again."""

    scope: Scope
    span: Span


@dataclass(frozen=True, slots=True)
class Standing:
    """The permission that was given with a decision, or by which it came about."""

    permission: PermissionId
    scope: Scope
    until: datetime
    this_run: bool = False
